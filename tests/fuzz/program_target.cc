// An uploaded program: a bue.v1.Program, then, if it is sound, a run of it. The first byte says how
// the run's tasks end.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/program/program_codec.h"
#include "hub/scheduler/scheduler.h"
#include "tests/fuzz/feed.h"
#include "tests/fuzz/target.h"
#include "tests/support/program_text.h"

namespace bue::fuzz {
namespace {

// A worker that takes everything and ends it at once, one way after the other.
void RunIt(std::shared_ptr<const Program> program, uint8_t how) {
  const absl::Time now = absl::FromUnixSeconds(1000000);
  hub::Scheduler scheduler({.begun_items_max = 64, .idle_values = 2});
  CHECK(scheduler.Load({}, now).ok());
  std::vector<hub::Command> commands;
  commands.push_back(hub::SubmitRun{.request = 1, .key = "k", .program = std::move(program)});
  commands.push_back(hub::WorkerJoined{.worker = 1, .name = "w"});
  hub::WorkerReported next{.worker = 1};
  for (int pool = 0; pool < hub::kPools; ++pool) {
    next.room.push_back(
        {.pool = static_cast<hub::Pool>(pool), .room = {.leases = 50, .slots = 50}});
  }
  commands.push_back(std::move(next));
  for (uint64_t turn = 1; turn <= 30 && !commands.empty(); ++turn) {
    hub::Effects effects;
    scheduler.BeginTurn(turn);
    for (hub::Command& command : commands) scheduler.Apply(command, now, &effects);
    scheduler.Match(now, &effects);
    scheduler.CheckInvariants();
    scheduler.Synced(turn);
    commands.clear();
    hub::WorkerReported report{.worker = 1, .report = turn};
    for (const hub::GrantGroup& group : effects.outgoing.grants) {
      for (const uint64_t lease : group.lease) {
        const bool fails = how > 200 && lease % 3 == 0;
        report.outcomes.push_back(
            {.lease = lease,
             .kind = fails ? hub::Outcome::Kind::kFailed : hub::Outcome::Kind::kSucceeded,
             .address = lease,
             .elements = 1 + static_cast<uint64_t>(how % 16)});
      }
    }
    if (!report.outcomes.empty()) commands.push_back(std::move(report));
  }
}

constexpr size_t kMemoryMax = 64 << 20;  // More than any input here may take.

void Run(absl::string_view bytes) {
  Feed feed(bytes);
  const uint8_t how = feed.Byte();
  const absl::string_view rest = feed.Rest();
  v1::Program proto;
  const absl::StatusOr<Program> parsed = ParseProgram(rest, kMemoryMax);
  if (!proto.ParseFromArray(rest.data(), static_cast<int>(rest.size()))) return;
  absl::StatusOr<Program> program = FromProto(proto);
  if (!program.ok()) return;
  v1::Program written, again;
  ToProto(*program, &written);
  absl::StatusOr<Program> reread = FromProto(written);
  CHECK(reread.ok());
  ToProto(*reread, &again);
  CHECK(written.SerializeAsString() == again.SerializeAsString());
  CHECK(parsed.ok());
  again.Clear();
  ToProto(*parsed, &again);
  CHECK(written.SerializeAsString() == again.SerializeAsString());
  RunIt(std::make_shared<const Program>(*std::move(program)), how);
}

std::vector<std::string> Seeds() {
  static constexpr const char* kPrograms[] = {
      "node a\nnode b a\nnode c b a",
      "node src\nloop in 0 over src by=3\nnode work in 1 e1\nnode all work",
      ("loop in 0 over range:5\nnode lists in 1 e1\nloop in 1 over lists\nnode deep in 2 e2 e1\n"
       "node gather in 1 deep\nnode end gather"),
      ("step a scope=s priority=-3 retries=2 backoff=1 poll=2 handbacks=3 sql\nnode a\n"
       "step b mode=async\nnode b\nname v 0 a"),
  };
  std::vector<std::string> seeds;
  for (const char* text : kPrograms) {
    v1::Program proto;
    ToProto(*ParseProgramText(text), &proto);
    for (const uint8_t how : {4, 207}) {
      seeds.push_back(FeedWriter().Byte(how).Rest(proto.SerializeAsString()).out());
    }
  }
  return seeds;
}

}  // namespace

const Target kProgram = {.name = "program", .run = Run, .seeds = Seeds};

}  // namespace bue::fuzz
