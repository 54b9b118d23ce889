// What a person in front of `bue run` sees of what steps print.
#include "worker/core/output_echo.h"

#include <map>
#include <memory>
#include <string>

#include "gtest/gtest.h"

namespace bue::worker {
namespace {

class OutputEchoTest : public testing::Test {
 protected:
  void Start(uint64_t lease, const std::string& item) {
    auto step = std::make_shared<LoadedStep>();
    step->step.name = "say";
    Call call{.lease = lease, .step = std::move(step)};
    call.task.item = item;
    std::vector<Call> calls;
    calls.push_back(std::move(call));
    echo_.Started(calls);
  }
  void Look() {
    echo_.Look([this](uint64_t lease) { return printed_[lease]; });
  }
  void End(uint64_t lease) { echo_.Ended({.lease = lease, .output = printed_[lease]}); }
  std::string TakeWritten() { return std::exchange(written_, ""); }

  std::map<uint64_t, std::string> printed_;
  std::string written_;
  OutputEcho echo_{[this](absl::string_view text) { written_.append(text.data(), text.size()); }};
};

TEST_F(OutputEchoTest, WholeLinesComeWhileTheCallRuns) {
  Start(1, "4");
  printed_[1] = "one\ntw";
  Look();
  EXPECT_EQ(TakeWritten(), "say[4]: one\n");
  Look();
  EXPECT_EQ(TakeWritten(), "");
  printed_[1] += "o\n\nthree";
  Look();
  EXPECT_EQ(TakeWritten(), "say[4]: two\nsay[4]: \n");
  End(1);
  EXPECT_EQ(TakeWritten(), "say[4]: three\n");
  Look();
  EXPECT_EQ(TakeWritten(), "");
}

TEST_F(OutputEchoTest, AtTheTopLevelThereIsNoItem) {
  Start(1, "");
  printed_[1] = "done\n";
  End(1);
  EXPECT_EQ(TakeWritten(), "say: done\n");
}

TEST_F(OutputEchoTest, NothingPrintedIsNothingWritten) {
  Start(1, "0");
  Look();
  End(1);
  EXPECT_EQ(TakeWritten(), "");
}

TEST_F(OutputEchoTest, AMiddleThatIsLeftOutTakesNoBeginningWithIt) {
  Start(1, "0");
  std::string head;
  while (head.size() < 32 << 10) head += "a line\n";
  head.resize(32 << 10);
  printed_[1] = head + "b\n";
  Look();
  printed_[1] = head + "\n... 7 bytes left out ...\nthe end\n";
  Look();
  End(1);
  std::string expected;
  for (size_t i = 0; i + 7 <= head.size(); i += 7) expected += "say[0]: a line\n";
  expected += "say[0]: " + head.substr(head.rfind('\n') + 1) + "\n";
  expected += "say[0]: ... 7 bytes left out ...\nsay[0]: the end\n";
  EXPECT_EQ(TakeWritten(), expected);
}

}  // namespace
}  // namespace bue::worker
