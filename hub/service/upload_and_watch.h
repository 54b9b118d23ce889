// The UploadAndWatch call: an upload, and then a watch of the run that it made.
#ifndef BUE_HUB_SERVICE_UPLOAD_AND_WATCH_H_
#define BUE_HUB_SERVICE_UPLOAD_AND_WATCH_H_

#include "bue/v1/hub.pb.h"
#include "hub/service/upload.h"
#include "hub/service/watch.h"

namespace grpc {
template <typename Request, typename Response>
class ServerBidiReactor;
}  // namespace grpc

namespace bue::hub {

// Ends by itself; `context` is the call's.
grpc::ServerBidiReactor<v1::UploadRequest, v1::RunUpdate>* ServeUploadAndWatch(
    Uploads* uploads, Watches* watches, grpc::CallbackServerContext* context);

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_UPLOAD_AND_WATCH_H_
