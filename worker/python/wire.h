// The frames and messages between the executor and its runners. protocol.md has the format.
#ifndef BUE_WORKER_PYTHON_WIRE_H_
#define BUE_WORKER_PYTHON_WIRE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "worker/executor.h"

namespace bue::worker {

// --- To the runner

// Gathers calls into one CALLS frame.
class CallsFrame {
 public:
  // `streams` has a stream number for each input without data, in order.
  void Add(const Call& call, uint32_t step, absl::Span<const uint32_t> streams);

  bool empty() const { return sizes_.empty(); }
  // Enough for one frame: more calls go into the next.
  bool full() const { return sizes_.size() >= 256 || body_.size() >= (256 << 10); }

  // Appends the frame to `out` and starts anew.
  void MoveTo(std::string* out);

 private:
  std::vector<uint32_t> sizes_;
  std::string body_;
};

// Each appends one frame to `out`.
void AppendAddStep(uint32_t number, const LoadedStep& step, std::string* out);
void AppendCancel(uint64_t lease, bool timeout, std::string* out);
void AppendCredit(uint64_t lease, uint64_t elements, std::string* out);
void AppendGrant(uint64_t lease, uint64_t bytes, std::string* out);
void AppendForget(const std::vector<uint32_t>& steps, std::string* out);
void AppendStop(std::string* out);
void AppendDropResult(uint64_t lease, std::string* out);
void AppendProbe(uint64_t lease, std::string* out);

enum class StreamEnd : uint8_t { kMore, kComplete, kBroken };
void AppendInputChunk(uint32_t stream, StreamEnd end, absl::string_view data, std::string* out);

// --- From the runner

enum class MessageType : uint8_t {
  kSuccess = 0,
  kOutcome = 1,
  kOutput = 2,
  kWant = 3,
  kChunk = 4,
  kInputAck = 5,
  kLearned = 6,
  kReady = 7,
  kNote = 8,
  kStuck = 9,
  kBye = 10,
  kStarting = 11,
  kLast = kStarting,
};

// kStuck's second number when something holds the event loop up and nobody knows what.
inline constexpr uint64_t kUnknownBlocker = ~uint64_t{0};

// A message; its views point into the data it was parsed from.
struct RunnerMessage {
  MessageType type = MessageType::kSuccess;
  // The message's leading numbers as protocol.md lists them: lease and so on.
  uint64_t numbers[3] = {0, 0, 0};
  // kOutput: the text. kChunk: the bytes. kNote: action, type, message, traceback. kOutcome: those,
  // item id.
  absl::string_view texts[5];
  int64_t total = -1;       // kOutcome
  absl::string_view value;  // kSuccess, kOutcome: packed; empty if there is none.
};

// InvalidArgument if `data` is not a message, or one of its codes (the kind of an outcome, an
// object or a pool) is unknown. Runners run foreign code: nothing they say is taken on trust.
absl::Status ParseMessage(absl::string_view data, RunnerMessage* message);

// Makes `value`, a packed value, the result's: a list without its header, bytes raw, None empty.
// InvalidArgument if it is not exactly one value.
absl::Status SetValue(absl::string_view value, CallResult* result);

// What a kSuccess or kOutcome says of its call; InvalidArgument if its value is none.
absl::Status ReadResult(const RunnerMessage& message, CallResult* result);

// Hands over, one by one, the messages of all batches that are whole. How many bytes those took;
// nullopt if what came makes no sense, or `on_message` says so of a message.
std::optional<size_t> TakeBatches(absl::string_view data,
                                  absl::FunctionRef<bool(absl::string_view)> on_message);

}  // namespace bue::worker

#endif  // BUE_WORKER_PYTHON_WIRE_H_
