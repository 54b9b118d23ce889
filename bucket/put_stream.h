// PutStream answers one Put stream: objects put whole and streaming writers. What arrived while the
// last batch was written is the next batch; what became durable while the last reply was sent is
// the next reply. A stream that breaks takes its unfinished writers with it.
//
// Threads: gRPC's deliver requests, one job at a time on the pool writes them, the syncing thread
// queues replies.
#ifndef BUE_BUCKET_PUT_STREAM_H_
#define BUE_BUCKET_PUT_STREAM_H_

#include "bucket/stream_context.h"

namespace grpc {
template <class Request, class Response>
class ServerBidiReactor;
}  // namespace grpc

namespace bue::v1 {
class PutReply;
class PutRequest;
}  // namespace bue::v1

namespace bue::bucket {

// For gRPC to drive; it deletes itself.
grpc::ServerBidiReactor<v1::PutRequest, v1::PutReply>* NewPutStream(const StreamContext& context);

}  // namespace bue::bucket

#endif  // BUE_BUCKET_PUT_STREAM_H_
