// What runners and transfers say, and how a call ends. See dispatcher.h.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/status_macros.h"
#include "worker/python/dispatcher.h"

namespace bue::worker {
namespace {

constexpr uint64_t kContinued = 1;  // Of a CHUNK's flags.
constexpr uint64_t kFlush = 2;

// What becomes of a call whose argument could not be read to its end.
CallResult::Kind KindOfReadFailure(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kDataLoss:
      return CallResult::Kind::kInputGone;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
      return CallResult::Kind::kGivenBack;  // Another time it works.
    default:
      return CallResult::Kind::kFailed;
  }
}

// What became of a value that could not be stored, or is not to be.
CallError ErrorOf(const Call& call, const absl::Status& status) {
  const bool differs = call.yielded.elements > 0 && absl::IsFailedPrecondition(status);
  return {.action = differs ? "run" : "store", .message = std::string(status.message())};
}

// Whether a source that runs again, and gives all its `elements` at once, begins as it did before.
absl::Status CheckYielded(const Call& call, absl::string_view elements) {
  if (call.yielded.elements == 0) return absl::OkStatus();
  ElementHash hash(call.yielded);
  RETURN_IF_ERROR(hash.Add(elements));
  return hash.End();
}

}  // namespace

void Dispatcher::OnSocket(Runner* runner) {
  const bool open = runner->process->Receive(
      [this, runner](absl::string_view message) { return OnMessage(runner, message); });
  if (!open) dying_.push_back(runner->number);
}

// What makes no sense ends the runner. Foreign code runs in it: it must not end the worker.
bool Dispatcher::OnMessage(Runner* runner, absl::string_view data) {
  const absl::Status status = TakeMessage(runner, data);
  if (status.ok()) return true;
  log::error("runner makes no sense pid={} error={}", runner->process->pid(), status);
  runner->process->Distrust(std::string(status.message()));
  return false;
}

absl::Status Dispatcher::TakeMessage(Runner* runner, absl::string_view data) {
  RunnerMessage message;
  RETURN_IF_ERROR(ParseMessage(data, &message));
  switch (message.type) {
    case MessageType::kSuccess:
    case MessageType::kOutcome:
      return OnResult(runner, message);
    case MessageType::kOutput:
      OnOutput(runner, message);
      break;
    case MessageType::kWant:
      OnWant(runner, message);
      break;
    case MessageType::kChunk:
      return OnChunk(runner, message);
    case MessageType::kInputAck:
      OnInputAck(runner, message);
      break;
    case MessageType::kLearned:
      OnLearned(message);
      break;
    case MessageType::kReady:
      OnReady(runner);
      break;
    case MessageType::kNote:
      OnNote(message);
      break;
    case MessageType::kStuck:
      OnStuck(runner, message);
      break;
    case MessageType::kStarting:
      OnStarting(runner, message);
      break;
    case MessageType::kBye:
      break;
  }
  return absl::OkStatus();
}

// A runner that runs one call at a time says nothing but what that call wrote past sys.stdout.
void Dispatcher::ReadLog(Runner* runner) {
  InFlight* in_flight = runner->role == Role::kProcess ? Find(runner->lease, runner) : nullptr;
  if (in_flight == nullptr) {
    runner->process->ReadLog();
    return;
  }
  runner->process->ReadLog([this, in_flight](absl::string_view text) {
    in_flight->printed = true;
    output_.Add(in_flight->call.lease, 0, text);
  });
}

absl::Status Dispatcher::OnResult(Runner* runner, const RunnerMessage& message) {
  InFlight* in_flight = Find(message.numbers[0], runner);
  if (in_flight == nullptr) {
    StuckCallEnded(message.numbers[0], runner);
    return absl::OkStatus();
  }
  ReadLog(runner);
  CallResult result;
  RETURN_IF_ERROR(ReadResult(message, &result));
  Answer(in_flight, std::move(result));
  return absl::OkStatus();
}

// One that nobody waits for any more.
void Dispatcher::StuckCallEnded(uint64_t lease, Runner* runner) {
  if (std::erase(runner->stuck, lease) > 0) over_.push_back(lease);
}

void Dispatcher::OnOutput(Runner* runner, const RunnerMessage& message) {
  InFlight* in_flight = Find(message.numbers[0], runner);
  if (in_flight == nullptr) {
    // A thread or callback that outlived its call.
    log::info("runner says pid={} lease={} line={}", runner->process->pid(), message.numbers[0],
              message.texts[0].substr(0, 1024));
    return;
  }
  in_flight->printed = true;
  output_.Add(message.numbers[0], message.numbers[1], message.texts[0]);
}

