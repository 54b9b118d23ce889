// Makes TSan see Abseil's locks, which the system's uninstrumented library hides from it: what one
// thread did before it unlocked would look like a race with what the next one does. In a TSan build
// every test is linked with this before Abseil: these definitions are found first, tell TSan, and
// call the library's own. tsan_locks_test.cc proves that they hide no race.
//
// Whatever locks or unlocks must be here, or TSan takes a lock for held that is not. Signals need
// not be: who waits has the lock before and after. While the library locks, waits and unlocks, it
// calls conditions of other threads, so that TSan has to look away then: between `pre` and `post`.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"

namespace {

// The library's function behind `ours`: the next of its name.
void* Behind(void* ours) {
  Dl_info info{};
  void* real = nullptr;
  if (dladdr(ours, &info) != 0 && info.dli_sname != nullptr) {
    real = dlsym(RTLD_NEXT, info.dli_sname);
  }
  if (real == nullptr) {
    std::fprintf(stderr, "tsan_locks.cc: nothing behind %s\n", info.dli_sname);
    std::abort();
  }
  return real;
}

template <typename Result, typename Class, typename... Arguments>
auto Real(Result (Class::*ours)(Arguments...)) {
  void* address;  // What a pointer to a function that is not virtual begins with.
  std::memcpy(&address, &ours, sizeof(address));
  return reinterpret_cast<Result (*)(Class*, Arguments...)>(Behind(address));
}

template <typename Result, typename Class, typename... Arguments>
auto Real(Result (Class::*ours)(Arguments...) const) {
  void* address;
  std::memcpy(&address, &ours, sizeof(address));
  return reinterpret_cast<Result (*)(const Class*, Arguments...)>(Behind(address));
}

constexpr unsigned kToWrite = 0;
constexpr unsigned kToRead = __tsan_mutex_read_lock;

template <typename Lock>
void Locking(absl::Mutex* mutex, unsigned how, const Lock& lock) {
  __tsan_mutex_pre_lock(mutex, how);
  lock();
  __tsan_mutex_post_lock(mutex, how, 0);
}

template <typename Lock>
bool TryLocking(absl::Mutex* mutex, unsigned how, const Lock& lock) {
  how |= __tsan_mutex_try_lock;
  __tsan_mutex_pre_lock(mutex, how);
  const bool locked = lock();
  __tsan_mutex_post_lock(mutex, locked ? how : how | __tsan_mutex_try_lock_failed, 0);
  return locked;
}

template <typename Unlock>
void Unlocking(absl::Mutex* mutex, unsigned how, const Unlock& unlock) {
  __tsan_mutex_pre_unlock(mutex, how);
  unlock();
  __tsan_mutex_post_unlock(mutex, how);
}

// Unlocks and locks again. REQUIRES: locked for writing, as everywhere in Debian's libraries.
template <typename Wait>
void Waiting(absl::Mutex* mutex, const Wait& wait) {
  Unlocking(mutex, kToWrite, [] {});
  Locking(mutex, kToWrite, wait);
}

}  // namespace

