#include "hub/service/upload.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "absl/algorithm/container.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/logging.h"
#include "common/memory.h"
#include "common/program/program_codec.h"
#include "common/rpc.h"
#include "common/sha256.h"
#include "common/status_macros.h"
#include "hub/service/client_messages.h"

namespace bue::hub {
namespace {

// A program beside `start` comes before its memory was acquired.
constexpr size_t kFirstPiece = 64 << 10;
// Programs and files of more bytes are taken in on the pool.
constexpr size_t kSmallProgram = 32 << 10;
constexpr size_t kSmallFile = 32 << 10;
// After programs of more bytes, memory is given back to the system.
constexpr size_t kLargeProgram = 1 << 20;

absl::Status TooLarge(absl::string_view what, uint64_t is, uint64_t allowed) {
  return absl::InvalidArgumentError(
      absl::StrCat("upload: ", what, " of ", is, ", allowed are at most ", allowed));
}

// One read, job, question or wait is under way at a time, and none once the upload has ended, but
// for a read that was given up. What the watch's thread uses is locked. Each part of a message
// leaves it when it is taken, and GoOn goes to the next.
class UploadSteps final : public Upload, public std::enable_shared_from_this<UploadSteps> {
 public:
  UploadSteps(Uploads* uploads, grpc::CallbackServerContext* context, UploadStream* stream)
      : uploads_(uploads), context_(context), stream_(stream), pace_since_(absl::Now()) {}
  ~UploadSteps() override {
    const auto release = [uploads = uploads_, bytes = acquired_bytes_] {
      if (bytes > 0) uploads->budget.Release(bytes);
    };
    if (!large_) {
      release();
      return;
    }
    // The allocator would keep what a large program took, and the next one take as much again.
    program_.reset();
    submit_ = SubmitRun();
    const auto trim_and_release = [release] {
      ReturnFreeMemory();
      release();
    };
    if (!uploads_->parts.pool->TryPost(trim_and_release)) release();
  }

  void Start() {
    uploads_->stalls.Add([weak = weak_from_this()](absl::Time now) {
      const std::shared_ptr<UploadSteps> alive = weak.lock();
      if (alive != nullptr) alive->EndIfStalled(now);
      return alive != nullptr;
    });
    Read();
  }

  void ReadDone(bool ok) override {
    if (!EndRead()) return;  // It was given up.
    if (!ok) return End();
    GoOn();
  }
  void Cancelled() override {
    if (uploads_->budget.Withdraw(this)) Fail(absl::CancelledError("upload: cancelled"));
  }

 private:
  struct WantedFile {
    std::string path;
    uint64_t bytes = 0;
    bool stored = false;
  };

  void Fail(const absl::Status& status) { stream_->Refused(status); }

  // Does `job`, on the pool unless it is `quick`, and then goes on with `next`.
  void Do(bool quick, std::function<absl::Status()> job, void (UploadSteps::*next)()) {
    auto work = [this, job = std::move(job), next] {
      if (absl::Status status = job(); !status.ok()) return Fail(status);
      (this->*next)();
    };
    if (quick) return work();
    if (!uploads_->parts.pool->TryPost(std::move(work))) {
      Fail(absl::ResourceExhaustedError("the hub is overloaded; try again"));
    }
  }

  // ------------------------------------------------------------------------------- the client

  void GoOn() {
    if (request_.has_start()) return Begin();
    if (!began_) {
      return Fail(absl::InvalidArgumentError("upload: the first message says `start`"));
    }
    if (!request_.program().empty()) return TakePiece();
    if (request_.has_file()) return TakeChunk();
    Read();
  }

  void Read() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    reading_ = true;
    stream_->Read(&request_);
  }

  // False: the call was finished without waiting for it.
  bool EndRead() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    received_bytes_ += request_.program().size() + request_.file().data().size();
    return std::exchange(reading_, false);
  }