// Of a call that runs again apart from others the hub knows already.
void Dispatcher::OnStarting(Runner* runner, const RunnerMessage& message) {
  const InFlight* in_flight = Find(message.numbers[0], runner);
  if (in_flight != nullptr) starting_.push_back(in_flight->call.lease);
}

void Dispatcher::OnNote(const RunnerMessage& message) {
  // An error: the end of `bue run` comes too soon for the hub to hear of it.
  log::error("hook failed run={} action={} error=\"{}: {}\"", message.numbers[0], message.texts[0],
             message.texts[1], message.texts[2]);
  events_->OnHookFailed(message.numbers[0], static_cast<uint32_t>(message.numbers[1]),
                        CallError{.action = std::string(message.texts[0]),
                                  .type = std::string(message.texts[1]),
                                  .message = std::string(message.texts[2]),
                                  .traceback = std::string(message.texts[3])});
}

void Dispatcher::OnLearned(const RunnerMessage& message) {
  const auto step = steps_.find(static_cast<uint32_t>(message.numbers[0]));
  if (step == steps_.end()) return;
  events_->OnLearnedMode(step->second.first, step->second.second,
                         static_cast<Pool>(message.numbers[1]));
}

// Calls that came while the interpreter started have their whole time from now on.
void Dispatcher::OnReady(Runner* runner) {
  runner->ready = true;
  failed_starts_ = 0;
  if (!runner->stopping) runner->deadline = absl::InfiniteFuture();
  for (InFlight* in_flight : CallsOf(runner)) {
    BeginTime(in_flight);
  }
}

void Dispatcher::OnStuck(Runner* runner, const RunnerMessage& message) {
  InFlight* in_flight = Find(message.numbers[0], runner);
  // What was cancelled is to end by itself, until it is asked.
  if (in_flight == nullptr || !(in_flight->timed_out || in_flight->probed)) return;
  const uint64_t blocker = message.numbers[1];
  const bool has_loop = blocker == in_flight->call.lease;
  if (in_flight->timed_out && blocker != 0 && !has_loop) {
    HeldUpCall(in_flight, blocker);
  } else {
    StuckCall(in_flight, has_loop);
  }
}

// --- Large arguments

void Dispatcher::OnChunkRead(uint32_t reader, absl::StatusOr<std::optional<std::string>> chunk) {
  Post([this, reader, chunk = std::move(chunk)]() mutable {
    HandleChunkRead(reader, std::move(chunk));
  });
}

void Dispatcher::HandleChunkRead(uint32_t reader,
                                 absl::StatusOr<std::optional<std::string>> chunk) {
  const auto found = readers_.find(reader);
  if (found == readers_.end()) return;
  InFlight* in_flight = calls_.at(found->second.lease).get();
  if (chunk.ok() && chunk->has_value()) {
    AppendInputChunk(reader, StreamEnd::kMore, **chunk, in_flight->runner->process->outgoing());
    return;
  }
  counted_readers_ -= found->second.counted;
  readers_.erase(found);
  if (chunk.ok()) {
    AppendInputChunk(reader, StreamEnd::kComplete, "", in_flight->runner->process->outgoing());
  } else {
    CallResult result;
    result.kind = KindOfReadFailure(chunk.status());
    result.error.action = "input";
    result.error.message = std::string(chunk.status().message());
    Runner* runner = in_flight->runner;
    AppendInputChunk(reader, StreamEnd::kBroken, "", runner->process->outgoing());
    // It may be at work on what came before; the runner answers when it is done.
    result.goes_on = runner->ready;
    if (result.goes_on) runner->stuck.push_back(in_flight->call.lease);
    Complete(in_flight, std::move(result));
  }
}

void Dispatcher::OnInputAck(Runner* runner, const RunnerMessage& message) {
  const uint32_t reader = static_cast<uint32_t>(message.numbers[0]);
  const auto found = readers_.find(reader);
  if (found == readers_.end() || Find(found->second.lease, runner) == nullptr) return;
  transfers_.Acknowledge(reader, message.numbers[1]);
}

// --- Large results

