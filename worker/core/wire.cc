#include "worker/core/wire.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"

namespace bue::worker {
namespace {

template <typename T, typename Repeated>
std::vector<T> Column(const Repeated& repeated) {
  return std::vector<T>(repeated.begin(), repeated.end());
}

// Proto strings must be UTF-8; exception texts need not be.
std::string Utf8(const std::string& text) {
  std::string clean;
  clean.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    const size_t length = c < 0x80                ? 1
                          : c >= 0xc2 && c < 0xe0 ? 2
                          : (c & 0xf0) == 0xe0    ? 3
                          : c >= 0xf0 && c < 0xf5 ? 4
                                                  : 0;
    bool valid = length > 0 && i + length <= text.size();
    for (size_t k = 1; valid && k < length; ++k) {
      valid = (static_cast<unsigned char>(text[i + k]) & 0xc0) == 0x80;
    }
    if (valid && length == 3) {
      const unsigned char second = static_cast<unsigned char>(text[i + 1]);
      valid = !(c == 0xe0 && second < 0xa0) && !(c == 0xed && second >= 0xa0);
    }
    if (valid && length == 4) {
      const unsigned char second = static_cast<unsigned char>(text[i + 1]);
      valid = !(c == 0xf0 && second < 0x90) && !(c == 0xf4 && second >= 0x90);
    }
    if (valid) {
      clean.append(text, i, length);
      i += length;
    } else {
      clean.append("\xef\xbf\xbd");
      ++i;
    }
  }
  return clean;
}

absl::StatusOr<Pool> FromProto(v1::Pool pool) {
  switch (pool) {
    case v1::POOL_ASYNC:
      return Pool::kAsync;
    case v1::POOL_THREAD:
      return Pool::kThread;
    case v1::POOL_PROCESS:
      return Pool::kProcess;
    case v1::POOL_SQL:
      return Pool::kSql;
    default:
      return absl::InvalidArgumentError(absl::StrCat("grant: unknown pool ", int{pool}));
  }
}

absl::Status CheckLength(const char* column, size_t length, size_t tasks, bool one_for_all) {
  if (length == tasks || (one_for_all && length == 1)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("grant of ", tasks, " tasks: column ", column, " has ", length, " entries"));
}

absl::StatusOr<InputColumn> FromProto(const v1::InputColumn& proto, size_t tasks) {
  InputColumn column;
  column.address = Column<uint64_t>(proto.address());
  column.first = Column<uint64_t>(proto.first());
  column.count = Column<uint32_t>(proto.count());
  column.instance = Column<uint64_t>(proto.instance());
  column.node = proto.node();
  if (!column.count.empty())
    RETURN_IF_ERROR(CheckLength("count", column.count.size(), tasks, false));
  switch (proto.kind()) {
    case v1::InputColumn::VALUES:
      column.kind = InputColumn::Kind::kValues;
      RETURN_IF_ERROR(CheckLength("address", column.address.size(), tasks, true));
      return column;
    case v1::InputColumn::ELEMENTS:
      column.kind = InputColumn::Kind::kElements;
      RETURN_IF_ERROR(CheckLength("address", column.address.size(), tasks, true));
      RETURN_IF_ERROR(CheckLength("first", column.first.size(), tasks, false));
      return column;
    case v1::InputColumn::RANGE:
      column.kind = InputColumn::Kind::kRange;
      RETURN_IF_ERROR(CheckLength("first", column.first.size(), tasks, false));
      return column;
    case v1::InputColumn::FAN_IN:
      column.kind = InputColumn::Kind::kFanIn;
      RETURN_IF_ERROR(CheckLength("instance", column.instance.size(), tasks, true));
      return column;
    default:
      return absl::InvalidArgumentError(absl::StrCat("grant: unknown input ", int{proto.kind()}));
  }
}

v1::Outcome::Kind ToProto(Outcome::Kind kind) {
  switch (kind) {
    case Outcome::Kind::kFailed:
      return v1::Outcome::FAILED;
    case Outcome::Kind::kPending:
      return v1::Outcome::PENDING;
    case Outcome::Kind::kReset:
      return v1::Outcome::RESET;
    case Outcome::Kind::kCancel:
      return v1::Outcome::CANCEL;
    case Outcome::Kind::kGivenBack:
      return v1::Outcome::GIVEN_BACK;
    case Outcome::Kind::kInputGone:
      return v1::Outcome::INPUT_GONE;
    case Outcome::Kind::kSucceeded:
      return v1::Outcome::SUCCEEDED;
  }
  CHECK(false);
}

void ToProto(const SucceededColumns& columns, v1::Succeeded* out) {
  out->mutable_lease()->Add(columns.lease.begin(), columns.lease.end());
  out->mutable_address()->Add(columns.address.begin(), columns.address.end());
  out->mutable_elements()->Add(columns.elements.begin(), columns.elements.end());
  out->mutable_run_us()->Add(columns.run_us.begin(), columns.run_us.end());
}

}  // namespace

