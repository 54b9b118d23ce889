#include "worker/python/dispatcher.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/clock.h"
#include "common/logging.h"

namespace bue::worker {
namespace {

constexpr int kEventsMax = 64;
constexpr uint64_t kWakeTag = 0;  // Other tags: runner number << 2 | which descriptor.
enum Descriptor : uint64_t { kSocket = 0, kLog = 1, kExit = 2 };
constexpr size_t kSliceCallsMin = 16;  // Fewer calls of one batch are not worth splitting.
constexpr int kIsolatedRunnersMax = 2;
constexpr absl::Duration kForgetEvery = absl::Milliseconds(100);

int Cores() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

PythonOptions WithDefaults(PythonOptions options) {
  if (options.general_runners <= 0) options.general_runners = Cores();
  if (options.process_runners <= 0) options.process_runners = Cores();
  return options;
}

bool IsStreamed(const CallInput& input) { return input.data == nullptr; }

}  // namespace

Dispatcher::Dispatcher(const PythonOptions& options, std::string package, ExecutorEvents* events,
                       std::unique_ptr<RunnerProcess> first)
    : options_(WithDefaults(options)),
      package_(std::move(package)),
      events_(events),
      first_runner_(std::move(first)),
      budget_left_(options.result_bytes_max),
      transfers_(options.bucket, this) {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  CHECK(epoll_ >= 0 && wake_ >= 0);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kWakeTag}};
  CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) == 0);
}

Dispatcher::~Dispatcher() {
  close(wake_);
  close(epoll_);
}

void Dispatcher::Run() {
  absl::MutexLock turn(&turn_);
  now_ = Clock::Real()->Now();
  // The first call finds it running.
  if (first_runner_ != nullptr) {
    Add(Role::kGeneral, std::move(first_runner_));
  } else {
    Spawn(Role::kGeneral);
  }
  while (!finished_) {
    WaitForEvents();
    DrainInbox();
    HandleTimers();
    EndTurn();
  }
  absl::MutexLock lock(&mutex_);
  closed_ = true;
}

void Dispatcher::Start(std::vector<Call> calls) {
  if (StartAtOnce(&calls)) return;
  bool first;
  {
    absl::MutexLock lock(&mutex_);
    CHECK(!closed_);
    first = new_calls_.empty() && actions_.empty();
    if (new_calls_.empty()) {
      new_calls_ = std::move(calls);
    } else {
      std::move(calls.begin(), calls.end(), std::back_inserter(new_calls_));
    }
  }
  if (first) Wake();
}

bool Dispatcher::StartAtOnce(std::vector<Call>* calls) {
  if (calls->size() != 1 || !turn_.TryLock()) return false;
  const bool at_once = MayStartAtOnce(calls->front());
  if (at_once) {
    now_ = Clock::Real()->Now();
    const absl::Time awaited = next_deadline_;
    Place(std::move(*calls));
    SendToRunners();
    if (next_deadline_ < awaited) Wake();
  }
  turn_.Unlock();
  return at_once;
}

// Whether nothing goes before it, and it does not take long.
bool Dispatcher::MayStartAtOnce(const Call& call) {
  if (stopping_ || call.step->step.mode == Mode::kProcess) return false;
  if (std::any_of(call.inputs.begin(), call.inputs.end(), IsStreamed)) return false;
  const Runner* const runner = LeastBusy();
  if (runner == nullptr || !runner->ready || runner->calls > 0) return false;
  absl::MutexLock lock(&mutex_);
  return new_calls_.empty() && actions_.empty();
}

void Dispatcher::Cancel(uint64_t lease) {
  Post([this, lease] { HandleCancel(lease); });
}

void Dispatcher::SourceCredit(uint64_t lease, uint64_t elements) {
  Post([this, lease, elements] { HandleCredit(lease, elements); });
}

void Dispatcher::ForgetRun(uint64_t run) {
  if (!turn_.TryLock()) return Post([this, run] { HandleForgetRun(run); });
  now_ = Clock::Real()->Now();
  const absl::Time awaited = next_deadline_;
  HandleForgetRun(run);
  if (next_deadline_ < awaited) Wake();
  turn_.Unlock();
}

void Dispatcher::LookOver() {
  Post([this] { HandleLookOver(); });
}

void Dispatcher::Stop(absl::Duration grace) {
  Post([this, grace] { HandleStop(grace); });
}

std::vector<int> Dispatcher::RunnerPids() {
  std::vector<int> pids;
  absl::Notification told;
  Post([this, &pids, &told] {
    for (const auto& runner : runners_) pids.push_back(runner->process->pid());
    told.Notify();
  });
  told.WaitForNotification();
  return pids;
}

