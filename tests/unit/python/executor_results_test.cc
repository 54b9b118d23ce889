// What comes back from steps: values, statuses, errors, output, modules, modes.
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/python/python_testing.h"

namespace bue::worker {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kSteps[] = R"(
import asyncio, datetime, enum, sys, threading, time
import buelon
from buelon.core.step import Result, StepStatus

def add(*values): return sum(values)
def echo(*values): return list(values)
def none(): return None
def raw(): return b'raw'
async def later(x):
    await asyncio.sleep(0.01)
    return x
async def at_once(x): return x
def pending(): return Result(status=StepStatus.pending)
def reset(): return StepStatus.reset, None
def cancel(): return buelon.drop()
def no_status(): return Result(data=5)
def working(): return Result(status=StepStatus.working)
def says_error(): return Result(status=StepStatus.error, data={'why': 'asked for'})
def named(): return Result(status=StepStatus.success, data=1, id='a-1', total=9)
def tuple3(): return StepStatus.success, {'ENV': 1}, {'from': 'tuple3'}
def pair(): return 'a', 'b'
def boom(x): raise ValueError(f'no {x}')
def leave(): sys.exit(3)
def lock(): return {'a': [threading.Lock()]}
def one(x): return x
not_callable = [1]
def who():
    t = buelon.task()
    return [t.run, t.step, t.item, t.attempt, t.key]
async def who_async():
    await asyncio.sleep(0)
    return who()
def with_mut(x, mut):
    mut['n'] = mut.get('n', 0) + x
    return mut['n']
def says(x):
    print('out', x)
    print('err', x, file=sys.stderr)
    return x
async def says_async(x):
    print('before', x)
    await asyncio.sleep(0.01)
    print('after', x)
def shouts():
    for i in range(100000): print('line', i)
def says_and_waits(path):
    print('waiting')
    import os
    while not os.path.exists(path): time.sleep(0.002)
def current_task():
    return 1
async def in_task():
    return asyncio.current_task() is not None
def gives_coroutine(x): return later(x)
)";

class ResultsTest : public testing::Test {
 protected:
  std::string Run(absl::string_view function, std::vector<CallInput> inputs = {},
                  Mode mode = Mode::kAuto) {
    return harness_.RunAndShow(CodeStep(kSteps, function, mode), std::move(inputs));
  }

  PythonHarness harness_;
};

TEST_F(ResultsTest, PlainValuesComeBack) {
  EXPECT_EQ(Run("add", {JsonInput("2"), JsonInput("3")}), "5");
  EXPECT_EQ(Run("echo", {JsonInput("[1,[2]]"), JsonInput("{\"a\":null}")}),
            R"([[1, [2]], {"a": null}])");
  EXPECT_EQ(Run("none"), "null");
  EXPECT_EQ(Run("raw"), "bytes raw");
  EXPECT_EQ(Run("pair"), R"(["a", "b"])");
  EXPECT_EQ(Run("tuple3"), R"({"from": "tuple3"})");
}

TEST_F(ResultsTest, CoroutinesRunWhetherTheySuspendOrNot) {
  EXPECT_EQ(Run("later", {JsonInput("1")}), "1");
  EXPECT_EQ(Run("at_once", {JsonInput("2")}), "2");
  EXPECT_EQ(Run("gives_coroutine", {JsonInput("3")}), "3");
  EXPECT_EQ(Run("in_task"), "true");
}

TEST_F(ResultsTest, EveryModeRunsEveryKindOfFunction) {
  for (const Mode mode : {Mode::kAuto, Mode::kAsync, Mode::kThread, Mode::kProcess}) {
    EXPECT_EQ(Run("later", {JsonInput("1")}, mode), "1") << static_cast<int>(mode);
    EXPECT_EQ(Run("one", {JsonInput("1")}, mode), "1") << static_cast<int>(mode);
    EXPECT_EQ(Run("boom", {JsonInput("1")}, mode), "error: run: ValueError: no 1");
  }
}

TEST_F(ResultsTest, StatusesBecomeKinds) {
  EXPECT_EQ(harness_.Run(CodeStep(kSteps, "pending")).kind, CallResult::Kind::kPending);
  EXPECT_EQ(harness_.Run(CodeStep(kSteps, "reset")).kind, CallResult::Kind::kReset);
  EXPECT_EQ(harness_.Run(CodeStep(kSteps, "cancel")).kind, CallResult::Kind::kCancel);
}

