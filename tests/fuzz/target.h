// A fuzz target: a function that takes bytes which anybody may have sent, stored or written, and
// gives them to the code that reads such bytes. Whatever the bytes, it returns: it neither crashes
// nor hangs nor takes more memory than the bytes deserve, and what is read can be written again.
//
// libFuzzer drives the targets (fuzzer.cc, by tests/fuzz/run), and a plain test gives them their
// seeds, every input that ever broke something (regressions/TARGET/) and mutations of both
// (replay_test.cc).
#ifndef BUE_TESTS_FUZZ_TARGET_H_
#define BUE_TESTS_FUZZ_TARGET_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace bue::fuzz {

struct Target {
  absl::string_view name;
  void (*run)(absl::string_view bytes);
  // Inputs to begin with, made of real objects, so that they always are of the format of the day.
  std::vector<std::string> (*seeds)();
};

extern const Target kGrants;        // What a hub sends to a worker.
extern const Target kProgram;       // An uploaded program, also run.
extern const Target kRecord;        // What the hub's store reads.
extern const Target kRunState;      // A run's checkpoint, also gone on with.
extern const Target kRunner;        // What a runner process sends to its worker.
extern const Target kScript;        // A `.bue` script with the files it names.
extern const Target kValue;         // Values and JSON.
extern const Target kWorkerStream;  // What workers and clients send to a hub with live runs.

absl::Span<const Target* const> AllTargets();

// The target of that name, or null.
const Target* FindTarget(absl::string_view name);

}  // namespace bue::fuzz

#endif  // BUE_TESTS_FUZZ_TARGET_H_
