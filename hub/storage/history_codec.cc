#include "hub/storage/history_codec.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "common/varint.h"
#include "hub/storage/columns.h"

namespace bue::hub {
namespace {

constexpr uint64_t kVersion = 1;
constexpr uint64_t kEndMask = 3;  // Of HistoryEvent::End.
static_assert(static_cast<uint64_t>(HistoryEvent::kLastEnd) <= kEndMask);

absl::Status Damaged() { return absl::DataLossError("a stored piece of history is damaged"); }

uint64_t Bits(const HistoryEvent& event) {
  return uint64_t{event.node} << 5 | static_cast<uint64_t>(event.task) << 3 |
         static_cast<uint64_t>(event.item_end) << 1 | (event.is_result ? 1 : 0);
}

void TakeBits(uint64_t bits, HistoryEvent* event) {
  event->node = static_cast<uint32_t>(bits >> 5);
  event->task = static_cast<HistoryEvent::End>(bits >> 3 & kEndMask);
  event->item_end = static_cast<HistoryEvent::End>(bits >> 1 & kEndMask);
  event->is_result = (bits & 1) != 0;
}

// Times as how long before the end they were: 1 + that; 0: not known. A clock that was set back
// makes none come after the end.
uint64_t Before(const HistoryEvent& event, int64_t time_us) {
  if (time_us == 0) return 0;
  return 1 + static_cast<uint64_t>(event.ended_us) -
         static_cast<uint64_t>(std::min(time_us, event.ended_us));
}
int64_t TimeOf(const HistoryEvent& event, uint64_t before) {
  if (before == 0) return 0;
  return static_cast<int64_t>(static_cast<uint64_t>(event.ended_us) - (before - 1));
}

// The version, and the first and the last run of the row. False: it is damaged, or of another
// version.
bool ReadHead(VarintReader* reader, uint64_t* version, uint64_t* first, uint64_t* last) {
  *version = reader->Varint();
  if (!reader->ok() || *version != kVersion) return false;
  *first = reader->Varint();
  *last = *first + reader->Varint();
  return reader->ok();
}

// Texts that events count from 1, each in the order of the events, and 0 for none. A row has a part
// of the turn's.
struct TextRange {
  uint32_t first = UINT32_MAX;
  uint32_t last = 0;

