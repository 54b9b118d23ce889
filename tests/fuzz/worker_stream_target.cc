// What workers and clients send to a hub with live runs: FromWorker messages, raw or made of what
// the hub granted, from several workers, between turns, losses, waits and restarts. No message may
// break the scheduler's tables, whoever sends it and whatever it holds.
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bue/v1/work.pb.h"
#include "common/check.h"
#include "hub/scheduler/scheduler.h"
#include "hub/service/worker_messages.h"
#include "tests/fuzz/feed.h"
#include "tests/fuzz/target.h"
#include "tests/support/program_text.h"

namespace bue::fuzz {
namespace {

constexpr const char* kPrograms[] = {
    "node a\nnode b a\nnode x",
    "node src\nloop in 0 over src by=2\nnode work in 1 e1\nnode all work",
    ("loop in 0 over range:9\nnode lists in 1 e1\nloop in 1 over lists\nnode deep in 2 e2\n"
     "node gather in 1 deep"),
    "step f retries=1 backoff=1 poll=1 handbacks=2\nnode f\nstep s sql\nnode s f",
};
constexpr uint32_t kProgramCount = std::size(kPrograms);
constexpr uint64_t kWorkers = 3;

enum Act : uint8_t {
  kRaw,
  kHello,
  kOutcomes,
  kProgress,
  kLearned,
  kRoom,
  kGone,
  kWait,
  kSubmit,
  kControl,
  kAsk,
  kRestart,
  kActs,
};

class World {
 public:
  World() { Open({}); }

  void Take(Feed* feed) {
    switch (static_cast<Act>(feed->Choice(kActs))) {
      case kRaw:
        return Raw(feed);
      case kHello:
        return Hello(feed);
      case kOutcomes:
        return Outcomes(feed);
      case kProgress:
        return Progress(feed);
      case kLearned:
        return Learned(feed);
      case kRoom:
        return Room(feed);
      case kGone:
        return Turn(hub::WorkerGone{.worker = Stream(feed)});
      case kWait:
        now_ += absl::Milliseconds(feed->Number() % 1000000);
        return Turn(hub::WorkerReported{});
      case kSubmit:
        return Submit(feed);
      case kControl:
        return Turn(
            hub::ControlRun{.run = feed->Choice(4),
                            .action = static_cast<hub::ControlRun::Action>(feed->Choice(4))});
      case kAsk:
        return Ask(feed);
      case kRestart:
        return Restart(feed->Byte() % 2 == 0);
      case kActs:
        return;
    }
  }

 private:
  // -------------------------------------------------------------------------------- from workers

  void Raw(Feed* feed) {
    const uint64_t stream = Stream(feed);
    v1::FromWorker message;
    const absl::string_view bytes = feed->Bytes();
    if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
    Send(stream, message);
  }

  // As WorkerService does; a refused message ends the stream.
  void Send(uint64_t stream, const v1::FromWorker& message) {
    if (message.has_hello()) {
      absl::StatusOr<hub::WorkerJoined> joined = hub::ToJoined(message.hello(), stream, limits_);
      if (!joined.ok()) return;
      Turn(*std::move(joined));
    }
    absl::StatusOr<hub::WorkerReported> report = hub::ToReported(message, stream, limits_);
    if (!report.ok()) return Turn(hub::WorkerGone{.worker = stream});
    Turn(*std::move(report));
  }

  void Hello(Feed* feed) {
    v1::FromWorker message;
    v1::Hello* hello = message.mutable_hello();
    const uint32_t who = feed->Choice(kWorkers);
    hello->set_name(std::string(1, static_cast<char>('a' + who)));
    hello->set_incarnation(feed->Choice(2));
    hello->set_protocol(v1::PROTOCOL_GHOSTS);
    const uint8_t flags = feed->Byte();
    if (flags & 1) hello->add_scopes("default");
    if (flags & 2) hello->add_scopes("other");
    hello->set_priority_first(flags & 4);
    hello->set_reverse(flags & 8);
    for (uint32_t held = feed->Choice(5); held > 0; --held) {
      v1::HeldLease* lease = hello->add_held();
      const hub::HeldLease& known = Known(feed);
      lease->set_lease(known.lease);
      lease->set_run(known.run);
      lease->set_instance(known.instance);
      lease->set_item(known.item);
      lease->set_node(known.node);
      lease->set_pass(known.pass);
      const uint8_t change = feed->Byte();
      if (change & 1) lease->set_lease(feed->Number());
      if (change & 2) lease->set_item(feed->Number());
      if (change & 4) lease->set_instance(feed->Number());
      if (change & 8) lease->set_node(static_cast<uint32_t>(feed->Number()));
      if (change & 16) lease->set_run(feed->Choice(4));
      if (change & 32) lease->set_elapsed_ms(feed->Number());
      lease->set_pool(static_cast<v1::Pool>(feed->Choice(5)));
    }
    Send(streams_[who] = next_stream_++, message);
  }

