#include "hub/service/listings.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/rpc.h"
#include "hub/service/client_messages.h"

namespace bue::hub {
namespace {

constexpr size_t kPageRecords = 1000;
constexpr size_t kPageBytes = 1 << 20;
constexpr size_t kFileChunkBytes = 256 << 10;

// Writes a page's records, then asks for the next page. A write or a page is under way at a time,
// and none once the call was finished: so nothing here needs a lock, and OnDone comes last.
template <typename Record>
class Listing : public grpc::ServerWriteReactor<Record> {
 public:
  explicit Listing(const ClientParts& parts) : parts_(parts) {}

  void OnWriteDone(bool ok) override {
    if (!ok) return End(absl::CancelledError("the reader is gone"));
    ++next_;
    Advance();
  }
  void OnDone() override { delete this; }

  // Starts making the first page or the next; its maker calls Add for each record and then Turn, or
  // End, on a thread that may be held up by a page's writes.
  virtual void MakePage() = 0;

 protected:
  Record* Add() { return &page_.emplace_back(); }
  bool PageIsFull() const { return page_.size() >= kPageRecords || page_bytes_ >= kPageBytes; }
  void AddBytes(size_t bytes) { page_bytes_ += bytes; }

  // The page is made.
  void Turn(bool last) {
    last_page_ = last;
    Advance();
  }
  void End(const absl::Status& status) { this->Finish(ToGrpc(status)); }

  // Runs `job` on the pool; it ends with Turn or End.
  void OnPool(std::function<void()> job) {
    if (!parts_.pool->TryPost(std::move(job))) {
      End(absl::ResourceExhaustedError("the hub is overloaded; try again"));
    }
  }

  const ClientParts parts_;

 private:
  void Advance() {
    if (next_ < page_.size()) return this->StartWrite(&page_[next_]);
    if (last_page_) return End(absl::OkStatus());
    page_.clear();
    page_bytes_ = 0;
    next_ = 0;
    MakePage();
  }

  std::vector<Record> page_;
  size_t page_bytes_ = 0;
  size_t next_ = 0;  // Of the page: the record under way.
  bool last_page_ = false;
};

class ErrorListing final : public Listing<v1::ErrorRecord> {
 public:
  ErrorListing(const ClientParts& parts, uint64_t run) : Listing(parts), run_(run) {}

  void MakePage() override {
    OnPool([this] {
      bool more = false;
      const absl::Status status = parts_.store->ReadErrors(run_, &cursor_, [&](const auto& error) {
        ToProto(error, Add());
        AddBytes(error.message.size() + error.traceback.size());
        more = PageIsFull();
        return !more;
      });
      if (!status.ok()) return End(status);
      Turn(!more);
    });
  }

 private:
  const uint64_t run_;
  std::string cursor_;
};

class ResultListing final : public Listing<v1::ResultRecord> {
 public:
  ResultListing(const ClientParts& parts, const v1::ListResultsRequest& request)
      : Listing(parts), run_(request.run()), failed_(request.failed()) {}

  void MakePage() override {
    parts_.requests->Ask(
        QueryResults{.run = run_, .start = start_, .failed = failed_}, [this](Reply reply) {
          if (!reply.status.ok()) return End(reply.status);
          // The writes of a page are not for the thread that takes turns.
          auto page = std::make_shared<ResultPage>(std::get<ResultPage>(std::move(reply.body)));
          OnPool([this, page] { TakePage(*page); });
        });
  }

 private:
  void TakePage(const ResultPage& page) {
    for (const ResultEntry& result : page.results) ToProto(run_, result, Add());
    start_ = page.next;
    Turn(start_.empty());
  }

  const uint64_t run_;
  const bool failed_;
  std::string start_;
};

class LogListing final : public Listing<v1::LogRecord> {
 public:
  LogListing(const ClientParts& parts, const v1::ListLogsRequest& request, size_t running_max)
      : Listing(parts), request_(request), running_max_(running_max) {}

  void MakePage() override {
    if (finished_listed_) return AskRunning();
    OnPool([this] {
      bool more = false;
      const absl::Status status =
          parts_.store->ReadLogs(request_.run(), &cursor_, [&](const auto& log) {
            if (Wanted(log.step, log.item)) ToProto(log, Add());
            more = PageIsFull();
            return !more;
          });
      if (!status.ok()) return End(status);
      finished_listed_ = !more;
      Turn(false);
    });
  }

