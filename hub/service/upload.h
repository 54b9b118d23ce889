// The Upload call: a program, then the contents of the files it names, then a run.
//
// Files are checked against their hash and stored before the run is asked for, so that an accepted
// run has everything it needs; the sync before the reply covers them.
#ifndef BUE_HUB_SERVICE_UPLOAD_H_
#define BUE_HUB_SERVICE_UPLOAD_H_

#include <atomic>
#include <cstddef>

#include "bue/v1/hub.pb.h"
#include "hub/service/client_service.h"
#include "hub/service/program_cache.h"

namespace grpc {
class CallbackServerContext;
template <typename Request>
class ServerReadReactor;
}  // namespace grpc

namespace bue::hub {

// What all uploads share. Outlives them.
struct Uploads {
  UploadLimits limits;
  ClientParts parts;
  ProgramCache programs;
  std::atomic<size_t> bytes_under_way = 0;
};

// Ends by itself; `context` and `reply` are the call's.
grpc::ServerReadReactor<v1::UploadRequest>* StartUpload(Uploads* uploads,
                                                        grpc::CallbackServerContext* context,
                                                        v1::UploadReply* reply);

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_UPLOAD_H_