void Dispatcher::Post(std::function<void()> action) {
  bool first;
  {
    absl::MutexLock lock(&mutex_);
    first = new_calls_.empty() && actions_.empty();
    actions_.push_back(std::move(action));
  }
  if (first) Wake();
}

void Dispatcher::Wake() {
  const uint64_t one = 1;
  CHECK(write(wake_, &one, sizeof(one)) == sizeof(one) || errno == EAGAIN);
}

void Dispatcher::WaitForEvents() {
  epoll_event events[kEventsMax];
  const int wait_ms = MillisecondsToWait();
  turn_.Unlock();
  const int count = epoll_wait(epoll_, events, kEventsMax, wait_ms);
  turn_.Lock();
  now_ = Clock::Real()->Now();
  for (int i = 0; i < count; ++i) {
    if (events[i].data.u64 == kWakeTag) {
      uint64_t drained;
      CHECK(read(wake_, &drained, sizeof(drained)) == sizeof(drained) || errno == EAGAIN);
      continue;
    }
    Runner* runner = FindRunner(static_cast<uint32_t>(events[i].data.u64 >> 2));
    if (runner == nullptr) continue;
    switch (static_cast<Descriptor>(events[i].data.u64 & 3)) {
      case kSocket:
        if (events[i].events & EPOLLOUT) runner->process->Send();
        if (events[i].events & ~EPOLLOUT) OnSocket(runner);
        break;
      case kLog:
        ReadLog(runner);
        if (events[i].events == EPOLLHUP) Watch(runner->process->log_fd(), 0, 0);
        break;
      case kExit:
        OnSocket(runner);  // What it said before it ended.
        dying_.push_back(runner->number);
        break;
    }
  }
}

