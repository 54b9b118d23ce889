// Large values and generators.
#include <unistd.h>

#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/value/json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/patience.h"
#include "tests/unit/python/python_testing.h"

namespace bue::worker {
namespace {

using testing::HasSubstr;

constexpr char kSteps[] = R"(
import asyncio, os, time
from typing import Iterator
from buelon.core.step import Result, StepStatus

def big(n): return bytes(n)
def text(n): return 'x' * n
def numbers(n): return list(range(n))
async def numbers_async(n):
    await asyncio.sleep(0)
    return list(range(n))
def huge_element(n): return [1, 'x' * n, 2]
def size(x): return len(x)
async def size_async(x): return len(x)
def total(xs: Iterator[int]):
    assert not isinstance(xs, list)
    return sum(xs)
def total_list(xs):
    assert isinstance(xs, list)
    return sum(xs)
def first(xs: 'Iterator'): return next(xs)
def counted(n):
    for i in range(n): yield i
async def counted_async(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield i
def counted_backwards(n):
    for i in range(n): yield n - i
def counted_list(n):
    return list(range(n))
def fails_slowly(n):
    yield from range(n)
    time.sleep(0.2)
    raise RuntimeError('enough')
def fails_after(n):
    yield from range(n)
    raise RuntimeError('enough')
def slow(path):
    yield 1
    while not os.path.exists(path): time.sleep(0.002)
    yield 2
def not_a_list(): return {'a': 1}
def wrapped(): return Result(status=StepStatus.success, data=(i for i in range(3)), total=3)
)";

class StreamsTest : public testing::Test {
 protected:
  explicit StreamsTest(PythonOptions options = {}) : harness_(std::move(options)) {}

  CallResult Run(absl::string_view function, std::vector<CallInput> inputs = {},
                 Mode mode = Mode::kAuto) {
    return harness_.Run(CodeStep(kSteps, function, mode), std::move(inputs));
  }
  uint64_t StartSource(absl::string_view function, std::vector<CallInput> inputs, uint64_t credit) {
    std::vector<Call> calls;
    calls.push_back(harness_.MakeCall(CodeStep(kSteps, function), std::move(inputs)));
    calls[0].is_source = true;
    calls[0].source_credit = credit;
    const uint64_t lease = calls[0].lease;
    harness_.executor->Start(std::move(calls));
    return lease;
  }
  FakeBucket::Object Stored(const CallResult& result) {
    return harness_.bucket.Get(result.address);
  }