  void Outcomes(Feed* feed) {
    v1::FromWorker message;
    const uint64_t stream = Stream(feed);
    message.set_report(++report_);
    for (uint32_t count = 1 + feed->Choice(4); count > 0; --count) {
      const uint64_t lease = Known(feed).lease;
      const uint32_t kind = feed->Choice(9);
      if (kind == 0) {
        v1::Succeeded* columns = message.mutable_succeeded();
        columns->add_lease(lease);
        columns->add_address(++address_);
        columns->add_elements(feed->Number());
        columns->add_run_us(1);
        continue;
      }
      v1::Outcome* outcome = message.add_outcomes();
      outcome->set_lease(lease);
      outcome->set_kind(static_cast<v1::Outcome::Kind>(kind));
      outcome->set_elements(kind == v1::Outcome::SUCCEEDED ? feed->Number() : 0);
      outcome->set_address(++address_);
      if (feed->Byte() % 2 == 1) outcome->set_output(++address_);
      outcome->mutable_error()->set_message("m");
    }
    message.set_goodbye(feed->Byte() == 255);
    Send(stream, message);
  }

  void Progress(Feed* feed) {
    v1::FromWorker message;
    const uint64_t stream = Stream(feed);
    v1::Progress* progress = message.add_progress();
    progress->set_lease(Known(feed).lease);
    progress->set_address(feed->Byte());
    progress->set_elements(feed->Number());
    Send(stream, message);
  }

  void Learned(Feed* feed) {
    v1::FromWorker message;
    const uint64_t stream = Stream(feed);
    v1::LearnedMode* learned = message.add_learned();
    learned->set_run(feed->Choice(4));
    learned->set_step(feed->Choice(6));
    learned->set_pool(static_cast<v1::Pool>(feed->Choice(5)));
    Send(stream, message);
  }

  void Room(Feed* feed) {
    v1::FromWorker message;
    const uint64_t stream = Stream(feed);
    v1::Room* room = message.add_room();
    room->set_pool(static_cast<v1::Pool>(feed->Choice(5)));
    room->set_leases(static_cast<uint32_t>(feed->Number()));
    room->set_slots(static_cast<uint32_t>(feed->Number()));
    Send(stream, message);
  }

  // -------------------------------------------------------------------------------- from clients

  void Submit(Feed* feed) {
    const uint32_t program = feed->Choice(kProgramCount);
    if (programs_.size() >= 3) return;
    const uint64_t run = next_run_++;
    programs_[run] = ParseProgramText(kPrograms[program]);
    Turn(hub::SubmitRun{.key = std::to_string(run), .program = programs_[run]});
  }

  void Ask(Feed* feed) {
    const uint64_t run = feed->Choice(4);
    switch (feed->Choice(7)) {
      case 0:
        return Turn(hub::QueryRun{.run = run});
      case 1:
        return Turn(hub::QueryRuns{});
      case 2:
        return Turn(hub::QueryWorkers{});
      case 3:
        return Turn(hub::QueryValues{.run = run,
                                     .instance = feed->Number(),
                                     .node = static_cast<uint32_t>(feed->Number()),
                                     .start = feed->Number()});
      case 4:
        return Turn(hub::QueryResults{.run = run, .start = std::string(feed->Bytes())});
      case 5:
        return Turn(hub::QueryPlace{.run = run,
                                    .name = feed->Byte() % 2 == 0 ? "work" : "deep",
                                    .item = std::string(feed->Bytes())});
      default:
        return Turn(hub::QueryRunning{.run = run});
    }
  }

  // ------------------------------------------------------------------------------------- the hub

  void Turn(hub::Command command) {
    hub::Effects effects;
    scheduler_->BeginTurn(++turn_);
    scheduler_->Apply(command, now_, &effects);
    scheduler_->Match(now_, &effects);
    scheduler_->CheckInvariants();
    scheduler_->Synced(turn_);
    Keep(effects);
  }

  void Keep(const hub::Effects& effects) {
    for (const hub::RunAdded& run : effects.record.runs) runs_[run.run].added = run;
    for (const hub::Change& change : effects.record.changes) {
      journal_.push_back(change);
      if (change.kind == hub::Change::Kind::kDeleted) runs_.erase(change.run);
    }
    if (effects.record.workers_changed) workers_ = effects.record.workers;
    for (const hub::GrantGroup& group : effects.outgoing.grants) {
      for (size_t i = 0; i < group.lease.size(); ++i) {
        known_.push_back({.lease = group.lease[i],
                          .run = group.run,
                          .instance = group.instance,
                          .item = group.item[i],
                          .node = group.node,
                          .pass = group.pass[i],
                          .pool = group.pool});
      }
    }
  }

