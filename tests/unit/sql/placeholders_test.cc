// Facts about placeholders in SQL code.
#include "worker/sql/placeholders.h"

#include <vector>

#include "absl/strings/str_split.h"
#include "gtest/gtest.h"

namespace bue::worker {
namespace {

TEST(PlaceholdersTest, KnownNamesAreReplacedAndOthersStay) {
  EXPECT_EQ(ExpandPlaceholders("{{scope}} {{ priority }} {{missing}} {{ {{scope}} }} {{",
                               {{"scope", "a{{priority}}"}, {"priority", "3"}}),
            "a{{priority}} 3 {{missing}} {{ a{{priority}} }} {{");
}

TEST(PlaceholdersTest, EachUuidNameIsOneFreshNameInACall) {
  const std::string code = "{{uuid:a}} {{uuid|a}} {{uuid:b}}";
  const std::vector<std::string> names = absl::StrSplit(ExpandPlaceholders(code, {}), ' ');
  EXPECT_EQ(names[0], names[1]);
  EXPECT_NE(names[0], names[2]);
  EXPECT_EQ(names[0].size(), 35u);
  const std::vector<std::string> others = absl::StrSplit(ExpandPlaceholders(code, {}), ' ');
  EXPECT_NE(names[0], others[0]);
}

}  // namespace
}  // namespace bue::worker