namespace absl {
ABSL_NAMESPACE_BEGIN

// Does what the library's own does for a lock whose debug log nobody asked for.
Mutex::~Mutex() {
  ForgetDeadlockInfo();
  __tsan_mutex_destroy(this, __tsan_mutex_not_static);
}

void Mutex::Lock() {
  static const auto real = Real(&Mutex::Lock);
  Locking(this, kToWrite, [&] { real(this); });
}

void Mutex::Unlock() {
  static const auto real = Real(&Mutex::Unlock);
  Unlocking(this, kToWrite, [&] { real(this); });
}

bool Mutex::TryLock() {
  static const auto real = Real(&Mutex::TryLock);
  return TryLocking(this, kToWrite, [&] { return real(this); });
}

void Mutex::ReaderLock() {
  static const auto real = Real(&Mutex::ReaderLock);
  Locking(this, kToRead, [&] { real(this); });
}

void Mutex::ReaderUnlock() {
  static const auto real = Real(&Mutex::ReaderUnlock);
  Unlocking(this, kToRead, [&] { real(this); });
}

bool Mutex::ReaderTryLock() {
  static const auto real = Real(&Mutex::ReaderTryLock);
  return TryLocking(this, kToRead, [&] { return real(this); });
}

void Mutex::LockWhen(const Condition& condition) {
  static const auto real = Real(&Mutex::LockWhen);
  Locking(this, kToWrite, [&] { real(this, condition); });
}

void Mutex::ReaderLockWhen(const Condition& condition) {
  static const auto real = Real(&Mutex::ReaderLockWhen);
  Locking(this, kToRead, [&] { real(this, condition); });
}

bool Mutex::LockWhenWithDeadline(const Condition& condition, absl::Time deadline) {
  static const auto real = Real(&Mutex::LockWhenWithDeadline);
  bool holds = false;
  Locking(this, kToWrite, [&] { holds = real(this, condition, deadline); });
  return holds;
}

bool Mutex::ReaderLockWhenWithDeadline(const Condition& condition, absl::Time deadline) {
  static const auto real = Real(&Mutex::ReaderLockWhenWithDeadline);
  bool holds = false;
  Locking(this, kToRead, [&] { holds = real(this, condition, deadline); });
  return holds;
}

void Mutex::Await(const Condition& condition) {
  static const auto real = Real(&Mutex::Await);
  Waiting(this, [&] { real(this, condition); });
}

bool Mutex::AwaitWithDeadline(const Condition& condition, absl::Time deadline) {
  static const auto real = Real(&Mutex::AwaitWithDeadline);
  bool holds = false;
  Waiting(this, [&] { holds = real(this, condition, deadline); });
  return holds;
}

void CondVar::Wait(Mutex* mutex) {
  static const auto real = Real(&CondVar::Wait);
  Waiting(mutex, [&] { real(this, mutex); });
}

bool CondVar::WaitWithDeadline(Mutex* mutex, absl::Time deadline) {
  static const auto real = Real(&CondVar::WaitWithDeadline);
  bool late = false;
  Waiting(mutex, [&] { late = real(this, mutex, deadline); });
  return late;
}

// The library's own may call those with a deadline, which are ours: TSan would be told twice.
bool Mutex::LockWhenWithTimeout(const Condition& condition, absl::Duration timeout) {
  return LockWhenWithDeadline(condition, absl::Now() + timeout);
}

bool Mutex::ReaderLockWhenWithTimeout(const Condition& condition, absl::Duration timeout) {
  return ReaderLockWhenWithDeadline(condition, absl::Now() + timeout);
}

bool Mutex::AwaitWithTimeout(const Condition& condition, absl::Duration timeout) {
  return AwaitWithDeadline(condition, absl::Now() + timeout);
}

bool CondVar::WaitWithTimeout(Mutex* mutex, absl::Duration timeout) {
  return WaitWithDeadline(mutex, absl::Now() + timeout);
}

// Who asks a notification reads an atomic, inline in the asker's code; the library writes it.
// After waiting we ask, too.
void Notification::Notify() {
  static const auto real = Real(&Notification::Notify);
  __tsan_release(&notified_yet_);
  real(this);
}

void Notification::WaitForNotification() const {
  static const auto real = Real(&Notification::WaitForNotification);
  real(this);
  static_cast<void>(HasBeenNotified());
}

bool Notification::WaitForNotificationWithTimeout(absl::Duration timeout) const {
  return WaitForNotificationWithDeadline(absl::Now() + timeout);
}

bool Notification::WaitForNotificationWithDeadline(absl::Time deadline) const {
  static const auto real = Real(&Notification::WaitForNotificationWithDeadline);
  real(this, deadline);
  return HasBeenNotified();
}

ABSL_NAMESPACE_END
}  // namespace absl