int Dispatcher::MillisecondsToWait() const {
  if (!dying_.empty()) return 0;
  if (next_deadline_ == absl::InfiniteFuture()) return -1;
  const int64_t ms = absl::ToInt64Milliseconds(next_deadline_ - Clock::Real()->Now()) + 1;
  return static_cast<int>(std::clamp<int64_t>(ms, 0, 60'000));
}

void Dispatcher::DrainInbox() {
  std::vector<Call> calls;
  std::vector<std::function<void()>> actions;
  {
    absl::MutexLock lock(&mutex_);
    calls.swap(new_calls_);
    actions.swap(actions_);
  }
  if (!calls.empty()) Place(std::move(calls));
  for (const auto& action : actions) action();
}

void Dispatcher::EndTurn() {
  while (!dying_.empty()) {
    const uint32_t number = dying_.back();
    dying_.pop_back();
    if (Runner* runner = FindRunner(number)) OnDeath(runner);
  }
  PlaceProcessCalls();
  PlaceCallsWithLargeInputs();
  PlaceIsolated();
  GrantWants();
  HandleForgotten();
  SendToRunners();
  if (!starting_.empty()) events_->OnStarting(std::exchange(starting_, {}));
  if (!done_.empty()) events_->OnDone(std::exchange(done_, {}));
  if (!over_.empty()) events_->OnOver(std::exchange(over_, {}));  // After the results that said so.
  if (stopping_) FinishStop();
}

void Dispatcher::SendToRunners() {
  for (const auto& runner : runners_) {
    if (!runner->frame.empty()) runner->frame.MoveTo(runner->process->outgoing());
    if (runner->process->unsent() > 0 && !runner->watching_writes) runner->process->Send();
    const bool unsent = runner->process->unsent() > 0;
    if (unsent != runner->watching_writes) {
      runner->watching_writes = unsent;
      Watch(runner->process->socket_fd(), uint64_t{runner->number} << 2 | kSocket,
            EPOLLIN | (unsent ? EPOLLOUT : 0u));
    }
  }
}

// --- Calls on their way to runners

void Dispatcher::Place(std::vector<Call> calls) {
  std::vector<InFlight*> general;
  general.reserve(calls.size());
  for (Call& call : calls) {
    auto [entry, fresh] = calls_.try_emplace(call.lease);
    if (!fresh) {
      log::warn("lease given twice lease={} action=ignore", call.lease);
      continue;
    }
    entry->second = std::make_unique<InFlight>();
    InFlight* in_flight = entry->second.get();
    in_flight->call = std::move(call);
    in_flight->credit = in_flight->call.source_credit;
    if (stopping_) {
      GiveBack(in_flight);
    } else if (in_flight->call.step->step.mode == Mode::kProcess) {
      process_queue_.push_back(in_flight);
    } else if (std::any_of(in_flight->call.inputs.begin(), in_flight->call.inputs.end(),
                           IsStreamed)) {
      input_queue_.push_back(in_flight);
    } else {
      general.push_back(in_flight);
    }
  }
  if (!general.empty()) PlaceGeneral(std::move(general));
}

void Dispatcher::PlaceGeneral(std::vector<InFlight*> calls) {
  GrowGeneral(calls.size());
  const size_t slice = std::max(
      kSliceCallsMin, (calls.size() + options_.general_runners - 1) / options_.general_runners);
  for (size_t begin = 0; begin < calls.size(); begin += slice) {
    Runner* runner = LeastBusy();
    const size_t end = std::min(calls.size(), begin + slice);
    for (size_t i = begin; i < end; ++i) {
      if (runner == nullptr) {
        Fail(calls[i], "load", "no Python runner can be started; the worker's log says why");
      } else {
        Send(calls[i], runner);
      }
    }
  }
}

// A process-mode call takes an idle runner of its run, a new one, or the place of an idle one of
// another run.
void Dispatcher::PlaceProcessCalls() {
  while (!process_queue_.empty()) {
    InFlight* in_flight = process_queue_.front();
    Runner* chosen = nullptr;
    Runner* idle = nullptr;
    int count = 0;
    for (const auto& runner : runners_) {
      if (runner->role != Role::kProcess || runner->retiring || runner->stopping) continue;
      ++count;
      if (runner->calls > 0) continue;
      (runner->run == in_flight->call.task.run ? chosen : idle) = runner.get();
    }
    if (chosen == nullptr && count >= options_.process_runners) {
      if (idle == nullptr) return;
      idle->stopping = true;
      idle->deadline = now_ + options_.stuck_after;
      NextDeadline(idle->deadline);
      AppendStop(idle->process->outgoing());
    }
    if (chosen == nullptr) chosen = Spawn(Role::kProcess);
    process_queue_.pop_front();
    if (chosen == nullptr) {
      Fail(in_flight, "load", "no Python runner can be started; the worker's log says why");
      continue;
    }
    chosen->run = in_flight->call.task.run;
    chosen->lease = in_flight->call.lease;
    Send(in_flight, chosen);
  }
}

void Dispatcher::PlaceIsolated() {
  while (!isolation_queue_.empty()) {
    const auto isolated = [](const auto& runner) { return runner->role == Role::kIsolated; };
    if (std::count_if(runners_.begin(), runners_.end(), isolated) >= kIsolatedRunnersMax) return;
    const std::vector<uint64_t> group = std::move(isolation_queue_.front());
    isolation_queue_.pop_front();
    Runner* runner = nullptr;
    for (const uint64_t lease : group) {
      const auto found = calls_.find(lease);
      if (found == calls_.end() || found->second->runner != nullptr) continue;
      if (runner == nullptr) runner = Spawn(Role::kIsolated);
      if (runner == nullptr) {
        Fail(found->second.get(), "load", "no Python runner can be started");
      } else {
        Send(found->second.get(), runner);
      }
    }
  }
}

void Dispatcher::PlaceCallsWithLargeInputs() {
  while (!input_queue_.empty() && HasRoomForInputs(*input_queue_.front())) {
    InFlight* in_flight = input_queue_.front();
    input_queue_.pop_front();
    PlaceGeneral({in_flight});
  }
}

bool Dispatcher::HasRoomForInputs(const InFlight& in_flight) const {
  int wanted = 0;
  for (const CallInput& input : in_flight.call.inputs) wanted += IsStreamed(input) && !input.fan_in;
  return wanted == 0 || counted_readers_ == 0 ||
         counted_readers_ + wanted <= options_.input_streams_max;
}

void Dispatcher::Send(InFlight* in_flight, Runner* runner) {
  in_flight->runner = runner;
  ++runner->calls;
  const Call& call = in_flight->call;
  const uint32_t step = StepNumber(*call.step);
  if (runner->steps.insert(step).second) {
    AppendAddStep(step, *call.step, runner->process->outgoing());
  }
  if (call.is_source) AppendCredit(call.lease, in_flight->credit, runner->process->outgoing());
  StartInputs(in_flight);
  runner->frame.Add(call, step, in_flight->readers);
  if (runner->frame.full()) runner->frame.MoveTo(runner->process->outgoing());
  if (runner->ready) {
    BeginTime(in_flight);
  }
}

void Dispatcher::StartInputs(InFlight* in_flight) {
  for (const CallInput& input : in_flight->call.inputs) {
    if (!IsStreamed(input)) continue;
    const uint32_t reader = transfers_.StartReader(input.open, options_.input_window_bytes);
    in_flight->readers.push_back(reader);
    readers_[reader] = Reader{.lease = in_flight->call.lease, .counted = !input.fan_in};
    counted_readers_ += !input.fan_in;
  }
}

uint32_t Dispatcher::StepNumber(const LoadedStep& step) {
  const auto [entry, fresh] = step_numbers_.try_emplace({step.run, step.index}, last_step_ + 1);
  if (fresh) steps_[++last_step_] = entry->first;
  return entry->second;
}

// --- Runners

bool Dispatcher::TakesCalls(const Runner& runner) {
  return runner.role == Role::kGeneral && !runner.retiring && !runner.stopping &&
         runner.blocker == 0;
}

Dispatcher::Runner* Dispatcher::LeastBusy() {
  Runner* best = nullptr;
  for (const auto& runner : runners_) {
    if (!TakesCalls(*runner)) continue;
    if (best == nullptr || runner->ready > best->ready ||
        (runner->ready == best->ready && runner->calls < best->calls)) {
      best = runner.get();
    }
  }
  return best;
}

// One more runner if all are busy: the next calls find it running.
void Dispatcher::GrowGeneral(size_t arriving) {
  int count = 0;
  bool idle = false;
  for (const auto& runner : runners_) {
    if (!TakesCalls(*runner)) continue;
    ++count;
    idle = idle || runner->calls == 0;
  }
  if (count >= options_.general_runners) return;
  if (count == 0 || !idle || arriving > kSliceCallsMin) Spawn(Role::kGeneral);
}

// Null if the system allows no more processes.
Dispatcher::Runner* Dispatcher::Spawn(Role role) {
  absl::StatusOr<std::unique_ptr<RunnerProcess>> process =
      RunnerProcess::Spawn({.python = options_.python,
                            .package = package_,
                            .threads_max = options_.threads_per_runner,
                            .process_mode = role == Role::kProcess});
  if (!process.ok()) {
    log::error("runner not started error={}", process.status());
    return nullptr;
  }
  return Add(role, *std::move(process));
}

Dispatcher::Runner* Dispatcher::Add(Role role, std::unique_ptr<RunnerProcess> process) {
  auto runner = std::make_unique<Runner>();
  runner->number = ++last_runner_;
  runner->role = role;
  runner->process = std::move(process);
  runner->deadline = now_ + options_.start_timeout;
  NextDeadline(runner->deadline);
  const uint64_t tag = uint64_t{runner->number} << 2;
  Watch(runner->process->socket_fd(), tag | kSocket, EPOLLIN);
  Watch(runner->process->log_fd(), tag | kLog, EPOLLIN);
  if (runner->process->exit_fd() >= 0) Watch(runner->process->exit_fd(), tag | kExit, EPOLLIN);
  runners_.push_back(std::move(runner));
  return runners_.back().get();
}

// `events` 0: no longer.
void Dispatcher::Watch(int fd, uint64_t tag, uint32_t events) {
  epoll_event event{.events = events, .data = {.u64 = tag}};
  if (events == 0) {
    epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  } else if (epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event) != 0) {
    CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0);
  }
}

