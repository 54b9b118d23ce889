// libFuzzer's entry. `--target=NAME` says which target its inputs are for; `--list` prints their
// names, `--seeds=FOLDER` writes the target's seeds there; both end the process.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/check.h"
#include "google/protobuf/stubs/logging.h"
#include "tests/fuzz/target.h"

namespace {

const bue::fuzz::Target* target = nullptr;

void WriteSeeds(absl::string_view folder) {
  int number = 0;
  for (const std::string& seed : target->seeds()) {
    std::ofstream file(absl::StrCat(folder, "/seed", ++number), std::ios::binary);
    file.write(seed.data(), static_cast<std::streamsize>(seed.size()));
    CHECK(file.good());
  }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  absl::string_view seeds;
  for (int i = 1; i < *argc; ++i) {
    absl::string_view argument = (*argv)[i];
    if (argument == "--list") {
      for (const bue::fuzz::Target* each : bue::fuzz::AllTargets()) {
        std::printf("%s\n", std::string(each->name).c_str());
      }
      std::exit(0);
    }
    if (absl::ConsumePrefix(&argument, "--target=")) target = bue::fuzz::FindTarget(argument);
    if (absl::ConsumePrefix(&argument, "--seeds=")) seeds = argument;
  }
  if (target == nullptr) {
    std::fprintf(stderr, "--target=NAME: one of those that --list prints\n");
    std::exit(2);
  }
  google::protobuf::SetLogHandler(nullptr);  // It would complain of every other input.
  if (!seeds.empty()) {
    WriteSeeds(seeds);
    std::exit(0);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  target->run({reinterpret_cast<const char*>(data), size});
  return 0;
}
