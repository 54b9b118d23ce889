#include "cli/new_directory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace bue::cli {
namespace {

namespace fs = std::filesystem;

class NewDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    path_ = folder_ + "/a/b";
  }
  void TearDown() override { fs::remove_all(folder_); }

  // What a role's start makes.
  void Make() const {
    fs::create_directories(path_ + "/db");
    std::ofstream(path_ + "/LOCK") << "1";
  }

  std::string folder_ = testing::TempDir() + "/new-directory-XXXXXX";
  std::string path_;
};

TEST_F(NewDirectoryTest, WhatWasMadeGoesWithTheFoldersAboveIt) {
  const NewDirectory made(path_ + "/");
  Make();
  made.Remove("LOCK");
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(NewDirectoryTest, WhatWasThereStays) {
  Make();
  const NewDirectory made(path_);
  made.Remove("LOCK");
  EXPECT_TRUE(fs::exists(path_ + "/db"));
}

TEST_F(NewDirectoryTest, FoldersThatHoldMoreStay) {
  const NewDirectory made(path_);
  Make();
  std::ofstream(folder_ + "/a/mine") << "1";
  made.Remove("LOCK");
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_TRUE(fs::exists(folder_ + "/a/mine"));
}

TEST_F(NewDirectoryTest, WhatSomebodyElseUsesByNowStays) {
  const NewDirectory made(path_);
  Make();
  const int other = open((path_ + "/LOCK").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(flock(other, LOCK_EX | LOCK_NB), 0);
  made.Remove("LOCK");
  EXPECT_TRUE(fs::exists(path_ + "/db"));
  close(other);
}

TEST_F(NewDirectoryTest, WhatIsNotEmptyStaysIfOnlyThatIsAskedFor) {
  const NewDirectory made(path_);
  Make();
  made.RemoveIfEmpty();
  EXPECT_TRUE(fs::exists(path_ + "/db"));
  fs::remove_all(path_);
  made.RemoveIfEmpty();
  EXPECT_TRUE(fs::is_empty(folder_));
}

}  // namespace
}  // namespace bue::cli
