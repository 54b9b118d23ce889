// What the hub's store reads: the first byte says which kind of record. What can be read can be
// written and read again, and is the same.
#include <string>
#include <utility>
#include <vector>

#include "common/check.h"
#include "hub/storage/history_codec.h"
#include "hub/storage/record_codec.h"
#include "tests/fuzz/feed.h"
#include "tests/fuzz/target.h"

namespace bue::fuzz {
namespace {

using hub::Change;

enum Kind : uint8_t { kChanges, kRun, kErrors, kLogs, kNames, kHistory, kKinds };

template <typename T>
std::vector<const T*> Pointers(const std::vector<T>& list) {
  std::vector<const T*> pointers;
  for (const T& each : list) pointers.push_back(&each);
  return pointers;
}

void ReadChanges(absl::string_view bytes) {
  std::vector<Change> changes;
  // A few bytes may stand for millions of equal changes: that is the format, and its limit.
  if (!hub::DecodeChanges(bytes, &changes).ok() || changes.size() > 10000) return;
  std::string written;
  hub::EncodeChanges(changes, &written);
  std::vector<Change> again;
  CHECK(hub::DecodeChanges(written, &again).ok());
  CHECK(changes == again);
}

void ReadRun(absl::string_view bytes) {
  const absl::StatusOr<hub::RunAdded> run = hub::DecodeRun(bytes);
  if (!run.ok()) return;
  const absl::StatusOr<hub::RunAdded> again = hub::DecodeRun(hub::EncodeRun(*run));
  CHECK(again.ok() && again->key == run->key && again->added == run->added);
}

void ReadHistory(absl::string_view bytes) {
  const absl::StatusOr<hub::HistoryRow> row = hub::DecodeHistory(bytes);
  if (!row.ok()) return;
  hub::TurnHistory history{.events = row->events};
  for (const std::string& prefix : row->prefixes) history.prefixes.push_back({.text = prefix});
  history.ids = row->ids;
  std::string written;
  hub::EncodeHistory(history, 0, &written);
  const absl::StatusOr<hub::HistoryRow> again = hub::DecodeHistory(written);
  CHECK(again.ok() && again->events.size() == row->events.size());
  for (size_t i = 0; i < row->events.size(); ++i) {
    CHECK(again->NameOf(again->events[i]) == row->NameOf(row->events[i]));
    CHECK(again->IdOf(again->events[i]) == row->IdOf(row->events[i]));
  }
}

void Run(absl::string_view bytes) {
  Feed feed(bytes);
  const uint32_t kind = feed.Choice(kKinds);
  const absl::string_view rest = feed.Rest();
  switch (static_cast<Kind>(kind)) {
    case kChanges:
      return ReadChanges(rest);
    case kRun:
      return ReadRun(rest);
    case kErrors: {
      const absl::StatusOr<std::vector<hub::ErrorRecord>> errors = hub::DecodeErrors(1, rest);
      if (errors.ok()) CHECK(hub::DecodeErrors(1, hub::EncodeErrors(Pointers(*errors))).ok());
      return;
    }
    case kLogs: {
      const absl::StatusOr<std::vector<hub::LogAdded>> logs = hub::DecodeLogs(1, rest);
      if (logs.ok()) CHECK(hub::DecodeLogs(1, hub::EncodeLogs(Pointers(*logs))).ok());
      return;
    }
    case kNames: {
      const absl::StatusOr<std::vector<std::string>> names = hub::DecodeNames(rest);
      if (names.ok()) CHECK(*hub::DecodeNames(hub::EncodeNames(*names)) == *names);
      return;
    }
    case kHistory:
      return ReadHistory(rest);
    case kKinds:
      return;
  }
}

std::vector<std::string> Seeds() {
  std::vector<Change> changes;
  for (uint64_t item = 0; item < 40; ++item) {
    changes.push_back(Change{.kind = Change::Kind::kSucceeded,
                             .node = 2,
                             .run = 7,
                             .instance = 3,
                             .item = item,
                             .a = 1000 + item,
                             .b = item % 5});
  }
  changes.push_back(Change{.kind = Change::Kind::kReserve, .run = 7, .instance = 3, .a = 4096});
  changes.push_back(Change{.kind = Change::Kind::kDelayed, .run = 8, .a = 1, .c = -5});
  const auto seed = [](Kind kind, absl::string_view bytes) {
    return FeedWriter().Byte(kind).Rest(bytes).out();
  };
  std::string encoded;
  hub::EncodeChanges(changes, &encoded);
  const hub::ErrorRecord error{.run = 7, .step = "s", .item = "4.1", .attempt = 2, .message = "m"};
  hub::ErrorRecord called = error;
  called.inputs = {.shown = {{.kind = hub::TaskInput::Kind::kElements,
                              .from = "s",
                              .address = 99,
                              .first = 4,
                              .count = 2},
                             {.kind = hub::TaskInput::Kind::kFanIn, .instance = 3, .node = 1}},
                   .others = 5};
  const hub::LogAdded log{.run = 7, .address = 99, .step = "s", .item = "4", .attempt = 1};
  hub::TurnHistory history;
  for (uint64_t item = 0; item < 20; ++item) {
    history.events.push_back({.run = 7,
                              .instance = 3,
                              .item = item,
                              .task = hub::HistoryEvent::End::kSucceeded,
                              .is_result = item % 2 == 0,
                              .address = item % 2 == 0 ? item : 0,
                              .prefix = history.PrefixFor(7, 3, "4."),
                              .queued_us = 5,
                              .started_us = 6,
                              .ended_us = 7});
  }
  std::string past;
  hub::EncodeHistory(history, 0, &past);
  return {seed(kHistory, past),
          seed(kChanges, encoded),
          seed(kRun, hub::EncodeRun({.run = 7, .key = "k", .name = "n", .program = "p"})),
          seed(kErrors, hub::EncodeErrors({&error, &called})),
          seed(kLogs, hub::EncodeLogs({&log, &log})),
          seed(kNames, hub::EncodeNames({"w1", "w2"}))};
}

}  // namespace

const Target kRecord = {.name = "record", .run = Run, .seeds = Seeds};

}  // namespace bue::fuzz
