#include "worker/python/find_python.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace bue::worker {
namespace {

using testing::HasSubstr;

// A script that answers the probe.
std::string FakePython(const std::string& version, const std::string& msgpack) {
  const std::string path = absl::StrCat(testing::TempDir(), "/bue-fake-python-", getpid());
  std::ofstream(path) << "#!/bin/sh\nprintf 'bue\\n"
                      << version << "\\n/real/python\\n"
                      << msgpack << "\\n'\n";
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  return path;
}

TEST(FindPythonTest, TheInterpretersOwnPathIsTheAnswer) {
  EXPECT_EQ(FindPython(FakePython("3.12", "yes")).value(), "/real/python");
}

TEST(FindPythonTest, WhatIsMissingIsSaidWithTheRemedy) {
  const std::string no_msgpack(
      FindPython(FakePython("3.12", "ModuleNotFoundError: no")).status().message());
  EXPECT_THAT(no_msgpack, HasSubstr("/real/python -m pip install msgpack"));
  EXPECT_THAT(std::string(FindPython(FakePython("3.9", "yes")).status().message()),
              HasSubstr("is Python 3.9; 3.10 or later is needed"));
  EXPECT_THAT(std::string(FindPython("/no/such/python").status().message()),
              HasSubstr("/no/such/python can not be run"));
}

TEST(FindPythonTest, TheActiveVirtualEnvironmentComesFirst) {
  setenv("VIRTUAL_ENV", "/no/such/environment", 1);
  const absl::Status status = FindPython("").status();
  unsetenv("VIRTUAL_ENV");
  EXPECT_THAT(std::string(status.message()), HasSubstr("/no/such/environment/bin/python3"));
}

}  // namespace
}  // namespace bue::worker
