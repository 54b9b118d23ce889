#include "tests/unit/bucket/temp_dir.h"

#include <stdlib.h>

#include <filesystem>
#include <system_error>

#include "common/check.h"

namespace bue {

TempDir::TempDir() {
  path_ = (std::filesystem::temp_directory_path() / "bue_bucket_XXXXXX").string();
  CHECK(mkdtemp(path_.data()) != nullptr);
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace bue
