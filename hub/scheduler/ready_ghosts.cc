// ReadyQueue's ghosts. They outlive their tasks, and gates: who cancels a run and retries it finds
// what goes on of it counted.
#include <utility>

#include "common/check.h"
#include "hub/scheduler/ready_queue.h"

namespace bue::hub {

void ReadyQueue::AddGhost(uint64_t worker, uint64_t lease, const GhostPlace& place) {
  if (ghosts_.try_emplace({worker, lease}, place).second) CountGhosts(place, 1);
}

bool ReadyQueue::MoveGhost(uint64_t from, uint64_t worker, uint64_t lease) {
  const auto ghost = ghosts_.find({from, lease});
  if (ghost == ghosts_.end()) return false;
  const GhostPlace place = std::move(ghost->second);
  ghosts_.erase(ghost);
  if (!ghosts_.try_emplace({worker, lease}, place).second) CountGhosts(place, -1);
  return true;
}

void ReadyQueue::EndGhost(uint64_t worker, uint64_t lease) {
  const auto ghost = ghosts_.find({worker, lease});
  if (ghost == ghosts_.end()) return;
  CountGhosts(ghost->second, -1);
  ghosts_.erase(ghost);
}

void ReadyQueue::EndGhosts(uint64_t worker) {
  for (auto ghost = ghosts_.lower_bound({worker, 0});
       ghost != ghosts_.end() && ghost->first.first == worker; ghost = ghosts_.erase(ghost)) {
    CountGhosts(ghost->second, -1);
  }
}

void ReadyQueue::CountGhosts(const GhostPlace& place, int64_t more) {
  const auto count = ghosts_at_.try_emplace(place, 0).first;
  count->second += more;
  if (Gate* gate = GateOf(place)) {
    gate->ghosts = count->second;
    MayHaveRoom(gate);
  }
  if (count->second == 0) ghosts_at_.erase(count);
}

Gate* ReadyQueue::GateOf(const GhostPlace& place) {
  const auto& [key, run, step, hash] = place;
  if (!key.empty()) {
    const auto shared = shared_.find({Gate::Kind::kRunning, key});
    return shared == shared_.end() ? nullptr : shared->second.get();
  }
  const auto queues = queues_.find(run);
  if (queues == queues_.end()) return nullptr;
  const auto gates = queues->second.gates.find({Gate::Kind::kRunning, step});
  if (gates == queues->second.gates.end()) return nullptr;
  if (hash == 0) return gates->second.for_all.get();
  const auto gate = gates->second.of_values.find(hash);
  return gate == gates->second.of_values.end() ? nullptr : gate->second.get();
}

ReadyQueue::GhostPlace ReadyQueue::PlaceOf(const Gate& gate) {
  if (gate.run == nullptr) return {gate.key, 0, 0, 0};
  return {"", gate.run->number(), gate.step, gate.hash};
}

uint64_t ReadyQueue::GhostsAt(const Gate& gate) const {
  if (gate.kind != Gate::Kind::kRunning || ghosts_at_.empty()) return 0;
  const auto count = ghosts_at_.find(PlaceOf(gate));
  return count == ghosts_at_.end() ? 0 : count->second;
}

}  // namespace bue::hub
