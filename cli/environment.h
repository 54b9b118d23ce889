// The environment variables that `bue` reads, and the `.env` file that may set them. The names are
// those that existing set-ups use; one table in the .cc is the list, and help shows it.
//
// Options on the command line win over the environment, the environment wins over `.env`.
#ifndef BUE_CLI_ENVIRONMENT_H_
#define BUE_CLI_ENVIRONMENT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace bue::cli {

inline constexpr char kHubPort[] = "65432";
inline constexpr char kBucketPort[] = "61535";

struct EnvironmentName {
  const char* name;
  const char* meaning;
};
const std::vector<EnvironmentName>& EnvironmentTable();

// The table as text, for help.
std::string EnvironmentHelp();

// One NAME=VALUE line of a `.env` file: blanks around, `export `, quotes, comments. Both empty for
// a line that says nothing; InvalidArgument for one that is not of this form.
struct Assignment {
  std::string name;
  std::string value;
};
absl::StatusOr<Assignment> ParseEnvLine(absl::string_view line);

// Sets what the file named by ENV_PATH, or else `.env` in the current directory, says, except for
// names that are set already. No `.env` is fine; an ENV_PATH that cannot be read is an error.
// Lines that make no sense are left out with a warning on standard error. Before any thread starts.
absl::Status LoadEnvFile();

// The variable's value, or "" when it is not set.
std::string FromEnvironment(const char* name);

// True for 1, true, yes, on (any case).
bool FlagFromEnvironment(const char* name);

// HOST:PORT from two variables, with defaults for what is not set.
std::string HubToConnect();     // PIPE_WORKER_HOST, PIPE_WORKER_PORT
std::string HubToBind();        // PIPELINE_HOST, PIPELINE_PORT
std::string BucketToConnect();  // BUCKET_CLIENT_HOST, BUCKET_CLIENT_PORT
std::string BucketToBind();     // BUCKET_SERVER_HOST, BUCKET_SERVER_PORT

}  // namespace bue::cli

#endif  // BUE_CLI_ENVIRONMENT_H_
