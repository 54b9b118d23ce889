#include "hub/storage/record_codec.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "common/varint.h"
#include "hub/storage/columns.h"

namespace bue::hub {
namespace {

constexpr uint64_t kVersion = 1;
constexpr uint64_t kErrorsVersion = 2;
constexpr uint64_t kErrorsVersionOfInputs = 2;  // From this on records have inputs.
constexpr uint64_t kLastKind = static_cast<uint64_t>(Change::kLastKind);

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("a stored ", what, " is damaged"));
}

// Reads a version from 1 to `latest`.
absl::StatusOr<uint64_t> ReadVersion(absl::string_view what, uint64_t latest,
                                     VarintReader* reader) {
  const uint64_t version = reader->Varint();
  if (!reader->ok()) return Damaged(what);
  if (version >= 1 && version <= latest) return version;
  return absl::DataLossError(absl::StrCat("a stored ", what, " has format ", version,
                                          "; this hub reads ", latest > 1 ? "1 to " : "", latest));
}

absl::Status CheckVersion(absl::string_view what, VarintReader* reader) {
  return ReadVersion(what, kVersion, reader).status();
}

absl::Status CheckEnd(absl::string_view what, const VarintReader& reader) {
  return reader.ok() && reader.AtEnd() ? absl::OkStatus() : Damaged(what);
}

void PutTime(absl::Time time, std::string* out) {
  PutVarint(ZigZag(absl::ToUnixMicros(time)), out);
}
absl::Time ReadTime(VarintReader* reader) { return absl::FromUnixMicros(reader->Signed()); }

std::string ReadString(VarintReader* reader) { return std::string(reader->Bytes()); }

uint32_t ReadUint32(VarintReader* reader) {
  return static_cast<uint32_t>(std::min<uint64_t>(reader->Varint(), UINT32_MAX));
}

// 0: not known; else 1 + how many follow.
void PutInputs(const std::optional<TaskInputs>& inputs, std::string* out) {
  if (!inputs.has_value()) return PutVarint(0, out);
  PutVarint(1 + inputs->shown.size(), out);
  for (const TaskInput& input : inputs->shown) {
    PutVarint(static_cast<uint64_t>(input.kind), out);
    PutBytes(input.from, out);
    PutVarint(input.address, out);
    PutVarint(input.first, out);
    PutVarint(input.count, out);
    PutVarint(input.instance, out);
    PutVarint(input.node, out);
  }
  PutVarint(inputs->others, out);
}

// False: damaged.
bool ReadInputs(VarintReader* reader, std::optional<TaskInputs>* out) {
  const uint64_t count = reader->Count();
  if (count == 0) return reader->ok();
  TaskInputs& inputs = out->emplace();
  for (uint64_t left = count - 1; left > 0 && reader->ok(); --left) {
    const uint64_t kind = reader->Varint();
    if (kind > static_cast<uint64_t>(InputColumn::kLastKind)) return false;
    TaskInput& input = inputs.shown.emplace_back();
    input.kind = static_cast<TaskInput::Kind>(kind);
    input.from = ReadString(reader);
    input.address = reader->Varint();
    input.first = reader->Varint();
    input.count = ReadUint32(reader);
    input.instance = reader->Varint();
    input.node = ReadUint32(reader);
  }
  inputs.others = reader->Varint();
  return reader->ok();
}

}  // namespace

void EncodeChanges(absl::Span<const Change> changes, std::string* out) {
  CHECK(changes.size() <= kChangesMax);
  PutVarint(kVersion, out);
  PutVarint(changes.size(), out);
  ColumnWriter column(out);
  const auto write = [&](auto field) {
    column.Write(changes,
                 [&](const Change& change) { return static_cast<uint64_t>(field(change)); });
  };
  write([](const Change& change) { return change.kind; });
  write([](const Change& change) { return change.run; });
  write([](const Change& change) { return change.instance; });
  write([](const Change& change) { return change.item; });
  write([](const Change& change) { return change.node; });
  write([](const Change& change) { return change.a; });
  write([](const Change& change) { return change.b; });
  write([](const Change& change) { return change.c; });
}

absl::Status DecodeChanges(absl::string_view bytes, std::vector<Change>* out) {
  VarintReader reader(bytes);
  RETURN_IF_ERROR(CheckVersion("turn", &reader));
  const uint64_t count = reader.Varint();
  if (!reader.ok() || count > kChangesMax) return Damaged("turn");
  // Grows with the first column, so that a damaged count alone takes no memory.
  const size_t base = out->size();
  const bool kinds = ReadColumn(count, &reader, [&](size_t, uint64_t value) {
    if (value == 0 || value > kLastKind) return false;
    out->emplace_back().kind = static_cast<Change::Kind>(value);
    return true;
  });
  if (!kinds) return Damaged("turn");
  Change* const changes = out->data() + base;
  const auto read = [&](auto Change::*field) {
    return ReadColumn(count, &reader, [&](size_t i, uint64_t value) {
      using Field = std::decay_t<decltype(changes[i].*field)>;
      changes[i].*field = static_cast<Field>(value);
      return sizeof(Field) == sizeof(value) || value <= UINT32_MAX;
    });
  };
  const bool rest = read(&Change::run) && read(&Change::instance) && read(&Change::item) &&
                    read(&Change::node) && read(&Change::a) && read(&Change::b) && read(&Change::c);
  return rest ? CheckEnd("turn", reader) : Damaged("turn");
}

