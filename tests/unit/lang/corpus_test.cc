// The sample scripts that lie beside the source tree, where they do: each is accepted or rejected
// as its expectation says.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "common/lang/compiler.h"
#include "common/lang/script_files.h"
#include "common/program/program_codec.h"

namespace bue::lang {
namespace {

TEST(Corpus, IsAcceptedOrRejectedAsItSays) {
  const std::filesystem::path folder = BUE_CORPUS;
  std::ifstream stream(folder / "expected.json");
  if (!stream.is_open()) GTEST_SKIP() << "there is no corpus at " << folder;
  const nlohmann::json expected = nlohmann::json::parse(stream);
  for (const auto& [name, want] : expected.items()) {
    SCOPED_TRACE(name);
    ScriptFiles files((folder / (name + ".bue")).string());
    const absl::StatusOr<std::string> text = files.ReadScript();
    ASSERT_TRUE(text.ok()) << text.status();
    const CompileResult result = Compile(*text, files.script_name(), &files);
    const std::string said = FormatDiagnostics(result.diagnostics, files.script_name(), *text);
    if (want["want"] == "accept") {
      EXPECT_TRUE(result.program.has_value()) << said;
    }
    if (want["want"] == "reject") {
      EXPECT_FALSE(result.program.has_value());
      const std::string mentions = want.value("error_mentions", "");
      EXPECT_NE(said.find(mentions), std::string::npos) << mentions << " not in\n" << said;
    }
    if (!result.program) continue;
    v1::Program proto;
    ToProto(*result.program, &proto);
    EXPECT_TRUE(FromProto(proto).ok());
  }
}

}  // namespace
}  // namespace bue::lang
