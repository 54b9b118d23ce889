#include "hub/storage/history_rows.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/varint.h"
#include "hub/storage/database.h"
#include "hub/storage/history_codec.h"
#include "hub/storage/record_codec.h"
#include "hub/storage/rows.h"

namespace bue::hub {
namespace {

constexpr size_t kPackedBytesKept = 1 << 20;

// A turn's rows lie one behind the other.
std::string KeyOf(uint64_t turn, uint64_t part) {
  return BigEndian(turn) + BigEndian(part).substr(6);
}

// The final errors of a run and turn: which one a failed task left.
class ErrorsOfTurn {
 public:
  absl::Status Load(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* rows, uint64_t run,
                    uint64_t turn) {
    if (loaded_ && turn_ == turn) return absl::OkStatus();
    loaded_ = true;
    turn_ = turn;
    errors_.clear();
    std::string bytes;
    const rocksdb::Status status = db->Get({}, rows, TurnKey(kErrors, run, turn), &bytes);
    if (status.IsNotFound()) return absl::OkStatus();
    if (!status.ok()) return absl::InternalError(status.ToString());
    ASSIGN_OR_RETURN(errors_, DecodeErrors(run, bytes));
    return absl::OkStatus();
  }

  // Null: it was not kept.
  const ErrorRecord* Find(const std::string& item, uint32_t attempt) {
    for (ErrorRecord& error : errors_) {
      if (!error.final || error.item != item || error.attempt != attempt) continue;
      error.final = false;  // The next task of the item that failed in this turn has the next.
      return &error;
    }
    return nullptr;
  }

 private:
  bool loaded_ = false;
  uint64_t turn_ = 0;
  std::vector<ErrorRecord> errors_;
};

}  // namespace

void HistoryRows::Add(uint64_t turn, const TurnHistory& history, rocksdb::WriteBatch* batch) {
  uint64_t part = 0;
  for (size_t begin = 0; begin < history.events.size(); ++part) {
    packed_.clear();
    begin += EncodeHistory(history, begin, &packed_);
    batch->Put(history_, KeyOf(turn, part), packed_);
  }
  if (packed_.capacity() > kPackedBytesKept) packed_ = std::string();
}

// A cursor is the key of a row and how many of its events were passed.
absl::Status HistoryRows::Read(uint64_t run, const Turns& turns, std::string* cursor,
                               const std::function<bool(const PastEvent&)>& visit) const {
  VarintReader position(*cursor);
  std::string start(position.Bytes());
  size_t skip = position.Varint();
  if (const std::string first = KeyOf(turns.from, 0); start < first) {
    start = first;
    skip = 0;
  }
  const auto stand_at = [cursor](absl::string_view key, size_t passed) {
    cursor->clear();
    PutBytes(key, cursor);
    PutVarint(passed, cursor);
  };
  ErrorsOfTurn errors;
  std::string last;
  const std::unique_ptr<rocksdb::Iterator> row(db_->NewIterator({}, history_));
  for (row->Seek(start); row->Valid(); row->Next()) {
    const absl::string_view key = ToView(row->key());
    const uint64_t turn = FromBigEndian(key);
    if (turn > turns.upto) break;
    if (key != start) skip = 0;
    last.assign(key.data(), key.size());
    if (!MayTellOf(run, ToView(row->value()))) continue;
    absl::StatusOr<HistoryRow> decoded = DecodeHistory(ToView(row->value()));
    if (!decoded.ok()) {
      return absl::DataLossError(absl::StrCat("the history of turn ", turn, " in ", dir_, ": ",
                                              decoded.status().message()));
    }
    for (size_t i = skip; i < decoded->events.size(); ++i) {
      const HistoryEvent& event = decoded->events[i];
      if (event.run != run) continue;
      PastEvent past{.event = event, .item = decoded->NameOf(event), .id = decoded->IdOf(event)};
      if (event.task == HistoryEvent::End::kFailed) {
        RETURN_IF_ERROR(errors.Load(db_, rows_, run, turn));
        past.error = errors.Find(past.item, event.attempts);
      }
      if (visit(past)) continue;
      stand_at(key, i + 1);
      return absl::OkStatus();
    }
  }
  RETURN_IF_ERROR(ToStatus(row->status(), "read the history of", dir_));
  if (!last.empty()) stand_at(last, kHistoryRowEvents);
  return absl::OkStatus();
}

}  // namespace bue::hub
