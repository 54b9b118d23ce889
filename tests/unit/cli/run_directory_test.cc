#include "cli/run_directory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace bue::cli {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

class RunDirectoryTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(mkdtemp(parent_.data()), nullptr); }
  void TearDown() override { fs::remove_all(parent_); }

  std::unique_ptr<RunDirectory> Make() {
    auto made = RunDirectory::Make(parent_);
    EXPECT_TRUE(made.ok()) << made.status();
    return *std::move(made);
  }

  // What a run left behind so long ago.
  std::string Leave(const std::string& name, absl::Duration age) {
    const std::string path = absl::StrCat(parent_, "/run-", name);
    fs::create_directories(path + "/hub");
    std::ofstream(path + "/hub/bue-hub") << "state";
    const timespec then = absl::ToTimespec(absl::Now() - age);
    const timespec times[] = {then, then};
    EXPECT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
    return path;
  }

  std::set<std::string> Left() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(parent_)) {
      names.insert(entry.path().filename().string());
    }
    return names;
  }

  std::string parent_ = testing::TempDir() + "/run-directory-XXXXXX";
};

TEST_F(RunDirectoryTest, EachIsAnotherAndGoesWhenRemoved) {
  const auto one = Make();
  const auto two = Make();
  EXPECT_NE(one->path(), two->path());
  one->Remove();
  EXPECT_FALSE(fs::exists(one->path()));
  EXPECT_TRUE(fs::exists(two->path()));
}

TEST_F(RunDirectoryTest, TheNewestAreKept) {
  Leave("b", absl::Hours(2));
  Leave("a", absl::Hours(1));
  Leave("c", absl::Hours(3));
  Leave("d", absl::Hours(4));
  RunDirectory::RemoveOld(parent_, 2);
  EXPECT_THAT(Left(), ElementsAre("run-a", "run-b"));
  RunDirectory::RemoveOld(parent_, 0);
  EXPECT_THAT(Left(), IsEmpty());
}

TEST_F(RunDirectoryTest, WhatIsNoRunsStays) {
  fs::create_directories(parent_ + "/hub");
  Leave("a", absl::Hours(1));
  RunDirectory::RemoveOld(parent_, 0);
  EXPECT_THAT(Left(), ElementsAre("hub"));
}

TEST_F(RunDirectoryTest, OneThatIsUsedStays) {
  const auto running = Make();
  const std::string looked_into = Leave("a", absl::Hours(1));
  const int hub = open((looked_into + "/hub/bue-hub").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(flock(hub, LOCK_EX | LOCK_NB), 0);
  RunDirectory::RemoveOld(parent_, 0);
  EXPECT_TRUE(fs::exists(running->path()));
  EXPECT_TRUE(fs::exists(looked_into));
  close(hub);
  RunDirectory::RemoveOld(parent_, 0);
  EXPECT_FALSE(fs::exists(looked_into));
}

}  // namespace
}  // namespace bue::cli