absl::StatusOr<GrantGroup> FromProto(const v1::GrantGroup& proto) {
  GrantGroup group;
  group.run = proto.run();
  group.node = proto.node();
  group.step = proto.step();
  group.instance = proto.instance();
  ASSIGN_OR_RETURN(group.pool, FromProto(proto.pool()));
  group.lease = Column<uint64_t>(proto.lease());
  group.item = Column<uint64_t>(proto.item());
  group.attempt = Column<uint32_t>(proto.attempt());
  group.pass = Column<uint32_t>(proto.pass());
  group.handbacks = Column<uint32_t>(proto.handbacks());
  group.item_prefix = proto.item_prefix();
  group.is_source = proto.is_source();
  group.source_credit = proto.source_credit();
  group.yielded = {.elements = proto.yielded(), .hash = proto.yielded_hash()};
  const size_t tasks = group.lease.size();
  RETURN_IF_ERROR(CheckLength("item", group.item.size(), tasks, false));
  if (!group.attempt.empty())
    RETURN_IF_ERROR(CheckLength("attempt", group.attempt.size(), tasks, false));
  if (!group.pass.empty()) RETURN_IF_ERROR(CheckLength("pass", group.pass.size(), tasks, false));
  if (!group.handbacks.empty())
    RETURN_IF_ERROR(CheckLength("handbacks", group.handbacks.size(), tasks, false));
  for (const v1::InputColumn& input : proto.inputs()) {
    ASSIGN_OR_RETURN(InputColumn column, FromProto(input, tasks));
    group.inputs.push_back(std::move(column));
  }
  group.tells_start = proto.tells_start();
  group.by = Column<uint64_t>(proto.by());
  if (tasks == 0 ? !group.by.empty() : group.by.size() % tasks != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("grant of ", tasks, " tasks: column by has ", group.by.size(), " entries"));
  }
  return group;
}

absl::StatusOr<GrantGroup> OfferFromProto(const v1::GrantGroup& proto) {
  ASSIGN_OR_RETURN(GrantGroup group, FromProto(proto));
  group.after = proto.after();
  if (group.after == 0 || group.lease.size() != 1 || group.inputs.empty()) {
    return absl::InvalidArgumentError("offer: not of one task that takes another's value");
  }
  for (const InputColumn& input : group.inputs) {
    if (input.kind == InputColumn::Kind::kValues) continue;
    return absl::InvalidArgumentError("offer: of a task that takes more than a value");
  }
  return group;
}

absl::StatusOr<HashRequest> FromProto(const v1::HashRequest& proto) {
  ASSIGN_OR_RETURN(InputColumn values, FromProto(proto.values(), proto.count()));
  return HashRequest{.id = proto.id(), .values = std::move(values), .count = proto.count()};
}

void ToProto(const HashReply& reply, v1::HashReply* out) {
  out->set_id(reply.id);
  out->mutable_hashes()->Add(reply.hashes.begin(), reply.hashes.end());
}

