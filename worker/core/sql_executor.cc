#include "worker/core/sql_executor.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/status_macros.h"
#include "worker/core/elements.h"
#include "worker/core/input_streams.h"
#include "worker/core/list_writer.h"

namespace bue::worker {
namespace {

constexpr absl::Duration kLong = absl::Seconds(1);  // Calls that run for less are not told of.

// An error of a call: what was being done, and what went wrong.
constexpr char kActionPayload[] = "bue.action";

absl::Status During(absl::string_view action, absl::Status status) {
  if (!status.ok()) status.SetPayload(kActionPayload, absl::Cord(action));
  return status;
}

void Fail(const absl::Status& status, CallResult* result) {
  if (absl::IsCancelled(status)) {
    result->kind = CallResult::Kind::kGivenBack;
    return;
  }
  const absl::optional<absl::Cord> action = status.GetPayload(kActionPayload);
  result->kind = CallResult::Kind::kFailed;
  result->error.action = action.has_value() ? std::string(*action) : "run";
  if (result->error.action == "input" && MeansGone(status)) {
    result->kind = CallResult::Kind::kInputGone;
  }
  if (result->error.action == "store" && absl::IsUnavailable(status)) {
    result->kind = CallResult::Kind::kGivenBack;  // The bucket went away: not the step's fault.
  }
  if (absl::IsDeadlineExceeded(status)) result->error.action = "timeout";
  result->error.message = std::string(status.message());
}

Origin OriginOf(const Call& call) {
  return {.run = call.task.run,
          .instance = call.task.instance,
          .item = call.task.index,
          .node = call.task.node,
          .lease = call.lease};
}

// Calls `each` with every piece of an input's bytes.
template <typename Each>
absl::Status ForEachPiece(const CallInput& input, const std::atomic<bool>& cancelled,
                          const Each& each) {
  if (input.data != nullptr) return each(absl::string_view(*input.data));
  absl::StatusOr<std::unique_ptr<InputStream>> stream = input.open();
  if (!stream.ok()) return During("input", stream.status());
  while (true) {
    if (cancelled) return absl::CancelledError("cancelled");
    absl::StatusOr<std::optional<std::string>> piece = (*stream)->Next();
    if (!piece.ok()) return During("input", piece.status());
    if (!piece->has_value()) return absl::OkStatus();
    RETURN_IF_ERROR(each(absl::string_view(**piece)));
  }
}

absl::StatusOr<std::string> Gather(const CallInput& input, const std::atomic<bool>& cancelled,
                                   uint64_t bytes_max) {
  std::string all;
  RETURN_IF_ERROR(ForEachPiece(input, cancelled, [&](absl::string_view piece) {
    if (all.size() + piece.size() > bytes_max) {
      return During("input", absl::ResourceExhaustedError(
                                 absl::StrCat("an input of an SQL step has more than ", bytes_max,
                                              " bytes; SQL steps hold their inputs in memory")));
    }
    all.append(piece.data(), piece.size());
    return absl::OkStatus();
  }));
  if (input.kind == ObjectKind::kBytes) return absl::StrCat(BinHeader(all.size()), all);
  return all;
}

absl::Status NotAList(const Call& call, absl::string_view type) {
  return absl::InvalidArgumentError(absl::StrCat(
      "step '", call.step->step.name, "': a loop goes over a list, but this is of type ", type));
}

// Takes a list's elements from pieces of an input: as they are, or behind an array's header.
class ElementBytes {
 public:
  ElementBytes(const Call& call, const CallInput& input) : call_(call), input_(input) {}

  // The part of `piece` that is elements.
  absl::StatusOr<absl::string_view> Take(absl::string_view piece) {
    if (input_.kind == ObjectKind::kList || opened_) return piece;
    if (input_.kind == ObjectKind::kBytes) return NotAList(call_, "bytes");
    head_.append(piece.data(), piece.size());
    const std::optional<ArrayStart> start = ParseArrayStart(head_);
    if (!start.has_value()) {
      if (TypeName(head_) == "list" && head_.size() < 5) return absl::string_view();
      return NotAList(call_, TypeName(head_));
    }
    opened_ = true;
    return absl::string_view(head_).substr(start->header_bytes);
  }

  // After the last piece.
  absl::Status Finish() const {
    if (input_.kind == ObjectKind::kList || opened_) return absl::OkStatus();
    return NotAList(call_, TypeName(head_));
  }

