// What every command shares: how it joins the command line, and what its exit codes mean.
//
// A command is one file with one Add function. It adds a subcommand with its options to the app
// and, when that subcommand is the one that was typed, leaves in *action what to do. Options live
// in a struct that the action shares. Nothing happens while the line is parsed.
#ifndef BUE_CLI_COMMAND_H_
#define BUE_CLI_COMMAND_H_

#include <functional>

#include "absl/status/statusor.h"

namespace CLI {
class App;
}  // namespace CLI

namespace bue::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;   // It was done, and the run or some of it failed.
inline constexpr int kExitRefused = 2;  // It was not done: wrong words, a bad script, no hub.
inline constexpr int kExitInterrupted = 130;

// The exit code; an error is printed by main and exits with kExitRefused.
using Action = std::function<absl::StatusOr<int>()>;

// Scripts.
void AddRun(CLI::App* app, Action* action);
void AddCheck(CLI::App* app, Action* action);
void AddUpload(CLI::App* app, Action* action);
void AddExample(CLI::App* app, Action* action);

// Runs.
void AddWait(CLI::App* app, Action* action);
void AddStatus(CLI::App* app, Action* action);
void AddResults(CLI::App* app, Action* action);
void AddErrors(CLI::App* app, Action* action);
void AddLogs(CLI::App* app, Action* action);
void AddGet(CLI::App* app, Action* action);
void AddExplain(CLI::App* app, Action* action);
void AddLimit(CLI::App* app, Action* action);
void AddControl(CLI::App* app, Action* action);  // cancel, stop, pause, resume, retry, delete

// The cluster.
void AddHub(CLI::App* app, Action* action);
void AddBucket(CLI::App* app, Action* action);
void AddWorker(CLI::App* app, Action* action);
void AddDemo(CLI::App* app, Action* action);
void AddWorkers(CLI::App* app, Action* action);
void AddToken(CLI::App* app, Action* action);

}  // namespace bue::cli

#endif  // BUE_CLI_COMMAND_H_