v1::Pool ToProto(Pool pool) {
  switch (pool) {
    case Pool::kAsync:
      return v1::POOL_ASYNC;
    case Pool::kThread:
      return v1::POOL_THREAD;
    case Pool::kProcess:
      return v1::POOL_PROCESS;
    case Pool::kSql:
      return v1::POOL_SQL;
  }
  CHECK(false);
}

void ToProto(const HeldLease& held, v1::HeldLease* out) {
  out->set_lease(held.lease);
  out->set_run(held.run);
  out->set_instance(held.instance);
  out->set_item(held.item);
  out->set_node(held.node);
  out->set_pass(held.pass);
  out->set_attempt(held.attempt);
  out->set_handbacks(held.handbacks);
  out->set_elapsed_ms(held.elapsed_ms);
  out->set_pool(ToProto(held.pool));
  out->mutable_by()->Add(held.by.begin(), held.by.end());
  out->set_not_started(held.not_started);
  out->set_started_ago_ms(held.started_ago_ms);
  out->set_after(held.after);
  out->set_input(held.input);
}

void ToProto(const Ghost& ghost, v1::Ghost* out) {
  out->set_lease(ghost.lease);
  out->set_run(ghost.run);
  out->set_node(ghost.node);
  out->mutable_by()->Add(ghost.by.begin(), ghost.by.end());
}

void ToProto(const CallError& error, v1::ErrorInfo* out) {
  out->set_action(error.action);
  out->set_type(Utf8(error.type));
  out->set_message(Utf8(error.message));
  out->set_traceback(Utf8(error.traceback));
}

void ToProto(const Outcome& outcome, v1::Outcome* out) {
  out->set_lease(outcome.lease);
  out->set_kind(ToProto(outcome.kind));
  if (!outcome.error.action.empty()) ToProto(outcome.error, out->mutable_error());
  out->set_output(outcome.output);
  out->set_run_us(outcome.run_us);
  out->set_address(outcome.address);
  out->set_elements(outcome.elements);
  out->set_gone(outcome.gone);
  out->set_store_gone(outcome.store_gone);
  if (!outcome.item_id.empty()) out->set_item_id(Utf8(outcome.item_id));
  out->set_total(outcome.total);
  out->set_goes_on(outcome.goes_on);
}

void ToProto(const Session::Message& message, v1::FromWorker* out) {
  for (const Room& room : message.rooms) {
    v1::Room* proto = out->add_room();
    proto->set_pool(ToProto(room.pool));
    proto->set_leases(room.leases);
    proto->set_slots(room.slots);
  }
  if (message.report != nullptr) {
    out->set_report(message.report->number);
    if (!message.report->succeeded.lease.empty()) {
      ToProto(message.report->succeeded, out->mutable_succeeded());
    }
    for (const Outcome& outcome : message.report->outcomes) ToProto(outcome, out->add_outcomes());
    for (const HeldLease& held : message.report->eager) ToProto(held, out->add_eager());
  }
  for (const Progress& progress : message.progress) {
    v1::Progress* proto = out->add_progress();
    proto->set_lease(progress.lease);
    proto->set_address(progress.address);
    proto->set_elements(progress.elements);
    proto->set_hash(progress.hash);
  }
  for (const LearnedMode& learned : message.learned) {
    v1::LearnedMode* proto = out->add_learned();
    proto->set_run(learned.run);
    proto->set_step(learned.step);
    proto->set_pool(ToProto(learned.pool));
  }
  for (const Started& started : message.started) {
    v1::Started* proto = out->add_started();
    proto->set_lease(started.lease);
    proto->set_elapsed_ms(started.elapsed_ms);
  }
  out->mutable_starting()->Add(message.starting.begin(), message.starting.end());
  if (message.ghosts.has_value()) out->set_ghosts(*message.ghosts);
  out->mutable_over()->Add(message.over.begin(), message.over.end());
  for (const StepError& error : message.errors) {
    v1::StepError* proto = out->add_errors();
    proto->set_run(error.run);
    proto->set_step(error.step);
    ToProto(error.error, proto->mutable_error());
  }
  out->set_goodbye(message.goodbye);
}

}  // namespace bue::worker