TEST_F(ResultsTest, ResultsThatAreNoneFailWithAReason) {
  EXPECT_THAT(Run("no_status"),
              HasSubstr("error: run: the step returned a Result without a status"));
  EXPECT_THAT(Run("working"), HasSubstr("StepStatus.working"));
  EXPECT_THAT(Run("says_error"), HasSubstr("{'why': 'asked for'}"));
}

TEST_F(ResultsTest, AResultMayNameItsItemAndTheTotal) {
  const CallResult result = harness_.Run(CodeStep(kSteps, "named"));
  EXPECT_EQ(Show(result), "1");
  EXPECT_EQ(result.item_id, "a-1");
  EXPECT_EQ(result.total, 9);
}

TEST_F(ResultsTest, AnErrorHasItsTracebackWithPublicNames) {
  const CallResult result = harness_.Run(CodeStep(kSteps, "boom"), {JsonInput("1")});
  EXPECT_EQ(Show(result), "error: run: ValueError: no 1");
  EXPECT_THAT(result.error.traceback, HasSubstr("File \"<test.bue, step boom>\""));
  EXPECT_THAT(result.error.traceback, HasSubstr("raise ValueError"));
  EXPECT_THAT(result.error.traceback, Not(HasSubstr("_runner.py")));
  EXPECT_EQ(Run("leave"), "error: run: SystemExit: 3");
  EXPECT_THAT(Run("one"), HasSubstr("error: run: TypeError: "));
}

TEST_F(ResultsTest, ACallThatItsFunctionDoesNotTakeIsNamedWithItsPlace) {
  const CallResult result = harness_.Run(CodeStep(kSteps, "one"), {});
  EXPECT_THAT(Show(result), HasSubstr("error: run: TypeError: one() missing 1 required"));
  EXPECT_THAT(result.error.traceback, HasSubstr("File \"test.bue, step one\", line 26, in one"));
  const CallResult async = harness_.Run(CodeStep(kSteps, "later"), {});
  EXPECT_THAT(async.error.traceback, HasSubstr("in later"));
}

TEST_F(ResultsTest, WhatCanNotBeStoredIsNamedWithItsPlace) {
  EXPECT_THAT(Run("lock"), HasSubstr("error: store: an object of type _thread.lock"));
  EXPECT_THAT(Run("lock"), HasSubstr("value['a'][0]"));
}

TEST_F(ResultsTest, AStepThatCanNotBeLoadedSaysWhichAndWhere) {
  EXPECT_EQ(Run("bom"), "error: load: test.bue, step bom: no function 'bom'; did you mean 'boom'?");
  EXPECT_THAT(Run("not_callable"), HasSubstr("is of type list, not a function"));
  EXPECT_THAT(harness_.RunAndShow(CodeStep("def f(:", "f")), HasSubstr("error: load: SyntaxError"));
  EXPECT_THAT(harness_.RunAndShow(CodeStep("1/0\ndef f(): pass", "f")),
              HasSubstr("error: load: ZeroDivisionError"));
}

TEST_F(ResultsTest, IndentedInlineCodeIsFine) {
  EXPECT_EQ(harness_.RunAndShow(CodeStep("\n    def f():\n        return 4\n", "f")), "4");
}

TEST_F(ResultsTest, StepsKnowTheirTask) {
  EXPECT_EQ(Run("who"), R"(["r7", "who", "1", 1, "r7-0-0-1"])");
  EXPECT_EQ(Run("who_async"), R"(["r7", "who_async", "2", 1, "r7-0-0-2"])");
  EXPECT_EQ(Run("who", {}, Mode::kProcess), R"(["r7", "who", "3", 1, "r7-0-0-3"])");
}

TEST_F(ResultsTest, MutIsSharedWithinTheRunner) {
  EXPECT_EQ(Run("with_mut", {JsonInput("2")}), "2");
  EXPECT_EQ(Run("with_mut", {JsonInput("3")}), "5");
}

TEST_F(ResultsTest, OutputBelongsToItsAttempt) {
  std::vector<Call> calls;
  const auto step = CodeStep(kSteps, "says");
  const auto async_step = CodeStep(kSteps, "says_async");
  for (int i = 0; i < 20; ++i) {
    calls.push_back(harness_.MakeCall(i % 2 ? step : async_step, {JsonInput(absl::StrCat(i))}));
  }
  harness_.executor->Start(std::move(calls));
  for (int i = 0; i < 20; ++i) {
    const CallResult result = harness_.events.Wait(i + 1);
    EXPECT_EQ(result.output, i % 2 ? absl::StrCat("out ", i, "\nerr ", i, "\n")
                                   : absl::StrCat("before ", i, "\nafter ", i, "\n"));
  }
}

