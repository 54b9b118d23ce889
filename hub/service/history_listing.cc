#include "hub/service/history_listing.h"

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc.h"
#include "hub/service/client_messages.h"

namespace bue::hub {
namespace {

constexpr int kPageRecords = 1000;
constexpr size_t kPageBytes = 1 << 20;

// Asks for the run's steps; then asks how the run is, reads and writes pages up to the last, rests,
// and again. One of these is under way at a time, and none once the call was finished: so nothing
// here needs a lock, and OnDone comes last.
class HistoryListing final : public grpc::ServerWriteReactor<v1::HistoryPage> {
 public:
  HistoryListing(const ClientParts& parts, const v1::ListHistoryRequest& request,
                 const HistoryListingOptions& options, std::atomic<size_t>* followers)
      : parts_(parts),
        run_(request.run()),
        follow_(request.follow()),
        options_(options),
        followers_(followers),
        cursor_(request.after()) {}

  void Begin() {
    if (follow_ && ++*followers_ > options_.followers_max) {
      return End(absl::ResourceExhaustedError(
          absl::StrCat("the hub already has ", options_.followers_max,
                       " clients that follow runs, its limit; try again later")));
    }
    parts_.requests->Ask(QueryProgram{.run = run_}, [this](Reply reply) {
      if (!reply.status.ok()) return End(reply.status);
      program_ = std::get<RunProgram>(reply.body).program;
      AskHowItIs();
    });
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return End(absl::CancelledError("the reader is gone"));
    Advance();
  }
  void OnCancel() override { cancelled_ = true; }
  void OnDone() override {
    if (follow_) --*followers_;
    delete this;
  }

 private:
  // What a run that has ended told is there once its end is.
  void AskHowItIs() {
    if (!follow_) return Read();
    parts_.requests->Ask(QueryRun{.run = run_}, [this](Reply reply) {
      if (!reply.status.ok()) return End(reply.status);
      ended_ = !IsActive(std::get<RunStatus>(reply.body).state);
      Read();
    });
  }

  void Read() {
    if (!parts_.pool->TryPost([this] { MakePage(); })) {
      End(absl::ResourceExhaustedError("the hub is overloaded; try again"));
    }
  }

  void MakePage() {
    page_.Clear();
    size_t bytes = 0;
    bool full = false;
    const absl::Status status =
        parts_.store->ReadHistory(run_, &cursor_, [&](const PastEvent& past) {
          ToProto(past, *program_, page_.add_records());
          if (past.error != nullptr) bytes += past.error->message.size();
          full = page_.records_size() >= kPageRecords || bytes >= kPageBytes;
          return !full;
        });
    if (!status.ok()) return End(status);
    more_ = full;
    if (page_.records_size() == 0) return Advance();
    page_.set_next(cursor_);
    StartWrite(&page_);
  }

  void Advance() {
    if (more_) return Read();
    if (ended_ || !follow_) return End(absl::OkStatus());
    alarm_.Set(absl::ToChronoTime(absl::Now() + options_.look_every), [this](bool) {
      if (cancelled_) return End(absl::CancelledError("the reader is gone"));
      AskHowItIs();
    });
  }

  void End(const absl::Status& status) { Finish(ToGrpc(status)); }

  const ClientParts parts_;
  const uint64_t run_;
  const bool follow_;
  const HistoryListingOptions options_;
  std::atomic<size_t>* const followers_;
  std::atomic<bool> cancelled_ = false;

  // Used by whatever is under way.
  std::shared_ptr<const Program> program_;
  std::string cursor_;
  v1::HistoryPage page_;
  bool more_ = false;   // Behind the page.
  bool ended_ = false;  // The run has, before the page was read.
  grpc::Alarm alarm_;
};

}  // namespace

grpc::ServerWriteReactor<v1::HistoryPage>* StartListHistory(const ClientParts& parts,
                                                            const v1::ListHistoryRequest& request,
                                                            const HistoryListingOptions& options,
                                                            std::atomic<size_t>* followers) {
  auto* const listing = new HistoryListing(parts, request, options, followers);
  listing->Begin();
  return listing;
}

}  // namespace bue::hub
