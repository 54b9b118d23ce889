// An upload: a program in pieces, then the contents of the files it names, then a run.
//
// Files are checked against their hash and stored before the run is asked for, so that an accepted
// run has everything it needs; the sync before the reply covers them.
//
// What an upload holds in memory it has acquired before, in turn with all others; one whose client
// sends next to nothing, or whose turn does not come, is ended with a message.
#ifndef BUE_HUB_SERVICE_UPLOAD_H_
#define BUE_HUB_SERVICE_UPLOAD_H_

#include <memory>

#include "absl/status/status.h"
#include "bue/v1/hub.pb.h"
#include "common/stall_watch.h"
#include "hub/scheduler/effects.h"
#include "hub/service/client_service.h"
#include "hub/service/program_cache.h"
#include "hub/service/upload_budget.h"

namespace grpc {
class CallbackServerContext;
template <typename Request>
class ServerReadReactor;
}  // namespace grpc

namespace bue::hub {

// What all uploads share. Outlives them.
struct Uploads {
  Uploads(const UploadLimits& limits, const ClientParts& parts)
      : limits(limits), parts(parts), budget(limits.memory), stalls(limits.patience) {}

  const UploadLimits limits;
  const ClientParts parts;
  ProgramCache programs;
  UploadBudget budget;
  StallWatch stalls;
};

// The call that an upload comes by. It does as it is told, without calling back from within.
class UploadStream {
 public:
  virtual ~UploadStream() = default;
  virtual void Read(v1::UploadRequest* request) = 0;       // Until Upload::ReadDone.
  virtual void Accepted(const RunAccepted& accepted) = 0;  // One of the two
  virtual void Refused(const absl::Status& status) = 0;    // is the upload's end.
};

// Thread-safe. It may be let go once it has ended, and gives back then what it has acquired.
class Upload {
 public:
  virtual ~Upload() = default;
  virtual void ReadDone(bool ok) = 0;
  virtual void Cancelled() = 0;
};

// Reads at once. `context` and `stream` live until the upload has ended.
std::shared_ptr<Upload> StartUpload(Uploads* uploads, grpc::CallbackServerContext* context,
                                    UploadStream* stream);

// An Upload call. Ends by itself; `context` and `reply` are the call's.
grpc::ServerReadReactor<v1::UploadRequest>* ServeUpload(Uploads* uploads,
                                                        grpc::CallbackServerContext* context,
                                                        v1::UploadReply* reply);

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_UPLOAD_H_
