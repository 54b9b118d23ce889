// GetStream answers one Get stream: objects, ranges and descriptions, each by its tag. Open tags
// take turns, a chunk each, so that a large object holds up nobody; a tag whose credit is used up
// waits for more. At most two messages are in memory for a stream: one on its way, one ready; while
// memory is short, one. A stream whose reader does not read is ended: a client that means it starts
// another and asks again.
//
// Threads: gRPC's deliver requests, one job at a time on the pool reads the store.
#ifndef BUE_BUCKET_GET_STREAM_H_
#define BUE_BUCKET_GET_STREAM_H_

#include "bucket/stream_context.h"

namespace grpc {
class CallbackServerContext;
template <class Request, class Response>
class ServerBidiReactor;
}  // namespace grpc

namespace bue::v1 {
class GetReply;
class GetRequest;
}  // namespace bue::v1

namespace bue::bucket {

// For gRPC to drive; it deletes itself. `call` is the stream's.
grpc::ServerBidiReactor<v1::GetRequest, v1::GetReply>* NewGetStream(
    const StreamContext& context, grpc::CallbackServerContext* call);

}  // namespace bue::bucket

#endif  // BUE_BUCKET_GET_STREAM_H_
