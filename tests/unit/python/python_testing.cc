#include "tests/unit/python/python_testing.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/value/json.h"
#include "common/value/reader.h"
#include "gtest/gtest.h"
#include "tests/support/patience.h"
#include "worker/python/find_python.h"

namespace bue::worker {
namespace {

const absl::Duration kPatience = Patience(absl::Seconds(60));

class RepeatingStream final : public InputStream {
 public:
  RepeatingStream(std::string chunk, int count) : chunk_(std::move(chunk)), left_(count) {}
  absl::StatusOr<std::optional<std::string>> Next() override {
    if (left_-- <= 0) return std::nullopt;
    return chunk_;
  }

 private:
  const std::string chunk_;
  int left_;
};

// BUE_TEST_PYTHON tries the tests with another interpreter.
std::string TestPython() {
  static const std::string* const python = [] {
    const char* wanted = getenv("BUE_TEST_PYTHON");
    return new std::string(FindPython(wanted != nullptr ? wanted : "/usr/bin/python3").value());
  }();
  return *python;
}

}  // namespace

// --- FakeBucket

class FakeBucket::Writer final : public ValueWriter {
 public:
  Writer(FakeBucket* bucket, uint64_t address) : bucket_(bucket), address_(address) {}
  ~Writer() override { Abort(); }

  absl::Status Append(absl::string_view bytes, uint64_t elements, bool) override {
    absl::MutexLock lock(&bucket_->mutex_);
    if (!bucket_->failure_.ok()) return bucket_->failure_;
    Object& object = bucket_->objects_[address_];
    if (bucket_->keep_data_) object.data.append(bytes.data(), bytes.size());
    object.bytes += bytes.size();
    object.elements += elements;
    object.chunk_bytes_max = std::max<uint64_t>(object.chunk_bytes_max, bytes.size());
    return absl::OkStatus();
  }
  absl::StatusOr<Written> Flush() override {
    absl::MutexLock lock(&bucket_->mutex_);
    const Object& object = bucket_->objects_[address_];
    return Written{address_, object.elements, object.bytes};
  }
  absl::StatusOr<Written> Finish() override {
    absl::MutexLock lock(&bucket_->mutex_);
    Object& object = bucket_->objects_[address_];
    object.finished = true;
    return Written{address_, object.elements, object.bytes};
  }
  void Abort() override {
    absl::MutexLock lock(&bucket_->mutex_);
    Object& object = bucket_->objects_[address_];
    if (!object.finished) object.aborted = true;
  }

 private:
  FakeBucket* const bucket_;
  const uint64_t address_;
};

FakeBucket::Object FakeBucket::Get(uint64_t address) {
  absl::MutexLock lock(&mutex_);
  return objects_[address];
}

int FakeBucket::open_writers() {
  absl::MutexLock lock(&mutex_);
  return static_cast<int>(std::count_if(objects_.begin(), objects_.end(), [](const auto& entry) {
    return !entry.second.finished && !entry.second.aborted;
  }));
}

void FakeBucket::FailWrites(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  failure_ = std::move(status);
}

absl::StatusOr<std::unique_ptr<ValueWriter>> FakeBucket::OpenWriter(ObjectKind kind,
                                                                    const Origin&) {
  absl::MutexLock lock(&mutex_);
  const uint64_t address = 100 + objects_.size();
  objects_[address].kind = kind;
  return std::make_unique<Writer>(this, address);
}

// --- WaitingEvents

void WaitingEvents::OnDone(std::vector<CallResult> results) {
  absl::MutexLock lock(&mutex_);
  for (CallResult& result : results) {
    EXPECT_FALSE(results_.contains(result.lease)) << "answered twice: " << result.lease;
    results_[result.lease] = std::move(result);
  }
}

void WaitingEvents::OnProgress(uint64_t lease, uint64_t address, const Yielded& yielded) {
  absl::MutexLock lock(&mutex_);
  progress_[lease] = {address, yielded};
}

void WaitingEvents::OnOver(std::vector<uint64_t> leases) {
  absl::MutexLock lock(&mutex_);
  over_.insert(leases.begin(), leases.end());
}

void WaitingEvents::WaitUntilOver(uint64_t lease) {
  absl::MutexLock lock(&mutex_);
  const auto known = [&] { return over_.contains(lease); };
  EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&known), kPatience));
}

