// Failures collects what failed for good in a run, for the summary at its end: every failed step is
// named, with its first errors and how many more there were.
// Not thread-safe.
#ifndef BUE_CLI_FAILURES_H_
#define BUE_CLI_FAILURES_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bue/v1/hub.pb.h"

namespace bue::cli {

class Failures {
 public:
  void Add(const v1::ErrorRecord& error);
  // Failed steps that left no error (their record is gone, or they were stopped).
  void Add(const v1::RunStatus& status);

  // "download item 4: ValueError: no such report\n", by step.
  std::string Summary() const;

  // The first traceback of each step, for standard error; empty if there is none.
  std::string Tracebacks() const;

 private:
  struct OfStep {
    uint64_t count = 0;
    std::vector<std::string> lines;  // The first few.
    std::string traceback;           // The first.
  };
  std::map<std::string, OfStep> steps_;
};

}  // namespace bue::cli

#endif  // BUE_CLI_FAILURES_H_
