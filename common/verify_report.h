// VerifyReport is what `--verify` found in a role's data directory: what was looked at, and what is
// wrong with it. Plain data; each role fills one in, the command line prints it.
#ifndef BUE_COMMON_VERIFY_REPORT_H_
#define BUE_COMMON_VERIFY_REPORT_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace bue {

struct VerifyReport {
  struct Problem {
    std::string place;    // A file, a row: what somebody would look for.
    std::string problem;  // What is wrong with it.
    std::string remedy;
  };
  struct Count {
    std::string what;
    uint64_t count = 0;
  };

  // Beyond it problems are only counted.
  static constexpr size_t kProblemsMax = 100;

  std::string role;
  std::string directory;
  int format = 0;
  std::string in_use_by;  // "process 123", while some role has it open; else empty.
  std::vector<Count> looked_at;
  std::vector<std::string> notes;  // Worth knowing, and nothing is wrong.
  std::vector<Problem> problems;
  uint64_t problems_left_out = 0;

  bool ok() const { return problems.empty(); }

  void Add(std::string what, uint64_t count) { looked_at.push_back({std::move(what), count}); }
  void AddProblem(std::string place, std::string problem, std::string remedy) {
    if (problems.size() < kProblemsMax) {
      problems.push_back({std::move(place), std::move(problem), std::move(remedy)});
    } else {
      ++problems_left_out;
    }
  }
};

}  // namespace bue

#endif  // BUE_COMMON_VERIFY_REPORT_H_
