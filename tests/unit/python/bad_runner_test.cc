// Runners run foreign code, and that code can write to the socket: what makes no sense there ends
// the runner, fails the call that was alone in it, and nothing else.
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/value/writer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/python/python_testing.h"

namespace bue::worker {
namespace {

using testing::HasSubstr;

constexpr char kSteps[] = R"(
import os, time
def says(what):  # On the runner's own socket: the first one out of steps' way.
    is_socket = lambda fd: os.readlink(f'/proc/self/fd/{fd}').startswith('socket:')
    numbers = sorted(int(fd) for fd in os.listdir('/proc/self/fd') if int(fd) >= 500)
    os.write(next(fd for fd in numbers if is_socket(fd)), bytes.fromhex(what))
    time.sleep(60)
def one(x): return x
)";

constexpr uint64_t kLease = 1;  // Of a harness's first call.

std::string Number(size_t number) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<char>(number >> (8 * i)));
  return bytes;
}

std::string Batch(absl::string_view message) {
  return absl::StrCat(Number(8 + message.size()), Number(1), Number(message.size()), message);
}

std::string Message(const std::vector<uint64_t>& numbers, int texts = 0,
                    absl::string_view value = {}) {
  std::string bytes;
  value::Writer writer(&bytes);
  writer.ArrayHeader(static_cast<uint32_t>(numbers.size() + texts + !value.empty()));
  for (const uint64_t number : numbers) writer.Uint(number);
  for (int i = 0; i < texts; ++i) writer.String("text");
  writer.Raw(value);
  return bytes;
}

struct BadWord {
  std::string name;
  std::string bytes;
};
void PrintTo(const BadWord& word, std::ostream* out) { *out << word.name; }

class BadRunnerTest : public testing::TestWithParam<BadWord> {};

TEST_P(BadRunnerTest, OnlyItsOwnCallFails) {
  PythonHarness harness({.general_runners = 1});
  EXPECT_THAT(
      harness.RunAndShow(
          CodeStep(kSteps, "says"),
          {JsonInput(absl::StrCat("\"", absl::BytesToHexString(GetParam().bytes), "\""))}),
      HasSubstr("error: run: the step ended its runner: it was killed, for it said what makes no "
                "sense: "));
  EXPECT_EQ(harness.RunAndShow(CodeStep(kSteps, "one"), {JsonInput("7")}), "7");
}

const BadWord kBadWords[] = {
    {"BatchTooShort", Number(2) + Number(0)},
    {"BatchTooLong", Number(std::numeric_limits<uint32_t>::max()) + Number(0)},
    {"BatchOfMoreMessagesThanBytes", Number(8) + Number(1000) + Number(1)},
    {"MessageLongerThanItsBatch", Number(8) + Number(1) + Number(1000)},
    {"NoMessagePack", Batch("\xc1\xc1\xc1")},
    {"UnknownMessage", Batch(Message({99, 1, 1, 1}))},
    {"SuccessWithoutAValue", Batch(Message({kLease, 5}, 0, "\xc1"))},
    {"SuccessWithHalfAValue", Batch(Message({kLease, 5}, 0, "\x92\x01"))},
    {"SuccessWithElementsThatAreNotThere", Batch(Message({kLease, 5}, 0, "\xdd\xff\xff\xff\xff"))},
    {"OutcomeOfUnknownKind", Batch(Message({1, kLease, 5, 99}, 5, "\xff"))},
    {"OutcomeWithoutAValue", Batch(Message({1, kLease, 5, 0}, 5, "\xff\xc1"))},
    {"WantOfUnknownKind", Batch(Message({3, kLease, 100, 77}))},
    {"ChunkWithoutAGrant",
     Batch(Message({3, kLease, uint64_t{1} << 60, 1})) + Batch(Message({4, kLease, 1, 0}, 1))},
    {"LearnedAnUnknownPool", Batch(Message({6, 1, 200, 0}))},
};

INSTANTIATE_TEST_SUITE_P(Says, BadRunnerTest, testing::ValuesIn(kBadWords),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace bue::worker
