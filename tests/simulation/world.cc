#include "tests/simulation/world.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "tests/simulation/connection.h"
#include "tests/simulation/hub_process.h"
#include "tests/simulation/worker_process.h"

namespace bue::sim {

World::World(const Config& c, std::function<void(const std::string&)> trace)
    : config(c), random(c.seed), history(c.scheduler, &bucket), trace_(std::move(trace)) {}

World::~World() {
  for (const std::weak_ptr<Connection>& opened : opened_) {
    if (const auto connection = opened.lock()) connection->Forget();
  }
}

void World::TraceLine(const std::string& line) {
  trace_(absl::StrCat(absl::FormatTime("%H:%M:%E6S ", events.now(), absl::UTCTimeZone()), line));
}

// ----------------------------------------------------------------------------------- the network

std::shared_ptr<Connection> World::Connect(WorkerProcess* worker, std::string hello) {
  std::erase_if(connections_,
                [](const std::shared_ptr<Connection>& connection) { return connection->over(); });
  auto connection = std::make_shared<Connection>(this, worker);
  connections_.push_back(connection);
  opened_.push_back(connection);
  connection->Open(std::move(hello));
  return connection;
}

void World::Ask(hub::Command command, OnReply on_reply) {
  const uint64_t request = next_request_++;
  std::visit(
      [request](auto& c) {
        if constexpr (requires { c.request; }) c.request = request;
      },
      command);
  pending_[request] = {.on_reply = std::move(on_reply)};
  events.After(absl::Seconds(3), [this, request] { Answer(request, std::nullopt); });
  if (faults && random.Chance(config.rpc_loss_percent)) return;
  auto shared = std::make_shared<hub::Command>(std::move(command));
  events.After(Latency(), [this, request, shared] {
    const auto pending = pending_.find(request);
    if (pending == pending_.end()) return;
    if (hub == nullptr) {
      events.After(absl::Milliseconds(300), [this, request] { Answer(request, std::nullopt); });
      return;
    }
    pending->second.hub = hub;
    hub->Do([to = hub, shared] { to->Post(std::move(*shared)); });
  });
}

void World::Replied(const hub::Reply& reply) {
  if (faults && random.Chance(config.rpc_loss_percent)) return;
  events.After(Latency(), [this, reply] { Answer(reply.request, reply); });
}

void World::Answer(uint64_t request, std::optional<hub::Reply> reply) {
  const auto found = pending_.find(request);
  if (found == pending_.end()) return;
  const OnReply on_reply = std::move(found->second.on_reply);
  pending_.erase(found);
  on_reply(std::move(reply));
}

// --------------------------------------------------------------------------------- the processes

void World::StartHub() {
  CHECK(hub == nullptr);
  clock_offset_ += random.Between(-config.clock_jump_max, config.clock_jump_max);
  hubs_.push_back(std::make_unique<HubProcess>(this, clock_offset_));
  hub = hubs_.back().get();
  hub->Start();
}

void World::CrashHub(bool power) {
  if (hub == nullptr) return;
  HubProcess* const dead = std::exchange(hub, nullptr);
  const size_t unsynced = disk.unsynced();
  const size_t kept = power ? random.Below(unsynced + 1) : unsynced;
  Trace("hub dies", power ? " by a power cut" : "", ", ", unsynced - kept, " of ", unsynced,
        " unsynced batches are lost");
  dead->Die();
  disk.CutPower(kept);
  history.HubCrashed(power, dead->Now());
  for (const std::shared_ptr<Connection>& connection : connections_) {
    if (connection->hub() == dead) connection->HubDied(power);
  }
  std::vector<uint64_t> unanswered;
  for (const auto& [request, pending] : pending_) {
    if (pending.hub == dead) unanswered.push_back(request);
  }
  for (const uint64_t request : unanswered) {
    events.After(Latency(), [this, request] { Answer(request, std::nullopt); });
  }
  events.After(random.Skewed(absl::Milliseconds(10), absl::Seconds(6)), [this] {
    if (hub == nullptr) StartHub();
  });
}

WorkerProcess* World::StartWorker(const std::string& name) {
  // The first one takes any scope, so that somebody always does.
  const bool every_scope = name == "w0" || next_incarnation_ % 3 != 0;
  workers_.push_back(std::make_unique<WorkerProcess>(this, name, next_incarnation_++, every_scope));
  workers_.back()->Start();
  return workers_.back().get();
}

}  // namespace bue::sim
