#include "worker/core/thread_pool.h"

#include <utility>

namespace bue::worker {

ThreadPool::ThreadPool(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

ThreadPool::~ThreadPool() { Stop(); }

void ThreadPool::Post(Work work) {
  absl::MutexLock lock(&mutex_);
  if (stopped_) return;
  queue_.push_back(std::move(work));
  changed_.Signal();
}

void ThreadPool::Stop() {
  std::deque<Work> dropped;  // Destroyed after the lock is released.
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    dropped.swap(queue_);
    changed_.SignalAll();
  }
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void ThreadPool::Run() {
  while (true) {
    Work work;
    {
      absl::MutexLock lock(&mutex_);
      while (queue_.empty() && !stopped_) changed_.Wait(&mutex_);
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

}  // namespace bue::worker
