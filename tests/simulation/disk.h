// Disk is what survives of a hub's process, and DiskHubStore the HubStore on it: rows as the real
// store keeps them, through the real record codec, behind a write-ahead log of atomic batches.
//
// A process that dies leaves every batch it wrote. A power cut takes back batches that were not
// synced: all from some random one on, which stands for a tail that is torn.
//
// Not thread-safe.
#ifndef BUE_TESTS_SIMULATION_DISK_H_
#define BUE_TESTS_SIMULATION_DISK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hub/storage/hub_store.h"

namespace bue::sim {

class Disk {
 public:
  // Rows by key; a batch puts some and deletes others, and drops journal rows up to a turn.
  struct Batch {
    std::vector<std::pair<std::string, std::string>> puts;
    std::vector<std::string> prefixes_deleted;
    std::vector<std::pair<uint64_t, std::string>> journal;
    uint64_t drop_journal_to = 0;
  };

  void Write(Batch batch) { unsynced_.push_back(std::move(batch)); }
  size_t unsynced() const { return unsynced_.size(); }
  // Makes the first `count` of the unsynced batches durable.
  void Sync(size_t count);

  // Keeps only the first `kept` unsynced batches.
  void CutPower(size_t kept) { unsynced_.resize(std::min(kept, unsynced_.size())); }

  // After an opening everything that is there is durable.
  void Open() { Sync(unsynced_.size()); }
  const std::map<std::string, std::string>& rows() const { return rows_; }
  const std::map<uint64_t, std::string>& journal() const { return journal_; }

 private:
  void Apply(const Batch& batch);

  std::map<std::string, std::string> rows_;
  std::map<uint64_t, std::string> journal_;
  std::vector<Batch> unsynced_;
};

// Where a process can be made to die, as the store sees it.
enum class StorePoint { kBeforeCommit, kAfterCommit, kBeforeCheckpoint, kAfterCheckpoint, kSynced };

class DiskHubStore final : public hub::HubStore {
 public:
  // Asked at each point; an error is returned to the caller as the store's. `disk` outlives this.
  using Fault = std::function<absl::Status(StorePoint)>;
  DiskHubStore(Disk* disk, Fault fault);

  uint64_t epoch() const { return epoch_; }
  uint64_t first_turn() const { return (epoch_ << 40) + 1; }
  bool checkpoint_under_way() const { return checkpoint_under_way_; }
  uint64_t commits() const { return commits_; }
  uint64_t durable_commits() const { return durable_commits_; }

  absl::StatusOr<hub::HubSnapshot> Load() override;
  absl::Status Commit(uint64_t turn, const hub::TurnRecord& record) override;
  absl::Status Sync() override;
  absl::Status Checkpoint(uint64_t turn, const std::vector<hub::RunSnapshot>& runs,
                          uint64_t drop_to) override;
  uint64_t JournalBytes() const override { return journal_bytes_; }
  absl::Status PutFile(absl::string_view, absl::string_view) override { return absl::OkStatus(); }
  absl::StatusOr<std::string> GetFile(absl::string_view) override {
    return absl::NotFoundError("no files are simulated");
  }
  absl::StatusOr<bool> HasFile(absl::string_view) override { return false; }
  absl::Status ReadErrors(uint64_t run, std::string* cursor,
                          const std::function<bool(const hub::ErrorRecord&)>& visit) override;
  absl::Status ReadLogs(uint64_t, std::string*,
                        const std::function<bool(const hub::LogAdded&)>&) override {
    return absl::OkStatus();
  }
  absl::Status ReadHistory(uint64_t, std::string*,
                           const std::function<bool(const hub::PastEvent&)>&) override {
    return absl::OkStatus();
  }

 private:
  static void CheckHistory(const hub::TurnRecord& record);

  Disk* const disk_;
  const Fault fault_;
  uint64_t epoch_ = 0;
  uint64_t next_run_ = 1;
  uint64_t journal_bytes_ = 0;
  uint64_t commits_ = 0;
  uint64_t durable_commits_ = 0;
  std::map<uint64_t, uint64_t> journal_weights_;  // By turn.
  bool checkpoint_under_way_ = false;
};

}  // namespace bue::sim

#endif  // BUE_TESTS_SIMULATION_DISK_H_
