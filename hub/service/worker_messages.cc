#include "hub/service/worker_messages.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/program/program_codec.h"
#include "common/status_macros.h"

namespace bue::hub {
namespace {

constexpr uint64_t kElapsedMsMax = uint64_t{30} * 86400 * 1000;  // No attempt lasts longer.

absl::Status Senseless(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("a worker's message makes no sense: ", what));
}

absl::Status CheckName(absl::string_view what, const std::string& name,
                       const WorkerLimits& limits) {
  if (name.size() <= limits.name_bytes_max) return absl::OkStatus();
  return Senseless(
      absl::StrCat("a ", what, " of ", name.size(), " bytes, allowed are ", limits.name_bytes_max));
}

absl::StatusOr<Pool> ToPool(v1::Pool pool) {
  if (pool < v1::POOL_ASYNC || pool > v1::POOL_SQL) {
    return Senseless(absl::StrCat("unknown pool ", pool));
  }
  return static_cast<Pool>(pool);
}

// The first `bytes` of `text`, without half a character at the end.
std::string Clip(const std::string& text, size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<uint8_t>(text[bytes]) & 0xc0) == 0x80) --bytes;
  return absl::StrCat(text.substr(0, bytes), "…");
}

absl::Duration Elapsed(uint64_t ms) { return absl::Milliseconds(std::min(ms, kElapsedMsMax)); }

absl::StatusOr<Outcome::Kind> ToKind(v1::Outcome::Kind kind) {
  switch (kind) {
    case v1::Outcome::FAILED:
      return Outcome::Kind::kFailed;
    case v1::Outcome::PENDING:
      return Outcome::Kind::kPending;
    case v1::Outcome::RESET:
      return Outcome::Kind::kReset;
    case v1::Outcome::CANCEL:
      return Outcome::Kind::kCancel;
    case v1::Outcome::GIVEN_BACK:
      return Outcome::Kind::kGivenBack;
    case v1::Outcome::INPUT_GONE:
      return Outcome::Kind::kInputGone;
    case v1::Outcome::SUCCEEDED:
      return Outcome::Kind::kSucceeded;
    default:
      return Senseless(absl::StrCat("unknown kind of outcome ", kind));
  }
}

std::unique_ptr<TaskError> ToError(const v1::ErrorInfo& error, const WorkerLimits& limits) {
  auto out = std::make_unique<TaskError>();
  out->action = Clip(error.action(), limits.name_bytes_max);
  out->type = Clip(error.type(), limits.name_bytes_max);
  out->message = Clip(error.message(), limits.message_bytes_max);
  out->traceback = Clip(error.traceback(), limits.traceback_bytes_max);
  return out;
}

absl::Status CheckElements(uint64_t elements, const WorkerLimits& limits) {
  if (elements <= limits.elements_max) return absl::OkStatus();
  return Senseless(
      absl::StrCat("a list of ", elements, " elements, allowed are ", limits.elements_max));
}

absl::Status AddSuccesses(const v1::Succeeded& from, const WorkerLimits& limits,
                          std::vector<Outcome>* out) {
  const int size = from.lease_size();
  if (from.address_size() != size || from.elements_size() != size || from.run_us_size() != size) {
    return Senseless("columns of unequal length");
  }
  for (int i = 0; i < size; ++i) {
    RETURN_IF_ERROR(CheckElements(from.elements(i), limits));
    out->push_back({.lease = from.lease(i),
                    .kind = Outcome::Kind::kSucceeded,
                    .address = from.address(i),
                    .elements = from.elements(i),
                    .run_us = from.run_us(i)});
  }
  return absl::OkStatus();
}

absl::Status AddOutcome(const v1::Outcome& from, const WorkerLimits& limits,
                        std::vector<Outcome>* out) {
  ASSIGN_OR_RETURN(const Outcome::Kind kind, ToKind(from.kind()));
  RETURN_IF_ERROR(CheckElements(from.elements(), limits));
  Outcome outcome{.lease = from.lease(),
                  .kind = kind,
                  .address = kind == Outcome::Kind::kInputGone ? from.gone() : from.address(),
                  .elements = from.elements(),
                  .output = from.output(),
                  .run_us = from.run_us(),
                  .store_gone = from.store_gone(),
                  .goes_on = from.goes_on()};
  if (kind == Outcome::Kind::kFailed || kind == Outcome::Kind::kInputGone) {
    outcome.error = ToError(from.error(), limits);
  }
  if (!from.item_id().empty() || from.total() != 0) {
    outcome.extra = std::make_unique<ResultExtra>(
        ResultExtra{.id = Clip(from.item_id(), limits.id_bytes_max), .total = from.total()});
  }
  out->push_back(std::move(outcome));
  return absl::OkStatus();
}