void WaitingEvents::OnHookFailed(uint64_t run, uint32_t, const CallError& error) {
  absl::MutexLock lock(&mutex_);
  hook_failures_[run] = error;
}

CallError WaitingEvents::WaitForHookFailure(uint64_t run) {
  absl::MutexLock lock(&mutex_);
  const auto known = [&] { return hook_failures_.contains(run); };
  EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&known), kPatience));
  return hook_failures_[run];
}

void WaitingEvents::OnLearnedMode(uint64_t run, uint32_t step, Pool pool) {
  absl::MutexLock lock(&mutex_);
  modes_[{run, step}] = pool;
}

void WaitingEvents::OnStarting(std::vector<uint64_t> leases) {
  absl::MutexLock lock(&mutex_);
  starting_.insert(starting_.end(), leases.begin(), leases.end());
}

std::vector<uint64_t> WaitingEvents::Starting() {
  absl::MutexLock lock(&mutex_);
  return starting_;
}

void WaitingEvents::OnStarted(std::vector<StartedCall> calls) {
  absl::MutexLock lock(&mutex_);
  for (const StartedCall& call : calls) started_[call.lease] = call.started;
}

absl::Time WaitingEvents::StartedAt(uint64_t lease) {
  absl::MutexLock lock(&mutex_);
  const auto found = started_.find(lease);
  return found == started_.end() ? absl::InfiniteFuture() : found->second;
}

CallResult WaitingEvents::Wait(uint64_t lease) {
  absl::MutexLock lock(&mutex_);
  const auto here = [this, lease]()
                        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return results_.contains(lease); };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&here), kPatience)) {
    ADD_FAILURE() << "no result for lease " << lease;
    return {};
  }
  CallResult result = std::move(results_[lease]);
  results_.erase(lease);
  return result;
}

bool WaitingEvents::Has(uint64_t lease) {
  absl::MutexLock lock(&mutex_);
  return results_.contains(lease);
}

uint64_t WaitingEvents::WaitForProgress(uint64_t lease, uint64_t elements) {
  WaitUntil([&] { return Progress(lease).elements >= elements; });
  absl::MutexLock lock(&mutex_);
  return progress_[lease].first;
}

Yielded WaitingEvents::Progress(uint64_t lease) {
  absl::MutexLock lock(&mutex_);
  const auto found = progress_.find(lease);
  return found == progress_.end() ? Yielded{} : found->second.second;
}

bool WaitingEvents::KnowsMode(uint64_t run, uint32_t step) {
  absl::MutexLock lock(&mutex_);
  return modes_.contains({run, step});
}

Pool WaitingEvents::WaitForMode(uint64_t run, uint32_t step) {
  Pool pool = Pool::kSql;
  WaitUntil([&] {
    absl::MutexLock lock(&mutex_);
    const auto found = modes_.find({run, step});
    if (found != modes_.end()) pool = found->second;
    return found != modes_.end();
  });
  return pool;
}

// --- Calls

namespace {

uint32_t NextStep() {
  static uint32_t last = 0;
  return ++last;
}

}  // namespace

std::shared_ptr<LoadedStep> CodeStep(absl::string_view code, absl::string_view function,
                                     Mode mode) {
  auto loaded = std::make_shared<LoadedStep>();
  loaded->run = 7;
  loaded->index = NextStep();
  loaded->script = "test.bue";
  loaded->step.name = std::string(function);
  loaded->step.relation = std::string(function);
  loaded->step.code = std::string(code);
  loaded->step.mode = mode;
  return loaded;
}

