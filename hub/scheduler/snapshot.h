// What the store gives at start and takes at a checkpoint. Plain data.
#ifndef BUE_HUB_SCHEDULER_SNAPSHOT_H_
#define BUE_HUB_SCHEDULER_SNAPSHOT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/program/program.h"
#include "hub/scheduler/effects.h"

namespace bue::hub {

// A run as the store has it. `state`: what SnapshotRun gave at the last checkpoint (empty: never
// was one); `blocks`: all blocks any checkpoint gave.
struct StoredRun {
  RunAdded added;
  std::shared_ptr<const Program> program;
  std::string state;
  std::vector<std::string> blocks;
};

// What the store held at start. `changes` are the journal's since the checkpoint, in order.
struct HubSnapshot {
  std::vector<StoredRun> runs;  // By number.
  std::vector<Change> changes;
  std::vector<std::string> workers;
  uint64_t next_run = 1;
};

// What a checkpoint writes of a run.
struct RunSnapshot {
  uint64_t run = 0;
  std::string state;
  // New since the last SnapshotRun of the run; `key` is unique within the run.
  struct Block {
    std::string key;
    std::string bytes;
  };
  std::vector<Block> blocks;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_SNAPSHOT_H_