void Dispatcher::OnWant(Runner* runner, const RunnerMessage& message) {
  InFlight* in_flight = Find(message.numbers[0], runner);
  if (in_flight == nullptr) {
    AppendDropResult(message.numbers[0], runner->process->outgoing());
    // A list may be a generator's, which goes on.
    if (static_cast<ObjectKind>(message.numbers[2]) != ObjectKind::kList) {
      StuckCallEnded(message.numbers[0], runner);
    }
    return;
  }
  if (in_flight->cancelled && in_flight->writer == 0) {
    // It is done, and nobody wants its value.
    AppendDropResult(message.numbers[0], runner->process->outgoing());
    GiveBack(in_flight);
    return;
  }
  if (in_flight->writer == 0) {
    const TaskName& task = in_flight->call.task;
    const Origin origin{.run = task.run,
                        .instance = task.instance,
                        .item = task.index,
                        .node = task.node,
                        .lease = in_flight->call.lease};
    in_flight->writer_kind = static_cast<ObjectKind>(message.numbers[2]);
    in_flight->writer = in_flight->call.is_source && in_flight->writer_kind == ObjectKind::kList
                            ? transfers_.StartSource(origin, in_flight->call.yielded)
                            : transfers_.StartWriter(in_flight->writer_kind, origin);
    writers_[in_flight->writer] = in_flight->call.lease;
  }
  wants_.push_back(
      Want{.lease = message.numbers[0], .runner = runner->number, .bytes = message.numbers[1]});
}

void Dispatcher::GrantWants() {
  while (!wants_.empty()) {
    const Want& want = wants_.front();
    Runner* runner = FindRunner(want.runner);
    InFlight* in_flight = runner == nullptr ? nullptr : Find(want.lease, runner);
    if (in_flight != nullptr) {
      const bool idle = budget_left_ == options_.result_bytes_max;
      if (want.bytes > budget_left_ && !idle) return;
      const uint64_t taken = std::min(want.bytes, budget_left_);
      budget_left_ -= taken;
      in_flight->budget += taken;
      in_flight->may_send += want.bytes;
      AppendGrant(want.lease, want.bytes, runner->process->outgoing());
    }
    wants_.pop_front();
  }
}

absl::Status Dispatcher::OnChunk(Runner* runner, const RunnerMessage& message) {
  InFlight* in_flight = Find(message.numbers[0], runner);
  if (in_flight == nullptr || in_flight->writer == 0) return absl::OkStatus();
  if (message.texts[0].size() > in_flight->may_send) {
    return absl::InvalidArgumentError(absl::StrCat("a chunk of ", message.texts[0].size(),
                                                   " bytes, granted are ", in_flight->may_send));
  }
  in_flight->may_send -= message.texts[0].size();
  in_flight->elements += message.numbers[1];
  transfers_.Append(in_flight->writer, std::string(message.texts[0]), message.numbers[1],
                    (message.numbers[2] & kContinued) != 0, (message.numbers[2] & kFlush) != 0);
  if (in_flight->call.is_source && in_flight->elements >= in_flight->credit &&
      !in_flight->timed_out && !in_flight->cancelled && !in_flight->paused.has_value()) {
    in_flight->paused = in_flight->deadline - now_;
    in_flight->deadline = absl::InfiniteFuture();
  }
  return absl::OkStatus();
}

void Dispatcher::HandleCredit(uint64_t lease, uint64_t elements) {
  const auto found = calls_.find(lease);
  if (found == calls_.end() || elements <= found->second->credit) return;
  InFlight* in_flight = found->second.get();
  in_flight->credit = elements;
  if (in_flight->runner == nullptr || in_flight->closing.has_value()) return;
  AppendCredit(lease, elements, in_flight->runner->process->outgoing());
  if (in_flight->paused.has_value() && !in_flight->cancelled) {
    in_flight->deadline = now_ + *in_flight->paused;
    in_flight->paused.reset();
    NextDeadline(in_flight->deadline);
  }
}

void Dispatcher::OnAppended(uint32_t writer, uint64_t bytes) {
  Post([this, writer, bytes] {
    const auto found = writers_.find(writer);
    if (found == writers_.end()) return;
    InFlight* in_flight = calls_.at(found->second).get();
    const uint64_t released = std::min(bytes, in_flight->budget);
    in_flight->budget -= released;
    budget_left_ += released;
  });
}

void Dispatcher::OnFlushed(uint32_t writer, const ValueWriter::Written& written, uint64_t hash) {
  Post([this, writer, written, hash] {
    const auto found = writers_.find(writer);
    if (found == writers_.end()) return;
    calls_.at(found->second)->progressed = true;
    events_->OnProgress(found->second, written.address,
                        {.elements = written.elements, .hash = hash});
  });
}

void Dispatcher::OnClosed(uint32_t writer, absl::StatusOr<ValueWriter::Written> written) {
  Post([this, writer, written = std::move(written)]() mutable {
    HandleClosed(writer, std::move(written));
  });
}

