#include "hub/storage/verify_rows.h"

#include <rocksdb/db.h>

#include <memory>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/rocksdb/look.h"
#include "common/sha256.h"
#include "common/status_macros.h"
#include "hub/storage/data_directory.h"
#include "hub/storage/database.h"
#include "hub/storage/history_codec.h"
#include "hub/storage/record_codec.h"
#include "hub/storage/row_loader.h"
#include "hub/storage/rows.h"

namespace bue::hub {
namespace {

using rocksdb::Slice;

constexpr char kRemedy[] =
    "restore the directory from a copy, or move it away and start with an empty one";

// Reads all rows of one look.
class RowVerifier {
 public:
  RowVerifier(const LookedAt& database, std::string dir, VerifyReport* report)
      : database_(database),
        loader_(database.db(), database.families()[0], database.families()[1], dir),
        dir_(std::move(dir)),
        report_(report) {}

  void Verify() {
    VerifyRuns();
    Count("states", kState,
          [](Slice key, Slice value) { return ReadState(ToView(key), ToView(value)).status(); });
    Count("blocks", kBlock, [](Slice, Slice) { return absl::OkStatus(); });
    VerifyJournal();
    VerifyHistory();
    Count("error rows", kErrors, [](Slice key, Slice value) {
      return DecodeErrors(RunOfKey(ToView(key)), ToView(value)).status();
    });
    Count("log rows", kLogs, [](Slice key, Slice value) {
      return DecodeLogs(RunOfKey(ToView(key)), ToView(value)).status();
    });
    VerifyFiles();
    VerifyUnknown();
  }

  void VerifyEpoch(uint64_t remembered) {
    const absl::StatusOr<uint64_t> epoch = loader_.ReadNumber(kEpochKey);
    const absl::Status status = epoch.ok() ? CheckEpoch(*epoch, remembered, dir_) : epoch.status();
    if (!status.ok()) Problem(DatabasePath(dir_), status);
  }

  std::optional<HubSnapshot> Load() {
    absl::StatusOr<LoadedRows> loaded = loader_.Load();
    if (loaded.ok()) return std::move(loaded->snapshot);
    if (report_->ok()) Problem(dir_, loaded.status());
    return std::nullopt;
  }

 private:
  void Problem(std::string place, const absl::Status& status) {
    report_->AddProblem(std::move(place), std::string(status.message()), kRemedy);
  }

  static std::string NameOf(Slice key) {
    return absl::StrCat("row ", std::string(1, key[0]), " of run r", RunOfKey(ToView(key)));
  }

  // Every row of a kind.
  template <typename Check>
  void Count(const char* what, Row row, const Check& check) {
    uint64_t count = 0;
    const absl::Status read = loader_.Scan(std::string(1, row), [&](Slice key, Slice value) {
      ++count;
      if (const absl::Status status = check(key, value); !status.ok()) {
        Problem(NameOf(key), status);
      }
      return absl::OkStatus();
    });
    if (!read.ok()) Problem(DatabasePath(dir_), read);
    report_->Add(what, count);
  }

  void VerifyRuns() {
    ProgramParser programs;
    Count("runs", kRun, [&](Slice key, Slice value) {
      const absl::StatusOr<StoredRun> run = ReadRun(&programs, ToView(key), ToView(value));
      if (!run.ok()) return run.status();
      if (run->added.run != RunOfKey(ToView(key))) {
        return absl::DataLossError(absl::StrCat("it is that of run r", run->added.run));
      }
      for (const File& file : run->program->files) {
        wanted_files_.emplace(file.sha256,
                              absl::StrCat("file '", file.path, "' of run r", run->added.run));
      }
      return absl::OkStatus();
    });
  }

  void VerifyJournal() {
    const std::unique_ptr<rocksdb::Iterator> row(
        database_.db()->NewIterator({}, database_.families()[1]));
    std::vector<Change> changes;
    uint64_t turns = 0;
    uint64_t count = 0;
    for (row->SeekToFirst(); row->Valid(); row->Next()) {
      ++turns;
      changes.clear();
      const absl::Status status = DecodeChanges(ToView(row->value()), &changes);
      if (!status.ok()) {
        Problem(absl::StrCat("journal, turn ", FromBigEndian(ToView(row->key()))), status);
      }
      count += changes.size();
    }
    const absl::Status read = ToStatus(row->status(), "read the journal of", dir_);
    if (!read.ok()) Problem(DatabasePath(dir_), read);
    report_->Add("journal records", turns);
    report_->Add("changes in them", count);
  }