  void EndIfStalled(absl::Time now) {
    if (GivesUpOnTurn(now)) {
      return Fail(absl::ResourceExhaustedError(absl::StrCat(
          "upload: others held the memory that uploads may take for ",
          absl::FormatDuration(uploads_->limits.patience), "; try again a little later")));
    }
    if (GivesUpOnRead(now)) {
      Fail(absl::AbortedError(absl::StrCat(
          "upload: less than ", uploads_->limits.pace_bytes, " bytes came in ",
          absl::FormatDuration(uploads_->limits.patience), "; try again over a faster network")));
    }
  }

  bool GivesUpOnTurn(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      if (now - waiting_since_ < uploads_->limits.patience) return false;
    }
    return uploads_->budget.Withdraw(this);
  }

  bool GivesUpOnRead(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    if (reading_ && now - pace_since_ < uploads_->limits.patience) return false;
    // While nothing is read it is not the client who is waited for.
    const bool slow = reading_ && received_bytes_ - pace_bytes_ < uploads_->limits.pace_bytes;
    if (slow) reading_ = false;
    pace_since_ = now;
    pace_bytes_ = received_bytes_;
    return slow;
  }

  // ------------------------------------------------------------------------------ the program

  void Begin() {
    if (std::exchange(began_, true)) {
      return Fail(absl::InvalidArgumentError("upload: a second `start`"));
    }
    if (absl::Status status = TakeStart(); !status.ok()) return Fail(status);
    AwaitTurn();
  }

  absl::Status TakeStart() {
    const UploadLimits& limits = uploads_->limits;
    v1::UploadRequest::Start* start = request_.mutable_start();
    RETURN_IF_ERROR(uploads_->parts.store->CheckSpace());
    if (start->weight() > limits.weight_max) {
      return TooLarge("a weight", start->weight(), limits.weight_max);
    }
    if (start->key().empty()) {
      return absl::InvalidArgumentError(
          "upload: it has no key; make a random one, so that it can be repeated safely");
    }
    for (const std::string* name : {&start->name(), &start->key()}) {
      if (name->size() > limits.name_bytes_max) {
        return TooLarge("a name's bytes", name->size(), limits.name_bytes_max);
      }
    }
    program_bytes_ = start->program_bytes();
    memory_bytes_ = start->memory_bytes();
    if (program_bytes_ == 0) return absl::InvalidArgumentError("upload: it has no program");
    if (program_bytes_ > limits.program_bytes_max) {
      return TooLarge("a program's bytes", program_bytes_, limits.program_bytes_max);
    }
    if (memory_bytes_ > limits.memory_bytes_max) {
      return TooLarge("its memory_bytes", memory_bytes_, limits.memory_bytes_max);
    }
    if (memory_bytes_ < program_bytes_) return TooLittleMemory();
    submit_.key = std::move(*start->mutable_key());
    submit_.name = std::move(*start->mutable_name());
    submit_.weight = std::max(start->weight(), 1u);
    large_ = program_bytes_ > kLargeProgram;
    if (request_.ByteSizeLong() > start->ByteSizeLong() + kFirstPiece) {
      return TooLarge("bytes beside `start`", request_.ByteSizeLong(), kFirstPiece);
    }
    request_.clear_start();
    return absl::OkStatus();
  }

  absl::Status TooLittleMemory() const {
    return absl::InvalidArgumentError(absl::StrCat("upload: it needs more than the ", memory_bytes_,
                                                   " bytes that `memory_bytes` says"));
  }

  void AwaitTurn() ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      waiting_since_ = absl::Now();
    }
    const bool now = uploads_->budget.Acquire(
        this, memory_bytes_, [upload = shared_from_this()] { upload->TakeTurn(); });
    if (now) return TakeTurn();
    if (context_->IsCancelled()) Cancelled();  // It may have come too early for this wait.
  }

  void TakeTurn() ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      waiting_since_ = absl::InfiniteFuture();
    }
    acquired_bytes_ = memory_bytes_;
    submit_.program_bytes.reserve(program_bytes_);
    GoOn();
  }

  void TakePiece() {
    const std::string piece = std::move(*request_.mutable_program());
    request_.clear_program();
    std::string& program = submit_.program_bytes;
    if (piece.size() > program_bytes_ - program.size()) {
      return Fail(absl::InvalidArgumentError(absl::StrCat("upload: the program is longer than the ",
                                                          program_bytes_, " bytes of `start`")));
    }
    program.append(piece);
    if (program.size() < program_bytes_) return GoOn();
    Do(
        program.size() <= kSmallProgram, [this] { return TakeProgram(); }, &UploadSteps::GoOn);
  }

  absl::Status TakeProgram() {
    ASSIGN_OR_RETURN(program_, Parse(submit_.program_bytes));
    return WantFiles(*program_);
  }

  absl::StatusOr<std::shared_ptr<const Program>> Parse(const std::string& bytes) {
    const std::string hash = Sha256(bytes);
    if (auto known = uploads_->programs.Find(hash)) return known;
    ASSIGN_OR_RETURN(Program program, ParseProgram(bytes, memory_bytes_ - bytes.size()));
    auto shared = std::make_shared<const Program>(std::move(program));
    uploads_->programs.Keep(hash, shared);
    return std::shared_ptr<const Program>(std::move(shared));
  }

  absl::Status WantFiles(const Program& program) {
    const UploadLimits& limits = uploads_->limits;
    if (program.files.size() > limits.files_max) {
      return TooLarge("a number of files", program.files.size(), limits.files_max);
    }
    const size_t held_bytes = program_bytes_ + MemoryOf(program);
    for (const File& file : program.files) {
      if (file.path.size() > limits.name_bytes_max) {
        return TooLarge("a path's bytes", file.path.size(), limits.name_bytes_max);
      }
      if (file.bytes > limits.file_bytes_max) {
        return TooLarge(absl::StrCat("file '", file.path, "': bytes"), file.bytes,
                        limits.file_bytes_max);
      }
      wanted_[file.sha256] = {.path = file.path, .bytes = file.bytes};
    }
    file_bytes_max_ = memory_bytes_ - std::min(memory_bytes_, held_bytes);
    return absl::OkStatus();
  }

  // -------------------------------------------------------------------------------- the files

  void TakeChunk() {
    const std::unique_ptr<v1::FileChunk> chunk(request_.release_file());
    if (program_ == nullptr) {
      return Fail(absl::InvalidArgumentError("upload: a file before the end of the program"));
    }
    if (absl::Status status = AddChunk(*chunk); !status.ok()) return Fail(status);
    if (!chunk->last()) return GoOn();
    Do(
        IsSmallAndKnown(), [this] { return StoreFile(); }, &UploadSteps::GoOn);
  }

  absl::Status AddChunk(const v1::FileChunk& chunk) {
    if (file_ == nullptr) {
      const auto wanted = wanted_.find(chunk.sha256());
      if (wanted == wanted_.end()) {
        return absl::InvalidArgumentError("upload: a file that the program does not name");
      }
      file_sha256_ = wanted->first;
      file_ = &wanted->second;
    } else if (!chunk.sha256().empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("upload: file '", file_->path, "' has no last chunk"));
    }
    const size_t bytes = content_.size() + chunk.data().size();
    if (bytes > file_->bytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          "upload: file '", file_->path, "' is longer than its ", file_->bytes, " bytes"));
    }
    if (bytes > file_bytes_max_) return TooLittleMemory();
    content_.append(chunk.data());
    return absl::OkStatus();
  }

  // As of a script that is uploaded again and again: there is nothing to write.
  bool IsSmallAndKnown() const {
    if (content_.size() > kSmallFile) return false;
    const absl::StatusOr<bool> known = uploads_->parts.store->HasFile(file_sha256_);
    return known.ok() && *known;
  }

  absl::Status StoreFile() {
    if (Sha256(content_) != file_sha256_) {
      return absl::InvalidArgumentError(absl::StrCat(
          "upload: file '", file_->path, "' does not have the hash that the program names"));
    }
    HubStore* store = uploads_->parts.store;
    ASSIGN_OR_RETURN(const bool known, store->HasFile(file_sha256_));
    if (!known) RETURN_IF_ERROR(store->PutFile(file_sha256_, content_));
    file_->stored = true;
    file_ = nullptr;
    content_ = std::string();
    return absl::OkStatus();
  }

  // ---------------------------------------------------------------------------------- the run

  // The client has sent everything, or is gone.
  void End() {
    if (context_->IsCancelled()) return Fail(absl::CancelledError("upload: cancelled"));
    if (program_ == nullptr) {
      return Fail(absl::InvalidArgumentError("upload: it ended before its program did"));
    }
    if (file_ != nullptr) {
      return Fail(absl::InvalidArgumentError(
          absl::StrCat("upload: file '", file_->path, "' has no last chunk")));
    }
    const bool all_stored =
        absl::c_all_of(wanted_, [](const auto& file) { return file.second.stored; });
    Do(
        all_stored, [this] { return CheckFiles(); }, &UploadSteps::Submit);
  }

  absl::Status CheckFiles() {
    for (const auto& [sha256, file] : wanted_) {
      if (file.stored) continue;
      ASSIGN_OR_RETURN(const bool known, uploads_->parts.store->HasFile(sha256));
      if (known) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("upload: file '", file.path, "' was not sent and the hub does not have it"));
    }
    return absl::OkStatus();
  }

  void Submit() {
    submit_.program = program_;
    uploads_->parts.requests->Ask(std::move(submit_), [this](Reply reply) {
      if (!reply.status.ok()) return Fail(reply.status);
      const RunAccepted accepted = std::get<RunAccepted>(reply.body);
      const std::shared_ptr<const Program> program = program_;  // Nothing is ours after the end.
      stream_->Accepted(accepted);
      if (accepted.existed) return;
      log::info("run added run=r{} script={} steps={} calls={}", accepted.run, program->script,
                program->steps.size(), program->nodes.size());
    });
  }

  Uploads* const uploads_;
  grpc::CallbackServerContext* const context_;
  UploadStream* const stream_;
  v1::UploadRequest request_;  // Used by the read under way, then by whoever takes its parts.

  bool began_ = false;
  size_t program_bytes_ = 0;   // As `start` says.
  size_t memory_bytes_ = 0;    // As `start` says.
  size_t acquired_bytes_ = 0;  // Of the budget.
  SubmitRun submit_;
  std::shared_ptr<const Program> program_;
  bool large_ = false;
  absl::flat_hash_map<std::string, WantedFile> wanted_;  // By hash.
  size_t file_bytes_max_ = 0;                            // That memory_bytes_ leaves.

  // The file that is being received.
  WantedFile* file_ = nullptr;
  std::string file_sha256_;
  std::string content_;

  absl::Mutex mutex_;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time waiting_since_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();  // For its turn.
  uint64_t received_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  // When the client's pace was looked at last, and how much had come then.
  absl::Time pace_since_ ABSL_GUARDED_BY(mutex_);
  uint64_t pace_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

