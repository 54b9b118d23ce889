// NewDirectory undoes what a start that failed has made: a data directory that was not there
// before, so that a mistyped option leaves nothing behind.
//
// Not thread-safe.
#ifndef BUE_CLI_NEW_DIRECTORY_H_
#define BUE_CLI_NEW_DIRECTORY_H_

#include <string>
#include <vector>

namespace bue::cli {

class NewDirectory {
 public:
  // Before the start: looks what is there.
  explicit NewDirectory(const std::string& path);

  // Removes the directory with what is in it, unless it was there before, or somebody else has the
  // file `lock` in it locked by now; then, as RemoveIfEmpty, the folders above it.
  void Remove(const std::string& lock) const;

  // Removes what was not there before, of the directory and the folders above it, as far as it is
  // empty.
  void RemoveIfEmpty() const;

 private:
  std::vector<std::string> missing_;  // The directory and the folders above it, innermost first.
};

}  // namespace bue::cli

#endif  // BUE_CLI_NEW_DIRECTORY_H_