absl::Status AddHeld(const v1::HeldLease& from, std::vector<HeldLease>* out) {
  ASSIGN_OR_RETURN(const Pool pool, ToPool(from.pool()));
  out->push_back({.lease = from.lease(),
                  .run = from.run(),
                  .instance = from.instance(),
                  .item = from.item(),
                  .node = from.node(),
                  .pass = from.pass(),
                  .attempt = std::max(1u, from.attempt()),
                  .handbacks = from.handbacks(),
                  .elapsed = Elapsed(from.elapsed_ms()),
                  .pool = pool,
                  .by = {from.by().begin(), from.by().end()},
                  .not_started = from.not_started(),
                  .started_ago = Elapsed(from.started_ago_ms()),
                  .after = from.after(),
                  .input = from.input()});
  return absl::OkStatus();
}

template <typename From, typename T>
void CopyColumn(const std::vector<T>& from, From* to) {
  to->Add(from.begin(), from.end());
}

// What all tasks have, mostly, is not said.
template <typename To>
void CopyUnlessAll(uint32_t usual, const std::vector<uint32_t>& from, To* to) {
  const auto is_usual = [usual](uint32_t value) { return value == usual; };
  if (!std::all_of(from.begin(), from.end(), is_usual)) CopyColumn(from, to);
}

void AppendInput(const InputColumn& from, v1::InputColumn* to) {
  to->set_kind(static_cast<v1::InputColumn::Kind>(from.kind));
  CopyColumn(from.address, to->mutable_address());
  CopyColumn(from.first, to->mutable_first());
  CopyColumn(from.count, to->mutable_count());
  CopyColumn(from.instance, to->mutable_instance());
  to->set_node(from.node);
}

}  // namespace

absl::StatusOr<WorkerJoined> ToJoined(const v1::Hello& hello, uint64_t worker,
                                      const WorkerLimits& limits) {
  if (hello.name().empty()) return Senseless("it says no name");
  RETURN_IF_ERROR(CheckName("name", hello.name(), limits));
  RETURN_IF_ERROR(CheckName("host", hello.host(), limits));
  RETURN_IF_ERROR(CheckName("version", hello.version(), limits));
  if (static_cast<size_t>(hello.scopes_size()) > limits.scopes_max) {
    return Senseless(absl::StrCat(hello.scopes_size(), " scopes, allowed are ", limits.scopes_max));
  }
  if (hello.protocol() < v1::PROTOCOL_GHOSTS) {
    return absl::FailedPreconditionError(
        absl::StrCat("the worker is of an older bue (", hello.version(),
                     ") and does not know all that this hub's limits ask of it: start it with the "
                     "hub's version"));
  }
  WorkerJoined joined{.worker = worker,
                      .name = hello.name(),
                      .host = hello.host(),
                      .version = hello.version(),
                      .incarnation = hello.incarnation(),
                      .priority_first = hello.priority_first(),
                      .reverse = hello.reverse()};
  for (const std::string& scope : hello.scopes()) {
    RETURN_IF_ERROR(CheckName("scope", scope, limits));
    joined.scopes.push_back(scope);
  }
  joined.held.reserve(hello.held_size());
  for (const v1::HeldLease& held : hello.held()) RETURN_IF_ERROR(AddHeld(held, &joined.held));
  for (const v1::Ghost& ghost : hello.ghosts()) {
    joined.ghosts.push_back({.lease = ghost.lease(),
                             .run = ghost.run(),
                             .node = ghost.node(),
                             .by = {ghost.by().begin(), ghost.by().end()}});
  }
  return joined;
}

