// RunnerProcess is one runner: its process, the socket to it, and what it writes to its own
// standard output and error. It moves bytes and knows frames, not calls.
//
// Used by one thread at a time: who starts it, then the dispatcher's. Nothing blocks, except Kill
// and the destructor, for as long as a killed process takes to end.
#ifndef BUE_WORKER_PYTHON_RUNNER_PROCESS_H_
#define BUE_WORKER_PYTHON_RUNNER_PROCESS_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace bue::worker {

struct RunnerOptions {
  std::string python;   // See FindPython.
  std::string package;  // See UnpackRunnerPackage.
  int threads_max = 64;
  bool process_mode = false;  // One step at a time, on the main thread.
};

class RunnerProcess {
 public:
  static absl::StatusOr<std::unique_ptr<RunnerProcess>> Spawn(const RunnerOptions& options);
  // Kills it if it runs.
  ~RunnerProcess();
  RunnerProcess(const RunnerProcess&) = delete;
  RunnerProcess& operator=(const RunnerProcess&) = delete;

  // Descriptors to watch: the first for reading, and for writing while unsent() > 0; the others for
  // reading. exit_fd may be -1: then only the socket's end tells that the process ended.
  int socket_fd() const { return socket_; }
  int log_fd() const { return log_; }
  int exit_fd() const { return exit_; }
  pid_t pid() const { return pid_; }

  // Frames to send are appended here, then Send() is called.
  std::string* outgoing() { return &outgoing_; }
  size_t unsent() const { return outgoing_.size() - sent_; }
  // Sends what the socket takes. A closed socket shows in Receive.
  void Send();

  // Reads what is there, at most some MiB, and hands over each message. False: the socket is
  // closed, or what came makes no sense.
  bool Receive(const std::function<bool(absl::string_view message)>& on_message);

  // Reads the log. With `sink` the text goes there, else its lines go to the worker's log; the last
  // ones are kept for `last_words` either way.
  void ReadLog(const std::function<void(absl::string_view text)>& sink = nullptr);
  // What the process wrote last, for people. Empty if nothing.
  std::string last_words() const;

  // Ends the process and those it started, but for those that left its process group. Idempotent.
  void Kill();
  // Why Receive's `on_message` returned false, for people; then that is how it ended.
  void Distrust(std::string fault) { fault_ = std::move(fault); }
  // How it ended: "exit code 3", "signal 11 (Segmentation fault)". After Kill.
  std::string HowItEnded() const;

 private:
  RunnerProcess() = default;
  bool TakeBatches(const std::function<bool(absl::string_view message)>& on_message);
  void LogLine(absl::string_view line);

  pid_t pid_ = -1;
  int socket_ = -1;
  int log_ = -1;
  int exit_ = -1;
  int tether_ = -1;  // Both ends of a pipe: see TieTo.
  int far_tether_ = -1;
  bool ended_ = false;
  int wait_status_ = 0;
  std::string fault_;  // What it said that makes no sense.

  std::string outgoing_;
  size_t sent_ = 0;
  std::string incoming_;  // [0, have_) was read.
  size_t have_ = 0;
  std::string log_line_;  // The last, unfinished line.
  std::string log_tail_;
  int lines_logged_ = 0;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_PYTHON_RUNNER_PROCESS_H_
