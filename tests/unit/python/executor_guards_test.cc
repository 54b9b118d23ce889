// What a step may do to the process it shares with others: they and the runner are unharmed.
#include <signal.h>

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/python/python_testing.h"

namespace bue::worker {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

constexpr char kSteps[] = R"(
import asyncio, os, signal, subprocess, sys, threading, time

class Unspeakable(Exception):
    def __str__(self): raise RuntimeError('no words')

def deep(): return deep()
RAISES = {
    'exit': lambda: sys.exit(3), 'interrupt': lambda: (_ for _ in ()).throw(KeyboardInterrupt()),
    'generator_exit': lambda: (_ for _ in ()).throw(GeneratorExit()),
    'base': lambda: (_ for _ in ()).throw(BaseException('bare')),
    'unspeakable': lambda: (_ for _ in ()).throw(Unspeakable()), 'deep': deep,
    'cancelled': lambda: (_ for _ in ()).throw(asyncio.CancelledError()),
}
def raises(name): return RAISES[name]()
async def raises_async(name): return RAISES[name]()
async def raises_late(name):
    await asyncio.sleep(0)
    return RAISES[name]()

async def blocks_loop(x): time.sleep(60)
async def blocks_in_a_task(x): await asyncio.gather(asyncio.create_task(blocks_loop(x)))
async def waits(x):
    await asyncio.sleep(0.1)
    return x
def one(x): return x
def forks(path):
    if os.fork() == 0: time.sleep(0.2)
    return 'done'
async def forks_async(path):
    if os.fork() == 0: await asyncio.sleep(0.2)
    return 'done'
def marks(path):
    with open(path, 'a') as file: file.write(f'{os.getpid()}\n')
def closes(x): os.closerange(3, 100); return x
def closes_all(x): os.closerange(3, 20000); time.sleep(0.1); return x
def moves(x):
    os.chdir('/')
    time.sleep(0.2)
    return os.getcwd()
async def moves_async(x): os.chdir('/')
def where(x): return os.getcwd()
def mutes(x): sys.stdout = None
def prints(x):
    print('heard', x)
    return x
def floods(x):
    line = 'x' * 999
    for _ in range(50000): print(line)
    return 'done'
def floods_fd(x):
    block = b'y' * 65536
    for _ in range(800): os.write(1, block)
    return 'done'
def speaks_past_python(x):
    os.write(1, b'from the descriptor\n')
    subprocess.run(['echo', 'from a child'])
    print('from print')
def sleeps(x): time.sleep(0.3); return x
def ends_itself(x): os.kill(os.getpid(), x)
def leaves_child(x): return subprocess.Popen(['sleep', '600']).pid
def pid(x): return os.getpid()
)";

class GuardsTest : public testing::Test {
 protected:
  static std::shared_ptr<LoadedStep> StepOf(absl::string_view function, Mode mode = Mode::kAuto,
                                            double timeout_s = 60) {
    auto step = CodeStep(kSteps, function, mode);
    step->step.timeout_s = timeout_s;
    step->step.timeout_text = absl::StrCat(timeout_s);
    return step;
  }
  std::string Run(absl::string_view function, absl::string_view input, Mode mode = Mode::kAuto) {
    return harness_.RunAndShow(StepOf(function, mode), {JsonInput(input)});
  }
  uint64_t Start(std::shared_ptr<const LoadedStep> step, absl::string_view input = "1") {
    return harness_.Start(std::move(step), {JsonInput(input)});
  }
  std::string Wait(uint64_t lease) { return Show(harness_.events.Wait(lease)); }
  void ExpectWell() { EXPECT_EQ(Run("one", "7"), "7"); }

  static constexpr Mode kModes[] = {Mode::kAuto, Mode::kThread, Mode::kProcess};

  PythonHarness harness_{{.general_runners = 1,
                          .process_runners = 1,
                          .stuck_after = absl::Milliseconds(500),
                          .retire_after = absl::Seconds(20)}};
};

