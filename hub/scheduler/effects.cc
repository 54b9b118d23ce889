#include "hub/scheduler/effects.h"

#include "common/append.h"
#include "common/check.h"

namespace bue::hub {

const char* NameOf(RunState state) {
  switch (state) {
    case RunState::kRunning:
      return "running";
    case RunState::kPaused:
      return "paused";
    case RunState::kSucceeded:
      return "succeeded";
    case RunState::kFailed:
      return "failed";
    case RunState::kCancelled:
      return "cancelled";
    case RunState::kStopping:
      return "stopping";
  }
  CHECK(false);
}

void TurnRecord::Clear() {
  runs.clear();
  changes.clear();
  errors.clear();
  logs.clear();
  history.Clear();
  workers_changed = false;
  workers.clear();
}

void Outgoing::Clear() {
  welcomes.clear();
  run_steps.clear();
  grants.clear();
  eager.clear();
  hash_requests.clear();
  revocations.clear();
  recalls.clear();
  lease_recalls.clear();
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
