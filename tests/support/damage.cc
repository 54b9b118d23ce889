#include "tests/support/damage.h"

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "common/check.h"

namespace bue {

namespace fs = std::filesystem;

void CopyDirectory(const std::string& from, const std::string& to) {
  std::error_code error;
  for (int attempt = 0; attempt < 100; ++attempt) {
    fs::remove_all(to);
    fs::copy(from, to, fs::copy_options::recursive, error);
    if (!error) return;  // Otherwise its owner dropped a file meanwhile.
  }
  CHECK(false);
}

std::map<std::string, std::string> ContentsOf(const std::string& dir) {
  std::map<std::string, std::string> contents;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(dir)) {
    std::ostringstream content;
    if (entry.is_regular_file()) {
      std::ifstream file(entry.path(), std::ios::binary);
      content << file.rdbuf();
    }
    contents[fs::relative(entry.path(), dir).string()] = content.str();
  }
  return contents;
}

std::vector<std::string> FilesWith(const std::string& dir, const std::string& part) {
  std::vector<std::string> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(dir)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file() && name.find(part) != std::string::npos) {
      files.push_back(entry.path().string());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

uint64_t BytesOf(const std::string& path) { return fs::file_size(path); }

void CutTo(const std::string& path, uint64_t bytes) { fs::resize_file(path, bytes); }

void FlipBit(const std::string& path, uint64_t byte, int bit) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(byte));
  char value = 0;
  CHECK(file.get(value));
  file.seekp(static_cast<std::streamoff>(byte));
  file.put(static_cast<char>(value ^ (1 << bit)));
  CHECK(file.flush());
}

// Hands out files that ask, before each write, whether the disk works.
class FailingDisk::Files final : public rocksdb::FileSystemWrapper {
 public:
  Files() : rocksdb::FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "FailingDisk"; }

  void Fail(bool writes, Error error, std::string part) {
    absl::MutexLock lock(&mutex_);
    failing_ = true;
    writes_ = writes;
    error_ = error;
    part_ = std::move(part);
  }
  void Mend() {
    absl::MutexLock lock(&mutex_);
    failing_ = false;
  }

  rocksdb::IOStatus Check(const std::string& name, bool sync) {
    absl::MutexLock lock(&mutex_);
    if (!failing_ || name.find(part_) == std::string::npos || (!writes_ && !sync)) {
      return rocksdb::IOStatus::OK();
    }
    return error_ == Error::kNoSpace ? rocksdb::IOStatus::NoSpace("the test's disk is full")
                                     : rocksdb::IOStatus::IOError("the test's disk is broken");
  }

  rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override {
    rocksdb::IOStatus status = Check(name, false);
    if (status.ok()) status = target()->NewWritableFile(name, options, file, debug);
    if (status.ok()) *file = std::make_unique<File>(this, name, std::move(*file));
    return status;
  }

 private:
  class File final : public rocksdb::FSWritableFileOwnerWrapper {
   public:
    File(Files* files, std::string name, std::unique_ptr<rocksdb::FSWritableFile> file)
        : rocksdb::FSWritableFileOwnerWrapper(std::move(file)),
          files_(files),
          name_(std::move(name)) {}

    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override {
      const rocksdb::IOStatus status = files_->Check(name_, false);
      return status.ok() ? target()->Append(data, options, debug) : status;
    }
    rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                             const rocksdb::DataVerificationInfo& info,
                             rocksdb::IODebugContext* debug) override {
      const rocksdb::IOStatus status = files_->Check(name_, false);
      return status.ok() ? target()->Append(data, options, info, debug) : status;
    }
    rocksdb::IOStatus Sync(const rocksdb::IOOptions& options,
                           rocksdb::IODebugContext* debug) override {
      const rocksdb::IOStatus status = files_->Check(name_, true);
      return status.ok() ? target()->Sync(options, debug) : status;
    }
    rocksdb::IOStatus Fsync(const rocksdb::IOOptions& options,
                            rocksdb::IODebugContext* debug) override {
      const rocksdb::IOStatus status = files_->Check(name_, true);
      return status.ok() ? target()->Fsync(options, debug) : status;
    }

   private:
    Files* const files_;
    const std::string name_;
  };

  absl::Mutex mutex_;
  bool failing_ ABSL_GUARDED_BY(mutex_) = false;
  bool writes_ ABSL_GUARDED_BY(mutex_) = false;
  Error error_ ABSL_GUARDED_BY(mutex_) = Error::kIo;
  std::string part_ ABSL_GUARDED_BY(mutex_);
};

FailingDisk::FailingDisk()
    : files_(std::make_shared<Files>()), env_(rocksdb::NewCompositeEnv(files_)) {}
FailingDisk::~FailingDisk() = default;

rocksdb::Env* FailingDisk::env() { return env_.get(); }
void FailingDisk::FailWrites(Error error, const std::string& part) {
  files_->Fail(true, error, part);
}
void FailingDisk::FailSyncs(Error error, const std::string& part) {
  files_->Fail(false, error, part);
}
void FailingDisk::Mend() { files_->Mend(); }

}  // namespace bue