TEST_F(GuardsTest, WhateverIsRaisedFailsThatCallAlone) {
  for (const char* name :
       {"exit", "interrupt", "generator_exit", "base", "unspeakable", "deep", "cancelled"}) {
    for (const Mode mode : kModes) {
      for (const char* function : {"raises", "raises_async", "raises_late"}) {
        const std::string input = absl::StrCat("\"", name, "\"");
        if (mode == Mode::kThread && function != std::string("raises")) continue;
        EXPECT_THAT(Run(function, input, mode), HasSubstr("error: run: "))
            << function << " " << name << " " << static_cast<int>(mode);
      }
    }
  }
  const std::string pid = Run("pid", "1");
  ExpectWell();
  EXPECT_EQ(Run("pid", "1"), pid) << "the runner lives";
}

TEST_F(GuardsTest, ACallThatHoldsTheLoopUpFailsAndItsCompanionsSucceed) {
  for (const char* function : {"blocks_loop", "blocks_in_a_task"}) {
    const uint64_t blocker = Start(StepOf(function, Mode::kAuto, 4));
    std::vector<uint64_t> companions;
    for (int i = 0; i < 8; ++i) companions.push_back(Start(StepOf("waits", Mode::kAuto, 2)));
    for (int i = 0; i < 8; ++i) companions.push_back(Start(StepOf("waits", Mode::kAuto, 60)));
    EXPECT_THAT(Wait(blocker), HasSubstr("error: timeout: ")) << function;
    for (const uint64_t lease : companions) {
      const CallResult result = harness_.events.Wait(lease);
      // Given back is uncounted: the hub grants it again.
      if (result.kind != CallResult::Kind::kGivenBack) {
        EXPECT_EQ(Show(result), "1");
      }
    }
    ExpectWell();
  }
}

TEST_F(GuardsTest, AChildThatAStepForkedRunsNothingElse) {
  const std::string path = testing::TempDir() + "/marks";
  for (const char* function : {"forks", "forks_async"}) {
    std::ofstream(path, std::ios::trunc).close();
    const std::string input = absl::StrCat("\"", path, "\"");
    std::vector<uint64_t> leases = {Start(StepOf(function), input)};
    for (int i = 0; i < 20; ++i) leases.push_back(Start(StepOf("marks"), input));
    EXPECT_EQ(Wait(leases[0]), "\"done\"");
    for (int i = 1; i <= 20; ++i) EXPECT_EQ(Wait(leases[i]), "null");
    const std::string pid = Run("pid", "1");
    std::stringstream marks;
    marks << std::ifstream(path).rdbuf();
    const std::vector<std::string> lines = absl::StrSplit(marks.str(), '\n', absl::SkipEmpty());
    EXPECT_THAT(lines, SizeIs(20));
    for (const std::string& line : lines) EXPECT_EQ(line, pid);
  }
}

TEST_F(GuardsTest, ClosedDescriptorsHarmNobody) {
  for (const Mode mode : kModes) {
    EXPECT_EQ(Run("closes", "5", mode), "5");
    const uint64_t companion = Start(StepOf("sleeps"));
    EXPECT_THAT(Run("closes_all", "5", mode), HasSubstr("error: run: the step ended its runner"));
    EXPECT_EQ(Wait(companion), "1");
  }
  ExpectWell();
}

TEST_F(GuardsTest, ADirectoryIsTheCallsOwn) {
  const std::string home = Run("where", "1");
  for (const Mode mode : {Mode::kThread, Mode::kProcess}) {
    const uint64_t lease = Start(StepOf("moves", mode));
    EXPECT_EQ(Run("where", "1"), home);
    EXPECT_EQ(Wait(lease), "\"/\"");
    for (int i = 0; i < 20; ++i) EXPECT_EQ(Run("where", "1", mode), home);
  }
  EXPECT_THAT(Run("moves_async", "1"), HasSubstr("can not change the directory"));
  EXPECT_EQ(Run("where", "1"), home);
}