std::shared_ptr<LoadedStep> FileStep(const std::string& files_dir, absl::string_view path,
                                     absl::string_view function) {
  std::shared_ptr<LoadedStep> loaded = CodeStep("", function);
  loaded->files_dir = files_dir;
  loaded->path = std::string(path);
  return loaded;
}

CallInput JsonInput(absl::string_view json) {
  std::string packed;
  EXPECT_TRUE(value::AppendValueOfJson(json, &packed).ok()) << json;
  CallInput input;
  value::Reader reader(packed);
  value::Token token;
  EXPECT_TRUE(reader.Read(&token));
  if (token.type == value::Type::kArray) {
    input.kind = ObjectKind::kList;
    input.elements = token.count;
    packed = std::string(reader.rest());
  }
  input.total_bytes = packed.size();
  input.data = std::make_shared<const std::string>(std::move(packed));
  return input;
}

CallInput StreamInput(ObjectKind kind, std::string chunk, int count, std::atomic<int>* opened) {
  CallInput input;
  input.kind = kind;
  input.total_bytes = chunk.size() * static_cast<uint64_t>(count);
  input.open = [chunk = std::move(chunk), count,
                opened]() -> absl::StatusOr<std::unique_ptr<InputStream>> {
    if (opened != nullptr) ++*opened;
    return std::make_unique<RepeatingStream>(chunk, count);
  };
  return input;
}

std::string Show(const CallResult& result) {
  if (result.kind == CallResult::Kind::kFailed) {
    return absl::StrCat("error: ", result.error.action, ": ", result.error.type,
                        result.error.type.empty() ? "" : ": ", result.error.message);
  }
  if (result.kind != CallResult::Kind::kSucceeded) {
    return absl::StrCat("kind ", static_cast<int>(result.kind));
  }
  if (result.stored) return absl::StrCat("stored ", result.elements, " elements");
  std::string json;
  switch (result.value_kind) {
    case ObjectKind::kValue:
      if (result.data.empty()) return "null";
      EXPECT_TRUE(value::AppendJson(result.data, {}, &json).ok());
      return json;
    case ObjectKind::kList:
      EXPECT_TRUE(value::AppendJsonOfElements(result.data, {}, &json).ok());
      return json;
    case ObjectKind::kBytes:
      return absl::StrCat("bytes ", result.data);
  }
  return "?";
}

PythonHarness::PythonHarness(PythonOptions options) {
  options.python = TestPython();
  options.state_dir = absl::StrCat(testing::TempDir(), "/bue-python-test");
  options.bucket = &bucket;
  if (options.general_runners == 0) options.general_runners = 1;
  executor = PythonExecutor::Create(options, &events).value();
}

Call PythonHarness::MakeCall(std::shared_ptr<const LoadedStep> step,
                             std::vector<CallInput> inputs) {
  Call call;
  call.lease = ++last_lease_;
  call.task.run = step->run;
  call.task.index = call.lease;
  call.task.item = absl::StrCat(call.lease);
  call.step = std::move(step);
  call.inputs = std::move(inputs);
  return call;
}

uint64_t PythonHarness::Start(std::shared_ptr<const LoadedStep> step,
                              std::vector<CallInput> inputs) {
  std::vector<Call> calls;
  calls.push_back(MakeCall(std::move(step), std::move(inputs)));
  const uint64_t lease = calls.front().lease;
  executor->Start(std::move(calls));
  return lease;
}

CallResult PythonHarness::Run(std::shared_ptr<const LoadedStep> step,
                              std::vector<CallInput> inputs) {
  return events.Wait(Start(std::move(step), std::move(inputs)));
}

std::string PythonHarness::RunAndShow(std::shared_ptr<const LoadedStep> step,
                                      std::vector<CallInput> inputs) {
  return Show(Run(std::move(step), std::move(inputs)));
}

void WaitUntil(const std::function<bool()>& condition) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (!condition()) {
    if (absl::Now() > deadline) {
      ADD_FAILURE() << "waited in vain";
      return;
    }
    absl::SleepFor(absl::Milliseconds(2));
  }
}

}  // namespace bue::worker
