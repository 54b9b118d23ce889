#include "common/rocksdb/look.h"

#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_reader.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/rocksdb/log_ahead.h"

namespace bue {
namespace {

namespace fs = std::filesystem;

// The role may drop a file between two looks; so often it is looked at again.
constexpr int kLooks = 5;

class SilentLogger final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

// Names of the files that end in `ending`, in order.
std::vector<std::string> FilesOf(const std::string& path, absl::string_view ending) {
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
    const std::string name = entry.path().filename().string();
    if (absl::EndsWith(name, ending)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

uint64_t BytesOf(const std::string& path) {
  std::error_code error;
  const uintmax_t bytes = fs::file_size(path, error);
  return error ? 0 : bytes;
}

rocksdb::Options TableOptions(const LookOptions& options) {
  return rocksdb::Options(options.db, options.families.front().options);
}

rocksdb::Status LookAtTable(const rocksdb::Options& options, const std::string& file) {
  rocksdb::SstFileReader reader(options);
  const rocksdb::Status opened = reader.Open(file);
  return opened.ok() ? reader.VerifyChecksum() : opened;
}

// Such a role's logs may have zeros behind their last record (log_ahead.h), which may be a torn
// one.
bool WritesAhead(const LookOptions& options) {
  return options.db.wal_recovery_mode == rocksdb::WALRecoveryMode::kPointInTimeRecovery;
}

// `without_zeros`: those at the logs' ends are not looked at.
rocksdb::Status Open(const LookOptions& options, rocksdb::WALRecoveryMode mode, bool without_zeros,
                     std::unique_ptr<LookedAt>* looked_at) {
  rocksdb::DBOptions db_options = options.db;
  std::unique_ptr<rocksdb::Env> env;
  if (without_zeros) {
    env = LogsWithoutZerosEnv(db_options.env);
    db_options.env = env.get();
  }
  db_options.create_if_missing = false;
  db_options.create_missing_column_families = false;
  db_options.wal_recovery_mode = mode;
  db_options.max_open_files = -1;  // Every file is opened now: one that is missing shows.
  db_options.info_log = std::make_shared<SilentLogger>();
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status =
      options.in_use
          ? rocksdb::DB::OpenAsSecondary(db_options, options.path, options.path, options.families,
                                         &handles, &db)
          : rocksdb::DB::OpenForReadOnly(db_options, options.path, options.families, &handles, &db);
  if (status.ok()) {
    *looked_at = std::make_unique<LookedAt>(db, std::move(handles), std::move(env));
  }
  return status;
}

// A role that has the database open drops files under our eyes.
std::unique_ptr<LookedAt> OpenInUse(const LookOptions& options, VerifyReport* report) {
  std::unique_ptr<LookedAt> looked_at;
  rocksdb::Status status;
  for (int look = 0; look < kLooks && looked_at == nullptr; ++look) {
    status = Open(options, options.db.wal_recovery_mode, false, &looked_at);
  }
  if (looked_at == nullptr && WritesAhead(options)) {  // A torn record from before its start.
    status = Open(options, options.db.wal_recovery_mode, true, &looked_at);
  }
  if (looked_at == nullptr) {
    report->AddProblem(options.path,
                       absl::StrCat("cannot be read while ", report->in_use_by,
                                    " has it open: ", status.ToString()),
                       "stop that process and look again");
  }
  return looked_at;
}

}  // namespace

LookedAt::~LookedAt() {
  for (rocksdb::ColumnFamilyHandle* family : families_) {
    (void)db_->DestroyColumnFamilyHandle(family);
  }
  (void)db_->Close();
}

void LookAtTables(const LookOptions& options, VerifyReport* report) {
  const rocksdb::Options table_options = TableOptions(options);
  uint64_t tables = 0;
  uint64_t bytes = 0;
  for (const std::string& name : FilesOf(options.path, ".sst")) {
    const std::string file = absl::StrCat(options.path, "/", name);
    const uint64_t size = BytesOf(file);
    const rocksdb::Status status = LookAtTable(table_options, file);
    if (options.in_use && !fs::exists(file)) continue;  // Dropped meanwhile.
    ++tables;
    bytes += size;
    if (!status.ok()) report->AddProblem(file, status.ToString(), options.remedy);
  }
  report->Add("tables", tables);
  report->Add("table bytes", bytes);
}

std::unique_ptr<LookedAt> OpenToLook(const LookOptions& options, VerifyReport* report) {
  const std::vector<std::string> logs = FilesOf(options.path, ".log");
  uint64_t bytes = 0;
  for (const std::string& log : logs) bytes += BytesOf(absl::StrCat(options.path, "/", log));
  report->Add("write-ahead logs", logs.size());
  report->Add("write-ahead log bytes", bytes);
  if (options.in_use) return OpenInUse(options, report);

  using Mode = rocksdb::WALRecoveryMode;
  std::unique_ptr<LookedAt> looked_at;
  const rocksdb::Status whole = Open(options, Mode::kAbsoluteConsistency, false, &looked_at);
  if (whole.ok()) return looked_at;
  if (Open(options, Mode::kTolerateCorruptedTailRecords, WritesAhead(options), &looked_at).ok()) {
    report->notes.push_back(
        "a write-ahead log ends in a record that was cut off, as a crash leaves it: nothing was "
        "promised for it");
    return looked_at;
  }
  report->AddProblem(options.path, whole.ToString(), options.remedy);
  // What can be read of it may say more.
  if (options.db.wal_recovery_mode == Mode::kPointInTimeRecovery) {
    (void)Open(options, Mode::kPointInTimeRecovery, false, &looked_at);
  }
  return looked_at;
}

}  // namespace bue
