// Damage to data directories: copies, cuts, flipped bits, and disks that fail. For tests of what a
// store makes of it.
#ifndef BUE_TESTS_SUPPORT_DAMAGE_H_
#define BUE_TESTS_SUPPORT_DAMAGE_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace rocksdb {
class Env;
}

namespace bue {

// A directory below the test's own, with everything in `from`. Replaces what was there.
void CopyDirectory(const std::string& from, const std::string& to);

// Path below `dir` to content, of every file: to see that nothing changed.
std::map<std::string, std::string> ContentsOf(const std::string& dir);

// Files directly in `dir` whose name holds `part`, in order, with their directory.
std::vector<std::string> FilesWith(const std::string& dir, const std::string& part);

uint64_t BytesOf(const std::string& path);
void CutTo(const std::string& path, uint64_t bytes);
void FlipBit(const std::string& path, uint64_t byte, int bit);

// A disk that fails from some write on. Thread-safe.
class FailingDisk {
 public:
  enum class Error { kIo, kNoSpace };

  FailingDisk();
  ~FailingDisk();

  rocksdb::Env* env();  // What RocksDB is to use; as long as this lives.

  // Every further write, or only every sync, of files whose name holds `part` fails.
  void FailWrites(Error error, const std::string& part = "");
  void FailSyncs(Error error, const std::string& part = "");
  void Mend();

 private:
  class Files;
  std::shared_ptr<Files> files_;
  std::unique_ptr<rocksdb::Env> env_;
};

}  // namespace bue

#endif  // BUE_TESTS_SUPPORT_DAMAGE_H_