  void Cover(uint32_t index) {
    if (index == 0) return;
    first = std::min(first, index);
    last = std::max(last, index);
  }
  uint64_t InRow(uint32_t index) const { return index == 0 ? 0 : index - first + 1; }
  size_t size() const { return last == 0 ? 0 : last - first + 1; }
};

bool ReadTexts(uint64_t count, VarintReader* reader, std::vector<std::string>* out) {
  if (reader->Count() != count) return false;
  for (uint64_t i = 0; i < count; ++i) out->emplace_back(reader->Bytes());
  return reader->ok();
}

}  // namespace

size_t EncodeHistory(const TurnHistory& history, size_t begin, std::string* out) {
  const absl::Span<const HistoryEvent> events =
      absl::MakeConstSpan(history.events).subspan(begin, kHistoryRowEvents);
  uint64_t first_run = UINT64_MAX;
  uint64_t last_run = 0;
  TextRange prefixes;
  TextRange ids;
  for (const HistoryEvent& event : events) {
    first_run = std::min(first_run, event.run);
    last_run = std::max(last_run, event.run);
    prefixes.Cover(event.prefix);
    ids.Cover(event.id);
  }
  PutVarint(kVersion, out);
  PutVarint(first_run, out);
  PutVarint(last_run - first_run, out);
  PutVarint(events.size(), out);
  ColumnWriter column(out);
  const auto write = [&](auto field) { column.Write(events, field); };
  write(Bits);
  write([](const HistoryEvent& event) { return event.run; });
  write([](const HistoryEvent& event) { return event.instance; });
  write([](const HistoryEvent& event) { return event.item; });
  write([](const HistoryEvent& event) { return event.attempts; });
  write([](const HistoryEvent& event) { return static_cast<uint64_t>(event.ended_us); });
  write([](const HistoryEvent& event) { return Before(event, event.queued_us); });
  write([](const HistoryEvent& event) { return Before(event, event.started_us); });
  write([&](const HistoryEvent& event) { return prefixes.InRow(event.prefix); });
  write([&](const HistoryEvent& event) { return ids.InRow(event.id); });
  std::vector<uint64_t> results;
  for (const HistoryEvent& event : events) {
    if (event.is_result) results.push_back(event.address);
  }
  column.Write(results, [](uint64_t address) { return address; });
  PutVarint(prefixes.size(), out);
  for (size_t i = 0; i < prefixes.size(); ++i) {
    PutBytes(history.prefixes[prefixes.first - 1 + i].text, out);
  }
  PutVarint(ids.size(), out);
  for (size_t i = 0; i < ids.size(); ++i) PutBytes(history.ids[ids.first - 1 + i], out);
  return events.size();
}

absl::StatusOr<HistoryRow> DecodeHistory(absl::string_view bytes) {
  VarintReader reader(bytes);
  uint64_t version = 0;
  uint64_t first_run = 0;
  uint64_t last_run = 0;
  if (!ReadHead(&reader, &version, &first_run, &last_run)) {
    if (version == kVersion || version == 0) return Damaged();
    return absl::DataLossError(absl::StrCat("a stored piece of history has format ", version,
                                            "; this hub reads ", kVersion));
  }
  const uint64_t count = reader.Varint();
  if (!reader.ok() || count > kHistoryRowEvents) return Damaged();
  HistoryRow row;
  row.events.resize(count);
  HistoryEvent* const events = row.events.data();
  const auto read = [&](const auto& take) {
    return ReadColumn(count, &reader, [&](size_t i, uint64_t value) {
      take(value, &events[i]);
      return true;
    });
  };
  uint64_t results = 0;
  bool ok = ReadColumn(count, &reader, [&](size_t i, uint64_t value) {
    TakeBits(value, &events[i]);
    results += events[i].is_result ? 1 : 0;
    return value >> 5 <= UINT32_MAX;
  });
  ok = ok && ReadColumn(count, &reader, [&](size_t i, uint64_t value) {
         events[i].run = value;
         return value >= first_run && value <= last_run;
       });
  ok = ok && read([](uint64_t value, HistoryEvent* event) { event->instance = value; });
  ok = ok && read([](uint64_t value, HistoryEvent* event) { event->item = value; });
  ok = ok && ReadColumn(count, &reader, [&](size_t i, uint64_t value) {
         events[i].attempts = static_cast<uint32_t>(value);
         return value <= UINT32_MAX;
       });
  ok = ok && read([](uint64_t value, HistoryEvent* event) {
         event->ended_us = static_cast<int64_t>(value);
       });
  ok = ok &&
       read([](uint64_t value, HistoryEvent* event) { event->queued_us = TimeOf(*event, value); });
  ok = ok &&
       read([](uint64_t value, HistoryEvent* event) { event->started_us = TimeOf(*event, value); });
  const auto read_index = [&](uint32_t HistoryEvent::*field, uint64_t* last) {
    return ReadColumn(count, &reader, [&](size_t i, uint64_t value) {
      events[i].*field = static_cast<uint32_t>(value);
      *last = std::max(*last, value);
      return value <= count;
    });
  };
  uint64_t prefixes = 0;
  uint64_t ids = 0;
  ok = ok && read_index(&HistoryEvent::prefix, &prefixes) && read_index(&HistoryEvent::id, &ids);
  size_t next = 0;  // Event that may be a result.
  ok = ok && ReadColumn(results, &reader, [&](size_t, uint64_t value) {
         while (!events[next].is_result) ++next;
         events[next++].address = value;
         return true;
       });
  ok = ok && ReadTexts(prefixes, &reader, &row.prefixes) && ReadTexts(ids, &reader, &row.ids);
  if (!ok || !reader.AtEnd()) return Damaged();
  return row;
}

std::string HistoryRow::NameOf(const HistoryEvent& event) const {
  if (event.instance == 0) return "";
  return absl::StrCat(event.prefix == 0 ? "" : prefixes[event.prefix - 1], event.item);
}

std::string HistoryRow::IdOf(const HistoryEvent& event) const {
  return event.id == 0 ? "" : ids[event.id - 1];
}

bool MayTellOf(uint64_t run, absl::string_view bytes) {
  VarintReader reader(bytes);
  uint64_t version = 0;
  uint64_t first = 0;
  uint64_t last = 0;
  return !ReadHead(&reader, &version, &first, &last) || (run >= first && run <= last);
}

}  // namespace bue::hub