TEST_F(ResultsTest, MuchOutputKeepsItsHeadAndTail) {
  const CallResult result = harness_.Run(CodeStep(kSteps, "shouts"));
  EXPECT_THAT(result.output, testing::StartsWith("line 0\nline 1\n"));
  EXPECT_THAT(result.output, HasSubstr("bytes left out"));
  EXPECT_THAT(result.output, testing::EndsWith("line 99998\nline 99999\n"));
  EXPECT_LT(result.output.size(), 66'000u);
}

TEST_F(ResultsTest, OutputCanBeReadWhileTheStepRuns) {
  const std::string gate = absl::StrCat(testing::TempDir(), "/bue-gate-", getpid());
  const uint64_t lease = harness_.Start(CodeStep(kSteps, "says_and_waits"),
                                        {JsonInput(absl::StrCat("\"", gate, "\""))});
  WaitUntil([&] { return harness_.executor->Output(lease) == "waiting\n"; });
  std::ofstream(gate) << "go";
  EXPECT_EQ(harness_.events.Wait(lease).output, "waiting\n");
  EXPECT_EQ(harness_.executor->Output(lease), "");
  std::filesystem::remove(gate);
}

TEST_F(ResultsTest, TheModeOfAStepIsLearned) {
  const auto plain = CodeStep(kSteps, "one");
  const auto async = CodeStep(kSteps, "later");
  harness_.Run(plain, {JsonInput("1")});
  harness_.Run(async, {JsonInput("1")});
  EXPECT_EQ(harness_.events.WaitForMode(7, async->index), Pool::kAsync);
  EXPECT_FALSE(harness_.events.KnowsMode(7, plain->index));  // As is assumed.
}

TEST_F(ResultsTest, RunsWithEqualFilesShareWhatWasLoaded) {
  const auto as_of = [](const std::shared_ptr<LoadedStep>& step, uint64_t run) {
    auto other = std::make_shared<LoadedStep>(*step);
    other->run = run;
    return other;
  };
  const auto who = CodeStep(kSteps, "who");
  const auto later = CodeStep(kSteps, "later");
  const auto boom = CodeStep(kSteps, "boom");
  for (const uint64_t run : {7, 8, 9}) {
    EXPECT_THAT(harness_.RunAndShow(as_of(who, run)), HasSubstr(absl::StrCat("r", run)));
    EXPECT_EQ(harness_.RunAndShow(as_of(later, run), {JsonInput("1")}), "1");
    EXPECT_EQ(harness_.events.WaitForMode(run, later->index), Pool::kAsync);
    const CallResult failed = harness_.Run(as_of(boom, run), {JsonInput("1")});
    EXPECT_THAT(failed.error.traceback, HasSubstr("<test.bue, step boom>"));
    harness_.executor->ForgetRun(run);
  }
}

TEST_F(ResultsTest, ManyCallsOfABatchAllComeBack) {
  const auto step = CodeStep(kSteps, "add");
  std::vector<Call> calls;
  for (int i = 0; i < 5000; ++i)
    calls.push_back(harness_.MakeCall(step, {JsonInput("1"), JsonInput(absl::StrCat(i))}));
  harness_.executor->Start(std::move(calls));
  for (int i = 0; i < 5000; ++i) EXPECT_EQ(Show(harness_.events.Wait(i + 1)), absl::StrCat(i + 1));
}

TEST_F(ResultsTest, CallsThatManyThreadsStartOneByOneAllComeBack) {
  constexpr int kThreads = 4;
  constexpr int kCalls = 250;
  const auto step = CodeStep(kSteps, "one");
  std::vector<std::vector<Call>> calls(kThreads * kCalls);
  for (size_t i = 0; i < calls.size(); ++i) {
    calls[i].push_back(harness_.MakeCall(step, {JsonInput(absl::StrCat(i))}));
  }
  std::vector<std::thread> starters;
  for (int thread = 0; thread < kThreads; ++thread) {
    starters.emplace_back([this, &calls, thread] {
      for (int i = 0; i < kCalls; ++i) {
        harness_.executor->Start(std::move(calls[thread * kCalls + i]));
        if (i % 16 == 0) harness_.events.Wait(thread * kCalls + i + 1);  // So that runners idle.
      }
    });
  }
  for (std::thread& starter : starters) starter.join();
  for (size_t i = 0; i < calls.size(); ++i) {
    if (i % kCalls % 16 == 0) continue;
    EXPECT_EQ(Show(harness_.events.Wait(i + 1)), absl::StrCat(i));
  }
}

TEST_F(ResultsTest, ABlockingCallHoldsUpNoneOfItsBatch) {
  const std::string gate = absl::StrCat(testing::TempDir(), "/bue-gate-b-", getpid());
  const auto blocking = CodeStep(kSteps, "says_and_waits");
  const auto quick = CodeStep(kSteps, "one");
  std::vector<Call> calls;
  for (int i = 0; i < 32; ++i) {
    calls.push_back(i % 2
                        ? harness_.MakeCall(quick, {JsonInput("1")})
                        : harness_.MakeCall(blocking, {JsonInput(absl::StrCat("\"", gate, "\""))}));
  }
  harness_.executor->Start(std::move(calls));
  for (int i = 1; i < 32; i += 2) EXPECT_EQ(Show(harness_.events.Wait(i + 1)), "1");
  std::ofstream(gate) << "go";
  for (int i = 0; i < 32; i += 2) EXPECT_EQ(Show(harness_.events.Wait(i + 1)), "null");
  std::filesystem::remove(gate);
}

// The thread that reads runs it; others read meanwhile.
TEST_F(ResultsTest, BlockingCallsThatCameAloneHoldUpNobody) {
  PythonOptions options;
  options.general_runners = 1;
  PythonHarness harness(options);
  const std::string gate = absl::StrCat(testing::TempDir(), "/bue-gate-c-", getpid());
  const auto blocking = CodeStep(kSteps, "says_and_waits");
  const CallInput wait_for_gate = JsonInput(absl::StrCat("\"", gate, "\""));
  std::ofstream(gate) << "open";
  EXPECT_EQ(Show(harness.Run(blocking, {wait_for_gate})), "null");  // It is loaded now.
  std::filesystem::remove(gate);
  std::vector<uint64_t> blocked;
  for (int i = 0; i < 3; ++i) {
    const uint64_t lease = harness.Start(blocking, {wait_for_gate});
    WaitUntil([&] { return harness.executor->Output(lease) == "waiting\n"; });
    blocked.push_back(lease);
    for (int n = 0; n < 3; ++n) {
      EXPECT_EQ(harness.RunAndShow(CodeStep(kSteps, "one"), {JsonInput("1")}), "1");
      EXPECT_EQ(harness.RunAndShow(CodeStep(kSteps, "later"), {JsonInput("2")}), "2");
    }
  }
  std::ofstream(gate) << "go";
  for (const uint64_t lease : blocked) EXPECT_EQ(Show(harness.events.Wait(lease)), "null");
  std::filesystem::remove(gate);
}

// --- Modules

class ModulesTest : public testing::Test {
 protected:
  ModulesTest() { std::filesystem::remove_all(root_); }
  ~ModulesTest() override { std::filesystem::remove_all(root_); }

  // Writes a file into the set `set` and returns the set's directory.
  std::string Write(const std::string& set, const std::string& path, const std::string& text) {
    const std::filesystem::path file = std::filesystem::path(root_) / set / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
    return absl::StrCat(root_, "/", set);
  }

  const std::string root_ = absl::StrCat(testing::TempDir(), "/bue-modules-", getpid());
  PythonHarness harness_;
};

TEST_F(ModulesTest, FilesOfEqualNameDoNotMeet) {
  const std::string a = Write("a", "steps.py", "def f(): return 'a'");
  const std::string b = Write("b", "steps.py", "def f(): return 'b'");
  Write("b", "lib/steps.py", "def f(): return 'b/lib'");
  EXPECT_EQ(harness_.RunAndShow(FileStep(a, "steps.py", "f")), "\"a\"");
  EXPECT_EQ(harness_.RunAndShow(FileStep(b, "steps.py", "f")), "\"b\"");
  EXPECT_EQ(harness_.RunAndShow(FileStep(b, "lib/steps.py", "f")), "\"b/lib\"");
}

TEST_F(ModulesTest, NeighboursAreImportedByTheirPlainName) {
  const std::string dir = Write("n", "steps.py", R"(
import helper, calendar
from lib.deep import name
import lib.deep
import lib.deep as alias
def f():
    import importlib
    return [helper.VALUE, calendar.OURS, name, lib.deep.up(), alias.name,
            importlib.import_module('helper').VALUE]
)");
  Write("n", "helper.py", "import json, calendar\nVALUE = json.loads('5')");
  Write("n", "calendar.py", "OURS = 'ours'");
  Write("n", "lib/deep.py",
        "from . import side\nimport helper\nname = side.NAME\n"
        "def up(): return helper.VALUE");
  Write("n", "lib/side.py", "NAME = 'side'");
  EXPECT_EQ(harness_.RunAndShow(FileStep(dir, "steps.py", "f")),
            R"([5, "ours", "side", 5, "side", 5])");
  EXPECT_EQ(
      harness_.RunAndShow(CodeStep("import calendar\ndef f(): return calendar.month_name[1]", "f")),
      "\"January\"");
  auto inline_step = CodeStep("def f():\n  from helper import VALUE\n  return VALUE", "f");
  inline_step->files_dir = dir;
  EXPECT_EQ(harness_.RunAndShow(inline_step), "5");
}

TEST_F(ModulesTest, AnyFileNameCanBeAStepsModule) {
  const std::string dir = Write("odd", "my steps/v1.2 (new).py", "def f(): return __file__[-10:]");
  Write("odd", "plain.txt", "def f(): return 'text'");
  EXPECT_EQ(harness_.RunAndShow(FileStep(dir, "my steps/v1.2 (new).py", "f")), "\"2 (new).py\"");
  EXPECT_EQ(harness_.RunAndShow(FileStep(dir, "plain.txt", "f")), "\"text\"");
}

TEST_F(ModulesTest, AModuleIsLoadedOnceForAllItsSteps) {
  const std::string dir = Write("once", "steps.py", R"(
import time
time.sleep(0.05)
count = []
def f():
    count.append(1)
    return len(count)
def g(): return f()
)");
  std::vector<Call> calls;
  for (const char* name : {"f", "g", "f", "g"}) {
    calls.push_back(harness_.MakeCall(FileStep(dir, "steps.py", name)));
  }
  harness_.executor->Start(std::move(calls));
  std::vector<std::string> seen;
  for (int i = 1; i <= 4; ++i) seen.push_back(Show(harness_.events.Wait(i)));
  EXPECT_THAT(seen, testing::UnorderedElementsAre("1", "2", "3", "4"));
}

TEST_F(ModulesTest, ObjectsOfUploadedClassesPassBetweenRunners) {
  const std::string dir = Write("pickle", "steps.py", R"(
class Model:
    def __init__(self, x): self.x = x
def make(): return {'model': Model(5)}
def use(v): return v['model'].x
)");
  const CallResult made = harness_.Run(FileStep(dir, "steps.py", "make"));
  ASSERT_EQ(made.kind, CallResult::Kind::kSucceeded) << Show(made);
  const auto input = [&made] {
    CallInput input;
    input.data = std::make_shared<const std::string>(made.data);
    return input;
  };
  EXPECT_EQ(harness_.RunAndShow(FileStep(dir, "steps.py", "use"), {input()}), "5");
  auto elsewhere = FileStep(dir, "steps.py", "use");
  elsewhere->step.mode = Mode::kProcess;
  EXPECT_EQ(harness_.RunAndShow(elsewhere, {input()}), "5");
}

TEST_F(ModulesTest, HooksRunOncePerModuleUnlessTheyAreSteps) {
  const std::string log = root_ + "/log";
  const std::string dir = Write("hooks", "steps.py",
                                absl::StrCat(R"(
import asyncio
log = ')",
                                             log, R"('
def note(text):
    with open(log, 'a') as f: f.write(text + '\n')
def start(): note('start')
async def finalize():
    await asyncio.sleep(0)
    note('finalize')
def f(): note('f')
)"));
  const auto step = FileStep(dir, "steps.py", "f");
  harness_.Run(step);
  harness_.Run(step);
  const auto read = [&log] {
    std::ifstream in(log);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  EXPECT_EQ(read(), "start\nf\nf\n");
  harness_.executor->ForgetRun(7);
  WaitUntil([&] { return read() == "start\nf\nf\nfinalize\n"; });
  harness_.Run(step);
  harness_.executor->Stop(absl::Seconds(10));
  EXPECT_EQ(read(), "start\nf\nf\nfinalize\nstart\nf\nfinalize\n");
}

TEST_F(ModulesTest, AHookThatIsAStepIsNoHook) {
  const std::string dir = Write("nohook", "steps.py",
                                "n = []\ndef start(): n.append(1)\n"
                                "def f(): return len(n)");
  auto step = FileStep(dir, "steps.py", "f");
  step->start_is_step = true;
  EXPECT_EQ(harness_.RunAndShow(step), "0");
}

TEST_F(ModulesTest, AFailingStartHookFailsTheAttempt) {
  const std::string dir =
      Write("badhook", "steps.py", "def start(): raise OSError('no db')\ndef f(): return 1");
  EXPECT_EQ(harness_.RunAndShow(FileStep(dir, "steps.py", "f")), "error: start: OSError: no db");
}

}  // namespace
}  // namespace bue::worker
