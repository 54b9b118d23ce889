// Looking at a RocksDB without changing it: for `--verify`. Nothing is created, recovered,
// compacted or locked, so a role that has the database open is not disturbed.
//
// Not thread-safe.
#ifndef BUE_COMMON_ROCKSDB_LOOK_H_
#define BUE_COMMON_ROCKSDB_LOOK_H_

#include <rocksdb/db.h>
#include <rocksdb/env.h>

#include <memory>
#include <string>
#include <vector>

#include "common/verify_report.h"

namespace bue {

struct LookOptions {
  std::string path;  // Of the database.
  // Some process has it open, which may drop files at any moment.
  bool in_use = false;
  rocksdb::DBOptions db;  // As the role opens it.
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  std::string remedy;  // For what is damaged.
};

// A database opened to be read. Closed with it.
class LookedAt {
 public:
  // `env`, if it is not null, is the database's own.
  LookedAt(rocksdb::DB* db, std::vector<rocksdb::ColumnFamilyHandle*> families,
           std::unique_ptr<rocksdb::Env> env)
      : env_(std::move(env)), db_(db), families_(std::move(families)) {}
  ~LookedAt();
  LookedAt(const LookedAt&) = delete;
  LookedAt& operator=(const LookedAt&) = delete;

  rocksdb::DB* db() const { return db_.get(); }
  const std::vector<rocksdb::ColumnFamilyHandle*>& families() const { return families_; }

 private:
  const std::unique_ptr<rocksdb::Env> env_;
  const std::unique_ptr<rocksdb::DB> db_;
  const std::vector<rocksdb::ColumnFamilyHandle*> families_;
};

// Reads every table file and checks its checksums, whether or not the database can be opened.
void LookAtTables(const LookOptions& options, VerifyReport* report);

// Opens it, which reads CURRENT, the manifest and the write-ahead logs, and says how the logs end.
// Null: it cannot be opened; the report has the problem.
std::unique_ptr<LookedAt> OpenToLook(const LookOptions& options, VerifyReport* report);

}  // namespace bue

#endif  // BUE_COMMON_ROCKSDB_LOOK_H_