Dispatcher::Runner* Dispatcher::FindRunner(uint32_t number) {
  for (const auto& runner : runners_) {
    if (runner->number == number) return runner.get();
  }
  return nullptr;
}

// Not at once: often the next run's calls come with it, and are not to find us awake.
void Dispatcher::HandleForgetRun(uint64_t run) {
  if (forgotten_runs_.empty()) forget_at_ = now_ + kForgetEvery;
  forgotten_runs_.insert(run);
  NextDeadline(forget_at_);
}

// Runs that ended: their modules go once none of their calls runs.
void Dispatcher::HandleForgotten() {
  if (forgotten_runs_.empty() || now_ < forget_at_) return;
  absl::flat_hash_set<uint64_t> running;
  for (const auto& [lease, in_flight] : calls_) running.insert(in_flight->call.task.run);
  std::vector<uint32_t> gone;
  for (auto entry = step_numbers_.begin(); entry != step_numbers_.end();) {
    const uint64_t run = entry->first.first;
    if (forgotten_runs_.contains(run) && !running.contains(run)) {
      gone.push_back(entry->second);
      steps_.erase(entry->second);
      step_numbers_.erase(entry++);
    } else {
      ++entry;
    }
  }
  absl::erase_if(forgotten_runs_, [&running](uint64_t run) { return !running.contains(run); });
  if (!forgotten_runs_.empty()) {
    forget_at_ = now_ + kForgetEvery;
    NextDeadline(forget_at_);
  }
  for (const auto& runner : runners_) {
    std::vector<uint32_t> known;
    for (const uint32_t step : gone) {
      if (runner->steps.erase(step) > 0) known.push_back(step);
    }
    // What goes on there may use the module: no finalize hook under its feet.
    const bool may_end = !runner->stopping && runner->stuck.empty();
    if (!known.empty() && may_end) AppendForget(known, runner->process->outgoing());
  }
}

}  // namespace bue::worker
