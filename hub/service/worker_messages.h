// Between bue.v1's worker messages and the scheduler's structs. What comes from a worker is checked
// and bounded here; what goes to one is moved column by column.
//
// Pure functions.
#ifndef BUE_HUB_SERVICE_WORKER_MESSAGES_H_
#define BUE_HUB_SERVICE_WORKER_MESSAGES_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bue/v1/work.pb.h"
#include "common/program/program.h"
#include "hub/scheduler/commands.h"
#include "hub/scheduler/effects.h"

namespace bue::hub {

struct WorkerLimits {
  size_t name_bytes_max = 256;  // Of a worker, a host, a version, a scope.
  size_t id_bytes_max = 1024;   // Of an item. Runners refuse longer ones.
  size_t scopes_max = 128;      // Of a worker; the hub keeps them as long as the worker.
  uint32_t room_max = 1 << 17;  // Leases of one pool.
  uint64_t elements_max = uint64_t{1} << 40;  // Of a list.
  size_t message_bytes_max = 8192;            // Of an error; the rest is cut off.
  size_t traceback_bytes_max = 65536;
};

// InvalidArgument, naming the field, if a message makes no sense or exceeds a limit.
absl::StatusOr<WorkerJoined> ToJoined(const v1::Hello& hello, uint64_t worker,
                                      const WorkerLimits& limits);
absl::StatusOr<WorkerReported> ToReported(const v1::FromWorker& message, uint64_t worker,
                                          const WorkerLimits& limits);

// Returns about how many bytes that is.
size_t CopyGrant(const GrantGroup& group, v1::GrantGroup* to);

// Adds a question; returns about how many bytes that is.
size_t AppendHashRequest(const HashRequest& request, v1::ToWorker* out);

// Adds what a worker must know before its first grant of a run; about how many bytes.
size_t AppendRun(uint64_t run, const Program& program, v1::ToWorker* out);

v1::Pool ToProto(Pool pool);

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_WORKER_MESSAGES_H_