TEST_F(GuardsTest, SignalsForTheWorkerMeanNothingToARunner) {
  for (const Mode mode : {Mode::kThread, Mode::kProcess}) {
    const uint64_t lease = Start(StepOf("sleeps", mode));
    const std::string pid = mode == Mode::kThread ? Run("pid", "1") : "";
    for (const int runner : harness_.executor->RunnerPids()) {
      kill(runner, SIGTERM);
      kill(runner, SIGINT);
    }
    EXPECT_EQ(Wait(lease), "1");
    if (mode == Mode::kThread) {
      EXPECT_EQ(Run("pid", "1"), pid);
    }
  }
}

// The kernel may give the signal to another thread, and the step return before that has died.
TEST_F(GuardsTest, AProcessThatEndsItselfAtTheVeryEndHasFailedOrReturned) {
  for (const int number : {SIGKILL, SIGSEGV, SIGABRT, SIGALRM, SIGHUP}) {
    EXPECT_THAT(
        Run("ends_itself", absl::StrCat(number), Mode::kProcess),
        testing::AnyOf(HasSubstr("the step ended its runner: signal "), testing::StrEq("null")));
    ExpectWell();
  }
}

TEST_F(GuardsTest, OutputComesBackWhenAStepTookItAway) {
  for (const Mode mode : kModes) {
    EXPECT_EQ(Run("mutes", "1", mode), "null");
    EXPECT_EQ(harness_.Run(StepOf("prints", mode), {JsonInput("1")}).output, "heard 1\n");
  }
}

TEST_F(GuardsTest, FloodsOfOutputAreBounded) {
  for (const Mode mode : kModes) {
    for (const char* function : {"floods", "floods_fd"}) {
      const CallResult result = harness_.Run(StepOf(function, mode), {JsonInput("1")});
      EXPECT_EQ(Show(result), "\"done\"");
      EXPECT_LE(result.output.size(), 66 << 10) << function;
    }
  }
}

TEST_F(GuardsTest, AProcessStepsOutputPastPythonIsItsOwn) {
  const std::string output =
      harness_.Run(StepOf("speaks_past_python", Mode::kProcess), {JsonInput("1")}).output;
  EXPECT_THAT(output, HasSubstr("from the descriptor\n"));
  EXPECT_THAT(output, HasSubstr("from a child\n"));
  EXPECT_THAT(output, HasSubstr("from print\n"));
}

TEST_F(GuardsTest, ChildrenOfStepsEndWithTheirRunner) {
  const int thread_child = atoi(Run("leaves_child", "1").c_str());
  const int process_child = atoi(Run("leaves_child", "1", Mode::kProcess).c_str());
  EXPECT_EQ(kill(thread_child, 0), 0);
  harness_.executor->Stop(absl::Seconds(1));
  for (const int child : {thread_child, process_child}) {
    WaitUntil([child] { return kill(child, 0) != 0; });
  }
}

TEST_F(GuardsTest, AFinalizeHookThatFailsIsTold) {
  const auto step = CodeStep("def f(): pass\ndef finalize(): raise ValueError('at the end')", "f");
  harness_.Run(step);
  harness_.executor->ForgetRun(step->run);
  const CallError error = harness_.events.WaitForHookFailure(step->run);
  EXPECT_EQ(error.action, "finalize");
  EXPECT_EQ(error.type, "ValueError");
  EXPECT_EQ(error.message, "at the end");
  EXPECT_THAT(error.traceback, HasSubstr("in finalize"));
}

TEST_F(GuardsTest, ACancelledCallWhoseRunnerNeverStartsIsGivenBack) {
  WaitingEvents events;
  auto executor =
      PythonExecutor::Create(
          {.python = BUE_SLOW_BROKEN_INTERPRETER, .state_dir = testing::TempDir()}, &events)
          .value();
  std::vector<Call> calls;
  calls.push_back(harness_.MakeCall(StepOf("one"), {JsonInput("1")}));
  executor->Start(std::move(calls));
  executor->Cancel(1);
  EXPECT_EQ(events.Wait(1).kind, CallResult::Kind::kGivenBack);
}

}  // namespace
}  // namespace bue::worker
