#include "common/rocksdb/log_ahead.h"

#include <fcntl.h>
#include <rocksdb/file_system.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace bue {
namespace {

// So much is written ahead at a time, once less than half of it is left.
constexpr uint64_t kAhead = 512 << 10;
// An append of more says that this log is one of large values.
constexpr uint64_t kSmallAppend = 128 << 10;
// Between two times: 50 MiB a second at most.
constexpr absl::Duration kPause = absl::Milliseconds(10);
// What may be appended while zeros are being written for the first time, or again.
constexpr uint64_t kGap = 64 << 10;
constexpr uint64_t kBlock = 4096;

// Where a log's data ends and where its zeros do. Thread-safe.
class Zeros {
 public:
  explicit Zeros(const std::string& path) : file_(open(path.c_str(), O_WRONLY | O_CLOEXEC)) {}
  ~Zeros() {
    if (file_ >= 0) close(file_);
  }
  Zeros(const Zeros&) = delete;
  Zeros& operator=(const Zeros&) = delete;

  // `size` bytes will be appended now. Waits while zeros are written to where they come to lie.
  void Append(uint64_t size) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    data_end_ += size;
    small_ = size <= kSmallAppend;
    const auto is_free = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return !writing_ || data_end_ <= begin_;
    };
    mutex_.Await(absl::Condition(&is_free));
  }

  // Whether Write is called for; says so once, until it has been called.
  bool IsDue(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    if (file_ < 0 || asked_ || writing_ || !small_ || now - written_ < kPause) return false;
    asked_ = end_ < data_end_ + kAhead / 2;
    return asked_;
  }

  void Write() ABSL_LOCKS_EXCLUDED(mutex_) {
    int file = -1;
    uint64_t begin = 0;
    {
      absl::MutexLock lock(&mutex_);
      asked_ = false;
      if (file_ < 0) return;
      file = file_;
      begin = std::max(end_, (data_end_ + kGap + kBlock - 1) / kBlock * kBlock);
      begin_ = begin;
      writing_ = true;
    }
    const bool wrote = WriteZeros(file, begin);
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    written_ = absl::Now();
    end_ = begin + kAhead;
    if (!wrote) Stop();
  }

  // No zeros from here on.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    const auto is_idle = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !writing_; };
    mutex_.Await(absl::Condition(&is_idle));
    Stop();
  }

 private:
  // The sync makes the blocks the file's, so that the log's own has only data to write.
  static bool WriteZeros(int file, uint64_t begin) {
    static const std::string& zeros = *new std::string(kAhead, '\0');
    const ssize_t wrote = pwrite(file, zeros.data(), kAhead, static_cast<off_t>(begin));
    return wrote == static_cast<ssize_t>(kAhead) && fdatasync(file) == 0;
  }

  // A disk without room is for the log itself to report.
  void Stop() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (file_ >= 0) close(file_);
    file_ = -1;
  }

  absl::Mutex mutex_;
  int file_ ABSL_GUARDED_BY(mutex_);  // Negative: stopped. Does not change while `writing_`.
  uint64_t data_end_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t begin_ ABSL_GUARDED_BY(mutex_) = 0;  // Of what is being written.
  uint64_t end_ ABSL_GUARDED_BY(mutex_) = 0;
  bool small_ ABSL_GUARDED_BY(mutex_) = false;
  bool asked_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time written_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

// Writes zeros for the logs of one database.
class Writer {
 public:
  Writer() : thread_([this] { Run(); }) {}
  ~Writer() {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    thread_.join();
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void Add(std::shared_ptr<Zeros> zeros) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    due_.push_back(std::move(zeros));
  }

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_) {
    while (const std::shared_ptr<Zeros> zeros = Next()) zeros->Write();
  }

  // Null: that was all.
  std::shared_ptr<Zeros> Next() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    const auto is_awake = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return stopping_ || !due_.empty();
    };
    mutex_.Await(absl::Condition(&is_awake));
    if (stopping_) return nullptr;
    std::shared_ptr<Zeros> zeros = std::move(due_.front());
    due_.pop_front();
    return zeros;
  }

  absl::Mutex mutex_;
  std::deque<std::shared_ptr<Zeros>> due_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// RocksDB appends and closes from one thread at a time; it syncs beside the appends.
class LogFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  LogFile(std::unique_ptr<rocksdb::FSWritableFile> file, const std::string& path, Writer* writer)
      : FSWritableFileOwnerWrapper(std::move(file)),
        zeros_(std::make_shared<Zeros>(path)),
        writer_(writer) {}
  ~LogFile() override { zeros_->Close(); }

  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                           rocksdb::IODebugContext* debug) override {
    zeros_->Append(data.size());
    return FSWritableFileOwnerWrapper::Append(data, options, debug);
  }
  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                           const rocksdb::DataVerificationInfo& verification,
                           rocksdb::IODebugContext* debug) override {
    zeros_->Append(data.size());
    return FSWritableFileOwnerWrapper::Append(data, options, verification, debug);
  }

  rocksdb::IOStatus Sync(const rocksdb::IOOptions& options,
                         rocksdb::IODebugContext* debug) override {
    rocksdb::IOStatus status = FSWritableFileOwnerWrapper::Sync(options, debug);
    if (zeros_->IsDue(absl::Now())) writer_->Add(zeros_);
    return status;
  }

  // Cuts the file to its data.
  rocksdb::IOStatus Close(const rocksdb::IOOptions& options,
                          rocksdb::IODebugContext* debug) override {
    zeros_->Close();
    return FSWritableFileOwnerWrapper::Close(options, debug);
  }

 private:
  const std::shared_ptr<Zeros> zeros_;
  Writer* const writer_;
};

class LogAheadFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;
  const char* Name() const override { return "LogAheadFileSystem"; }

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override {
    rocksdb::IOStatus status = FileSystemWrapper::NewWritableFile(path, options, file, debug);
    if (status.ok() && absl::EndsWith(path, ".log") && !options.use_direct_writes) {
      *file = std::make_unique<LogFile>(std::move(*file), path, &writer_);
    }
    return status;
  }

 private:
  Writer writer_;
};

// Where the zeros at the file's end begin; 0 if it cannot be read.
uint64_t EndOfData(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  std::string piece(kGap, '\0');
  uint64_t end = std::max<int64_t>(lseek(file, 0, SEEK_END), 0);
  while (end > 0) {
    const uint64_t begin = end - std::min<uint64_t>(end, kGap);
    const ssize_t got = pread(file, piece.data(), end - begin, static_cast<off_t>(begin));
    const size_t last = got <= 0 ? std::string::npos : piece.find_last_not_of('\0', got - 1);
    end = last == std::string::npos ? begin : begin + last + 1;
    if (last != std::string::npos) break;
  }
  close(file);
  return end;
}

class EndedFile final : public rocksdb::FSSequentialFileOwnerWrapper {
 public:
  EndedFile(std::unique_ptr<rocksdb::FSSequentialFile> file, uint64_t bytes)
      : FSSequentialFileOwnerWrapper(std::move(file)), left_(bytes) {}

  rocksdb::IOStatus Read(size_t bytes, const rocksdb::IOOptions& options, rocksdb::Slice* result,
                         char* scratch, rocksdb::IODebugContext* debug) override {
    rocksdb::IOStatus status = FSSequentialFileOwnerWrapper::Read(std::min<uint64_t>(bytes, left_),
                                                                  options, result, scratch, debug);
    left_ -= std::min<uint64_t>(result->size(), left_);
    return status;
  }
  rocksdb::IOStatus Skip(uint64_t bytes) override {
    left_ -= std::min(bytes, left_);
    return FSSequentialFileOwnerWrapper::Skip(bytes);
  }

 private:
  uint64_t left_;
};

class LogsWithoutZeros final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;
  const char* Name() const override { return "LogsWithoutZeros"; }

  rocksdb::IOStatus NewSequentialFile(const std::string& path, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSSequentialFile>* file,
                                      rocksdb::IODebugContext* debug) override {
    rocksdb::IOStatus status = FileSystemWrapper::NewSequentialFile(path, options, file, debug);
    if (status.ok() && absl::EndsWith(path, ".log")) {
      *file = std::make_unique<EndedFile>(std::move(*file), EndOfData(path));
    }
    return status;
  }
};

}  // namespace

std::unique_ptr<rocksdb::Env> LogsWithoutZerosEnv(rocksdb::Env* base) {
  return rocksdb::NewCompositeEnv(std::make_shared<LogsWithoutZeros>(base->GetFileSystem()));
}

std::unique_ptr<rocksdb::Env> LogAheadEnv(rocksdb::Env* base) {
  return rocksdb::NewCompositeEnv(std::make_shared<LogAheadFileSystem>(base->GetFileSystem()));
}

}  // namespace bue
