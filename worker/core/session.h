// Session is the worker's side of the conversation with the hub, without the conversation: what is
// granted, what waits, what runs in each pool, which outcomes are not acknowledged yet, how much
// room to ask for, and what to say after a reconnect or a hub restart.
//
//   session.OnWelcome(dropped, &cancel);
//   session.OnGrant(group);
//   session.TakeStarts(&batches);             // hand these to the executors
//   session.OnExecuted(lease, run_time);      // frees the slot
//   session.OnSucceeded(lease, address, …);   // once the value is stored
//   if (session.HasNews()) Send(session.TakeMessage(now));
//
// A lease is waiting, running, storing, finished; it is gone when its outcome is acknowledged, or
// when the hub revokes it. An outcome of a lease that is not held any more is dropped.
//
// Pure: no I/O, clock, thread, lock or log; `now` is an argument. Not thread-safe.
#ifndef BUE_WORKER_CORE_SESSION_H_
#define BUE_WORKER_CORE_SESSION_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "worker/core/grant.h"
#include "worker/core/lease_table.h"
#include "worker/core/start_queue.h"

namespace bue::worker {

struct SessionOptions {
  uint32_t slots[kPools] = {1000, 64, 1, 1};
  // A pool asks ahead for what it runs in this time by the measured mean …
  absl::Duration ahead = absl::Milliseconds(10);
  // … but for at most twice its slots, or for this many if that is more: a pool of two slots with
  // tasks of 50 us would otherwise stand still while a report and a grant cross the network.
  uint32_t ahead_min_cap = 512;
  // No pool asks for more than its slots and this many.
  uint32_t ahead_max = 8192;
  // Beyond this many outcomes, or bytes of them, without an acknowledgement no more is asked for.
  uint32_t unacked_max = 65536;
  size_t unacked_bytes_max = 16 << 20;
  // Failures that are no task's, waiting to be sent; more are dropped.
  uint32_t step_errors_max = 100;
  // A message carries at most this much.
  uint32_t message_outcomes_max = 16384;
  size_t message_bytes_max = 4 << 20;
};

class Session {
 public:
  explicit Session(const SessionOptions& options);

  // ------------------------------------------------------------------------ what the hub says
  // What to list in Hello: every lease held, in whatever state.
  std::vector<HeldLease> Held(absl::Time now) const;
  // Likewise: every lease that is over while its code goes on.
  std::vector<Ghost> Ghosts() const;
  // A stream is open. `dropped` of what Held listed is not current any more. Appends running leases
  // among them to `cancel`. What was not acknowledged will be reported again, under new numbers.
  void OnWelcome(absl::Span<const uint64_t> dropped, std::vector<uint64_t>* cancel);
  void OnDisconnected();
  void OnGrant(std::shared_ptr<const GrantGroup> group);
  // One task that follows `group->after`: it is held as if it were granted once that has succeeded
  // and the message which says so was taken. So whoever dies then, the hub has mostly heard.
  void OnEager(std::shared_ptr<GrantGroup> group);
  // Appends those that run to `cancel`.
  void OnRevoked(absl::Span<const uint64_t> leases, std::vector<uint64_t>* cancel);
  // Gives back what has not started of the run, and goes on to nothing more of it by itself.
  void OnRecalled(uint64_t run);
  // Gives back those of them that have not started.
  void OnRecalled(absl::Span<const uint64_t> leases);
  void OnAcked(uint64_t report);
  void OnCredit(uint64_t lease, uint64_t elements);
  void OnRunEnded(uint64_t run);

  // ------------------------------------------------------------------- what the executors say
  // The task ran: its slot is free, its value is about to be stored. Nullopt: not held any more,
  // drop the result. `goes_on`: it has failed, but its code has not ended.
  std::optional<TaskRef> OnExecuted(uint64_t lease, absl::Duration run_time, bool goes_on = false);
  // Of a lease that is not held any more, or was executed with `goes_on`: its code has ended, or
  // never began.
  void OnOver(uint64_t lease);
  // Its outcome, from any state; false: not held any more, dropped. `elements` as on the wire.
  bool OnSucceeded(uint64_t lease, uint64_t address, uint64_t elements, uint32_t run_us);
  bool OnOutcome(Outcome outcome);
  void OnProgress(const Progress& progress);
  // The task's code has ended, its outcome waits for the bucket: its slot is free.
  void OnStoring(uint64_t lease);
  // The task has run since `began`; the executor says so once it has run for a while.
  // InfiniteFuture: after all it does not run (now).
  void OnStarted(uint64_t lease, absl::Time began, absl::Time now);
  // The task starts: said of groups that tell it.
  void OnStarting(uint64_t lease, absl::Time now);
  // How many attempts go on that nobody waits for any more.
  void OnGhosts(uint32_t ghosts);
  // A failure that is no task's; kept until it is sent.
  void OnStepError(StepError error);
  // Moves what waits for the step to `pool`, and what will be granted of it.
  void OnLearnedMode(const LearnedMode& learned);

  // ------------------------------------------------------------------------------ what to do
  // Appends what may start now, by rank and in grant order, and counts it as running.
  void TakeStarts(std::vector<StartBatch>* batches);

