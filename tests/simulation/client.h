// Client uploads one plan and sees it to its end: it tries again when a reply is lost, with the
// same key; it may pause, resume, cancel and delete; and it holds what it is told against the
// model.
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

  void Upload();
  void Uploaded(uint64_t run);
  void Control(Action action, std::function<void(bool ok)> done);
  void PauseForAWhile();
  void Watch();
  void Saw(const hub::RunStatus& status);
  void CheckEnd();
  void CheckErrors();
  void ListResults(const std::string& start);
  void CheckResults();
  void Delete();
  void Again(void (Client::*what)());
  void Fail(const std::string& what);

  World* const world_;
  const std::shared_ptr<const Plan> plan_;
  uint64_t run_ = 0;
  hub::RunStatus status_;
  bool cancelled_ = false;
  bool exact_;
  std::map<TaskName, uint64_t> results_;  // Addresses.
  bool done_ = false;
};

}  // namespace bue::sim

#endif  // BUE_TESTS_SIMULATION_CLIENT_H_
