// The session's plain data <-> proto/bue/v1/work.proto.
#ifndef BUE_WORKER_CORE_WIRE_H_
#define BUE_WORKER_CORE_WIRE_H_

#include "absl/status/statusor.h"
#include "bue/v1/work.pb.h"
#include "worker/core/grant.h"
#include "worker/core/session.h"

namespace bue::worker {

// InvalidArgument if columns differ in length or an enum is unknown.
absl::StatusOr<GrantGroup> FromProto(const v1::GrantGroup& proto);

// Of ToWorker.eager; InvalidArgument also if it is not what Session::OnEager takes.
absl::StatusOr<GrantGroup> OfferFromProto(const v1::GrantGroup& proto);

absl::StatusOr<HashRequest> FromProto(const v1::HashRequest& proto);
void ToProto(const HashReply& reply, v1::HashReply* out);

v1::Pool ToProto(Pool pool);
void ToProto(const HeldLease& held, v1::HeldLease* out);
void ToProto(const Ghost& ghost, v1::Ghost* out);
void ToProto(const Outcome& outcome, v1::Outcome* out);
// Everything but hello, logs and hashes.
void ToProto(const Session::Message& message, v1::FromWorker* out);

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_WIRE_H_
