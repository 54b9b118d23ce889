#include "worker/python/python_executor.h"

#include <thread>
#include <utility>

#include "common/status_macros.h"
#include "worker/python/dispatcher.h"
#include "worker/python/package.h"

namespace bue::worker {

class PythonExecutor::Impl {
 public:
  Impl(const PythonOptions& options, std::string package, ExecutorEvents* events,
       std::unique_ptr<RunnerProcess> first)
      : dispatcher(options, std::move(package), events, std::move(first)),
        thread([this] { dispatcher.Run(); }) {}

  void Stop(absl::Duration grace) {
    absl::MutexLock lock(&stop_mutex);
    if (!thread.joinable()) return;
    dispatcher.Stop(grace);
    thread.join();
  }

  Dispatcher dispatcher;
  absl::Mutex stop_mutex;
  std::thread thread;  // Joined under stop_mutex.
};

absl::StatusOr<std::unique_ptr<PythonExecutor>> PythonExecutor::Create(
    const PythonOptions& options, ExecutorEvents* events, std::unique_ptr<RunnerProcess> first) {
  ASSIGN_OR_RETURN(std::string package, UnpackRunnerPackage(options.state_dir));
  return std::unique_ptr<PythonExecutor>(new PythonExecutor(
      std::make_unique<Impl>(options, std::move(package), events, std::move(first))));
}

PythonExecutor::PythonExecutor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

PythonExecutor::~PythonExecutor() { impl_->Stop(absl::ZeroDuration()); }

void PythonExecutor::Start(std::vector<Call> calls) { impl_->dispatcher.Start(std::move(calls)); }

void PythonExecutor::Cancel(uint64_t lease) { impl_->dispatcher.Cancel(lease); }

void PythonExecutor::SourceCredit(uint64_t lease, uint64_t elements) {
  impl_->dispatcher.SourceCredit(lease, elements);
}

std::string PythonExecutor::Output(uint64_t lease) { return impl_->dispatcher.Output(lease); }

void PythonExecutor::LookOver() { impl_->dispatcher.LookOver(); }

uint32_t PythonExecutor::ghosts() const { return impl_->dispatcher.ghosts(); }

void PythonExecutor::ForgetRun(uint64_t run) { impl_->dispatcher.ForgetRun(run); }

void PythonExecutor::Stop(absl::Duration grace) { impl_->Stop(grace); }

std::vector<int> PythonExecutor::RunnerPids() { return impl_->dispatcher.RunnerPids(); }

}  // namespace bue::worker
