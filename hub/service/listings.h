// The calls that answer with a stream of records: errors, results, captured output, files. Each
// reads a page at a time, so that neither a long list nor a slow reader takes memory.
#ifndef BUE_HUB_SERVICE_LISTINGS_H_
#define BUE_HUB_SERVICE_LISTINGS_H_

#include "absl/status/status.h"
#include "bue/v1/hub.pb.h"
#include "hub/service/client_service.h"

namespace grpc {
template <typename Response>
class ServerWriteReactor;
}  // namespace grpc

namespace bue::hub {

// Each ends by itself; the request is copied.
grpc::ServerWriteReactor<v1::ErrorRecord>* StartListErrors(const ClientParts& parts,
                                                           const v1::ListErrorsRequest& request);
grpc::ServerWriteReactor<v1::ResultRecord>* StartListResults(const ClientParts& parts,
                                                             const v1::ListResultsRequest& request);
// What finished attempts printed, then what up to `running_max` attempts under way did so far.
grpc::ServerWriteReactor<v1::LogRecord>* StartListLogs(const ClientParts& parts,
                                                       const v1::ListLogsRequest& request,
                                                       size_t running_max);
grpc::ServerWriteReactor<v1::FileChunk>* StartGetFile(const ClientParts& parts,
                                                      const v1::GetFileRequest& request);

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_LISTINGS_H_