class UploadCall final : public grpc::ServerReadReactor<v1::UploadRequest>, UploadStream {
 public:
  UploadCall(Uploads* uploads, grpc::CallbackServerContext* context, v1::UploadReply* reply)
      : reply_(reply), upload_(StartUpload(uploads, context, this)) {}

  void OnReadDone(bool ok) override { upload_->ReadDone(ok); }
  void OnCancel() override { upload_->Cancelled(); }
  void OnDone() override { delete this; }

 private:
  void Read(v1::UploadRequest* request) override { StartRead(request); }
  void Accepted(const RunAccepted& accepted) override {
    ToProto(accepted, reply_);
    Finish(grpc::Status::OK);
  }
  void Refused(const absl::Status& status) override { Finish(ToGrpc(status)); }

  v1::UploadReply* const reply_;
  const std::shared_ptr<Upload> upload_;
};

}  // namespace

std::shared_ptr<Upload> StartUpload(Uploads* uploads, grpc::CallbackServerContext* context,
                                    UploadStream* stream) {
  auto upload = std::make_shared<UploadSteps>(uploads, context, stream);
  upload->Start();
  return upload;
}

grpc::ServerReadReactor<v1::UploadRequest>* ServeUpload(Uploads* uploads,
                                                        grpc::CallbackServerContext* context,
                                                        v1::UploadReply* reply) {
  return new UploadCall(uploads, context, reply);
}

}  // namespace bue::hub
