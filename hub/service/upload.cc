#include "hub/service/upload.h"

#include <grpcpp/grpcpp.h>
#include <malloc.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "common/logging.h"
#include "common/program/program_codec.h"
#include "common/rpc.h"
#include "common/sha256.h"
#include "common/status_macros.h"

namespace bue::hub {
namespace {

// Larger programs are looked at on the pool.
constexpr int kSmallProgram = 1000;
// After programs of more bytes, memory is given back to the system.
constexpr size_t kLargeProgram = 1 << 20;

absl::Status TooLarge(absl::string_view what, uint64_t is, uint64_t allowed) {
  return absl::InvalidArgumentError(
      absl::StrCat("upload: ", what, " of ", is, ", allowed are at most ", allowed));
}

// One read, job or question is under way at a time, and none once the call was finished: so nothing
// here needs a lock, and OnDone comes last.
class Upload final : public grpc::ServerReadReactor<v1::UploadRequest> {
 public:
  Upload(Uploads* uploads, grpc::CallbackServerContext* context, v1::UploadReply* reply)
      : uploads_(uploads), context_(context), reply_(reply) {
    StartRead(&request_);
  }
  ~Upload() override {
    uploads_->bytes_under_way -= reserved_;
    // A program's messages take several times its bytes, once; the allocator would keep that.
    if (large_) (void)uploads_->parts.pool->TryPost([] { malloc_trim(0); });
  }

  void OnReadDone(bool ok) override {
    if (!ok) return End();
    if (request_.has_start()) return Begin();
    if (program_ == nullptr) {
      return Fail(absl::InvalidArgumentError("upload: the first message says `start`"));
    }
    if (request_.has_file()) return TakeChunk(request_.mutable_file());
    StartRead(&request_);
  }
  void OnDone() override { delete this; }

 private:
  struct WantedFile {
    std::string path;
    uint64_t bytes = 0;
    bool stored = false;
  };

  void Fail(const absl::Status& status) { Finish(ToGrpc(status)); }

  // Does `job`, on the pool unless it is `quick`, and then goes on with `next`.
  void Do(bool quick, std::function<absl::Status()> job, void (Upload::*next)()) {
    auto work = [this, job = std::move(job), next] {
      if (absl::Status status = job(); !status.ok()) return Fail(status);
      (this->*next)();
    };
    if (quick) return work();
    if (!uploads_->parts.pool->TryPost(std::move(work))) {
      Fail(absl::ResourceExhaustedError("the hub is overloaded; try again"));
    }
  }

  void Read() { StartRead(&request_); }

  // ------------------------------------------------------------------------------ the program

  void Begin() {
    if (program_ != nullptr) return Fail(absl::InvalidArgumentError("upload: a second `start`"));
    const v1::Program& program = request_.start().program();
    const bool quick = program.nodes_size() + program.steps_size() < kSmallProgram;
    Do(
        quick, [this] { return TakeProgram(); }, &Upload::Read);
  }

  absl::Status TakeProgram() {
    const UploadLimits& limits = uploads_->limits;
    v1::UploadRequest::Start* start = request_.mutable_start();
    RETURN_IF_ERROR(uploads_->parts.store->CheckSpace());
    const size_t bytes = start->program().ByteSizeLong();
    const size_t files = start->program().files_size();
    if (bytes > limits.program_bytes_max) {
      return TooLarge("a program's bytes", bytes, limits.program_bytes_max);
    }
    if (files > limits.files_max) return TooLarge("a number of files", files, limits.files_max);
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
    submit_.program_bytes = start->program().SerializeAsString();
    ASSIGN_OR_RETURN(program_, Compile(start->program()));
    RETURN_IF_ERROR(WantFiles(*program_));
    submit_.key = std::move(*start->mutable_key());
    submit_.name = std::move(*start->mutable_name());
    submit_.weight = std::max(start->weight(), 1u);
    large_ = bytes > kLargeProgram;
    v1::UploadRequest().Swap(&request_);  // Frees what it held; Clear would keep it.
    return absl::OkStatus();
  }

