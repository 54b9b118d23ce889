#include "common/lang/script_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace bue::lang {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ScriptFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = absl::StrCat(::testing::TempDir(), "/bue_script_files_XXXXXX");
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    Write("script.bue", "import python (f) steps.py\n");
    Write("steps.py", "def f(): pass\n");
  }

  void TearDown() override { fs::remove_all(folder_); }

  void Write(const std::string& path, const std::string& bytes) {
    fs::create_directories((folder_ / path).parent_path());
    std::ofstream(folder_ / path, std::ios::binary) << bytes;
  }

  std::string Path(const std::string& path) const { return (folder_ / path).string(); }

  std::vector<std::string> Expand(const std::string& pattern) {
    const auto found = ScriptFiles(Path("script.bue")).Expand({pattern});
    if (!found.ok()) return {std::string(found.status().message())};
    return *found;
  }

  fs::path folder_;
};

TEST_F(ScriptFilesTest, ReadsTheScriptAndFilesBesideIt) {
  ScriptFiles files(Path("script.bue"));
  EXPECT_EQ(files.script_name(), "script.bue");
  EXPECT_EQ(files.ReadScript().value(), "import python (f) steps.py\n");
  EXPECT_EQ(files.Read("steps.py").value(), "def f(): pass\n");
  EXPECT_EQ(files.Read(Path("steps.py")).value(), "def f(): pass\n");
}

TEST_F(ScriptFilesTest, SaysWhyAFileCannotBeRead) {
  ScriptFiles files(Path("script.bue"), {.file_bytes = 20});
  Write("folder/x", "");
  Write("big", std::string(21, 'x'));
  EXPECT_EQ(files.Read("nothing").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(files.Read("steps.py/x").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(files.Read("folder").status().message(), "is a folder, not a file");
  EXPECT_EQ(files.Read("big").status().message(), "has 21 bytes: at most 20 are allowed");
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(files.Read("pipe").status().message(), "is not a regular file");
}

TEST_F(ScriptFilesTest, SaysWhyAScriptCannotBeRead) {
  EXPECT_THAT(std::string(ScriptFiles(Path("no.bue")).ReadScript().status().message()),
              HasSubstr("no.bue: there is no such file"));
  EXPECT_THAT(std::string(ScriptFiles(folder_.string()).ReadScript().status().message()),
              HasSubstr("is a folder, not a file"));
}

TEST_F(ScriptFilesTest, ExpandsPatterns) {
  for (const char* path :
       {"a.txt", "b.txt", "d/a.txt", "d/e/a.txt", "d/e/b.csv", ".hidden.txt", "d/.git/a.txt"}) {
    Write(path, "");
  }
  EXPECT_THAT(Expand("a.txt"), ElementsAre("a.txt"));
  EXPECT_THAT(Expand("*.txt"), ElementsAre("a.txt", "b.txt"));
  EXPECT_THAT(Expand("./d/?.txt"), ElementsAre("d/a.txt"));
  EXPECT_THAT(Expand("[b-z].txt"), ElementsAre("b.txt"));
  EXPECT_THAT(Expand("**/a.txt"), ElementsAre("a.txt", "d/a.txt", "d/e/a.txt"));
  EXPECT_THAT(Expand("d/**"), ElementsAre("d/a.txt", "d/e/a.txt", "d/e/b.csv"));
  EXPECT_THAT(Expand("**/e/*"), ElementsAre("d/e/a.txt", "d/e/b.csv"));
  EXPECT_THAT(Expand("d"), ElementsAre("d/a.txt", "d/e/a.txt", "d/e/b.csv"));
  EXPECT_THAT(Expand(".hidden*"), ElementsAre(".hidden.txt"));
}

TEST_F(ScriptFilesTest, DoesNotFollowLinksInCircles) {
  Write("d/a.txt", "");
  fs::create_directory_symlink("..", folder_ / "d/up");
  EXPECT_THAT(Expand("**/a.txt"), ElementsAre("d/a.txt"));
}

TEST_F(ScriptFilesTest, PatternsThatMeanNothingAreErrors) {
  EXPECT_THAT(Expand("*.nothing"),
              ElementsAre(HasSubstr("--include '*.nothing': there are no files")));
  EXPECT_THAT(Expand("../x"), ElementsAre(HasSubstr("--include '../x': it must not leave")));
  EXPECT_THAT(Expand("/etc/passwd"), ElementsAre(HasSubstr("it must be relative")));
  EXPECT_THAT(Expand(""), ElementsAre(HasSubstr("it is empty")));
  const auto many = ScriptFiles(Path("script.bue"), {.included_files = 1}).Expand({{"*"}});
  EXPECT_THAT(std::string(many.status().message()), HasSubstr("matches more than 1 files"));
}

TEST_F(ScriptFilesTest, FeedsTheCompiler) {
  Write("data/x.bin", "\xFF");
  ScriptFiles files(Path("script.bue"));
  const auto text = files.ReadScript();
  const auto include = files.Expand({{"data/*"}});
  ASSERT_TRUE(text.ok() && include.ok());
  const CompileResult result = Compile(*text, files.script_name(), &files, {.include = *include});
  ASSERT_TRUE(result.program);
  EXPECT_EQ(result.program->script, "script.bue");
  EXPECT_EQ(result.program->files.size(), 2u);
  EXPECT_EQ(result.contents.size(), 2u);
}

}  // namespace
}  // namespace bue::lang
