// ClientService speaks service Hub (proto/bue/v1/hub.proto) to people, scripts and workers:
// uploads, questions, watches, listings, files. It asks the scheduler through Requests and reads
// the store itself; every call is a small machine with one thing under way at a time.
//
// Thread-safe. Nothing here blocks a caller: what takes long runs on the pool.
#ifndef BUE_HUB_SERVICE_CLIENT_SERVICE_H_
#define BUE_HUB_SERVICE_CLIENT_SERVICE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/thread_pool.h"
#include "hub/service/bucket_watch.h"
#include "hub/service/requests.h"
#include "hub/service/upload_budget.h"
#include "hub/service/worker_service.h"
#include "hub/storage/hub_store.h"

namespace grpc {
class Service;
}

namespace bue::hub {

struct UploadLimits {
  size_t program_bytes_max = 60 << 20;
  size_t memory_bytes_max = 1 << 30;  // Of one upload, as it says itself.
  size_t file_bytes_max = 32 << 20;
  size_t files_max = 10000;
  size_t name_bytes_max = 4096;  // Of the script's path, of the key, of a file's path.
  uint32_t weight_max = 1000;
  UploadBudgetOptions memory;  // Of all uploads under way.
  // An upload whose turn does not come for this long is refused; one whose client sends less than
  // `pace_bytes` in this time is ended.
  absl::Duration patience = absl::Seconds(15);
  size_t pace_bytes = 128 << 10;
};

struct ClientServiceOptions {
  std::string token;
  uint64_t epoch = 1;
  std::vector<std::string> buckets;
  absl::Duration watch_interval = absl::Milliseconds(200);  // Unless the watcher names one.
  absl::Duration watch_interval_min = absl::Milliseconds(10);
  size_t watches_max = 10000;
  size_t running_logs_max = 250;  // Tasks under way that one ListLogs asks for.
  UploadLimits upload;
};

// What the calls work with. All outlive the service.
struct ClientParts {
  Requests* requests = nullptr;
  HubStore* store = nullptr;
  ThreadPool* pool = nullptr;
  WorkerService* workers = nullptr;
  const BucketWatch* buckets = nullptr;  // Null: nothing is known of them.
};

class ClientService {
 public:
  ClientService(ClientServiceOptions options, ClientParts parts);
  // The server has shut down: no call is left.
  ~ClientService();

  grpc::Service* service();

  // Their watchers are told at once.
  void RunsEnded(const std::vector<RunStatus>& runs);

  // Ends every watch, so that the server can shut down. After Requests::FailAll.
  void Stop();

 private:
  class Impl;  // Keeps gRPC out of this header.

  const std::unique_ptr<Impl> impl_;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_CLIENT_SERVICE_H_
