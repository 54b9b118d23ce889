// Object kinds and origins on the wire, for both ends of bucket.proto.
#ifndef BUE_COMMON_BUCKET_CLIENT_OBJECT_WIRE_H_
#define BUE_COMMON_BUCKET_CLIENT_OBJECT_WIRE_H_

#include "absl/status/status.h"
#include "bue/v1/bucket.pb.h"
#include "common/bucket_client/object.h"

namespace bue {

// InvalidArgument if `kind` is none that this program knows.
inline absl::Status CheckKind(v1::ObjectKind kind) {
  if (kind == v1::VALUE || kind == v1::LIST || kind == v1::BYTES) return absl::OkStatus();
  return absl::InvalidArgumentError("an object's kind must be VALUE, LIST or BYTES");
}

// Checked before.
inline ObjectKind FromProto(v1::ObjectKind kind) { return static_cast<ObjectKind>(kind); }
inline v1::ObjectKind ToProto(ObjectKind kind) { return static_cast<v1::ObjectKind>(kind); }
static_assert(static_cast<int>(ObjectKind::kValue) == v1::VALUE);
static_assert(static_cast<int>(ObjectKind::kList) == v1::LIST);
static_assert(static_cast<int>(ObjectKind::kBytes) == v1::BYTES);

inline Origin FromProto(const v1::Origin& origin) {
  return {.run = origin.run(),
          .instance = origin.instance(),
          .item = origin.item(),
          .node = origin.node(),
          .lease = origin.lease()};
}

inline void ToProto(const Origin& origin, v1::Origin* out) {
  out->set_run(origin.run);
  out->set_instance(origin.instance);
  out->set_item(origin.item);
  out->set_node(origin.node);
  out->set_lease(origin.lease);
}

}  // namespace bue

#endif  // BUE_COMMON_BUCKET_CLIENT_OBJECT_WIRE_H_
