#include "hub/scheduler/effects.h"

#include "common/append.h"

namespace bue::hub {

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
  Append(&acks, &more->acks);
  Append(&replies, &more->replies);
  Append(&deletions, &more->deletions);
  Append(&ended, &more->ended);
}

}  // namespace bue::hub
