// The Upload call: a program in pieces, then the contents of the files it names, then a run.
//
// Files are checked against their hash and stored before the run is asked for, so that an accepted
// run has everything it needs; the sync before the reply covers them.
//
// What an upload holds in memory it has acquired before, in turn with all others; one whose client
// sends next to nothing, or whose turn does not come, is ended with a message.
#ifndef BUE_HUB_SERVICE_UPLOAD_H_
#define BUE_HUB_SERVICE_UPLOAD_H_

#include "bue/v1/hub.pb.h"
#include "common/stall_watch.h"
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

// Ends by itself; `context` and `reply` are the call's.
grpc::ServerReadReactor<v1::UploadRequest>* StartUpload(Uploads* uploads,
                                                        grpc::CallbackServerContext* context,
                                                        v1::UploadReply* reply);

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_UPLOAD_H_
