// Timeouts, crashes, cancellation, stopping.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/python/python_testing.h"

namespace bue::worker {
namespace {

using testing::HasSubstr;

constexpr char kSteps[] = R"(
import asyncio, ctypes, os, time
def begin():
    with open(BEGUN, 'w') as file: file.write(str(os.getpid()))
async def sleeps(x=None):
    begin()
    await asyncio.sleep(3600)
async def swallows():
    begin()
    while True:
        try: await asyncio.sleep(3600)
        except asyncio.CancelledError: pass
async def is_busy():
    begin()
    end = time.monotonic() + 0.5
    while time.monotonic() < end: pass
    await asyncio.sleep(3600)
async def cleans_up():
    begin()
    try: await asyncio.sleep(3600)
    finally: print('cleaned up')
def blocks():
    begin()
    time.sleep(3600)
async def holds_the_loop():
    begin()
    time.sleep(3600)
def holds_the_interpreter():
    begin()
    ctypes.PyDLL(None).sleep(3600)
def crashes_for(path):
    while not os.path.exists(path): time.sleep(0.01)
    os._exit(3)
def crashes(x=None):
    print('last words', file=open(2, 'w', closefd=False), flush=True)
    ctypes.string_at(0)
def exits(): os._exit(3)
def one(x): return x
async def waits(x):
    await asyncio.sleep(0.2)
    return x
def blocks_for(path):
    begin()
    while not os.path.exists(path): time.sleep(0.01)
    return 5
async def waits_for(path):
    while not os.path.exists(path): await asyncio.sleep(0.01)
    return 5
def pid(): return os.getpid()
)";

PythonOptions Impatient() {
  return {.stuck_after = absl::Milliseconds(200), .retire_after = absl::Milliseconds(500)};
}

class FailuresTest : public testing::Test {
 protected:
  FailuresTest() { Clear(); }
  ~FailuresTest() override { Clear(); }

  std::shared_ptr<LoadedStep> StepOf(absl::string_view function, double timeout_s = 1200,
                                     Mode mode = Mode::kAuto) {
    auto step = CodeStep(absl::StrCat("BEGUN = '", begun_, "'", kSteps), function, mode);
    step->step.timeout_s = timeout_s;
    step->step.timeout_text = absl::StrCat(timeout_s);
    return step;
  }

  // What comes of a call that is not done in its time. It may not even have begun by then: if so
  // another one, with more time, until one has; its runner is BegunIn().
  CallResult Overrun(PythonHarness* harness, absl::string_view function) {
    for (double timeout_s = 0.1;; timeout_s *= 2) {
      Clear();
      CallResult result = harness->Run(StepOf(function, timeout_s));
      EXPECT_EQ(Show(result),
                absl::StrCat("error: timeout: not done after !timeout ", timeout_s, " s"));
      if (access(begun_.c_str(), F_OK) == 0 || HasFailure()) return result;
    }
  }

  std::string BegunIn() const {
    std::string pid;
    std::ifstream(begun_) >> pid;
    return pid;
  }

  void Clear() {
    unlink(begun_.c_str());
    unlink(gate_.c_str());
  }
  void OpenGate() const { std::ofstream(gate_) << "go"; }
  CallInput Gate() const { return JsonInput(absl::StrCat("\"", gate_, "\"")); }

