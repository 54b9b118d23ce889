// Fairness: runs with something ready for the same pool, scope and priority take turns.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "hub/scheduler/ready_queue.h"
#include "tests/simulation/history.h"

namespace bue::sim {
namespace {

hub::Pool PoolOf(const Step& step) {
  if (step.language != Language::kPython) return hub::Pool::kSql;
  if (step.mode == Mode::kAsync) return hub::Pool::kAsync;
  return step.mode == Mode::kProcess ? hub::Pool::kProcess : hub::Pool::kThread;
}

bool IsLimited(const Step& step) { return step.max_running.count > 0 || step.rate.count > 0; }

// Such a run keeps places free: what is ready may wait for that.
bool HasQueues(const Program& program) {
  return std::any_of(program.steps.begin(), program.steps.end(),
                     [](const Step& step) { return step.queue > 0; });
}

uint64_t TurnOf(uint64_t weight) { return hub::ReadyQueue::kTurnTasks * weight; }

}  // namespace

// Whether the run is in the ring of the place: what it has ready there nothing holds back.
bool History::HasReadyAt(uint64_t number, const Run& run, const Place& place) const {
  if (run.known == nullptr || !run.awake || run.stops || run.weight == 0 || run.limits_changed ||
      learned_runs_.contains(number) || HasQueues(*run.program)) {
    return false;
  }
  const std::vector<Node>& nodes = run.program->nodes;
  for (uint32_t n = 0; n < nodes.size(); ++n) {
    const Step& step = run.program->steps[nodes[n].step];
    if (IsLimited(step) || Place{PoolOf(step), step.scope, step.priority} != place) continue;
    // One reservation of so few items is all that such a loop needs.
    const uint64_t items_max = std::min(rules_.reserve_block, rules_.begun_items_max);
    if (run.known->Waiting(n) > 0 || run.known->HasMore(n, items_max)) return true;
  }
  return false;
}

// In which order a turn of the hub granted them nobody can tell, so its grants count together. Who
// has something ready after it had so before it: outcomes come in first, then it grants.
void History::CheckTurns(absl::Time now) {
  const auto granted = std::exchange(granted_at_, {});
  if (restarted_ && now < hub_started_ + rules_.reattach_grace) return;  // It may be held back.
  for (const auto& [place, grants] : granted) {
    std::map<uint64_t, Wait>& waits = waits_[place];
    for (const auto& [number, run] : runs_) {
      if (!HasReadyAt(number, run, place)) {
        waits.erase(number);
        continue;
      }
      const auto [wait, is_new] = waits.try_emplace(number);
      if (!is_new) CheckShares(place, number, grants, &wait->second);
    }
  }
}

// Between two tasks of a run that has more, any other is given at most one turn. Over a longer time
// a run has one turn more than the first at most, whose own first may have begun before.
void History::CheckShares(const Place& place, uint64_t number,
                          const std::map<uint64_t, uint64_t>& grants, Wait* wait) {
  const auto own = grants.find(number);
  if (own != grants.end()) {
    wait->own += own->second;
    wait->since.clear();
  }
  const uint64_t turns = wait->own / TurnOf(runs_.at(number).weight) + 2;
  for (const auto& [other, count] : grants) {
    const uint64_t turn = TurnOf(runs_.at(other).weight);
    if (other == number || turn == 0) continue;
    const uint64_t in_all = wait->others[other] += count;
    const uint64_t since = own == grants.end() ? wait->since[other] += count : 0;
    if (since <= turn && in_all <= turn * turns) continue;
    Fail(absl::StrCat("r", other, " was given ", since, " tasks in a row and ", in_all,
                      " in all where its turn is ", turn, ", while r", number, ", whose turn is ",
                      TurnOf(runs_.at(number).weight), " and which had more of pool ",
                      static_cast<int>(std::get<0>(place)), ", scope ", std::get<1>(place),
                      ", priority ", std::get<2>(place), ", was given ", wait->own));
  }
}

void History::ForgetWaits(uint64_t number) {
  for (auto& [place, waits] : waits_) waits.erase(number);
}

}  // namespace bue::sim