void Dispatcher::HandleClosed(uint32_t writer, absl::StatusOr<ValueWriter::Written> written) {
  const auto found = writers_.find(writer);
  if (found == writers_.end()) return;
  InFlight* in_flight = calls_.at(found->second).get();
  CallResult result;
  if (in_flight->closing.has_value()) result = *std::move(in_flight->closing);
  if (written.ok()) {
    if (result.kind == CallResult::Kind::kSucceeded) {
      result.stored = true;
      result.address = written->address;
      result.elements = written->elements;
    }
  } else if (result.kind != CallResult::Kind::kSucceeded) {
    // It had failed, or was given back, before: that is what is to be told.
  } else if (absl::IsUnavailable(written.status()) || absl::IsCancelled(written.status())) {
    result.kind = CallResult::Kind::kGivenBack;
    result.error.message = std::string(written.status().message());
  } else {
    result.kind = CallResult::Kind::kFailed;
    result.error = ErrorOf(in_flight->call, written.status());
  }
  Complete(in_flight, std::move(result));
}

// --- The end of a call

// The runner's word on a call. If it streamed a value, the bucket has the last one.
void Dispatcher::Answer(InFlight* in_flight, CallResult result) {
  if (in_flight->closing.has_value()) return;
  if (in_flight->timed_out) {
    FailTimedOut(in_flight, std::move(result.error.traceback));
    return;
  }
  if (in_flight->writer != 0 &&
      (result.kind == CallResult::Kind::kSucceeded || in_flight->progressed)) {
    // What the hub may already have given to others stays readable.
    transfers_.Finish(in_flight->writer, result.kind == CallResult::Kind::kSucceeded);
    DropReaders(in_flight);
    in_flight->deadline = absl::InfiniteFuture();
    result.value_kind = in_flight->writer_kind;
    in_flight->closing = std::move(result);
    return;
  }
  if (result.kind == CallResult::Kind::kSucceeded) {
    if (const absl::Status same = CheckYielded(in_flight->call, result.data); !same.ok()) {
      result = CallResult{.kind = CallResult::Kind::kFailed, .run_time = result.run_time};
      result.error = ErrorOf(in_flight->call, same);
    }
  }
  Complete(in_flight, std::move(result));
}

void Dispatcher::Complete(InFlight* in_flight, CallResult result) {
  result.lease = in_flight->call.lease;
  if (in_flight->printed) result.output = output_.Take(result.lease);
  done_.push_back(std::move(result));
  Release(in_flight);
  calls_.erase(done_.back().lease);
}

// Gives up what the call holds: its place in a runner, its transfers, its part of the budget.
void Dispatcher::Release(InFlight* in_flight) {
  DropReaders(in_flight);
  if (in_flight->writer != 0) {
    writers_.erase(in_flight->writer);
    // Neither does anything to an object that is finished.
    if (in_flight->progressed) {
      transfers_.Finish(in_flight->writer, /*whole=*/false);  // Others may be reading it.
    } else {
      transfers_.Abort(in_flight->writer);
    }
    if (in_flight->runner != nullptr) {
      AppendDropResult(in_flight->call.lease, in_flight->runner->process->outgoing());
    }
  }
  in_flight->writer = 0;
  budget_left_ += std::exchange(in_flight->budget, 0);
  Runner* runner = std::exchange(in_flight->runner, nullptr);
  if (runner == nullptr) return;
  --runner->calls;
  if (runner->blocker == in_flight->call.lease) runner->blocker = 0;
  if (runner->calls > 0) return;
  if (runner->retiring) {
    dying_.push_back(runner->number);
  } else if (runner->role == Role::kIsolated && !runner->stopping) {
    runner->stopping = true;
    runner->deadline = now_ + options_.stuck_after;
    NextDeadline(runner->deadline);
    AppendStop(runner->process->outgoing());
  }
}

void Dispatcher::DropReaders(InFlight* in_flight) {
  for (const uint32_t reader : in_flight->readers) {
    const auto found = readers_.find(reader);
    if (found == readers_.end()) continue;
    counted_readers_ -= found->second.counted;
    readers_.erase(found);
    transfers_.DropReader(reader);
    if (in_flight->runner != nullptr) {
      AppendInputChunk(reader, StreamEnd::kBroken, "", in_flight->runner->process->outgoing());
    }
  }
  in_flight->readers.clear();
}

Dispatcher::InFlight* Dispatcher::Find(uint64_t lease, const Runner* runner) {
  const auto found = calls_.find(lease);
  if (found == calls_.end() || found->second->runner != runner) return nullptr;
  return found->second.get();
}

}  // namespace bue::worker