  const std::string begun_ = absl::StrCat(testing::TempDir(), "/begun_", getpid());
  const std::string gate_ = absl::StrCat(testing::TempDir(), "/gate_", getpid());
  PythonHarness harness_{Impatient()};
};

TEST_F(FailuresTest, ACoroutineThatOverrunsIsCancelled) {
  PythonHarness patient({.stuck_after = absl::Hours(1)});
  EXPECT_THAT(Overrun(&patient, "sleeps").error.traceback, HasSubstr("await asyncio.sleep(3600)"));
  EXPECT_EQ(Overrun(&patient, "cleans_up").output, "cleaned up\n");
  EXPECT_EQ(patient.RunAndShow(StepOf("pid")), BegunIn()) << "it lives";
}

TEST_F(FailuresTest, ACoroutineThatIsBusyWhenItsTimeIsOverIsCancelledWhenItWaits) {
  PythonHarness patient({.stuck_after = absl::Hours(1)});
  Overrun(&patient, "is_busy");
  EXPECT_EQ(patient.RunAndShow(StepOf("pid")), BegunIn());
}

TEST_F(FailuresTest, AStuckThreadRetiresItsRunnerAndItsCompanionsFinish) {
  PythonHarness harness({.general_runners = 1, .stuck_after = absl::Milliseconds(200)});
  const std::string first = harness.RunAndShow(StepOf("pid"));
  const uint64_t companion = harness.Start(StepOf("waits_for"), {Gate()});
  Overrun(&harness, "blocks");
  EXPECT_NE(harness.RunAndShow(StepOf("pid")), first);
  OpenGate();
  EXPECT_EQ(Show(harness.events.Wait(companion)), "5");
  WaitUntil([&] { return kill(atoi(first.c_str()), 0) != 0; });
}

TEST_F(FailuresTest, ACoroutineThatSwallowsItsCancellationIsStuck) {
  Overrun(&harness_, "swallows");
  EXPECT_NE(harness_.RunAndShow(StepOf("pid")), BegunIn());
}

TEST_F(FailuresTest, ARetiringRunnerGivesBackWhoDoesNotFinish) {
  PythonOptions options = Impatient();
  options.general_runners = 1;
  PythonHarness harness(options);
  const uint64_t companion = harness.Start(StepOf("sleeps"));
  Overrun(&harness, "blocks");
  EXPECT_EQ(harness.events.Wait(companion).kind, CallResult::Kind::kGivenBack);
}

TEST_F(FailuresTest, AProcessThatOverrunsIsKilled) {
  const std::string pid = harness_.RunAndShow(StepOf("pid", 60, Mode::kProcess));
  EXPECT_EQ(harness_.RunAndShow(StepOf("pid", 60, Mode::kProcess)), pid) << "reused";
  EXPECT_THAT(harness_.RunAndShow(StepOf("blocks", 0.1, Mode::kProcess)),
              HasSubstr("error: timeout: "));
  EXPECT_NE(harness_.RunAndShow(StepOf("pid", 60, Mode::kProcess)), pid);
}

TEST_F(FailuresTest, ProcessModeRunsNoMoreThanItsLimit) {
  PythonHarness harness({.process_runners = 2});
  std::vector<Call> calls;
  const auto step = StepOf("waits", 60, Mode::kProcess);
  for (int i = 0; i < 6; ++i) calls.push_back(harness.MakeCall(step, {JsonInput(absl::StrCat(i))}));
  harness.executor->Start(std::move(calls));
  for (int i = 0; i < 6; ++i) EXPECT_EQ(Show(harness.events.Wait(i + 1)), absl::StrCat(i));
  EXPECT_LE(harness.executor->RunnerPids().size(), 3u);
}

TEST_F(FailuresTest, AStepThatKillsItsRunnerFailsAndSaysHow) {
  const std::string shown = harness_.RunAndShow(StepOf("crashes"));
  EXPECT_THAT(shown, HasSubstr("error: run: the step ended its runner: signal 11"));
  EXPECT_THAT(shown, HasSubstr("last words"));
  EXPECT_THAT(harness_.RunAndShow(StepOf("exits")), HasSubstr("exit code 3"));
  EXPECT_THAT(harness_.RunAndShow(StepOf("exits", 60, Mode::kProcess)), HasSubstr("exit code 3"));
  EXPECT_EQ(harness_.RunAndShow(StepOf("one"), {JsonInput("1")}), "1");
}

TEST_F(FailuresTest, OnlyTheCallThatKillsItsRunnerFails) {
  const auto waits = StepOf("waits");
  const auto crashes = StepOf("crashes");
  std::vector<Call> calls;
  for (int i = 0; i < 12; ++i) {
    calls.push_back(harness_.MakeCall(i == 5 ? crashes : waits, {JsonInput(absl::StrCat(i))}));
  }
  harness_.executor->Start(std::move(calls));
  for (int i = 0; i < 12; ++i) {
    const std::string shown = Show(harness_.events.Wait(i + 1));
    if (i == 5) {
      EXPECT_THAT(shown, HasSubstr("the step ended its runner"));
    } else {
      EXPECT_EQ(shown, absl::StrCat(i));
    }
  }
}

TEST_F(FailuresTest, LargeInputsAreOpenedAgainAfterACrash) {
  PythonOptions options = Impatient();
  options.general_runners = 1;
  PythonHarness harness(options);
  // Stands until it is killed, the first time, and answers the second time.
  const std::string been = absl::StrCat(testing::TempDir(), "/opened_again_", getpid());
  const auto stands = CodeStep(
      "import os, time\ndef stands(path):\n  try:\n    os.mkdir(path)\n"
      "  except FileExistsError:\n    return 1\n  time.sleep(3600)",
      "stands");
  const uint64_t companion = harness.Start(stands, {JsonInput(absl::StrCat("\"", been, "\""))});
  WaitUntil([&] { return access(been.c_str(), F_OK) == 0; });
  std::atomic<int> opened = 0;
  const auto size = CodeStep(
      "import os, time\ndef size(x, path):\n"
      "  while not os.path.exists(path): time.sleep(0.01)\n  return len(x)",
      "size");
  const uint64_t lease = harness.Start(
      size, {StreamInput(ObjectKind::kBytes, std::string(100'000, 'x'), 10, &opened), Gate()});
  WaitUntil([&] { return opened == 1; });
  kill(harness.executor->RunnerPids().front(), SIGKILL);
  WaitUntil([&] { return opened == 2; });
  OpenGate();
  EXPECT_EQ(Show(harness.events.Wait(lease)), "1000000");
  EXPECT_EQ(Show(harness.events.Wait(companion)), "1");
  rmdir(been.c_str());
}

TEST_F(FailuresTest, CancelEndsWhatCanBeEnded) {
  const uint64_t async_call = harness_.Start(StepOf("sleeps"));
  const uint64_t process_call = harness_.Start(StepOf("blocks", 60, Mode::kProcess));
  WaitUntil([&] { return harness_.executor->RunnerPids().size() == 2; });
  harness_.executor->Cancel(async_call);
  harness_.executor->Cancel(process_call);
  EXPECT_EQ(harness_.events.Wait(async_call).kind, CallResult::Kind::kGivenBack);
  EXPECT_EQ(harness_.events.Wait(process_call).kind, CallResult::Kind::kGivenBack);
}

TEST_F(FailuresTest, WhatGoesOnAfterItsTimeIsCountedAndWhatRunsForLongIsTold) {
  // One runner, which keeps both for as long as the test looks.
  PythonHarness harness({.general_runners = 1, .stuck_after = absl::Milliseconds(200)});
  const absl::Time before = absl::Now();
  const uint64_t longer = harness.Start(StepOf("sleeps"));
  const CallResult overrun = Overrun(&harness, "blocks");
  EXPECT_TRUE(overrun.goes_on);
  const uint64_t stuck = overrun.lease;
  WaitUntil([&] {
    harness.executor->LookOver();
    return harness.executor->ghosts() == 1 &&
           harness.events.StartedAt(longer) != absl::InfiniteFuture();
  });
  EXPECT_LT(harness.events.StartedAt(longer), absl::Now());
  EXPECT_GT(harness.events.StartedAt(longer), before - absl::Seconds(1));
  EXPECT_EQ(harness.events.StartedAt(stuck), absl::InfiniteFuture());
  harness.executor->Cancel(longer);
  harness.events.WaitUntilOver(stuck);  // The last of its companions has ended.
}

TEST_F(FailuresTest, WhatGoesOnThoughCancelledEndsWithItsRunner) {
  PythonHarness harness({.general_runners = 1, .abandon_after = absl::Milliseconds(300)});
  const auto start = [&](absl::string_view function) {
    Clear();
    const uint64_t lease = harness.Start(StepOf(function));
    WaitUntil([&] { return access(begun_.c_str(), F_OK) == 0; });
    return lease;
  };
  const uint64_t companion = start("sleeps");
  const uint64_t blocks = start("blocks");
  harness.executor->Cancel(blocks);
  const CallResult abandoned = harness.events.Wait(blocks);
  EXPECT_EQ(abandoned.kind, CallResult::Kind::kGivenBack);
  EXPECT_TRUE(abandoned.goes_on);
  harness.executor->LookOver();
  WaitUntil([&] { return harness.executor->ghosts() == 1; });
  // New calls go elsewhere, and its companion goes on.
  EXPECT_EQ(harness.events.Wait(harness.Start(StepOf("pid"))).kind, CallResult::Kind::kSucceeded);
  EXPECT_EQ(harness.executor->RunnerPids().size(), 2u);
  EXPECT_FALSE(harness.events.Has(companion));
  harness.executor->Cancel(companion);
  EXPECT_EQ(harness.events.Wait(companion).kind, CallResult::Kind::kGivenBack);
  harness.events.WaitUntilOver(blocks);
}

TEST_F(FailuresTest, WhatWentOnThoughCancelledIsOverWhenItEndsByItself) {
  PythonHarness harness({.general_runners = 1, .abandon_after = absl::Milliseconds(200)});
  const uint64_t companion = harness.Start(StepOf("sleeps"));
  WaitUntil([&] { return access(begun_.c_str(), F_OK) == 0; });
  Clear();
  const uint64_t blocks = harness.Start(StepOf("blocks_for"), {Gate()});
  WaitUntil([&] { return access(begun_.c_str(), F_OK) == 0; });
  harness.executor->Cancel(blocks);
  EXPECT_TRUE(harness.events.Wait(blocks).goes_on);
  OpenGate();
  harness.events.WaitUntilOver(blocks);
  EXPECT_FALSE(harness.events.Has(companion));
}

// Neither a call of the same thread nor, with the interpreter held, any other ever ended.
TEST_F(FailuresTest, WhoWasCancelledAndIsInTheWayOfItsCompanionsIsEnded) {
  for (const char* function : {"holds_the_loop", "holds_the_interpreter"}) {
    PythonHarness harness({.general_runners = 1,
                           .stuck_after = absl::Milliseconds(300),
                           .abandon_after = absl::Milliseconds(300)});
    Clear();
    const uint64_t companion = harness.Start(StepOf("waits_for"), {Gate()});
    const uint64_t holder = harness.Start(StepOf(function));
    WaitUntil([&] { return access(begun_.c_str(), F_OK) == 0; });
    OpenGate();
    harness.executor->Cancel(holder);
    EXPECT_EQ(harness.events.Wait(holder).kind, CallResult::Kind::kGivenBack) << function;
    const CallResult result = harness.events.Wait(companion);
    // Given back is uncounted: the hub grants it again.
    if (result.kind != CallResult::Kind::kGivenBack) {
      EXPECT_EQ(Show(result), "5") << function;
    }
    WaitUntil([&] { return kill(atoi(BegunIn().c_str()), 0) != 0; });
  }
}

TEST_F(FailuresTest, WhoRunsAgainIsToldOfWithItsNewTime) {
  PythonHarness harness({.general_runners = 1});
  const uint64_t longer = harness.Start(StepOf("blocks"));
  harness.Start(StepOf("crashes_for"), {Gate()});
  WaitUntil([&] {
    harness.executor->LookOver();
    return harness.events.StartedAt(longer) != absl::InfiniteFuture();
  });
  const absl::Time first = harness.events.StartedAt(longer);
  unlink(begun_.c_str());
  const absl::Time crashed = absl::Now();
  OpenGate();
  WaitUntil([&] { return access(begun_.c_str(), F_OK) == 0; });
  absl::SleepFor(absl::Seconds(1));  // Whoever runs for less is not told of.
  EXPECT_EQ(harness.events.StartedAt(longer), first);
  WaitUntil([&] {
    harness.executor->LookOver();
    return harness.events.StartedAt(longer) >= crashed;
  });
}

TEST_F(FailuresTest, AStartIsToldAtOnceWhenItIsWanted) {
  std::vector<uint64_t> told;
  const auto start = [&](std::shared_ptr<LoadedStep> step, bool tells) {
    Call call = harness_.MakeCall(std::move(step));
    call.tells_start = tells;
    if (tells) told.push_back(call.lease);
    const uint64_t lease = call.lease;
    std::vector<Call> calls;
    calls.push_back(std::move(call));
    harness_.executor->Start(std::move(calls));
    return lease;
  };
  const auto is_told = [&] { return harness_.events.Starting() == told; };
  // They go on for an hour.
  start(StepOf("sleeps"), true);
  WaitUntil(is_told);
  start(StepOf("is_busy"), true);
  WaitUntil(is_told);
  start(StepOf("blocks"), true);
  WaitUntil(is_told);
  start(StepOf("blocks", 60, Mode::kProcess), true);
  WaitUntil(is_told);
  // Nobody asked; and what can not be loaded never starts.
  harness_.events.Wait(start(StepOf("pid"), false));
  const uint64_t broken = start(CodeStep("raise ValueError('no')", "f"), true);
  EXPECT_EQ(harness_.events.Wait(broken).error.action, "load");
  told.pop_back();
  EXPECT_EQ(harness_.events.Starting(), told);
  // Quick ones, of which many are told of at a time.
  for (int i = 0; i < 1000; ++i) start(StepOf("pid"), true);
  for (size_t i = told.size() - 1000; i < told.size(); ++i) {
    EXPECT_EQ(harness_.events.Wait(told[i]).kind, CallResult::Kind::kSucceeded);
  }
  EXPECT_THAT(harness_.events.Starting(), testing::UnorderedElementsAreArray(told));
}

TEST_F(FailuresTest, StopAnswersEveryCall) {
  std::vector<uint64_t> leases;
  for (const char* function : {"sleeps", "blocks", "swallows"}) {
    leases.push_back(harness_.Start(StepOf(function)));
  }
  leases.push_back(harness_.Start(StepOf("blocks", 60, Mode::kProcess)));
  const std::vector<int> pids = harness_.executor->RunnerPids();
  harness_.executor->Stop(absl::Milliseconds(300));  // They would go on for an hour.
  for (const uint64_t lease : leases) {
    EXPECT_TRUE(harness_.events.Has(lease));
    EXPECT_EQ(harness_.events.Wait(lease).kind, CallResult::Kind::kGivenBack);
  }
  for (const int pid : pids) EXPECT_NE(kill(pid, 0), 0);
}

TEST_F(FailuresTest, AnInterpreterThatDoesNotStartFailsTheCallWithItsWords) {
  // Not written here: a runner forked meanwhile would hold it open for writing, and then it cannot
  // be executed.
  const std::string fake = BUE_BROKEN_INTERPRETER;
  WaitingEvents events;
  auto executor =
      PythonExecutor::Create({.python = fake, .state_dir = testing::TempDir()}, &events).value();
  std::vector<Call> calls;
  calls.push_back(harness_.MakeCall(StepOf("one"), {JsonInput("1")}));
  executor->Start(std::move(calls));
  EXPECT_THAT(Show(events.Wait(1)), HasSubstr("cannot load library"));
}

}  // namespace
}  // namespace bue::worker
