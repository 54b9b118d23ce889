#include "bucket/bucket_service.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "bucket/get_stream.h"
#include "bucket/put_stream.h"
#include "bucket/stream_context.h"
#include "bue/v1/bucket.grpc.pb.h"
#include "common/bucket_client/object_wire.h"
#include "common/rpc.h"
#include "common/status_macros.h"

namespace bue::bucket {
namespace {

constexpr size_t kListMax = 4096;

// Ends a stream before it began.
template <typename Request, typename Reply>
class RefusedStream final : public grpc::ServerBidiReactor<Request, Reply> {
 public:
  explicit RefusedStream(const absl::Status& status) { this->Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

class BucketService::Impl final : public v1::Bucket::CallbackService {
 public:
  Impl(ObjectStore* store, const BucketServiceOptions& options)
      : store_(store),
        token_(options.token),
        put_budget_(options.put_bytes_max),
        get_budget_(options.get_bytes_max),
        sync_(store),
        room_(store),
        stalls_(options.stall_patience),
        pool_(options.threads) {}

  grpc::ServerBidiReactor<v1::PutRequest, v1::PutReply>* Put(
      grpc::CallbackServerContext* context) override {
    const absl::Status allowed = CheckToken(*context, token_);
    if (!allowed.ok()) return new RefusedStream<v1::PutRequest, v1::PutReply>(allowed);
    return NewPutStream(StreamContextOf());
  }

  grpc::ServerBidiReactor<v1::GetRequest, v1::GetReply>* Get(
      grpc::CallbackServerContext* context) override {
    const absl::Status allowed = CheckToken(*context, token_);
    if (!allowed.ok()) return new RefusedStream<v1::GetRequest, v1::GetReply>(allowed);
    return NewGetStream(StreamContextOf(), context);
  }

  grpc::ServerUnaryReactor* Delete(grpc::CallbackServerContext* context,
                                   const v1::DeleteRequest* request, v1::DeleteReply*) override {
    grpc::ServerUnaryReactor* const call = context->DefaultReactor();
    const absl::Status allowed = CheckToken(*context, token_);
    if (!allowed.ok()) {
      call->Finish(ToGrpc(allowed));
      return call;
    }
    pool_.Post([this, call, request] {
      const std::vector<uint64_t> addresses(request->addresses().begin(),
                                            request->addresses().end());
      const absl::Status deleted = store_->Delete(addresses);
      // Some addresses may be another store's: what could be deleted is to be durable all the same.
      sync_.Wait([call, deleted](const absl::Status& status) {
        call->Finish(ToGrpc(status.ok() ? deleted : status));
      });
    });
    return call;
  }

  grpc::ServerUnaryReactor* ListObjects(grpc::CallbackServerContext* context,
                                        const v1::ListObjectsRequest* request,
                                        v1::ListObjectsReply* reply) override {
    grpc::ServerUnaryReactor* const call = context->DefaultReactor();
    const absl::Status allowed = CheckToken(*context, token_);
    if (!allowed.ok()) {
      call->Finish(ToGrpc(allowed));
      return call;
    }
    pool_.Post([this, call, request, reply] { call->Finish(ToGrpc(List(*request, reply))); });
    return call;
  }

  grpc::ServerUnaryReactor* GetInfo(grpc::CallbackServerContext* context, const v1::InfoRequest*,
                                    v1::InfoReply* reply) override {
    grpc::ServerUnaryReactor* const call = context->DefaultReactor();
    const absl::Status allowed = CheckToken(*context, token_);
    if (!allowed.ok()) {
      call->Finish(ToGrpc(allowed));
      return call;
    }
    pool_.Post([this, call, reply] {
      const StoreStats stats = store_->Stats();
      reply->set_store(store_->store_id());
      reply->set_objects(stats.objects);
      reply->set_bytes(stats.bytes);
      reply->set_disk_free_bytes(stats.disk_free_bytes);
      reply->set_version(BUE_VERSION);
      call->Finish(grpc::Status::OK);
    });
    return call;
  }

 private:
  absl::Status List(const v1::ListObjectsRequest& request, v1::ListObjectsReply* reply) {
    const size_t limit =
        request.limit() == 0 ? kListMax : std::min<size_t>(request.limit(), kListMax);
    if (!request.hub().empty()) RETURN_IF_ERROR(store_->ClaimFor(request.hub()));
    ASSIGN_OR_RETURN(const std::vector<ListedObject> objects, store_->List(request.after(), limit));
    for (const ListedObject& object : objects) {
      v1::ListObjectsReply::Listed* const listed = reply->add_object();
      listed->set_address(object.address);
      ToProto(object.info.origin, listed->mutable_origin());
      listed->set_bytes(object.info.bytes);
      listed->set_finished(object.info.finished);
      listed->set_created_s(object.info.created_s);
    }
    reply->set_end(objects.size() < limit);
    reply->set_now_s(static_cast<uint64_t>(absl::ToUnixSeconds(absl::Now())));
    return absl::OkStatus();
  }

  StreamContext StreamContextOf() {
    return {.store = store_,
            .sync = &sync_,
            .pool = &pool_,
            .put_shortcut = &put_shortcut_,
            .get_shortcut = &get_shortcut_,
            .room = &room_,
            .stalls = &stalls_,
            .put_budget = &put_budget_,
            .get_budget = &get_budget_};
  }

  ObjectStore* const store_;
  const std::string token_;
  ByteBudget put_budget_;
  ByteBudget get_budget_;
  GroupSync sync_;
  RoomWatch room_;
  StallWatch stalls_;
  std::atomic<bool> shortcut_taken_{false};
  Shortcut put_shortcut_{&shortcut_taken_};
  Shortcut get_shortcut_{&shortcut_taken_};
  ThreadPool pool_;  // Last: its jobs use the others.
};

BucketService::BucketService(ObjectStore* store, const BucketServiceOptions& options)
    : impl_(std::make_unique<Impl>(store, options)) {}

BucketService::~BucketService() = default;

grpc::Service* BucketService::service() { return impl_.get(); }

}  // namespace bue::bucket
