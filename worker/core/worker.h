// Worker is the worker role: it connects to a hub, runs the tasks that the hub grants it, and puts
// what they return into the bucket.
//
//   WorkerOptions options{.hub = "127.0.0.1:65432", .scopes = {"default"}};
//   ASSIGN_OR_RETURN(std::unique_ptr<Worker> worker, Worker::Start(options));
//   …
//   worker->Stop();
#ifndef BUE_WORKER_CORE_WORKER_H_
#define BUE_WORKER_CORE_WORKER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace bue::worker {

struct WorkerOptions {
  std::string hub;                   // HOST:PORT; Prepare needs none.
  std::vector<std::string> buckets;  // Empty: those the hub names.
  std::string token;
  std::string name;                 // Empty: the host's name and the process's number.
  std::vector<std::string> scopes;  // In order; empty: every scope.
  bool priority_first = false;
  bool reverse = false;
  int slots = 0;  // The thread pool's size, and a cap on the other pools unless they are given.
  int async_slots = 0;    // 0: 1000
  int thread_slots = 0;   // 0: 64
  int process_slots = 0;  // 0: one per core
  int sql_slots = 0;      // 0: one per core
  std::string python;     // An interpreter; empty: see FindPython.
  std::string state_dir;  // For step files and the runner package; empty: under $TMPDIR.
  absl::Duration stop_grace = absl::Seconds(10);       // For running steps, when stopping.
  absl::Duration connect_timeout = absl::Seconds(30);  // For the first contact.
  bool echo_output = false;  // What steps print goes to standard error while they run.
  size_t cache_bytes_max = 64 << 20;  // Values kept in memory for the tasks that read them next.
};

class Worker {
 public:
  // Returns once the hub has welcomed the worker and the buckets answer. Unavailable, naming the
  // address, if that takes longer than connect_timeout; after this a hub or bucket that goes away
  // is waited for without end.
  static absl::StatusOr<std::unique_ptr<Worker>> Start(const WorkerOptions& options);

  // Start in two parts, for who does not know the hub's address yet: the interpreter is looked for
  // and started meanwhile. Connect is called once.
  static absl::StatusOr<std::unique_ptr<Worker>> Prepare(const WorkerOptions& options);
  absl::Status Connect(const std::string& hub);

  // Stops, if that was not done.
  ~Worker();

  // Gives back what has not started, lets what runs end within stop_grace, gives back the rest,
  // says goodbye. Blocks.
  void Stop();

 private:
  class Impl;

  explicit Worker(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace bue::worker

#endif  // BUE_WORKER_CORE_WORKER_H_
