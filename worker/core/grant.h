// What a worker holds and what it says about it, as plain data: the session's vocabulary, mirroring
// proto/bue/v1/work.proto. Columns stay columns: a group of a thousand tasks is a dozen vectors.
#ifndef BUE_WORKER_CORE_GRANT_H_
#define BUE_WORKER_CORE_GRANT_H_

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "worker/types.h"

namespace bue::worker {

struct InputColumn {
  enum class Kind : uint8_t { kValues, kElements, kRange, kFanIn };
  Kind kind = Kind::kValues;
  std::vector<uint64_t> address;   // kValues, kElements: one per task, or one for all.
  std::vector<uint64_t> first;     // kElements, kRange: one per task.
  std::vector<uint32_t> count;     // kElements, kRange: empty, or one per task.
  std::vector<uint64_t> instance;  // kFanIn: one per task, or one for all.
  uint32_t node = 0;               // kFanIn
};

// A column of one entry holds for all tasks of its group.
inline uint64_t At(const std::vector<uint64_t>& column, uint32_t row) {
  return column.size() == 1 ? column[0] : column[row];
}

// What starts first, by the worker's own order of scopes and priorities: the lower one.
struct Rank {
  int64_t first = 0;
  int64_t then = 0;

  friend auto operator<=>(const Rank&, const Rank&) = default;
};

// Tasks of one node in one region instance.
struct GrantGroup {
  uint64_t run = 0;
  uint32_t node = 0;
  uint32_t step = 0;
  uint64_t instance = 0;
  Pool pool = Pool::kThread;
  Rank rank;
  std::vector<uint64_t> lease;
  std::vector<uint64_t> item;
  std::vector<uint32_t> attempt;    // Empty: all 1.
  std::vector<uint32_t> pass;       // Empty: all 0.
  std::vector<uint32_t> handbacks;  // Empty: all 0.
  std::vector<InputColumn> inputs;
  std::string item_prefix;
  bool is_source = false;
  uint64_t source_credit = 0;
  Yielded yielded;           // Sources: by an earlier attempt.
  std::vector<uint64_t> by;  // Hashes that limits go by, equally many for each task.
  bool tells_start = false;  // The hub wants to know when each of them starts.
  // Of one task that the worker may go on to by itself, or has: the lease that it follows. Its
  // inputs are the value that came to.
  uint64_t after = 0;

  // Those of one task.
  std::vector<uint64_t> ByOf(uint32_t row) const {
    const size_t each = lease.empty() ? 0 : by.size() / lease.size();
    return {by.begin() + row * each, by.begin() + (row + 1) * each};
  }
  uint32_t AttemptOf(uint32_t row) const { return attempt.empty() ? 1 : attempt[row]; }
  uint32_t PassOf(uint32_t row) const { return pass.empty() ? 0 : pass[row]; }
  uint32_t HandbacksOf(uint32_t row) const { return handbacks.empty() ? 0 : handbacks[row]; }
};

// One task, as a row of its group.
struct TaskRef {
  std::shared_ptr<const GrantGroup> group;
  uint32_t row = 0;
};

// Rows of one group that may start now.
struct StartBatch {
  std::shared_ptr<const GrantGroup> group;
  Pool pool = Pool::kThread;
  std::vector<uint32_t> rows;
};

struct HeldLease {
  uint64_t lease = 0;
  uint64_t run = 0;
  uint64_t instance = 0;
  uint64_t item = 0;
  uint32_t node = 0;
  uint32_t pass = 0;
  uint32_t attempt = 1;
  uint32_t handbacks = 0;
  uint64_t elapsed_ms = 0;  // 0: not known to have started.
  Pool pool = Pool::kThread;
  std::vector<uint64_t> by;  // As granted.
  // Of a group that tells starts: it has not started so far, or how long ago it did, at least 1.
  bool not_started = false;
  uint64_t started_ago_ms = 0;
  // Of one that the worker went on to by itself: the lease it follows, and its input.
  uint64_t after = 0;
  uint64_t input = 0;
};

// Of those that the worker went on to by itself: each comes after what it follows.
inline bool IsNumberedBefore(const HeldLease& a, const HeldLease& b) { return a.lease < b.lease; }

// A lease that is over while its code goes on. Mirrors bue.v1.Ghost.
struct Ghost {
  uint64_t lease = 0;
  uint64_t run = 0;
  uint32_t node = 0;
  std::vector<uint64_t> by;  // As granted.
};

// The hub's question for hashes of values, and the answer: 0 for one that cannot be read.
struct HashRequest {
  uint64_t id = 0;
  InputColumn values;
  uint32_t count = 0;
};
struct HashReply {
  uint64_t id = 0;
  std::vector<uint64_t> hashes;
};

struct Room {
  Pool pool = Pool::kThread;
  uint32_t leases = 0;
  uint32_t slots = 0;
};

// Plain successes, as columns of equal length.
struct SucceededColumns {
  std::vector<uint64_t> lease;
  std::vector<uint64_t> address;
  std::vector<uint64_t> elements;  // 1 + elements of a list, 0: not a list.
  std::vector<uint32_t> run_us;
};

// An outcome that is more than a plain success.
struct Outcome {
  enum class Kind : uint8_t {
    kFailed,
    kPending,
    kReset,
    kCancel,
    kGivenBack,
    kInputGone,
    kSucceeded
  };
  uint64_t lease = 0;
  Kind kind = Kind::kFailed;
  CallError error;      // kFailed, kInputGone
  uint64_t output = 0;  // Captured output's object, 0: none.
  uint32_t run_us = 0;
  uint64_t address = 0;     // kSucceeded
  uint64_t elements = 0;    // kSucceeded: 1 + elements of a list, 0: not a list.
  uint64_t gone = 0;        // kInputGone: the missing object.
  bool store_gone = false;  // kInputGone: and all of its store.
  std::string item_id;
  uint64_t total = 0;    // 1 + value; 0: absent.
  bool goes_on = false;  // kFailed: nothing could interrupt it.

  size_t bytes() const {
    return sizeof(*this) + error.message.size() + error.traceback.size() + item_id.size();
  }
};

struct Progress {
  uint64_t lease = 0;
  uint64_t address = 0;
  uint64_t elements = 0;
  uint64_t hash = 0;
};

struct LearnedMode {
  uint64_t run = 0;
  uint32_t step = 0;
  Pool pool = Pool::kThread;
};

struct Started {
  uint64_t lease = 0;
  uint64_t elapsed_ms = 0;
};

// A failure that is no task's: of a module's finalize hook.
struct StepError {
  uint64_t run = 0;
  uint32_t step = 0;
  CallError error;
};

// Outcomes that travel in one message and are acknowledged together.
struct Report {
  uint64_t number = 0;
  SucceededColumns succeeded;
  std::vector<Outcome> outcomes;
  std::vector<HeldLease> eager;  // What the worker went on to after some of these, in that order.
  // The session's own records of these leases, in the same order.
  std::vector<uint32_t> succeeded_records;
  std::vector<uint32_t> outcome_records;

  size_t size() const { return succeeded.lease.size() + outcomes.size(); }
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_GRANT_H_
