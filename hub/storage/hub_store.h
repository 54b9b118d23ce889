// HubStore keeps the hub's state: Load once, Commit one record a turn. The RocksDB one is behind
// rocksdb_hub_store.h, the simulation has its own.
#ifndef BUE_HUB_STORAGE_HUB_STORE_H_
#define BUE_HUB_STORAGE_HUB_STORE_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hub/scheduler/effects.h"
#include "hub/scheduler/scheduler.h"

namespace bue::hub {

// Of a run's history, for who reads it.
struct PastEvent {
  HistoryEvent event;
  std::string item;                    // The item's name: "4", "4.17"; "" at the top level.
  std::string id;                      // That the task gave it; empty: none.
  const ErrorRecord* error = nullptr;  // A failed task's, if it was kept.
};

class HubStore {
 public:
  virtual ~HubStore() = default;

  // Everything of the last process. Once, before the first Commit. DataLoss names what is broken.
  virtual absl::StatusOr<HubSnapshot> Load() = 0;

  // Appends one turn's record. Survives the process, not a power cut; Sync makes it survive that.
  // An error is final: memory is ahead of disk then, so the process must end and load again.
  virtual absl::Status Commit(uint64_t turn, const TurnRecord& record) = 0;

  // Returns once everything committed before the call is on disk. Thread-safe.
  virtual absl::Status Sync() = 0;

  // Rewrites the state of `runs` as they are after `turn`, and drops the journal up to and
  // including `drop_to` (0: nothing). A checkpoint may come in parts: the parts' turns grow, and
  // the last part drops what the journal held when the first one began. Load leaves out what a
  // run's state holds already. As durable as Commit.
  virtual absl::Status Checkpoint(uint64_t turn, const std::vector<RunSnapshot>& runs,
                                  uint64_t drop_to) = 0;

  // Weight of the journal since the last checkpoint (bytes, and what its changes take up while they
  // are loaded): when it pays to make one.
  virtual uint64_t JournalBytes() const = 0;

  // ResourceExhausted, with the remedy, when the disk is too full to take on new work. Thread-safe.
  virtual absl::Status CheckSpace() { return absl::OkStatus(); }

  // Uploaded files, by SHA-256. Thread-safe. PutFile is as durable as Commit: a Sync after it, such
  // as the one before an upload's reply, covers it.
  virtual absl::Status PutFile(absl::string_view sha256, absl::string_view content) = 0;
  virtual absl::StatusOr<std::string> GetFile(absl::string_view sha256) = 0;  // NotFound
  virtual absl::StatusOr<bool> HasFile(absl::string_view sha256) = 0;

  // Error records of a run (0: of all, run by run) and places of captured output, oldest first,
  // until `visit` returns false. `cursor` is where to begin (empty: with the first); afterwards it
  // is where to go on, behind the last one visited. Thread-safe.
  virtual absl::Status ReadErrors(uint64_t run, std::string* cursor,
                                  const std::function<bool(const ErrorRecord&)>& visit) = 0;
  virtual absl::Status ReadLogs(uint64_t run, std::string* cursor,
                                const std::function<bool(const LogAdded&)>& visit) = 0;

  // What is still kept of a run's history, in the order in which it happened, as far as it is on
  // disk; `cursor` and `visit` as above, but at the end it stays where more may come. Thread-safe.
  virtual absl::Status ReadHistory(uint64_t run, std::string* cursor,
                                   const std::function<bool(const PastEvent&)>& visit) = 0;
};

}  // namespace bue::hub

#endif  // BUE_HUB_STORAGE_HUB_STORE_H_