std::string EncodeRun(const RunAdded& run) {
  std::string out;
  PutVarint(kVersion, &out);
  PutVarint(run.run, &out);
  PutBytes(run.key, &out);
  PutBytes(run.name, &out);
  PutVarint(run.weight, &out);
  PutVarint(run.epoch, &out);
  PutTime(run.added, &out);
  PutBytes(run.program, &out);
  return out;
}

absl::StatusOr<RunAdded> DecodeRun(absl::string_view bytes) {
  VarintReader reader(bytes);
  RETURN_IF_ERROR(CheckVersion("run", &reader));
  RunAdded run;
  run.run = reader.Varint();
  run.key = ReadString(&reader);
  run.name = ReadString(&reader);
  run.weight = ReadUint32(&reader);
  run.epoch = reader.Varint();
  run.added = ReadTime(&reader);
  run.program = ReadString(&reader);
  RETURN_IF_ERROR(CheckEnd("run", reader));
  return run;
}

std::string EncodeErrors(absl::Span<const ErrorRecord* const> errors) {
  std::string out;
  PutVarint(kErrorsVersion, &out);
  PutVarint(errors.size(), &out);
  for (const ErrorRecord* error : errors) {
    PutBytes(error->step, &out);
    PutBytes(error->item, &out);
    PutVarint(error->attempt, &out);
    PutBytes(error->action, &out);
    PutBytes(error->worker, &out);
    PutBytes(error->type, &out);
    PutBytes(error->message, &out);
    PutBytes(error->traceback, &out);
    PutTime(error->at, &out);
    PutVarint(uint64_t{error->pass} << 1 | (error->final ? 1 : 0), &out);
    PutInputs(error->inputs, &out);
  }
  return out;
}

absl::StatusOr<std::vector<ErrorRecord>> DecodeErrors(uint64_t run, absl::string_view bytes) {
  VarintReader reader(bytes);
  ASSIGN_OR_RETURN(const uint64_t version, ReadVersion("error record", kErrorsVersion, &reader));
  std::vector<ErrorRecord> errors;
  for (uint64_t left = reader.Count(); left > 0 && reader.ok(); --left) {
    ErrorRecord& error = errors.emplace_back();
    error.run = run;
    error.step = ReadString(&reader);
    error.item = ReadString(&reader);
    error.attempt = ReadUint32(&reader);
    error.action = ReadString(&reader);
    error.worker = ReadString(&reader);
    error.type = ReadString(&reader);
    error.message = ReadString(&reader);
    error.traceback = ReadString(&reader);
    error.at = ReadTime(&reader);
    const uint64_t pass_and_final = reader.Varint();
    error.pass = static_cast<uint32_t>(pass_and_final >> 1);
    error.final = (pass_and_final & 1) != 0;
    if (version < kErrorsVersionOfInputs) continue;
    if (!ReadInputs(&reader, &error.inputs)) return Damaged("error record");
  }
  RETURN_IF_ERROR(CheckEnd("error record", reader));
  return errors;
}

std::string EncodeLogs(absl::Span<const LogAdded* const> logs) {
  std::string out;
  PutVarint(kVersion, &out);
  PutVarint(logs.size(), &out);
  for (const LogAdded* log : logs) {
    PutVarint(log->address, &out);
    PutBytes(log->step, &out);
    PutBytes(log->item, &out);
    PutVarint(log->attempt, &out);
    PutBytes(log->worker, &out);
  }
  return out;
}

absl::StatusOr<std::vector<LogAdded>> DecodeLogs(uint64_t run, absl::string_view bytes) {
  VarintReader reader(bytes);
  RETURN_IF_ERROR(CheckVersion("output record", &reader));
  std::vector<LogAdded> logs;
  for (uint64_t left = reader.Count(); left > 0 && reader.ok(); --left) {
    LogAdded& log = logs.emplace_back();
    log.run = run;
    log.address = reader.Varint();
    log.step = ReadString(&reader);
    log.item = ReadString(&reader);
    log.attempt = ReadUint32(&reader);
    log.worker = ReadString(&reader);
  }
  RETURN_IF_ERROR(CheckEnd("output record", reader));
  return logs;
}

std::string EncodeNames(absl::Span<const std::string> names) {
  std::string out;
  PutVarint(kVersion, &out);
  PutVarint(names.size(), &out);
  for (const std::string& name : names) PutBytes(name, &out);
  return out;
}

absl::StatusOr<std::vector<std::string>> DecodeNames(absl::string_view bytes) {
  VarintReader reader(bytes);
  RETURN_IF_ERROR(CheckVersion("list of workers", &reader));
  std::vector<std::string> names;
  for (uint64_t left = reader.Count(); left > 0 && reader.ok(); --left) {
    names.push_back(ReadString(&reader));
  }
  RETURN_IF_ERROR(CheckEnd("list of workers", reader));
  return names;
}

}  // namespace bue::hub
