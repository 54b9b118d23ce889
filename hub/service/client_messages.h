// From the scheduler's structs to bue.v1's client messages, field by field.
//
// Pure functions.
#ifndef BUE_HUB_SERVICE_CLIENT_MESSAGES_H_
#define BUE_HUB_SERVICE_CLIENT_MESSAGES_H_

#include "bue/v1/hub.pb.h"
#include "hub/scheduler/effects.h"
#include "hub/service/bucket_watch.h"
#include "hub/storage/hub_store.h"

namespace bue::hub {

void ToProto(const RunAccepted& accepted, v1::UploadReply* out);
void ToProto(const RunStatus& status, v1::RunStatus* out);
void ToProto(uint64_t run, const ResultEntry& result, v1::ResultRecord* out);
void ToProto(const PastEvent& past, const Program& program, v1::HistoryRecord* out);
void ToProto(const WorkerStatus& status, v1::WorkerStatus* out);
void ToProto(const ErrorRecord& error, v1::ErrorRecord* out);
void ToProto(const LogAdded& log, v1::LogRecord* out);
void ToProto(const Reasons& reasons, v1::ExplainReply* out);
void ToProto(const ValuePage& page, v1::ListValuesReply* out);
void ToProto(const ValuePlace& place, v1::LocateValueReply* out);
void ToProto(const AwayBucket& bucket, v1::AwayBucket* out);

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_CLIENT_MESSAGES_H_