  PythonHarness harness_;
};

TEST_F(StreamsTest, LargeBytesGoToTheBucketInChunks) {
  const CallResult result = Run("big", {JsonInput("3000000")});
  ASSERT_TRUE(result.stored) << Show(result);
  EXPECT_EQ(result.value_kind, ObjectKind::kBytes);
  const FakeBucket::Object object = Stored(result);
  EXPECT_TRUE(object.finished);
  EXPECT_EQ(object.data, std::string(3'000'000, '\0'));
  EXPECT_LE(object.chunk_bytes_max, 256u << 10);
}

TEST_F(StreamsTest, ALargeTextIsOnePackedValue) {
  const CallResult result = Run("text", {JsonInput("200000")});
  ASSERT_TRUE(result.stored);
  EXPECT_EQ(result.value_kind, ObjectKind::kValue);
  std::string json;
  ASSERT_TRUE(value::AppendJson(Stored(result).data, {}, &json).ok());
  EXPECT_EQ(json, absl::StrCat("\"", std::string(200'000, 'x'), "\""));
}

TEST_F(StreamsTest, LargeListsAreElementsOneAfterTheOther) {
  for (const char* function : {"numbers", "numbers_async"}) {
    const CallResult result = Run(function, {JsonInput("300000")});
    ASSERT_TRUE(result.stored) << Show(result);
    EXPECT_EQ(result.value_kind, ObjectKind::kList);
    EXPECT_EQ(result.elements, 300'000u);
    std::string json;
    ASSERT_TRUE(value::AppendJsonOfElements(Stored(result).data, {}, &json).ok());
    EXPECT_TRUE(absl::StartsWith(json, "[0, 1, 2, "));
    EXPECT_TRUE(absl::EndsWith(json, ", 299998, 299999]"));
    EXPECT_EQ(Stored(result).elements, 300'000u);
  }
}

TEST_F(StreamsTest, AnElementMayBeLargerThanAChunk) {
  const CallResult result = Run("huge_element", {JsonInput("1000000")});
  ASSERT_TRUE(result.stored);
  EXPECT_EQ(result.elements, 3u);
  EXPECT_LE(Stored(result).chunk_bytes_max, 256u << 10);
  std::string json;
  ASSERT_TRUE(value::AppendJsonOfElements(Stored(result).data, {}, &json).ok());
  EXPECT_EQ(json, absl::StrCat("[1, \"", std::string(1'000'000, 'x'), "\", 2]"));
}

TEST_F(StreamsTest, LargeArgumentsArriveWhole) {
  const std::string chunk(256 << 10, 'x');
  for (const char* function : {"size", "size_async"}) {
    EXPECT_EQ(Show(Run(function, {StreamInput(ObjectKind::kBytes, chunk, 20)})), "5242880");
    EXPECT_EQ(Show(Run(function, {StreamInput(ObjectKind::kList, std::string(1000, '\1'), 300)})),
              "300000");
  }
  EXPECT_EQ(Show(Run("size", {StreamInput(ObjectKind::kBytes, chunk, 2)}, Mode::kProcess)),
            "524288");
}

TEST_F(StreamsTest, MoreLargeArgumentsThanTheLimitTakeTurns) {
  std::vector<Call> calls;
  const auto step = CodeStep(kSteps, "size");
  for (int i = 0; i < 60; ++i) {
    calls.push_back(
        harness_.MakeCall(step, {StreamInput(ObjectKind::kBytes, std::string(100'000, 'x'), 3)}));
  }
  harness_.executor->Start(std::move(calls));
  for (int i = 1; i <= 60; ++i) EXPECT_EQ(Show(harness_.events.Wait(i)), "300000");
}

TEST_F(StreamsTest, AFanInIsAnIteratorWhereTheSignatureAsksForOne) {
  CallInput small = JsonInput("[1,2,3]");
  small.fan_in = true;
  EXPECT_EQ(Show(Run("total", {small})), "6");
  EXPECT_EQ(Show(Run("total_list", {small})), "6");
  CallInput large = StreamInput(ObjectKind::kList, std::string(100'000, '\1'), 40);
  large.fan_in = true;
  EXPECT_EQ(Show(Run("total", {large})), "4000000");
  EXPECT_EQ(Show(Run("total_list", {large})), "4000000");
  EXPECT_EQ(Show(Run("first", {large})), "1") << "the rest is not waited for";
}

TEST_F(StreamsTest, AMissingInputIsReportedAsGone) {
  CallInput input;
  input.open = [] { return absl::NotFoundError("gone"); };
  EXPECT_EQ(Run("size", {input}).kind, CallResult::Kind::kInputGone);
  input.open = [] { return absl::UnavailableError("not now"); };
  EXPECT_EQ(Run("size", {input}).kind, CallResult::Kind::kGivenBack);
}

TEST_F(StreamsTest, AFullBucketFailsTheAttemptAndALostOneGivesItBack) {
  harness_.bucket.FailWrites(absl::ResourceExhaustedError("disk full"));
  EXPECT_EQ(Show(Run("big", {JsonInput("3000000")})), "error: store: disk full");
  harness_.bucket.FailWrites(absl::UnavailableError("restarted"));
  EXPECT_EQ(Run("big", {JsonInput("3000000")}).kind, CallResult::Kind::kGivenBack);
  harness_.bucket.FailWrites(absl::OkStatus());
  EXPECT_TRUE(Run("big", {JsonInput("3000000")}).stored);
}

TEST_F(StreamsTest, GeneratorsBecomeLists) {
  for (const char* function : {"counted", "counted_async"}) {
    EXPECT_EQ(Show(Run(function, {JsonInput("3")})), "[0, 1, 2]");
    const CallResult result = Run(function, {JsonInput("200000")});
    ASSERT_TRUE(result.stored) << Show(result);
    EXPECT_EQ(result.elements, 200'000u);
  }
  const CallResult wrapped = Run("wrapped");
  EXPECT_EQ(Show(wrapped), "[0, 1, 2]");
  EXPECT_EQ(wrapped.total, 3);
  EXPECT_EQ(Show(Run("counted", {JsonInput("3")}, Mode::kProcess)), "[0, 1, 2]");
  EXPECT_EQ(Show(Run("counted_async", {JsonInput("3")}, Mode::kProcess)), "[0, 1, 2]");
  EXPECT_EQ(Show(Run("fails_after", {JsonInput("3")})), "error: run: RuntimeError: enough");
  EXPECT_EQ(Show(Run("fails_after", {JsonInput("100000")})), "error: run: RuntimeError: enough");
  WaitUntil([&] { return harness_.bucket.open_writers() == 0; });
}

TEST_F(StreamsTest, ASourceMustBeAListOrAGenerator) {
  const uint64_t lease = StartSource("not_a_list", {}, 10);
  EXPECT_EQ(Show(harness_.events.Wait(lease)),
            "error: run: a loop iterates over this step's value, which must be a list or a "
            "generator, not dict");
}

TEST_F(StreamsTest, ASlowSourcesElementsAreVisibleBeforeItEnds) {
  const std::string gate = absl::StrCat(testing::TempDir(), "/bue-gate-s-", getpid());
  const uint64_t lease = StartSource("slow", {JsonInput(absl::StrCat("\"", gate, "\""))}, 1000);
  const uint64_t address = harness_.events.WaitForProgress(lease, 1);
  EXPECT_EQ(harness_.bucket.Get(address).data, "\x01");
  std::ofstream(gate) << "go";
  const CallResult result = harness_.events.Wait(lease);
  EXPECT_TRUE(result.stored);
  EXPECT_EQ(result.address, address);
  EXPECT_EQ(result.elements, 2u);
  unlink(gate.c_str());
}

TEST_F(StreamsTest, ASourcePausesAtItsCredit) {
  for (const char* function : {"counted", "counted_async"}) {
    const uint64_t lease = StartSource(function, {JsonInput("30")}, 10);
    harness_.events.WaitForProgress(lease, 10);
    EXPECT_EQ(harness_.events.Progress(lease).elements, 10u);
    harness_.executor->SourceCredit(lease, 25);
    harness_.events.WaitForProgress(lease, 25);
    EXPECT_EQ(harness_.events.Progress(lease).elements, 25u);
    EXPECT_FALSE(harness_.events.Has(lease));
    harness_.executor->SourceCredit(lease, 100);
    const CallResult result = harness_.events.Wait(lease);
    EXPECT_EQ(result.elements, 30u);
    EXPECT_EQ(harness_.bucket.Get(result.address).elements, 30u);
  }
}

TEST_F(StreamsTest, APausedSourceDoesNotTimeOut) {
  auto step = CodeStep(kSteps, "counted");
  step->step.timeout_s = 2;
  std::vector<Call> calls;
  calls.push_back(harness_.MakeCall(step, {JsonInput("20")}));
  calls[0].is_source = true;
  calls[0].source_credit = 10;
  harness_.executor->Start(std::move(calls));
  harness_.events.WaitForProgress(1, 10);
  // Another step's timeout passes in the meantime.
  auto sleeper = CodeStep("import asyncio\nasync def f(): await asyncio.sleep(60)", "f");
  sleeper->step.timeout_s = 3;
  EXPECT_THAT(Show(harness_.Run(sleeper)), HasSubstr("error: timeout"));
  harness_.executor->SourceCredit(1, 100);
  EXPECT_EQ(harness_.events.Wait(1).elements, 20u);
}

// What comes of a source that runs again after another attempt had yielded so much.
class RunAgainTest : public StreamsTest {
 protected:
  std::string RunAgain(const std::string& function, const std::string& count,
                       const Yielded& yielded) {
    std::vector<Call> calls;
    calls.push_back(harness_.MakeCall(CodeStep(kSteps, function), {JsonInput(count)}));
    calls[0].is_source = true;
    calls[0].source_credit = 1 << 30;
    calls[0].yielded = yielded;
    const uint64_t lease = calls[0].lease;
    harness_.executor->Start(std::move(calls));
    const CallResult result = harness_.events.Wait(lease);
    return result.kind == CallResult::Kind::kSucceeded ? absl::StrCat(result.elements)
                                                       : Show(result).substr(0, 85);
  }
};

TEST_F(RunAgainTest, ASourceThatYieldsTheSameGoesOn) {
  const uint64_t lease = StartSource("counted", {JsonInput("100000")}, 10);
  harness_.events.WaitForProgress(lease, 10);
  const Yielded yielded = harness_.events.Progress(lease);
  harness_.executor->Cancel(lease);
  harness_.events.Wait(lease);
  const std::string differs =
      "error: run: run again, the source did not yield the same 10 elements first: items have";
  for (const char* count : {"10", "11", "3000", "100000"}) {
    EXPECT_EQ(RunAgain("counted", count, yielded), count);
    EXPECT_EQ(RunAgain("counted_async", count, yielded), count);
    EXPECT_EQ(RunAgain("counted_backwards", count, yielded), differs.substr(0, 85));
  }
  EXPECT_EQ(RunAgain("fails_slowly", "3", yielded), "error: run: RuntimeError: enough");
  EXPECT_EQ(RunAgain("counted", "9", yielded), differs.substr(0, 85));
  EXPECT_EQ(RunAgain("counted_list", "12", yielded), "12");
  EXPECT_EQ(RunAgain("counted_list", "100000", yielded), "100000");
  EXPECT_EQ(RunAgain("counted_list", "3", yielded), differs.substr(0, 85));
  WaitUntil([&] { return harness_.bucket.open_writers() == 0; });
}

TEST_F(StreamsTest, ACancelledSourceStops) {
  const uint64_t lease = StartSource("counted", {JsonInput("100000")}, 10);
  harness_.events.WaitForProgress(lease, 10);
  harness_.executor->Cancel(lease);
  EXPECT_EQ(harness_.events.Wait(lease).kind, CallResult::Kind::kGivenBack);
}

// The peak of this process's memory, in MiB.
int PeakMemoryMib() {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (absl::StartsWith(line, "VmHWM:")) return atoi(line.c_str() + 6) / 1024;
  }
  return 0;
}

TEST_F(StreamsTest, AGibibytePassesWithoutBeingHere) {
  harness_.bucket.KeepNoData();
  std::ofstream("/proc/self/clear_refs") << "5";  // Resets the peak.
  const int before = PeakMemoryMib();
  const CallResult result = Run("big", {JsonInput("1073741824")});
  ASSERT_TRUE(result.stored) << Show(result);
  EXPECT_EQ(Stored(result).bytes, 1u << 30);
  EXPECT_EQ(Show(Run("size", {StreamInput(ObjectKind::kBytes, std::string(256 << 10, 'x'), 4096)})),
            "1073741824");
  if (MemoryIsUsual()) {
    EXPECT_LT(PeakMemoryMib() - before, 64);
  }
}

}  // namespace
}  // namespace bue::worker
