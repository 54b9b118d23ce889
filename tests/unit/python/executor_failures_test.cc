// Timeouts, crashes, cancellation, stopping.
#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/patience.h"
#include "tests/unit/python/python_testing.h"

namespace bue::worker {
namespace {

using testing::HasSubstr;

constexpr char kSteps[] = R"(
import asyncio, ctypes, os, time
async def sleeps(x=None):
    await asyncio.sleep(60)
async def swallows():
    while True:
        try: await asyncio.sleep(60)
        except asyncio.CancelledError: pass
async def is_busy():
    end = time.monotonic() + 0.5
    while time.monotonic() < end: pass
    await asyncio.sleep(60)
async def cleans_up():
    try: await asyncio.sleep(60)
    finally: print('cleaned up')
def blocks(): time.sleep(60)
def crashes(x=None):
    print('last words', file=open(2, 'w', closefd=False), flush=True)
    ctypes.string_at(0)
def exits(): os._exit(3)
def one(x): return x
async def waits(x):
    await asyncio.sleep(0.2)
    return x
def pid(): return os.getpid()
)";

PythonOptions Impatient() {
  return {.stuck_after = absl::Milliseconds(200), .retire_after = absl::Milliseconds(500)};
}

class FailuresTest : public testing::Test {
 protected:
  static std::shared_ptr<LoadedStep> StepOf(absl::string_view function, double timeout_s = 1200,
                                            Mode mode = Mode::kAuto) {
    auto step = CodeStep(kSteps, function, mode);
    step->step.timeout_s = timeout_s;
    step->step.timeout_text = absl::StrCat(timeout_s);
    return step;
  }

  PythonHarness harness_{Impatient()};
};

TEST_F(FailuresTest, ACoroutineThatOverrunsIsCancelled) {
  const CallResult result = harness_.Run(StepOf("sleeps", 0.1));
  EXPECT_EQ(Show(result), "error: timeout: not done after !timeout 0.1 s");
  EXPECT_THAT(result.error.traceback, HasSubstr("await asyncio.sleep(60)"));
  EXPECT_EQ(harness_.Run(StepOf("cleans_up", 0.1)).output, "cleaned up\n");
  EXPECT_EQ(harness_.executor->RunnerPids().size(), 1u);
}

TEST_F(FailuresTest, ACoroutineThatIsBusyWhenItsTimeIsOverIsCancelledWhenItWaits) {
  PythonHarness patient;
  const std::string first = patient.RunAndShow(StepOf("pid"));
  EXPECT_THAT(patient.RunAndShow(StepOf("is_busy", 0.1)), HasSubstr("error: timeout: "));
  EXPECT_EQ(patient.RunAndShow(StepOf("pid")), first);
}

TEST_F(FailuresTest, AStuckThreadRetiresItsRunnerAndItsCompanionsFinish) {
  const std::string first = harness_.RunAndShow(StepOf("pid"));
  const auto waits = StepOf("waits");
  const uint64_t companion = harness_.Start(waits, {JsonInput("5")});
  EXPECT_THAT(harness_.RunAndShow(StepOf("blocks", 0.1)), HasSubstr("error: timeout: "));
  EXPECT_NE(harness_.RunAndShow(StepOf("pid")), first);
  EXPECT_EQ(Show(harness_.events.Wait(companion)), "5");
  WaitUntil([&] { return kill(atoi(first.c_str()), 0) != 0; });
}

TEST_F(FailuresTest, ACoroutineThatSwallowsItsCancellationIsStuck) {
  const std::string first = harness_.RunAndShow(StepOf("pid"));
  EXPECT_THAT(harness_.RunAndShow(StepOf("swallows", 0.1)), HasSubstr("error: timeout: "));
  EXPECT_NE(harness_.RunAndShow(StepOf("pid")), first);
}

TEST_F(FailuresTest, ARetiringRunnerGivesBackWhoDoesNotFinish) {
  const uint64_t companion = harness_.Start(StepOf("sleeps"));
  EXPECT_THAT(harness_.RunAndShow(StepOf("blocks", 0.1)), HasSubstr("error: timeout: "));
  EXPECT_EQ(harness_.events.Wait(companion).kind, CallResult::Kind::kGivenBack);
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
  // Stands until it is killed, the first time, and answers the second time.
  const std::string been = absl::StrCat(testing::TempDir(), "/opened_again_", getpid());
  const auto stands = CodeStep(
      "import os, time\ndef stands(path):\n  try:\n    os.mkdir(path)\n"
      "  except FileExistsError:\n    return 1\n  time.sleep(60)",
      "stands");
  const uint64_t companion = harness_.Start(stands, {JsonInput(absl::StrCat("\"", been, "\""))});
  WaitUntil([&] { return access(been.c_str(), F_OK) == 0; });
  std::atomic<int> opened = 0;
  const auto size =
      CodeStep("import time\ndef size(x):\n  time.sleep(0.3)\n  return len(x)", "size");
  const uint64_t lease = harness_.Start(
      size, {StreamInput(ObjectKind::kBytes, std::string(100'000, 'x'), 10, &opened)});
  WaitUntil([&] { return opened == 1; });
  kill(harness_.executor->RunnerPids().front(), SIGKILL);
  EXPECT_EQ(Show(harness_.events.Wait(lease)), "1000000");
  EXPECT_EQ(Show(harness_.events.Wait(companion)), "1");
  EXPECT_EQ(opened, 2);
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
  const uint64_t stuck = harness.Start(StepOf("blocks", 0.1));
  EXPECT_THAT(Show(harness.events.Wait(stuck)), HasSubstr("error: timeout: "));
  WaitUntil([&] {
    harness.executor->LookOver();
    return harness.executor->ghosts() == 1 &&
           harness.events.StartedAt(longer) != absl::InfiniteFuture();
  });
  EXPECT_LT(harness.events.StartedAt(longer), absl::Now());
  EXPECT_GT(harness.events.StartedAt(longer), before - absl::Seconds(1));
  EXPECT_EQ(harness.events.StartedAt(stuck), absl::InfiniteFuture());
}

TEST_F(FailuresTest, StopAnswersEveryCall) {
  std::vector<uint64_t> leases;
  for (const char* function : {"sleeps", "blocks", "swallows"}) {
    leases.push_back(harness_.Start(StepOf(function)));
  }
  leases.push_back(harness_.Start(StepOf("blocks", 60, Mode::kProcess)));
  const std::vector<int> pids = harness_.executor->RunnerPids();
  const absl::Time before = absl::Now();
  harness_.executor->Stop(absl::Milliseconds(300));
  EXPECT_LT(absl::Now() - before, Patience(absl::Seconds(5)));
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