  // A directory of an earlier version has none.
  void VerifyHistory() {
    uint64_t rows = 0;
    uint64_t events = 0;
    if (database_.families().size() > 2) {
      const std::unique_ptr<rocksdb::Iterator> row(
          database_.db()->NewIterator({}, database_.families()[2]));
      for (row->SeekToFirst(); row->Valid(); row->Next(), ++rows) {
        const absl::StatusOr<HistoryRow> decoded = DecodeHistory(ToView(row->value()));
        if (decoded.ok()) {
          events += decoded->events.size();
        } else {
          Problem(absl::StrCat("history, turn ", FromBigEndian(ToView(row->key()))),
                  decoded.status());
        }
      }
      const absl::Status read = ToStatus(row->status(), "read the history of", dir_);
      if (!read.ok()) Problem(DatabasePath(dir_), read);
    }
    report_->Add("history records", rows);
    report_->Add("ends in them", events);
  }

  void VerifyFiles() {
    Count("files", kFile, [&](Slice key, Slice value) {
      const std::string sha256(key.data() + 1, key.size() - 1);
      wanted_files_.erase(sha256);
      if (Sha256(ToView(value)) == sha256) return absl::OkStatus();
      return absl::DataLossError("an uploaded file does not have the hash it is stored under");
    });
    for (const auto& [sha256, name] : wanted_files_) {
      report_->AddProblem(name, "it is not there", "upload the script again; delete the run");
    }
  }

  // Rows that nobody would look for.
  void VerifyUnknown() {
    Count("other rows", kMeta, [](Slice, Slice) { return absl::OkStatus(); });
    constexpr absl::string_view kKnown = "mrsbelf";
    const std::unique_ptr<rocksdb::Iterator> row(
        database_.db()->NewIterator({}, database_.families()[0]));
    for (row->SeekToFirst(); row->Valid();) {
      const char kind = row->key().empty() ? '\0' : row->key()[0];
      if (!absl::StrContains(kKnown, absl::string_view(&kind, 1))) {
        report_->AddProblem(absl::StrCat("row '", absl::CHexEscape(ToView(row->key())), "'"),
                            "this version of bue knows no such row",
                            "use the version of bue that wrote it");
      }
      if (kind == '\xff') return;
      row->Seek(std::string(1, static_cast<char>(kind + 1)));  // One of each kind is enough.
    }
  }

  const LookedAt& database_;
  RowLoader loader_;
  const std::string dir_;
  VerifyReport* const report_;
  absl::flat_hash_map<std::string, std::string> wanted_files_;  // By hash: what misses it.
};

// Those that the database has: one that an earlier version made has no history yet.
std::vector<rocksdb::ColumnFamilyDescriptor> FamiliesOf(const std::string& dir) {
  std::vector<rocksdb::ColumnFamilyDescriptor> families = Families(/*history_bytes=*/0);
  std::vector<std::string> names;
  const rocksdb::Status listed =
      rocksdb::DB::ListColumnFamilies(DatabaseOptions(), DatabasePath(dir), &names);
  // What cannot be listed cannot be opened either, which is said then.
  if (listed.ok() && !absl::c_linear_search(names, kHistoryFamily)) families.pop_back();
  return families;
}

LookOptions LookOptionsOf(const std::string& dir, const VerifyReport& report) {
  return {.path = DatabasePath(dir),
          .in_use = !report.in_use_by.empty(),
          .db = DatabaseOptions(),
          .families = FamiliesOf(dir),
          .remedy = kRemedy};
}

}  // namespace

absl::StatusOr<VerifyReport> VerifyStorage(const std::string& dir,
                                           std::optional<HubSnapshot>* snapshot) {
  VerifyReport report{.role = "hub", .directory = dir};
  const absl::StatusOr<DataDirectory::Look> look = DataDirectory::LookAt(dir);
  if (absl::IsNotFound(look.status())) return look.status();
  if (!look.ok()) {
    report.AddProblem(dir, std::string(look.status().message()), kRemedy);
    return report;
  }
  report.format = look->format;
  report.in_use_by = look->in_use_by;
  const LookOptions options = LookOptionsOf(dir, report);
  LookAtTables(options, &report);
  const std::unique_ptr<LookedAt> database = OpenToLook(options, &report);
  if (database == nullptr) return report;
  RowVerifier verifier(*database, dir, &report);
  verifier.VerifyEpoch(look->epoch);
  verifier.Verify();
  *snapshot = verifier.Load();
  return report;
}

}  // namespace bue::hub
