// TempDir is a directory of a test's own, removed with it.
#ifndef BUE_TESTS_UNIT_BUCKET_TEMP_DIR_H_
#define BUE_TESTS_UNIT_BUCKET_TEMP_DIR_H_

#include <string>

namespace bue {

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace bue

#endif  // BUE_TESTS_UNIT_BUCKET_TEMP_DIR_H_
