#include "hub/scheduler/effects.h"

#include <iterator>
#include <utility>

namespace bue::hub {
namespace {

template <typename T>
void MoveAll(std::vector<T>* from, std::vector<T>* to) {
  if (to->empty()) {
    to->swap(*from);
  } else {
    to->insert(to->end(), std::make_move_iterator(from->begin()),
               std::make_move_iterator(from->end()));
  }
  from->clear();
}

}  // namespace

void TurnRecord::Clear() {
  runs.clear();
  changes.clear();
  errors.clear();
  logs.clear();
  workers_changed = false;
  workers.clear();
}

void Outgoing::Clear() {
  welcomes.clear();
  run_steps.clear();
  grants.clear();
  revocations.clear();
  credits.clear();
  ended_runs.clear();
  answers.clear();
  closed_workers.clear();
  promises.Clear();
}

bool Promises::empty() const {
  return acks.empty() && replies.empty() && deletions.empty() && ended.empty();
}

void Promises::Clear() {
  acks.clear();
  replies.clear();
  deletions.clear();
  ended.clear();
}

void Promises::Take(Promises* more) {
  MoveAll(&more->acks, &acks);
  MoveAll(&more->replies, &replies);
  MoveAll(&more->deletions, &deletions);
  MoveAll(&more->ended, &ended);
}

}  // namespace bue::hub
