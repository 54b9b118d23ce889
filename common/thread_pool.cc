#include "common/thread_pool.h"

#include <utility>

#include "common/check.h"

namespace bue {

ThreadPool::ThreadPool(int threads, size_t queue_max) : queue_max_(queue_max) {
  CHECK(threads > 0);
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

ThreadPool::~ThreadPool() { Finish(); }

void ThreadPool::Post(Work work) {
  absl::MutexLock lock(&mutex_);
  if (stopped_) return;
  queue_.push_back(std::move(work));
  changed_.Signal();
}

bool ThreadPool::TryPost(Work work) {
  absl::MutexLock lock(&mutex_);
  if (ending_ || queue_.size() >= queue_max_) return false;
  queue_.push_back(std::move(work));
  changed_.Signal();
  return true;
}

void ThreadPool::Finish() {
  {
    absl::MutexLock lock(&mutex_);
    ending_ = true;
    changed_.SignalAll();
  }
  Join();
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
}

void ThreadPool::Stop() {
  std::deque<Work> dropped;  // Destroyed after the lock is released.
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = ending_ = true;
    dropped.swap(queue_);
    changed_.SignalAll();
  }
  Join();
}

void ThreadPool::Join() {
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void ThreadPool::Run() {
  while (true) {
    Work work;
    {
      absl::MutexLock lock(&mutex_);
      while (queue_.empty() && !ending_) changed_.Wait(&mutex_);
      if (queue_.empty()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
  }
}

}  // namespace bue
