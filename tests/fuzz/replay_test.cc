// Each fuzz target with its seeds, the inputs that once broke something, and some mutations of
// both, from a fixed seed. What needs coverage to be found is for tests/fuzz/run.
#include <dirent.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/stubs/logging.h"
#include "gtest/gtest.h"
#include "tests/fuzz/target.h"

namespace bue::fuzz {
namespace {

constexpr int kMutations = 10000;

std::vector<std::string> Regressions(absl::string_view target) {
  const std::string folder = absl::StrCat(BUE_FUZZ_DIR, "/regressions/", target);
  std::vector<std::string> names;
  if (DIR* opened = opendir(folder.c_str())) {
    while (const dirent* entry = readdir(opened)) {
      if (entry->d_name[0] != '.') names.push_back(entry->d_name);
    }
    closedir(opened);
  }
  std::sort(names.begin(), names.end());
  std::vector<std::string> inputs;
  for (const std::string& name : names) {
    std::ifstream file(absl::StrCat(folder, "/", name), std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

class Mutator {
 public:
  explicit Mutator(std::vector<std::string> inputs) : inputs_(std::move(inputs)) {}

  std::string Next() {
    std::string bytes = Any();
    for (size_t edits = 1 + Below(4); edits > 0; --edits) Edit(&bytes);
    return bytes;
  }

 private:
  size_t Below(size_t end) { return random_() % end; }
  const std::string& Any() { return inputs_[Below(inputs_.size())]; }

  void Edit(std::string* bytes) {
    if (bytes->empty()) *bytes = Any();
    if (bytes->empty()) return;
    const size_t at = Below(bytes->size());
    switch (Below(6)) {
      case 0:
        (*bytes)[at] = static_cast<char>(random_());
        break;
      case 1:
        (*bytes)[at] = static_cast<char>((*bytes)[at] ^ (1 << Below(8)));
        break;
      case 2:
        bytes->erase(at, 1 + Below(16));
        break;
      case 3:
        bytes->insert(at, 1 + Below(8), static_cast<char>(random_()));
        break;
      case 4: {
        const std::string& other = Any();
        if (!other.empty()) bytes->insert(at, other.substr(Below(other.size()), Below(200)));
        break;
      }
      default:
        bytes->resize(at);
    }
  }

  std::vector<std::string> inputs_;
  std::mt19937_64 random_{20240229};
};

// A copy of exactly this size, so that a sanitizer sees a byte too far.
void Give(const Target& target, const std::string& bytes) {
  const std::vector<char> exact(bytes.begin(), bytes.end());
  target.run({exact.data(), exact.size()});
}

class ReplayTest : public testing::TestWithParam<size_t> {};

TEST_P(ReplayTest, SeedsRegressionsAndMutationsOfThem) {
  google::protobuf::SetLogHandler(nullptr);  // It would complain of every other input.
  const Target& target = *AllTargets()[GetParam()];
  std::vector<std::string> inputs = target.seeds();
  ASSERT_FALSE(inputs.empty());
  for (std::string& input : Regressions(target.name)) inputs.push_back(std::move(input));
  for (const std::string& input : inputs) Give(target, input);
  Mutator mutator(inputs);
  for (int i = 0; i < kMutations; ++i) Give(target, mutator.Next());
}

INSTANTIATE_TEST_SUITE_P(All, ReplayTest, testing::Range<size_t>(0, AllTargets().size()),
                         [](const auto& info) {
                           return std::string(AllTargets()[info.param]->name);
                         });

}  // namespace
}  // namespace bue::fuzz