absl::StatusOr<WorkerReported> ToReported(const v1::FromWorker& message, uint64_t worker,
                                          const WorkerLimits& limits) {
  WorkerReported report{.worker = worker, .report = message.report(), .goodbye = message.goodbye()};
  const int outcomes = message.succeeded().lease_size() + message.outcomes_size();
  if (outcomes > 0 && message.report() == 0) return Senseless("outcomes without a report number");
  report.outcomes.reserve(outcomes);
  RETURN_IF_ERROR(AddSuccesses(message.succeeded(), limits, &report.outcomes));
  for (const v1::Outcome& outcome : message.outcomes()) {
    RETURN_IF_ERROR(AddOutcome(outcome, limits, &report.outcomes));
  }
  for (const v1::Room& room : message.room()) {
    ASSIGN_OR_RETURN(const Pool pool, ToPool(room.pool()));
    if (room.leases() > limits.room_max) {
      return Senseless(absl::StrCat("room for ", room.leases(), " leases of a pool, allowed are ",
                                    limits.room_max));
    }
    report.room.push_back({.pool = pool, .room = {.leases = room.leases(), .slots = room.slots()}});
  }
  for (const v1::Progress& progress : message.progress()) {
    RETURN_IF_ERROR(CheckElements(progress.elements(), limits));
    report.progress.push_back({.lease = progress.lease(),
                               .address = progress.address(),
                               .elements = progress.elements(),
                               .hash = progress.hash()});
  }
  for (const v1::LearnedMode& learned : message.learned()) {
    ASSIGN_OR_RETURN(const Pool pool, ToPool(learned.pool()));
    report.learned.push_back({.run = learned.run(), .step = learned.step(), .pool = pool});
  }
  for (const v1::Started& started : message.started()) {
    report.started.push_back({.lease = started.lease(), .elapsed = Elapsed(started.elapsed_ms())});
  }
  report.starting = {message.starting().begin(), message.starting().end()};
  if (message.has_ghosts()) report.ghosts = message.ghosts();
  report.over = {message.over().begin(), message.over().end()};
  for (const v1::HeldLease& held : message.eager()) {
    if (held.after() == 0) return Senseless("it went on by itself after nothing");
    RETURN_IF_ERROR(AddHeld(held, &report.eager));
  }
  for (const v1::HashReply& reply : message.hashes()) {
    report.hashes.push_back(
        {.id = reply.id(), .hashes = {reply.hashes().begin(), reply.hashes().end()}});
  }
  for (const v1::StepError& error : message.errors()) {
    report.errors.push_back(
        {.run = error.run(), .step = error.step(), .error = *ToError(error.error(), limits)});
  }
  return report;
}

size_t CopyGrant(const GrantGroup& group, v1::GrantGroup* to) {
  to->set_run(group.run);
  to->set_node(group.node);
  to->set_step(group.step);
  to->set_instance(group.instance);
  to->set_pool(ToProto(group.pool));
  CopyColumn(group.lease, to->mutable_lease());
  CopyColumn(group.item, to->mutable_item());
  CopyUnlessAll(1, group.attempt, to->mutable_attempt());
  CopyUnlessAll(0, group.pass, to->mutable_pass());
  CopyUnlessAll(0, group.handbacks, to->mutable_handbacks());
  for (const InputColumn& input : group.inputs) AppendInput(input, to->add_inputs());
  to->set_item_prefix(group.item_prefix);
  to->set_is_source(group.is_source);
  to->set_source_credit(group.source_credit);
  to->set_yielded(group.yielded.elements);
  to->set_yielded_hash(group.yielded.hash);
  CopyColumn(group.by, to->mutable_by());
  to->set_tells_start(group.tells_start);
  to->set_after(group.after);
  return 64 + group.item_prefix.size() + group.lease.size() * (16 + 16 * group.inputs.size()) +
         8 * group.by.size();
}

size_t AppendHashRequest(const HashRequest& request, v1::ToWorker* out) {
  v1::HashRequest* to = out->add_hashes();
  to->set_id(request.id);
  to->set_count(request.count);
  AppendInput(request.values, to->mutable_values());
  return 32 + size_t{16} * request.count;
}

size_t AppendRun(uint64_t run, const Program& program, v1::ToWorker* out) {
  v1::RunInfo* info = out->add_runs();
  info->set_run(run);
  info->set_script(program.script);
  for (const Step& step : program.steps) ToProto(step, info->add_steps());
  for (const File& file : program.files) ToProto(file, info->add_files());
  return info->ByteSizeLong();
}

v1::Pool ToProto(Pool pool) { return static_cast<v1::Pool>(pool); }

}  // namespace bue::hub