 private:
  using Entry = RunningList::Entry;

  bool Wanted(const std::string& step, const std::string& item) const {
    return (request_.step().empty() || step == request_.step()) &&
           (request_.any_item() || item == request_.item());
  }

  void AskRunning() {
    parts_.requests->Ask(QueryRunning{.run = request_.run()}, [this](Reply reply) {
      if (!reply.status.ok()) return End(reply.status);
      auto running = std::make_shared<RunningList>(std::get<RunningList>(std::move(reply.body)));
      OnPool([this, running] { AskWorkers(std::move(running->entries)); });
    });
  }

  void AskWorkers(std::vector<Entry> entries) {
    std::erase_if(entries, [&](const Entry& entry) { return !Wanted(entry.step, entry.item); });
    if (entries.size() > running_max_) entries.resize(running_max_);
    running_ = std::move(entries);
    texts_.resize(running_.size());
    // One is for this function: the last answer may come before the last question is asked.
    unanswered_ = running_.size() + 1;
    for (size_t i = 0; i < running_.size(); ++i) {
      parts_.workers->AskLog(running_[i].worker, running_[i].lease,
                             [this, i](std::optional<std::string> text) {
                               texts_[i] = std::move(text);
                               Answered();
                             });
    }
    Answered();
  }

  void Answered() {
    if (--unanswered_ == 0) OnPool([this] { AddRunning(); });
  }

  void AddRunning() {
    for (size_t i = 0; i < running_.size(); ++i) {
      if (!texts_[i].has_value()) continue;
      v1::LogRecord* record = Add();
      record->set_run(request_.run());
      record->set_step(running_[i].step);
      record->set_item(running_[i].item);
      record->set_attempt(running_[i].attempt);
      record->set_worker(running_[i].worker_name);
      record->set_text(*std::move(texts_[i]));
      record->set_running(true);
    }
    Turn(true);
  }

  const v1::ListLogsRequest request_;
  const size_t running_max_;
  std::string cursor_;
  bool finished_listed_ = false;
  std::vector<Entry> running_;
  std::vector<std::optional<std::string>> texts_;  // Each written by its own answer.
  std::atomic<size_t> unanswered_ = 0;
};

class FileListing final : public Listing<v1::FileChunk> {
 public:
  FileListing(const ClientParts& parts, std::string sha256)
      : Listing(parts), sha256_(std::move(sha256)) {}

  void MakePage() override {
    OnPool([this] {
      const absl::StatusOr<std::string> content = parts_.store->GetFile(sha256_);
      if (!content.ok()) return End(content.status());
      AddChunks(*content);
      Turn(true);
    });
  }

 private:
  void AddChunks(const std::string& content) {
    size_t begin = 0;
    do {
      v1::FileChunk* chunk = Add();
      if (begin == 0) chunk->set_sha256(sha256_);
      const size_t bytes = std::min(kFileChunkBytes, content.size() - begin);
      chunk->set_data(content.data() + begin, bytes);
      begin += bytes;
      chunk->set_last(begin == content.size());
    } while (begin < content.size());
  }

  const std::string sha256_;
};

template <typename L>
L* Begin(L* listing) {
  listing->MakePage();
  return listing;
}

}  // namespace

grpc::ServerWriteReactor<v1::ErrorRecord>* StartListErrors(const ClientParts& parts,
                                                           const v1::ListErrorsRequest& request) {
  return Begin(new ErrorListing(parts, request.run()));
}

grpc::ServerWriteReactor<v1::ResultRecord>* StartListResults(
    const ClientParts& parts, const v1::ListResultsRequest& request) {
  return Begin(new ResultListing(parts, request));
}

grpc::ServerWriteReactor<v1::LogRecord>* StartListLogs(const ClientParts& parts,
                                                       const v1::ListLogsRequest& request,
                                                       size_t running_max) {
  return Begin(new LogListing(parts, request, running_max));
}

grpc::ServerWriteReactor<v1::FileChunk>* StartGetFile(const ClientParts& parts,
                                                      const v1::GetFileRequest& request) {
  return Begin(new FileListing(parts, request.sha256()));
}

}  // namespace bue::hub
