// HubClient speaks service Hub (proto/bue/v1/hub.proto) for a person or a script: blocking calls
// with plain arguments, a bounded wait when the hub is away, and retries that are safe to make.
//
// Errors: Unavailable, naming the address and how long was waited, when the hub cannot be reached;
// Unauthenticated for a wrong token; otherwise what the hub said.
//
// Thread-safe: any number of calls at once, each from its own thread.
#ifndef BUE_COMMON_HUB_CLIENT_HUB_CLIENT_H_
#define BUE_COMMON_HUB_CLIENT_HUB_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "bue/v1/hub.pb.h"
#include "common/program/program.h"

namespace bue {

struct HubClientOptions {
  std::string target;                                 // HOST:PORT
  std::string token;                                  // Sent with every call when not empty.
  absl::Duration connect_timeout = absl::Seconds(5);  // For the first contact.
  // A hub that was there and is gone is waited for this long by each call.
  absl::Duration retry_for = absl::Seconds(30);
  // Called by calls that wait, each from its thread, with what a person who waits should know: that
  // the hub is away, that it misses a bucket, that they are back. Each once a call. May be unset.
  std::function<void(const std::string& text)> notice;
};

// One file of a new run; both views outlive the call.
struct UploadedFile {
  absl::string_view sha256;  // 32 raw bytes.
  absl::string_view data;
};

struct NewRun {
  std::string key;   // Chosen by the client: a repeated upload with it answers with the same run.
  std::string name;  // The script's path as given, for people.
  uint32_t weight = 1;
  const Program* program = nullptr;  // Outlives the call.
  std::vector<UploadedFile> files;
};

class HubClient {
 public:
  // Waits up to `connect_timeout` for the hub.
  static absl::StatusOr<std::unique_ptr<HubClient>> Connect(const HubClientOptions& options);
  ~HubClient();

  // A random key for NewRun.
  static std::string MakeKey();

  // The new run's number. Sent again, with the same key, when the connection breaks.
  absl::StatusOr<uint64_t> Upload(const NewRun& run);

  absl::StatusOr<v1::RunStatus> GetRun(uint64_t run);  // NotFound
  absl::StatusOr<std::vector<v1::RunStatus>> ListRuns();

  // Calls `changed` with the status at once and whenever it changed (at most each `interval`), the
  // last time when the run has ended; returns the last status. With an infinite interval it is
  // called with the last one only. `changed` may return false to stop early. Survives a restart of
  // the hub that takes less than `retry_for`.
  absl::StatusOr<v1::RunStatus> WatchRun(uint64_t run, absl::Duration interval,
                                         const std::function<bool(const v1::RunStatus&)>& changed);
  // Both in one call: `accepted` is told the new run's number, as soon as it is durable.
  absl::StatusOr<v1::RunStatus> UploadAndWatch(
      const NewRun& run, absl::Duration interval, const std::function<void(uint64_t)>& accepted,
      const std::function<bool(const v1::RunStatus&)>& changed);

  // Idempotent, so it is retried.
  absl::StatusOr<v1::ControlRunReply> Control(const v1::ControlRunRequest& request);
  absl::Status Control(uint64_t run, v1::ControlRunRequest::Action action);
  absl::Status SetLimits(const v1::SetLimitsRequest& request);
  absl::StatusOr<v1::ExplainReply> Explain(const v1::ExplainRequest& request);

  // Call `each` for every record, in the hub's order. After a broken connection the listing starts
  // over and skips as many records as were delivered. `each` returns false to stop.
  absl::Status ListErrors(uint64_t run, const std::function<bool(const v1::ErrorRecord&)>& each);
  absl::Status ListResults(uint64_t run, const std::function<bool(const v1::ResultRecord&)>& each);
  // Items that failed, each with the first of its steps that did.
  absl::Status ListFailedItems(uint64_t run,
                               const std::function<bool(const v1::ResultRecord&)>& each);
  absl::Status ListLogs(const v1::ListLogsRequest& request,
                        const std::function<bool(const v1::LogRecord&)>& each);

  // Calls `each` with what is kept of the run's history, page by page; with `follow` until the run
  // has ended. Nothing is left out or told twice when the connection breaks, or the hub restarts.
  absl::Status ListHistory(uint64_t run, bool follow,
                           const std::function<bool(const v1::HistoryPage&)>& each);

  absl::StatusOr<std::vector<v1::WorkerStatus>> ListWorkers();
  absl::StatusOr<v1::LocateValueReply> LocateValue(const v1::LocateValueRequest& request);
  absl::StatusOr<v1::ListValuesReply> ListValues(const v1::ListValuesRequest& request);
  absl::StatusOr<v1::HubInfo> GetInfo();
  // Says which buckets are away, with HubClientOptions::notice.
  absl::Status NoteBuckets();

 private:
  class Impl;  // Keeps gRPC out of this header.

  explicit HubClient(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace bue

#endif  // BUE_COMMON_HUB_CLIENT_HUB_CLIENT_H_
