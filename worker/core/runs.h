// Runs knows the steps of every run that this worker was granted tasks of, with their files on
// disk. Tasks that come before the files do wait here.
//
// Used by the loop thread only.
#ifndef BUE_WORKER_CORE_RUNS_H_
#define BUE_WORKER_CORE_RUNS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "bue/v1/work.pb.h"
#include "worker/core/grant.h"
#include "worker/core/step_files.h"
#include "worker/executor.h"

namespace bue::worker {

class RunsListener {
 public:
  virtual ~RunsListener() = default;
  virtual void OnStepReady(const StartBatch& batch,
                           const std::shared_ptr<const LoadedStep>& step) = 0;
  // The run's files or steps cannot be had: its attempts fail.
  virtual void OnStepFailed(const StartBatch& batch, const absl::Status& status) = 0;
};

class Runs {
 public:
  // Both outlive it.
  Runs(StepFiles* files, RunsListener* listener) : files_(files), listener_(listener) {}

  // What the hub says before a run's first grant; again after a reconnect.
  void Add(const v1::RunInfo& info);
  // Hands the batch to the listener together with its step: at once, or when the files are here.
  void Load(StartBatch batch);
  // Null: not known.
  const Step* FindStep(uint64_t run, uint32_t step) const;
  // Drops what is known of a run; batches that wait are dropped with it.
  void Forget(uint64_t run);
  // Forgets every run for which `keep` is false; returns them.
  std::vector<uint64_t> ForgetUnless(const std::function<bool(uint64_t)>& keep);

 private:
  struct Info {
    std::string script;
    std::vector<Step> steps;
    std::vector<File> files;
    absl::Status status;  // Of the steps as they came.

    bool fetching = false;
    std::string directory;  // Empty: not there.
    std::vector<std::shared_ptr<const LoadedStep>> loaded;
    std::vector<StartBatch> waiting;
  };

  void Fetch(uint64_t run, Info* info);
  void OnFiles(uint64_t run, absl::StatusOr<std::string> directory);
  void MakeSteps(uint64_t run, Info* info);
  void Hand(const StartBatch& batch, const Info& info);

  StepFiles* const files_;
  RunsListener* const listener_;
  absl::btree_map<uint64_t, Info> runs_;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_RUNS_H_
