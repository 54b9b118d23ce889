#include "hub/scheduler/effects.h"

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
  acks.clear();
  promises.clear();
  deletions.clear();
}

}  // namespace bue::hub
