// Client uploads one plan and sees it to its end: it tries again when a reply is lost, with the
// same key; it may pause, resume, cancel, stop, retry and delete; and it holds what it is told
// against the model.
//
// Not thread-safe.
#ifndef BUE_TESTS_SIMULATION_CLIENT_H_
#define BUE_TESTS_SIMULATION_CLIENT_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "tests/simulation/world.h"

namespace bue::sim {

class Client {
 public:
  Client(World* world, std::shared_ptr<const Plan> plan);

  void Start() { Upload(); }
  bool done() const { return done_; }
  std::string Describe() const;  // For a run that is stuck.

 private:
  using Action = hub::ControlRun::Action;

  static constexpr uint32_t kRetries = 2;

  void Upload();
  void Uploaded(uint64_t run);
  void Control(hub::ControlRun command, std::function<void(bool ok)> done);
  void PauseForAWhile();
  void ChangeLimits();
  void Watch();
  void Saw(const hub::RunStatus& status);
  void CheckEnd();
  void CheckErrors();
  bool IsRefusedId(const hub::ErrorRecord& error);
  void CheckRefusals();
  void ListResults(const std::string& start);
  void ConfirmEnd();
  void CheckResults();
  void CheckUntouched();
  void GoOn();
  void Retry();
  void Delete();
  void Again(void (Client::*what)());
  void Fail(const std::string& what);

  World* const world_;
  const std::shared_ptr<const Plan> plan_;
  uint64_t run_ = 0;
  hub::RunStatus status_;
  bool exact_;  // As its plan, unless chance had its way.
  bool ends_exactly_;
  Expected expected_;
  std::map<TaskName, uint64_t> results_;    // Addresses.
  std::map<TaskName, uint64_t> untouched_;  // Those that a retry was to leave alone.
  // Tasks whose item's id is another's, and that one's.
  std::map<TaskName, TaskName> refused_;
  uint32_t retries_left_ = kRetries;
  bool done_ = false;
};

}  // namespace bue::sim

#endif  // BUE_TESTS_SIMULATION_CLIENT_H_
