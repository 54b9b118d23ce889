// What a runner process sends: batches of messages. Steps are foreign code, so a runner may say
// anything; its worker ends it for what makes no sense, and only it.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/value/writer.h"
#include "tests/fuzz/target.h"
#include "worker/python/wire.h"

namespace bue::fuzz {
namespace {

using worker::CallResult;
using worker::MessageType;
using worker::RunnerMessage;

void ReadMessage(absl::string_view data) {
  RunnerMessage message;
  if (!worker::ParseMessage(data, &message).ok()) return;
  switch (message.type) {
    case MessageType::kSuccess:
    case MessageType::kOutcome: {
      CallResult result;
      if (!worker::ReadResult(message, &result).ok()) return;
      CHECK(result.kind <= CallResult::Kind::kInputGone);
      CHECK(result.value_kind <= ObjectKind::kBytes);
      return;
    }
    case MessageType::kWant:
      CHECK(message.numbers[2] <= static_cast<uint64_t>(ObjectKind::kBytes));
      return;
    case MessageType::kLearned:
      CHECK(message.numbers[1] < worker::kPools);
      return;
    default:
      return;
  }
}

void Run(absl::string_view bytes) {
  ReadMessage(bytes);
  worker::TakeBatches(bytes, [](absl::string_view message) {
    ReadMessage(message);
    return true;
  });
}

std::string Batch(const std::vector<std::string>& messages) {
  const auto number = [](size_t n) {
    std::string bytes;
    for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<char>(n >> (8 * i)));
    return bytes;
  };
  std::string sizes, all;
  for (const std::string& message : messages) {
    absl::StrAppend(&sizes, number(message.size()));
    absl::StrAppend(&all, message);
  }
  return absl::StrCat(number(4 + sizes.size() + all.size()), number(messages.size()), sizes, all);
}

std::string Message(const std::vector<uint64_t>& numbers, const std::vector<std::string>& texts,
                    absl::string_view value = {}) {
  std::string bytes;
  value::Writer writer(&bytes);
  writer.ArrayHeader(static_cast<uint32_t>(numbers.size() + texts.size() + !value.empty()));
  for (const uint64_t number : numbers) writer.Uint(number);
  for (const std::string& text : texts) writer.String(text);
  writer.Raw(value);
  return bytes;
}

std::vector<std::string> Seeds() {
  const std::string success = Message({7, 1200}, {}, "\x92\x01\x02");
  const std::string outcome =
      Message({1, 7, 1200, 1}, {"run", "ValueError", "no", "line 1", ""}, "\xff");
  return {Batch({success}),
          Batch({success, outcome, Message({2, 7, 0}, {"printed"})}),
          Batch({Message({3, 7, 70000, 1}, {}), Message({4, 7, 10, 2}, {"bytes"})}),
          Batch({Message({5, 1, 100}, {}), Message({6, 1, 0}, {}), Message({7, 1}, {})}),
          Batch({Message({8}, {"finalize", "m", "t"}), Message({9, 7}, {}), Message({10, 0}, {})}),
          success,
          outcome};
}

}  // namespace

const Target kRunner = {.name = "runner", .run = Run, .seeds = Seeds};

}  // namespace bue::fuzz
