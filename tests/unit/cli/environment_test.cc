// What .env lines mean, and that the environment wins over them.
#include "cli/environment.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace bue::cli {
namespace {

struct LineCase {
  const char* line;
  const char* name;
  const char* value;
};

TEST(ParseEnvLine, TakesTheFormsPeopleWrite) {
  const LineCase cases[] = {
      {"A=1", "A", "1"},
      {"  A = b c  ", "A", "b c"},
      {"export A=1", "A", "1"},
      {"A=", "A", ""},
      {"A=\"x y\" # why", "A", "x y"},
      {"A='x # \"y\"'", "A", "x # \"y\""},
      {"A=\"line\\nnext \\\"quoted\\\"\"", "A", "line\nnext \"quoted\""},
      {"A=b#c", "A", "b#c"},
      {"A=b # c", "A", "b"},
      {"A=b=c", "A", "b=c"},
      {"A=1\r", "A", "1"},
      {"# A=1", "", ""},
      {"", "", ""},
  };
  for (const LineCase& one : cases) {
    const absl::StatusOr<Assignment> got = ParseEnvLine(one.line);
    ASSERT_TRUE(got.ok()) << one.line;
    EXPECT_EQ(got->name, one.name) << one.line;
    EXPECT_EQ(got->value, one.value) << one.line;
  }
}

TEST(ParseEnvLine, RefusesWhatIsNoAssignment) {
  for (const char* line : {"A", "=1", "1A=2", "A B=1", "A=\"open", "A=\"x\" y"}) {
    EXPECT_FALSE(ParseEnvLine(line).ok()) << line;
  }
}

class EnvFileTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/bue_env_test." + std::to_string(getpid());
    setenv("ENV_PATH", path_.c_str(), 1);
    unsetenv("PIPE_WORKER_HOST");
    unsetenv("PIPE_WORKER_PORT");
  }
  void TearDown() override {
    unlink(path_.c_str());
    unsetenv("ENV_PATH");
    unsetenv("PIPE_WORKER_HOST");
    unsetenv("PIPE_WORKER_PORT");
  }
  void Write(const std::string& text) { std::ofstream(path_) << text; }

  std::string path_;
};

TEST_F(EnvFileTest, SetsWhatIsNotSet) {
  Write("\xef\xbb\xbfPIPE_WORKER_HOST=hub.example\r\nnonsense\nPIPE_WORKER_PORT=1\n");
  setenv("PIPE_WORKER_PORT", "2", 1);
  ASSERT_TRUE(LoadEnvFile().ok());
  EXPECT_EQ(HubToConnect(), "hub.example:2");
}

TEST_F(EnvFileTest, NamedFileThatIsMissingIsAnError) {
  const absl::Status status = LoadEnvFile();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_NE(status.message().find(path_), absl::string_view::npos);
}

TEST_F(EnvFileTest, DefaultsAreLoopbackAndTheUsualPorts) {
  EXPECT_EQ(HubToConnect(), "localhost:65432");
  EXPECT_EQ(BucketToBind(), "localhost:61535");
}

TEST(EnvironmentHelp, NamesEveryVariable) {
  const std::string help = EnvironmentHelp();
  for (const EnvironmentName& entry : EnvironmentTable()) {
    EXPECT_NE(help.find(entry.name), std::string::npos) << entry.name;
  }
}

}  // namespace
}  // namespace bue::cli