 private:
  const Call& call_;
  const CallInput& input_;
  std::string head_;
  bool opened_ = false;
};

}  // namespace

SqlExecutor::SqlExecutor(const SqlExecutorOptions& options, ExecutorEvents* events,
                         BucketClient* bucket)
    : options_(options),
      events_(events),
      bucket_(bucket),
      postgres_(options.postgres),
      storers_(options.threads),
      threads_(options.threads) {}

SqlExecutor::~SqlExecutor() { Stop(absl::ZeroDuration()); }

void SqlExecutor::Start(std::vector<Call> calls) {
  for (Call& call : calls) {
    auto cancelled = std::make_shared<std::atomic<bool>>(false);
    {
      absl::MutexLock lock(&mutex_);
      running_[call.lease] = {.cancelled = cancelled};
    }
    threads_.Post([this, call = std::move(call), cancelled] { Run(call, cancelled); });
  }
}

void SqlExecutor::Cancel(uint64_t lease) {
  absl::MutexLock lock(&mutex_);
  const auto found = running_.find(lease);
  if (found != running_.end()) *found->second.cancelled = true;
}

void SqlExecutor::LookOver() {
  std::vector<StartedCall> started;
  uint32_t ghosts = 0;
  {
    absl::MutexLock lock(&mutex_);
    const absl::Time before = Clock::Real()->Now() - kLong;
    for (auto& [lease, running] : running_) {
      if (running.started <= before && *running.cancelled) ++ghosts;
      if (running.told_started || running.started > before) continue;
      running.told_started = true;
      started.push_back({.lease = lease, .started = running.started});
    }
  }
  ghosts_ = ghosts;
  if (!started.empty()) events_->OnStarted(std::move(started));
}

void SqlExecutor::ForgetRun(uint64_t run) {
  absl::MutexLock lock(&mutex_);
  code_.erase(code_.lower_bound({run, 0}), code_.upper_bound({run, UINT32_MAX}));
}

void SqlExecutor::Stop(absl::Duration) {
  {
    absl::MutexLock lock(&mutex_);
    for (auto& [lease, running] : running_) *running.cancelled = true;
  }
  // Statements look at their flag every few milliseconds.
  threads_.Stop();
  storers_.Finish();
}

void SqlExecutor::Run(const Call& call, const Flag& cancelled) {
  CallResult result{.lease = call.lease};
  const absl::Time start = Clock::Real()->Now();
  {
    absl::MutexLock lock(&mutex_);
    running_[call.lease].started = start;
  }
  if (call.tells_start) events_->OnStarting({call.lease});
  SqlResult rows;
  const absl::Status status = call.step->step.language == Language::kList
                                  ? RunList(call, *cancelled, &result)
                                  : RunSql(call, *cancelled, &result, &rows);
  result.run_time = Clock::Real()->Now() - start;
  if (rows.value.empty()) {
    Answer(status, std::move(result));
  } else {
    Store(OriginOf(call), std::move(rows), std::move(result));
  }
}

void SqlExecutor::Answer(const absl::Status& status, CallResult result) {
  if (!status.ok()) Fail(status, &result);
  {
    absl::MutexLock lock(&mutex_);
    running_.erase(result.lease);
  }
  std::vector<CallResult> results;
  results.push_back(std::move(result));
  events_->OnDone(std::move(results));
}

// Results are in memory until they are stored: with as many under way as there are slots, the next
// one holds its slot.
void SqlExecutor::Store(const Origin& origin, SqlResult rows, CallResult result) {
  bool aside = false;
  {
    absl::MutexLock lock(&mutex_);
    aside = storing_ < options_.threads;
    if (aside) ++storing_;
  }
  if (!aside) {
    const absl::Status status = StoreRows(origin, rows, &result);
    return Answer(status, std::move(result));
  }
  events_->OnStoring(result.lease);
  storers_.Post([this, origin, rows = std::move(rows), result = std::move(result)]() mutable {
    const absl::Status status = StoreRows(origin, rows, &result);
    {
      absl::MutexLock lock(&mutex_);
      --storing_;
    }
    Answer(status, std::move(result));
  });
}

absl::Status SqlExecutor::RunSql(const Call& call, const std::atomic<bool>& cancelled,
                                 CallResult* result, SqlResult* large) {
  const Step& step = call.step->step;
  SqlCall sql{.table = step.relation,
              .placeholders = {{"scope", step.scope},
                               {"priority", absl::StrCat(step.priority)},
                               {"timeout", step.timeout_text},
                               {"retries", absl::StrCat(step.retries)}},
              .deadline = Clock::Real()->Now() + absl::Seconds(step.timeout_s),
              .cancelled = &cancelled};
  absl::StatusOr<std::shared_ptr<const std::string>> code = CodeOf(*call.step);
  if (!code.ok()) return During("load", code.status());
  sql.code = **code;
  std::vector<std::string> gathered;
  gathered.reserve(call.inputs.size());
  uint64_t bytes_left = options_.input_bytes_max;
  for (const CallInput& input : call.inputs) {
    const bool in_place = input.data != nullptr && input.kind != ObjectKind::kBytes;
    if (!in_place) {
      ASSIGN_OR_RETURN(std::string bytes, Gather(input, cancelled, bytes_left));
      bytes_left -= bytes.size();
      gathered.push_back(std::move(bytes));
    }
    sql.inputs.push_back({.value = in_place ? *input.data : gathered.back(),
                          .is_list = input.kind == ObjectKind::kList});
  }
  absl::StatusOr<SqlResult> rows =
      step.language == Language::kPostgres ? postgres_.Run(sql) : RunSqlite(sql);
  if (!rows.ok()) return rows.status();
  if (call.is_source && !rows->is_list) return NotAList(call, "dict");
  result->value_kind = rows->is_list ? ObjectKind::kList : ObjectKind::kValue;
  result->elements = rows->elements;
  if (rows->value.size() <= kSmallValueBytes) {
    result->data = std::move(rows->value);
  } else {
    *large = *std::move(rows);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const std::string>> SqlExecutor::CodeOf(const LoadedStep& step) {
  if (step.path.empty()) return std::make_shared<const std::string>(step.step.code);
  {
    absl::MutexLock lock(&mutex_);
    const auto found = code_.find({step.run, step.index});
    if (found != code_.end()) return found->second;
  }
  const std::string path = absl::StrCat(step.files_dir, "/", step.path);
  std::ifstream file(path, std::ios::binary);
  auto code = std::make_shared<const std::string>(std::istreambuf_iterator<char>(file),
                                                  std::istreambuf_iterator<char>());
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  absl::MutexLock lock(&mutex_);
  code_[{step.run, step.index}] = code;
  return code;
}

absl::Status SqlExecutor::StoreRows(const Origin& origin, const SqlResult& rows,
                                    CallResult* result) {
  const auto store = [&]() -> absl::StatusOr<ValueWriter::Written> {
    ASSIGN_OR_RETURN(std::unique_ptr<ValueWriter> writer,
                     bucket_->OpenWriter(result->value_kind, origin));
    absl::string_view rest = rows.value;
    for (const RowsPart& part : rows.parts) {
      RETURN_IF_ERROR(writer->Append(rest.substr(0, part.bytes), part.rows, false));
      rest.remove_prefix(part.bytes);
    }
    for (bool first = true; !rest.empty(); first = false) {
      RETURN_IF_ERROR(writer->Append(rest.substr(0, kChunkBytesMax), 0, !first));
      rest.remove_prefix(std::min<size_t>(rest.size(), kChunkBytesMax));
    }
    return writer->Finish();
  };
  absl::StatusOr<ValueWriter::Written> written = store();
  if (!written.ok()) return During("store", written.status());
  result->stored = true;
  result->address = written->address;
  return absl::OkStatus();
}

absl::Status SqlExecutor::RunList(const Call& call, const std::atomic<bool>& cancelled,
                                  CallResult* result) {
  if (call.inputs.size() != 1) return absl::InternalError("a list step has one input");
  const CallInput& input = call.inputs[0];
  result->value_kind = ObjectKind::kList;
  ElementBytes elements(call, input);
  if (input.data != nullptr) {
    ASSIGN_OR_RETURN(const absl::string_view bytes, elements.Take(*input.data));
    RETURN_IF_ERROR(elements.Finish());
    std::vector<size_t> ends;
    RETURN_IF_ERROR(ElementScanner().Scan(bytes, &ends));
    result->data = std::string(bytes);
    result->elements = ends.size();
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<ValueWriter>> writer =
      bucket_->OpenWriter(ObjectKind::kList, OriginOf(call));
  if (!writer.ok()) return During("store", writer.status());
  ListWriter list(*std::move(writer));
  RETURN_IF_ERROR(ForEachPiece(input, cancelled, [&](absl::string_view piece) -> absl::Status {
    ASSIGN_OR_RETURN(const absl::string_view bytes, elements.Take(piece));
    return During("store", list.Append(bytes));
  }));
  RETURN_IF_ERROR(elements.Finish());
  absl::StatusOr<ValueWriter::Written> written = list.Finish();
  if (!written.ok()) return During("store", written.status());
  result->stored = true;
  result->address = written->address;
  result->elements = written->elements;
  return absl::OkStatus();
}

}  // namespace bue::worker