  // The task is about to be given to its executor: false if it is not held any more. Until then no
  // code of its runs.
  bool HandOver(uint64_t lease);

  // Whether something may start once the next message is taken: then that goes first.
  bool MayGoOn() const { return !next_.empty(); }

  // Whether a message is worth sending now. Never before OnWelcome.
  bool HasNews() const;
  struct Message {
    std::vector<Room> rooms;         // What changed.
    const Report* report = nullptr;  // Valid until the next call.
    std::vector<Progress> progress;
    std::vector<LearnedMode> learned;
    std::vector<Started> started;
    std::vector<uint64_t> starting;
    std::optional<uint32_t> ghosts;
    std::vector<uint64_t> over;
    std::vector<StepError> errors;
    bool goodbye = false;
  };
  Message TakeMessage(absl::Time now);

  // ---------------------------------------------------------------------------------- the end
  // Gives back what has not started and asks for nothing more; what runs may end.
  void Stop();
  // Gives back what still runs, which is appended to `cancel`, or waits to be stored.
  void GiveBackRest(std::vector<uint64_t>* cancel);
  // Nothing runs and nothing waits to be stored.
  bool quiet() const { return table_.listed() == 0; }
  // Everything was reported and acknowledged, and goodbye was said.
  bool finished() const;

  // ------------------------------------------------------------------------------ for watchers
  uint32_t running(Pool pool) const { return pools_[Index(pool)].running; }
  uint32_t waiting(Pool pool) const { return pools_[Index(pool)].waiting; }
  size_t unacknowledged() const { return unacked_outcomes_ + pending_.size(); }
  bool Holds(uint64_t lease) const { return table_.Find(lease) != LeaseTable::kNone; }
  bool HoldsRun(uint64_t run) const;
  Room WantedRoom(Pool pool) const;

 private:
  struct PoolState {
    StartQueue queue;          // Records; revoked ones are skipped.
    uint32_t waiting = 0;      // In `queue`, not revoked.
    uint32_t running = 0;      // Taking a slot.
    uint32_t held_beside = 0;  // Storing, or paused: leases held that take no slot.
    double mean_us = 0;        // Of a task; 0: none measured yet.
    bool room_sent = false;
    Room sent;
  };
  struct Source {
    uint64_t credit = 0;
    Progress last;
    bool unsent = false;
  };

  static int Index(Pool pool) { return static_cast<int>(pool); }
  PoolState& PoolOf(const LeaseRecord& record) { return pools_[Index(record.pool)]; }

  Pool PoolFor(const GrantGroup& group) const;
  uint32_t Ahead(int pool) const;
  bool RoomIsUrgent(int pool) const;
  HeldLease HeldOf(uint32_t record, absl::Time now) const;
  std::shared_ptr<GrantGroup> TakeOffer(uint64_t lease);
  void GoOn(std::shared_ptr<GrantGroup> offer, uint64_t address);
  void Start(uint32_t record);
  void SetPaused(uint32_t record, bool paused);
  // Takes a record out of its state's counts: before it finishes or goes.
  void Leave(uint32_t record);
  // Leaves for an outcome: returns false if the lease is not held.
  bool Finish(uint64_t lease, uint32_t* record);
  void GiveBackWaiting(uint32_t record);
  // What waits in the pool, but for what `stays` says of a record: asked in order of the starts.
  void GiveBackUnless(PoolState* pool, absl::FunctionRef<bool(uint32_t)> stays);
  void Drop(uint32_t record, std::vector<uint64_t>* cancel);
  void NoteGoingOn(uint32_t record);
  void DropFinished(absl::Span<const uint64_t> leases);
  void Move(uint32_t record, Pool pool);
  Report TakePending(absl::Time now);
  void BeginNext(absl::Time now, Report* report);
  bool GoodbyeIsDue() const;

  // Constant after construction.
  const SessionOptions options_;

  LeaseTable table_;
  PoolState pools_[kPools];
  absl::btree_map<uint64_t, Source> sources_;  // Streaming sources that run, by lease.
  struct Learned {
    Pool pool = Pool::kThread;
    bool unsent = true;
  };
  absl::btree_map<std::pair<uint64_t, uint32_t>, Learned> learned_;  // By run and step.

  // What may follow a lease without an outcome, by that.
  absl::btree_map<uint64_t, std::shared_ptr<GrantGroup>> offers_;
  std::vector<std::shared_ptr<GrantGroup>> next_;  // Those whose turn it is.
  Report pending_;                                 // Not sent yet.
  std::deque<Report> unacked_;                     // Sent, in order of their numbers.
  size_t unacked_outcomes_ = 0;
  size_t outcome_bytes_ = 0;  // Of pending_ and unacked_.
  uint64_t last_report_ = 0;
  std::vector<Started> started_unsent_;
  std::vector<uint64_t> starting_unsent_;
  std::vector<StepError> errors_unsent_;
  absl::btree_map<uint64_t, Ghost> going_on_;  // By lease.
  std::vector<uint64_t> over_unsent_;
  uint32_t ghosts_ = 0;
  bool ghosts_unsent_ = false;
  bool progress_unsent_ = false;
  bool learned_unsent_ = false;
  bool connected_ = false;
  bool stopping_ = false;
  bool goodbye_sent_ = false;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_SESSION_H_
