#include "hub/storage/row_loader.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/varint.h"
#include "hub/storage/database.h"
#include "hub/storage/record_codec.h"

namespace bue::hub {
namespace {

using Iterator = std::unique_ptr<rocksdb::Iterator>;
using rocksdb::Slice;

}  // namespace

absl::StatusOr<StoredRun> ReadRun(ProgramParser* programs, absl::string_view key,
                                  absl::string_view value) {
  const auto damaged = [&](const absl::Status& status) {
    return absl::DataLossError(absl::StrCat("run r", RunOfKey(key), ": ", status.message()));
  };
  absl::StatusOr<RunAdded> added = DecodeRun(value);
  if (!added.ok()) return damaged(added.status());
  absl::StatusOr<std::shared_ptr<const Program>> program = programs->Parse(added->program);
  if (!program.ok()) return damaged(program.status());
  added->program_hash = HashOfProgram(added->program);
  added->program = std::string();  // The row stays as it is: nobody needs the bytes again.
  return StoredRun{.added = *std::move(added), .program = *std::move(program)};
}

absl::StatusOr<StateRow> ReadState(absl::string_view key, absl::string_view value) {
  VarintReader reader(value);
  StateRow row{.turn = reader.Varint()};
  row.state = reader.Bytes();
  if (reader.ok()) return row;
  return absl::DataLossError(absl::StrCat("run r", RunOfKey(key), ": its state is damaged"));
}

absl::Status RowLoader::Done(const rocksdb::Status& status, absl::string_view doing) const {
  return ToStatus(status, doing, dir_);
}

absl::Status RowLoader::Damaged(const absl::Status& status) const {
  return absl::DataLossError(
      absl::StrCat("the hub's data in ", dir_, ": ", status.message(), kDamagedRemedy));
}

absl::StatusOr<uint64_t> RowLoader::ReadNumber(const char* key) {
  std::string bytes;
  const rocksdb::Status status = db_->Get({}, key, &bytes);
  if (status.IsNotFound()) return 0;
  RETURN_IF_ERROR(Done(status, "read"));
  VarintReader reader(bytes);
  const uint64_t number = reader.Varint();
  if (!reader.ok()) {
    return Damaged(absl::DataLossError(absl::StrCat("the hub's ", key + 1, " is damaged")));
  }
  return number;
}

// ------------------------------------------------------------------------------------- loading

absl::Status RowLoader::Scan(absl::string_view prefix,
                             const std::function<absl::Status(Slice, Slice)>& each) {
  const Iterator row(db_->NewIterator({}, rows_));
  for (row->Seek(ToSlice(prefix)); row->Valid() && row->key().starts_with(ToSlice(prefix));
       row->Next()) {
    RETURN_IF_ERROR(each(row->key(), row->value()));
  }
  return Done(row->status(), "read");
}

absl::StatusOr<LoadedRows> RowLoader::Load() {
  LoadedRows loaded;
  HubSnapshot* snapshot = &loaded.snapshot;
  RETURN_IF_ERROR(LoadRuns(snapshot));
  RETURN_IF_ERROR(LoadStates(snapshot));
  RETURN_IF_ERROR(LoadJournal(&loaded));
  RETURN_IF_ERROR(LoadMeta(snapshot));
  RETURN_IF_ERROR(MeasureErrors(&loaded));
  return loaded;
}

StoredRun* RowLoader::Find(HubSnapshot* snapshot, uint64_t run) {
  const auto found = std::lower_bound(
      snapshot->runs.begin(), snapshot->runs.end(), run,
      [](const StoredRun& stored, uint64_t number) { return stored.added.run < number; });
  return found != snapshot->runs.end() && found->added.run == run ? &*found : nullptr;
}

absl::Status RowLoader::LoadRuns(HubSnapshot* snapshot) {
  ProgramParser programs;
  return Scan({"r", 1}, [&](Slice key, Slice value) -> absl::Status {
    absl::StatusOr<StoredRun> run = ReadRun(&programs, ToView(key), ToView(value));
    if (!run.ok()) return Damaged(run.status());
    snapshot->runs.push_back(*std::move(run));
    return absl::OkStatus();
  });
}

absl::Status RowLoader::LoadStates(HubSnapshot* snapshot) {
  RETURN_IF_ERROR(Scan({"s", 1}, [&](Slice key, Slice value) -> absl::Status {
    const absl::StatusOr<StateRow> row = ReadState(ToView(key), ToView(value));
    if (!row.ok()) return Damaged(row.status());
    if (StoredRun* run = Find(snapshot, RunOfKey(ToView(key))); run != nullptr) {
      run->state = std::string(row->state);
      state_turns_[run->added.run] = row->turn;
    }
    return absl::OkStatus();
  }));
  return Scan({"b", 1}, [&](Slice key, Slice value) {
    StoredRun* run = Find(snapshot, RunOfKey(ToView(key)));
    if (run != nullptr) run->blocks.push_back(value.ToString());
    return absl::OkStatus();
  });
}

// Leaves out changes of runs that are gone, and those that a run's state holds already.
absl::Status RowLoader::LoadJournal(LoadedRows* loaded) {
  HubSnapshot* const snapshot = &loaded->snapshot;
  absl::flat_hash_map<uint64_t, uint64_t> loaded_from;  // By run: its state's turn.
  for (const StoredRun& run : snapshot->runs) loaded_from[run.added.run] = 0;
  for (const auto& [run, turn] : state_turns_) loaded_from[run] = turn;
  const Iterator row(db_->NewIterator({}, journal_));
  std::vector<Change>& changes = snapshot->changes;
  for (row->SeekToFirst(); row->Valid(); row->Next()) {
    const uint64_t turn = FromBigEndian(ToView(row->key()));
    const size_t before = changes.size();
    if (absl::Status status = DecodeChanges(ToView(row->value()), &changes); !status.ok()) {
      return absl::DataLossError(absl::StrCat("turn ", turn, " of the journal in ", dir_, ": ",
                                              status.message(), kDamagedRemedy));
    }
    loaded->journal.push_back(
        {turn, row->value().size() + kChangeWeight * (changes.size() - before)});
    const auto known = [&](const Change& change) {
      const auto found = loaded_from.find(change.run);
      return found == loaded_from.end() || turn <= found->second;
    };
    changes.erase(std::remove_if(changes.begin() + before, changes.end(), known), changes.end());
  }
  return Done(row->status(), "read the journal of");
}

absl::Status RowLoader::LoadMeta(HubSnapshot* snapshot) {
  ASSIGN_OR_RETURN(const uint64_t next_run, ReadNumber(kNextRunKey));
  snapshot->next_run = std::max<uint64_t>(next_run, 1);
  std::string bytes;
  const rocksdb::Status status = db_->Get({}, kWorkersKey, &bytes);
  if (status.IsNotFound()) return absl::OkStatus();
  RETURN_IF_ERROR(Done(status, "read"));
  absl::StatusOr<std::vector<std::string>> names = DecodeNames(bytes);
  if (!names.ok()) return Damaged(names.status());
  snapshot->workers = *std::move(names);
  return absl::OkStatus();
}

absl::Status RowLoader::MeasureErrors(LoadedRows* loaded) {
  return Scan({"e", 1}, [&](Slice key, Slice value) {
    loaded->error_bytes[RunOfKey(ToView(key))] += value.size();
    return absl::OkStatus();
  });
}

}  // namespace bue::hub