  // Dies and comes back from what was stored.
  void Restart(bool checkpoint) {
    if (checkpoint) {
      for (const uint64_t run : scheduler_->DirtyRuns()) {
        hub::RunSnapshot snapshot = scheduler_->SnapshotRun(run);
        runs_.at(run).state = std::move(snapshot.state);
        for (hub::RunSnapshot::Block& block : snapshot.blocks) {
          blocks_[run][block.key] = std::move(block.bytes);
        }
      }
      journal_.clear();
    }
    hub::HubSnapshot snapshot{.changes = journal_, .workers = workers_, .next_run = next_run_};
    for (const auto& [number, run] : runs_) {
      snapshot.runs.push_back(run);
      snapshot.runs.back().program = programs_.at(number);
      for (const auto& [key, bytes] : blocks_[number]) snapshot.runs.back().blocks.push_back(bytes);
    }
    Open(std::move(snapshot));
  }

  void Open(hub::HubSnapshot snapshot) {
    scheduler_ = std::make_unique<hub::Scheduler>(hub::SchedulerOptions{
        .epoch = ++epoch_, .begun_items_max = 32, .source_window = 8, .idle_values = 2});
    const absl::Status loaded = scheduler_->Load(std::move(snapshot), now_);
    if (!loaded.ok()) std::fprintf(stderr, "%s\n", loaded.ToString().c_str());
    CHECK(loaded.ok());
    Turn(hub::WorkerReported{});
  }

  uint64_t Stream(Feed* feed) { return streams_[feed->Choice(kWorkers)]; }

  // A lease that was granted once, lately or long ago.
  const hub::HeldLease& Known(Feed* feed) {
    static const hub::HeldLease kNone;
    const uint8_t back = feed->Byte();
    if (known_.empty()) return kNone;
    return known_[known_.size() - 1 - back % known_.size()];
  }

  const hub::WorkerLimits limits_{.room_max = 16};
  std::unique_ptr<hub::Scheduler> scheduler_;
  absl::Time now_ = absl::FromUnixSeconds(1000000);
  uint64_t epoch_ = 0;
  uint64_t turn_ = 0;
  uint64_t next_stream_ = 1;
  uint64_t next_run_ = 1;
  uint64_t report_ = 0;
  uint64_t address_ = 1000;
  uint64_t streams_[kWorkers] = {};
  std::vector<hub::HeldLease> known_;
  std::map<uint64_t, std::shared_ptr<const Program>> programs_;

  // The store.
  std::map<uint64_t, hub::StoredRun> runs_;
  std::map<uint64_t, std::map<std::string, std::string>> blocks_;
  std::vector<hub::Change> journal_;
  std::vector<std::string> workers_;
};

void Run(absl::string_view bytes) {
  Feed feed(bytes);
  World world;
  for (int acts = 0; acts < 200 && !feed.AtEnd(); ++acts) world.Take(&feed);
}

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  for (uint8_t program = 0; program < kProgramCount; ++program) {
    FeedWriter story;
    story.Byte(kHello).Byte(0).Byte(0).Byte(0).Byte(0);
    story.Byte(kHello).Byte(1).Byte(0).Byte(1).Byte(0);
    story.Byte(kRoom).Byte(0).Byte(1).Byte(8).Byte(4);
    story.Byte(kRoom).Byte(0).Byte(3).Byte(2).Byte(1);
    story.Byte(kRoom).Byte(1).Byte(1).Byte(2).Byte(2);
    story.Byte(kSubmit).Byte(program);
    story.Byte(kProgress).Byte(0).Byte(0).Byte(9).Byte(3);
    for (uint8_t i = 0; i < 6; ++i) {
      story.Byte(kOutcomes).Byte(i % 2).Byte(0).Byte(i).Byte(0).Byte(5).Byte(0);
      story.Byte(kOutcomes).Byte(i % 2).Byte(0).Byte(0).Byte(i).Byte(1).Byte(0).Byte(0);
    }
    story.Byte(kAsk).Byte(1).Byte(4).Bytes("").Byte(kRestart).Byte(program);
    story.Byte(kHello).Byte(0).Byte(0).Byte(0).Byte(2).Byte(0).Byte(0).Byte(1).Byte(1).Byte(0);
    story.Byte(kGone).Byte(0).Byte(kWait).Number(900).Byte(kControl).Byte(1).Byte(0);
    seeds.push_back(story.out());
  }
  v1::FromWorker raw;
  raw.mutable_hello()->set_name("raw");
  raw.mutable_hello()->set_protocol(v1::PROTOCOL_GHOSTS);
  raw.add_room()->set_leases(3);
  seeds.push_back(FeedWriter().Byte(kRaw).Byte(0).Bytes(raw.SerializeAsString()).out());
  return seeds;
}

}  // namespace

const Target kWorkerStream = {.name = "worker_stream", .run = Run, .seeds = Seeds};

}  // namespace bue::fuzz