  absl::StatusOr<std::shared_ptr<const Program>> Compile(const v1::Program& proto) {
    const std::string hash = Sha256(submit_.program_bytes);
    if (auto known = uploads_->programs.Find(hash)) return known;
    ASSIGN_OR_RETURN(Program program, FromProto(proto));
    auto shared = std::make_shared<const Program>(std::move(program));
    uploads_->programs.Keep(hash, shared);
    return std::shared_ptr<const Program>(std::move(shared));
  }

  absl::Status WantFiles(const Program& program) {
    for (const File& file : program.files) {
      if (file.path.size() > uploads_->limits.name_bytes_max) {
        return TooLarge("a path's bytes", file.path.size(), uploads_->limits.name_bytes_max);
      }
      if (file.bytes > uploads_->limits.file_bytes_max) {
        return TooLarge(absl::StrCat("file '", file.path, "': bytes"), file.bytes,
                        uploads_->limits.file_bytes_max);
      }
      wanted_[file.sha256] = {.path = file.path, .bytes = file.bytes};
    }
    return absl::OkStatus();
  }

  // -------------------------------------------------------------------------------- the files

  void TakeChunk(v1::FileChunk* chunk) {
    if (absl::Status status = AddChunk(chunk); !status.ok()) return Fail(status);
    if (!chunk->last()) return Read();
    Do(
        false, [this] { return StoreFile(); }, &Upload::Read);
  }

  absl::Status AddChunk(v1::FileChunk* chunk) {
    if (file_ == nullptr) {
      const auto wanted = wanted_.find(chunk->sha256());
      if (wanted == wanted_.end()) {
        return absl::InvalidArgumentError("upload: a file that the program does not name");
      }
      file_sha256_ = wanted->first;
      file_ = &wanted->second;
    } else if (!chunk->sha256().empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("upload: file '", file_->path, "' has no last chunk"));
    }
    if (content_.size() + chunk->data().size() > file_->bytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          "upload: file '", file_->path, "' is longer than its ", file_->bytes, " bytes"));
    }
    RETURN_IF_ERROR(Reserve(chunk->data().size()));
    content_.append(chunk->data());
    return absl::OkStatus();
  }

  absl::Status Reserve(size_t bytes) {
    reserved_ += bytes;
    const size_t all = uploads_->bytes_under_way += bytes;
    if (all <= uploads_->limits.under_way_bytes_max) {
      return absl::OkStatus();
    }
    return absl::ResourceExhaustedError("too many uploads at once; try again");
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
    uploads_->bytes_under_way -= std::exchange(reserved_, 0);
    return absl::OkStatus();
  }

  // ---------------------------------------------------------------------------------- the run

  // The client has sent everything, or is gone.
  void End() {
    if (context_->IsCancelled()) return Fail(absl::CancelledError("upload: cancelled"));
    if (program_ == nullptr) {
      return Fail(absl::InvalidArgumentError("upload: it ended before `start`"));
    }
    if (file_ != nullptr) {
      return Fail(absl::InvalidArgumentError(
          absl::StrCat("upload: file '", file_->path, "' has no last chunk")));
    }
    Do(
        wanted_.empty(), [this] { return CheckFiles(); }, &Upload::Submit);
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
      const RunAccepted& accepted = std::get<RunAccepted>(reply.body);
      if (!accepted.existed) {
        log::info("run added run=r{} script={} steps={} calls={}", accepted.run, program_->script,
                  program_->steps.size(), program_->nodes.size());
      }
      reply_->set_run(accepted.run);
      reply_->set_existed(accepted.existed);
      Finish(grpc::Status::OK);
    });
  }

  Uploads* const uploads_;
  grpc::CallbackServerContext* const context_;
  v1::UploadReply* const reply_;
  v1::UploadRequest request_;

  SubmitRun submit_;
  std::shared_ptr<const Program> program_;
  bool large_ = false;
  absl::flat_hash_map<std::string, WantedFile> wanted_;  // By hash.

  // The file that is being received.
  WantedFile* file_ = nullptr;
  std::string file_sha256_;
  std::string content_;
  size_t reserved_ = 0;
};

}  // namespace

grpc::ServerReadReactor<v1::UploadRequest>* StartUpload(Uploads* uploads,
                                                        grpc::CallbackServerContext* context,
                                                        v1::UploadReply* reply) {
  return new Upload(uploads, context, reply);
}

}  // namespace bue::hub
