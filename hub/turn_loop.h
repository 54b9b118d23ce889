// TurnLoop is the hub's heartbeat: turns, one after the other, that own the Scheduler.
//
// A turn takes everything that arrived since the last one, applies it, stores the changes as one
// record and publishes the rest. Batches form by themselves: while one turn is being stored the
// next one's commands pile up, so that many tasks share the cost of a write, of an fsync and of a
// message; a hub with nothing to do takes a command at once.
//
//   inbox -> Apply … Apply, Match -> Commit -> Publish               the turn's thread
//                                      \-> Sync -> PublishPromises   the sync thread
//
// The turn's thread is the loop's own, or that of a small command that finds the loop at rest: it
// takes one turn itself instead of waking another thread, which would take longer than the turn.
//
// Promises (acknowledgements, replies, deletions) wait for the disk, beside the next turns: the
// sync thread syncs once for all turns that were committed meanwhile.
//
// Post and Stop: thread-safe. The rest: see each.
#ifndef BUE_HUB_TURN_LOOP_H_
#define BUE_HUB_TURN_LOOP_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "hub/outbox.h"
#include "hub/scheduler/commands.h"
#include "hub/scheduler/scheduler.h"
#include "hub/storage/hub_store.h"

namespace bue::hub {

struct TurnLoopOptions {
  uint64_t first_turn = 1;
  // Promises wait for the write only, not for the fsync: a power cut may break them.
  bool sync_os = false;
  // What may lie in the inbox, in units of about 64 bytes: an outcome, a held lease, a bit of a
  // program. Beyond it Post refuses.
  size_t inbox_units_max = 1 << 20;
  // A checkpoint begins when the journal weighs this much. It holds a turn up for at most about a
  // slice; a long one is spread over turns.
  uint64_t checkpoint_bytes = 32 << 20;
  absl::Duration checkpoint_slice = absl::Milliseconds(2);
  // Told why no further turn is possible, once, by the thread that found out. Unless set: logs the
  // reason and ends the process.
  std::function<void(const absl::Status&)> on_fatal;
};

class TurnLoop {
 public:
  // All four outlive the loop.
  TurnLoop(TurnLoopOptions options, Scheduler* scheduler, HubStore* store, Outbox* outbox,
           const Clock* clock);
  ~TurnLoop();  // Stops.

  void Start();

  // Leaves `command` for the next turn, or takes that turn; never waits for another. Hold no lock
  // that publishing takes. ResourceExhausted if the inbox is full, Unavailable once the loop
  // stopped. A WorkerGone is always taken.
  absl::Status Post(Command command) ABSL_LOCKS_EXCLUDED(mutex_);

  // Takes a last turn, makes its promises durable, writes a checkpoint and joins the threads.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

  // One turn on the calling thread, for those who never Start: tests and the simulation. Leaves
  // `commands` empty. An error is final: memory is then ahead of the disk.
  absl::Status RunTurn(std::vector<Command>* commands, absl::Time now);

  // What the sync thread does: makes all turns so far durable, publishes their promises, and leaves
  // word for the next turn. Same callers, same errors.
  absl::Status SyncTurns() ABSL_LOCKS_EXCLUDED(mutex_, promises_mutex_);

 private:
  void RunTurns();  // The loop's own thread.
  void RunSyncs();  // The sync thread.
  // Waits until there is something to do, and nobody else does it. False: the loop stops, this is
  // the rest of the inbox.
  bool TakeCommands(std::vector<Command>* commands) ABSL_LOCKS_EXCLUDED(mutex_);
  // A turn on the thread of a Post that found the loop at rest.
  void RunPostersTurn(Command command) ABSL_LOCKS_EXCLUDED(mutex_);
  // Nothing is to be done before the scheduler's next deadline. Not during a poster's turn.
  bool Rests() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void TellSynced() ABSL_LOCKS_EXCLUDED(mutex_);
  void Synced(uint64_t turn) ABSL_LOCKS_EXCLUDED(mutex_);
  void Fail(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Status CommitAndPublish();
  // Gives the turn's promises to the sync thread, or out at once if the disk holds everything.
  void HandOverPromises(bool committed) ABSL_LOCKS_EXCLUDED(promises_mutex_);
  void LogEndedRuns() const;

  absl::Status AdvanceCheckpoint();
  absl::Status WriteCheckpointSlice();
  void BeginCheckpoint();
  void ForgetDeletedRuns();

  // Constant after construction.
  const TurnLoopOptions options_;
  Scheduler* const scheduler_;
  HubStore* const store_;
  Outbox* const outbox_;
  const Clock* const clock_;

  // Used by the turn's thread only, and by Stop after the last.
  Effects effects_;
  uint64_t turn_;                          // The last one taken.
  uint64_t told_synced_ = 0;               // What the scheduler knows to be durable.
  uint64_t checkpoint_turn_ = 0;           // When it began; 0: no checkpoint under way.
  std::vector<uint64_t> checkpoint_runs_;  // Still to be written, last first.

  absl::Mutex mutex_;
  absl::CondVar wake_;  // The loop's own thread waits here.
  std::vector<Command> inbox_ ABSL_GUARDED_BY(mutex_);
  size_t inbox_units_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t synced_turn_ ABSL_GUARDED_BY(mutex_) = 0;
  std::atomic<bool> awaits_sync_ = false;              // The scheduler does, since the last turn.
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;       // The loop's own thread is,
  absl::Time waits_until_ ABSL_GUARDED_BY(mutex_);     // at most until then.
  bool posters_turn_ ABSL_GUARDED_BY(mutex_) = false;  // A Post is taking a turn.
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  absl::Mutex promises_mutex_;
  absl::CondVar promised_;  // The sync thread waits here.
  // What the next sync makes good: the last turn that wrote a record (0: none did), and the
  // promises of all turns.
  uint64_t promised_turn_ ABSL_GUARDED_BY(promises_mutex_) = 0;
  Promises promises_ ABSL_GUARDED_BY(promises_mutex_);
  bool syncing_ ABSL_GUARDED_BY(promises_mutex_) = false;
  bool no_more_turns_ ABSL_GUARDED_BY(promises_mutex_) = false;

  std::atomic<bool> failed_ = false;

  std::thread turn_thread_;
  std::thread sync_thread_;
};

}  // namespace bue::hub

#endif  // BUE_HUB_TURN_LOOP_H_
