#include "worker/python/wire.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/value/reader.h"
#include "common/value/writer.h"

namespace bue::worker {
namespace {

using value::Reader;
using value::Token;
using value::Type;
using value::Writer;

enum FrameType : uint8_t { kCalls = 1, kControl = 2, kInputChunk = 3 };
enum Operation : uint8_t {
  kAddStep = 1,
  kCancel,
  kCredit,
  kGrant,
  kForget,
  kStop,
  kDropResult,
  kProbe,
};

constexpr uint32_t kBatchBytesMax = 1u << 30;  // More is nonsense.
constexpr int kCallFields = 8;
constexpr uint64_t kIsSource = 1;
constexpr uint64_t kTellsStart = 2;
constexpr int kFanInShift = 8;
constexpr auto kStreamExt = static_cast<value::Ext>(127);

void AppendUint32(uint32_t number, std::string* out) {
  out->append(reinterpret_cast<const char*>(&number), sizeof(number));
}

// Starts a frame; EndFrame writes its size.
size_t BeginFrame(FrameType type, std::string* out) {
  const size_t at = out->size();
  AppendUint32(0, out);
  out->push_back(static_cast<char>(type));
  return at;
}

void EndFrame(size_t at, std::string* out) {
  const uint32_t size = static_cast<uint32_t>(out->size() - at - sizeof(uint32_t));
  memcpy(out->data() + at, &size, sizeof(size));
}

void AppendNumbers(Operation operation, std::initializer_list<uint64_t> numbers, std::string* out) {
  const size_t at = BeginFrame(kControl, out);
  Writer writer(out);
  writer.ArrayHeader(static_cast<uint32_t>(1 + numbers.size()));
  writer.Uint(operation);
  for (const uint64_t number : numbers) writer.Uint(number);
  EndFrame(at, out);
}

void WriteInput(const CallInput& input, Writer* writer) {
  switch (input.kind) {
    case ObjectKind::kValue:
      if (input.data->empty()) {
        writer->Nil();
      } else {
        writer->Raw(*input.data);
      }
      return;
    case ObjectKind::kList:
      writer->ArrayHeader(static_cast<uint32_t>(input.elements));
      writer->Raw(*input.data);
      return;
    case ObjectKind::kBytes:
      writer->Bytes(*input.data);
      return;
  }
}

void WriteStream(uint32_t number, ObjectKind kind, Writer* writer) {
  std::string payload;
  Writer inner(&payload);
  inner.ArrayHeader(2);
  inner.Uint(number);
  inner.Uint(static_cast<uint64_t>(kind));
  writer->Extension(kStreamExt, payload);
}

uint64_t Flags(const Call& call) {
  uint64_t flags = (call.is_source ? kIsSource : 0) | (call.tells_start ? kTellsStart : 0);
  for (size_t i = 0; i < call.inputs.size() && i < 64 - kFanInShift; ++i) {
    if (call.inputs[i].fan_in) flags |= uint64_t{1} << (kFanInShift + i);
  }
  return flags;
}

}  // namespace

void CallsFrame::Add(const Call& call, uint32_t step, absl::Span<const uint32_t> streams) {
  const size_t at = body_.size();
  Writer writer(&body_);
  writer.ArrayHeader(static_cast<uint32_t>(kCallFields + call.inputs.size()));
  writer.Uint(call.lease);
  writer.Uint(step);
  writer.Uint(call.task.index);
  writer.Uint(call.task.instance);
  writer.Uint(call.task.node);
  writer.String(call.task.item);
  writer.Uint(call.task.attempt);
  writer.Uint(Flags(call));
  size_t stream = 0;
  for (const CallInput& input : call.inputs) {
    if (input.data != nullptr) {
      WriteInput(input, &writer);
    } else {
      WriteStream(streams[stream++], input.kind, &writer);
    }
  }
  sizes_.push_back(static_cast<uint32_t>(body_.size() - at));
}

void CallsFrame::MoveTo(std::string* out) {
  const size_t at = BeginFrame(kCalls, out);
  AppendUint32(static_cast<uint32_t>(sizes_.size()), out);
  out->append(reinterpret_cast<const char*>(sizes_.data()), sizes_.size() * sizeof(uint32_t));
  // The array's header is of fixed length, so that calls begin at a known place.
  const uint32_t count = __builtin_bswap32(static_cast<uint32_t>(sizes_.size()));
  out->push_back('\xdd');
  AppendUint32(count, out);
  out->append(body_);
  EndFrame(at, out);
  sizes_.clear();
  body_.clear();
}

void AppendAddStep(uint32_t number, const LoadedStep& step, std::string* out) {
  const size_t at = BeginFrame(kControl, out);
  Writer writer(out);
  const auto text = [&writer](absl::string_view key, absl::string_view value) {
    writer.String(key);
    writer.String(value);
  };
  const auto flag = [&writer](absl::string_view key, bool value) {
    writer.String(key);
    writer.Bool(value);
  };
  writer.ArrayHeader(2);
  writer.Uint(kAddStep);
  writer.MapHeader(13);
  writer.String("number");
  writer.Uint(number);
  writer.String("run");
  writer.Uint(step.run);
  writer.String("index");
  writer.Uint(step.index);
  writer.String("mode");
  writer.Uint(static_cast<uint64_t>(step.step.mode));
  text("name", step.step.name);
  text("function", step.step.relation);
  text("path", step.path);
  text("code", step.step.code);
  text("script", step.script);
  text("files_dir", step.files_dir);
  flag("start_is_step", step.start_is_step);
  flag("finalize_is_step", step.finalize_is_step);
  flag("refill", step.step.refill);
  EndFrame(at, out);
}

void AppendCancel(uint64_t lease, bool timeout, std::string* out) {
  const size_t at = BeginFrame(kControl, out);
  Writer writer(out);
  writer.ArrayHeader(3);
  writer.Uint(kCancel);
  writer.Uint(lease);
  writer.String(timeout ? "timeout" : "cancel");
  EndFrame(at, out);
}

void AppendCredit(uint64_t lease, uint64_t elements, std::string* out) {
  AppendNumbers(kCredit, {lease, elements}, out);
}

void AppendGrant(uint64_t lease, uint64_t bytes, std::string* out) {
  AppendNumbers(kGrant, {lease, bytes}, out);
}

void AppendForget(const std::vector<uint32_t>& steps, std::string* out) {
  const size_t at = BeginFrame(kControl, out);
  Writer writer(out);
  writer.ArrayHeader(2);
  writer.Uint(kForget);
  writer.ArrayHeader(static_cast<uint32_t>(steps.size()));
  for (const uint32_t step : steps) writer.Uint(step);
  EndFrame(at, out);
}

void AppendStop(std::string* out) { AppendNumbers(kStop, {}, out); }

void AppendDropResult(uint64_t lease, std::string* out) {
  AppendNumbers(kDropResult, {lease}, out);
}

void AppendProbe(uint64_t lease, std::string* out) { AppendNumbers(kProbe, {lease}, out); }

void AppendInputChunk(uint32_t stream, StreamEnd end, absl::string_view data, std::string* out) {
  const size_t at = BeginFrame(kInputChunk, out);
  AppendUint32(stream, out);
  out->push_back(static_cast<char>(end));
  out->append(data.data(), data.size());
  EndFrame(at, out);
}

namespace {

bool ReadUint(Reader* reader, uint64_t* number) {
  Token token;
  if (!reader->Read(&token)) return false;
  if (token.type == Type::kInt && token.integer >= 0) {
    *number = static_cast<uint64_t>(token.integer);
    return true;
  }
  *number = token.natural;
  return token.type == Type::kUint;
}

// A string, bytes, or None as the empty one.
bool ReadText(Reader* reader, absl::string_view* text) {
  Token token;
  if (!reader->Read(&token)) return false;
  if (token.type == Type::kNil) return true;
  *text = token.bytes;
  return token.type == Type::kString || token.type == Type::kBytes;
}

bool ReadNumbers(Reader* reader, int count, RunnerMessage* message) {
  for (int i = 0; i < count; ++i) {
    if (!ReadUint(reader, &message->numbers[i])) return false;
  }
  return true;
}

bool ReadTexts(Reader* reader, int count, RunnerMessage* message) {
  for (int i = 0; i < count; ++i) {
    if (!ReadText(reader, &message->texts[i])) return false;
  }
  return true;
}

bool ReadOutcome(Reader* reader, RunnerMessage* message) {
  if (!ReadNumbers(reader, 3, message) || !ReadTexts(reader, 5, message)) return false;
  if (message->numbers[2] > static_cast<uint64_t>(CallResult::Kind::kInputGone)) return false;
  Token total;
  if (!reader->Read(&total)) return false;
  if (total.type == Type::kInt) message->total = total.integer;
  message->value = reader->rest();
  return true;
}

bool ReadFields(Reader* reader, RunnerMessage* message) {
  switch (message->type) {
    case MessageType::kSuccess:
      break;
    case MessageType::kOutcome:
      return ReadOutcome(reader, message);
    case MessageType::kOutput:
      return ReadNumbers(reader, 2, message) && ReadTexts(reader, 1, message);
    case MessageType::kChunk:
      return ReadNumbers(reader, 3, message) && ReadTexts(reader, 1, message);
    case MessageType::kWant:
      return ReadNumbers(reader, 3, message) &&
             message->numbers[2] <= static_cast<uint64_t>(ObjectKind::kBytes);
    case MessageType::kLearned:
      return ReadNumbers(reader, 2, message) &&
             message->numbers[1] <= static_cast<uint64_t>(Pool::kProcess);
    case MessageType::kInputAck:
    case MessageType::kStuck:
    case MessageType::kBye:
      return ReadNumbers(reader, 2, message);
    case MessageType::kReady:
    case MessageType::kStarting:
      return ReadNumbers(reader, 1, message);
    case MessageType::kNote:
      return ReadNumbers(reader, 2, message) && ReadTexts(reader, 4, message);
  }
  return false;
}

}  // namespace

absl::Status ParseMessage(absl::string_view data, RunnerMessage* message) {
  *message = RunnerMessage();
  Reader reader(data);
  Token header;
  bool good = reader.Read(&header) && header.type == Type::kArray;
  if (good && header.count == 3) {
    good = ReadNumbers(&reader, 2, message) && !reader.AtEnd();
    message->value = reader.rest();
  } else if (good) {
    uint64_t type = 0;
    good = ReadUint(&reader, &type) && type <= static_cast<uint64_t>(MessageType::kLast);
    message->type = static_cast<MessageType>(type);
    good = good && ReadFields(&reader, message);
  }
  return good ? absl::OkStatus()
              : absl::InvalidArgumentError(
                    absl::StrCat("a message of ", data.size(), " bytes makes no sense"));
}

absl::Status SetValue(absl::string_view value, CallResult* result) {
  result->value_kind = ObjectKind::kValue;
  if (value.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(value::Validate(value));
  Reader reader(value);
  Token token;
  if (!reader.Read(&token)) return reader.status();
  if (token.type == Type::kNil) return absl::OkStatus();
  if (token.type == Type::kArray) {
    result->value_kind = ObjectKind::kList;
    result->elements = token.count;
    value = reader.rest();
  } else if (token.type == Type::kBytes) {
    result->value_kind = ObjectKind::kBytes;
    value = token.bytes;
  }
  result->data.assign(value.data(), value.size());
  return absl::OkStatus();
}

absl::Status ReadResult(const RunnerMessage& message, CallResult* result) {
  result->run_time = absl::Microseconds(static_cast<int64_t>(
      std::min<uint64_t>(message.numbers[1], std::numeric_limits<int64_t>::max())));
  if (message.type == MessageType::kOutcome) {
    result->kind = static_cast<CallResult::Kind>(message.numbers[2]);
    result->error.action = std::string(message.texts[0]);
    result->error.type = std::string(message.texts[1]);
    result->error.message = std::string(message.texts[2]);
    result->error.traceback = std::string(message.texts[3]);
    result->item_id = std::string(message.texts[4]);
    result->total = message.total;
  }
  if (result->kind != CallResult::Kind::kSucceeded) return absl::OkStatus();
  return SetValue(message.value, result);
}

std::optional<size_t> TakeBatches(absl::string_view data,
                                  absl::FunctionRef<bool(absl::string_view)> on_message) {
  size_t at = 0;
  const auto number = [data](size_t offset) {
    uint32_t value;
    memcpy(&value, data.data() + offset, sizeof(value));
    return value;
  };
  while (data.size() - at >= 8) {
    const uint32_t size = number(at);
    if (size < 4 || size > kBatchBytesMax) return std::nullopt;
    if (data.size() - at < 4 + size_t{size}) break;
    const size_t end = at + 4 + size;
    const uint32_t count = number(at + 4);
    size_t message = at + 8 + size_t{count} * 4;
    if (message > end) return std::nullopt;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t length = number(at + 8 + size_t{i} * 4);
      if (length > end - message) return std::nullopt;
      if (!on_message(data.substr(message, length))) return std::nullopt;
      message += length;
    }
    at = end;
  }
  return at;
}

}  // namespace bue::worker
