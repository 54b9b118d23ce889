// A run's checkpoint as the hub's store has it: its state and packed blocks. What a hub takes over
// it also goes on with: it answers queries, runs on, and writes the next checkpoint.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/check.h"
#include "hub/scheduler/run.h"
#include "hub/scheduler/scheduler.h"
#include "tests/fuzz/feed.h"
#include "tests/fuzz/target.h"
#include "tests/support/program_text.h"
#include "tests/support/scheduler_driver.h"

namespace bue::fuzz {
namespace {

constexpr const char* kPrograms[] = {
    "node a\nnode b a\nnode x\nname v 0 a",
    "node src\nloop in 0 over src\nnode work in 1 e1\nnode more in 1 work\nnode all more",
    ("loop in 0 over range:3\nnode lists in 1 e1\nloop in 1 over lists by=2\n"
     "node deep in 2 e2 e1\nnode gather in 1 deep\nnode end gather"),
};
constexpr uint32_t kProgramCount = std::size(kPrograms);

void GoOn(hub::Scheduler* scheduler, absl::Time now) {
  std::vector<hub::Command> commands;
  commands.push_back(hub::WorkerJoined{.worker = 1, .name = "w"});
  hub::WorkerReported room{.worker = 1};
  room.room.push_back({.pool = hub::Pool::kThread, .room = {.leases = 20, .slots = 20}});
  commands.push_back(std::move(room));
  commands.push_back(hub::QueryRun{.run = 1});
  commands.push_back(hub::QueryResults{.run = 1});
  commands.push_back(hub::QueryPlace{.run = 1, .name = "work", .item = "1"});
  commands.push_back(hub::QueryValues{.run = 1, .instance = 1, .node = 1});
  for (uint64_t turn = 1; turn <= 6; ++turn) {
    hub::Effects effects;
    scheduler->BeginTurn(turn);
    for (hub::Command& command : commands) scheduler->Apply(command, now, &effects);
    scheduler->Match(now, &effects);
    scheduler->Synced(turn);
    commands.clear();
    hub::WorkerReported report{.worker = 1, .report = turn};
    for (const hub::GrantGroup& group : effects.outgoing.grants) {
      for (const uint64_t lease : group.lease) {
        report.outcomes.push_back({.lease = lease, .address = lease, .elements = 3});
      }
    }
    commands.push_back(std::move(report));
    now += absl::Hours(1);
  }
  for (const uint64_t run : scheduler->DirtyRuns()) scheduler->SnapshotRun(run);
  hub::Effects effects;
  hub::Command cancel = hub::ControlRun{.run = 1, .action = hub::ControlRun::Action::kCancel};
  hub::Command forget = hub::ControlRun{.run = 1, .action = hub::ControlRun::Action::kDelete};
  scheduler->Apply(cancel, now, &effects);
  scheduler->Apply(forget, now, &effects);
}

void Run(absl::string_view bytes) {
  Feed feed(bytes);
  hub::StoredRun stored;
  stored.added = {.run = 1, .key = "k"};
  stored.program = ParseProgramText(kPrograms[feed.Choice(kProgramCount)]);
  stored.state = std::string(feed.Bytes());
  while (!feed.AtEnd()) stored.blocks.emplace_back(feed.Bytes());
  hub::HubSnapshot snapshot{.next_run = 2};
  snapshot.runs.push_back(std::move(stored));
  hub::Scheduler scheduler({.epoch = 2, .begun_items_max = 64, .idle_values = 2});
  const absl::Time now = absl::FromUnixSeconds(1000000);
  if (!scheduler.Load(std::move(snapshot), now).ok()) return;
  GoOn(&scheduler, now);
}

// A checkpoint of run 1 as the driver's scheduler has it now.
std::string Checkpoint(uint32_t program, hub::SchedulerDriver* driver) {
  const hub::RunSnapshot snapshot = driver->scheduler()->SnapshotRun(1);
  FeedWriter writer;
  writer.Byte(static_cast<uint8_t>(program)).Bytes(snapshot.state);
  for (const hub::RunSnapshot::Block& block : snapshot.blocks) writer.Bytes(block.bytes);
  return writer.out();
}

// Ends tasks one after the other, some of them badly, with a checkpoint after each few.
std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  for (uint32_t program = 0; program < kProgramCount; ++program) {
    hub::SchedulerDriver driver;
    driver.Run(kPrograms[program]);
    driver.Join("w", {.threads = 4});
    for (int ended = 0; ended < 60 && !driver.granted("w").empty(); ++ended) {
      if (ended < 4 || ended % 10 == 0) seeds.push_back(Checkpoint(program, &driver));
      const std::string task = driver.granted("w").begin()->first;
      if (ended % 7 == 3) {
        driver.Report("w", task, hub::Outcome::Kind::kFailed, "no");
      } else if (ended % 7 == 5) {
        driver.Report("w", task, hub::Outcome::Kind::kCancel);
      } else {
        driver.Succeed("w", task, ended == 0 ? 30 : 3);
      }
    }
    seeds.push_back(Checkpoint(program, &driver));
  }
  return seeds;
}

}  // namespace

const Target kRunState = {.name = "run_state", .run = Run, .seeds = Seeds};

}  // namespace bue::fuzz
