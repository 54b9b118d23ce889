#include "worker/core/inputs.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "worker/core/elements.h"

namespace bue::worker {
namespace {

// Values that the thread which brings them hands on, if the loop rests.
constexpr size_t kSmallGets = 16;

CallInput InMemory(ObjectKind kind, std::string data, uint64_t elements) {
  CallInput input{.kind = kind, .elements = elements, .total_bytes = data.size()};
  input.data = std::make_shared<const std::string>(std::move(data));
  return input;
}

}  // namespace

std::string ItemName(const GrantGroup& group, uint32_t row) {
  if (group.instance == 0) return "";
  return absl::StrCat(group.item_prefix, group.item[row]);
}

Inputs::Inputs(const InputsOptions& options, BucketClient* bucket, HubQuestions* hub,
               std::shared_ptr<Inbox> inbox, InputsListener* listener)
    : bucket_(bucket),
      hub_(hub),
      inbox_(std::move(inbox)),
      listener_(listener),
      gone_(std::make_shared<GoneInputs>()),
      none_(std::make_shared<const std::string>()),
      cache_(options.cache_bytes_max),
      lists_(options.list_cache_bytes_max),
      fan_ins_(options.fan_in_threads) {}

void Inputs::Resolve(const StartBatch& batch, const std::shared_ptr<const LoadedStep>& step,
                     InputsListener* listener) {
  const GrantGroup& group = *batch.group;
  auto pending = std::make_shared<Pending>();
  pending->listener = listener;
  pending->calls.reserve(batch.rows.size());
  for (const uint32_t row : batch.rows) {
    Call& call = pending->calls.emplace_back();
    call.lease = group.lease[row];
    call.step = step;
    call.task = {.run = group.run,
                 .instance = group.instance,
                 .index = group.item[row],
                 .node = group.node,
                 .item = ItemName(group, row),
                 .attempt = group.AttemptOf(row),
                 .pass = group.PassOf(row)};
    call.inputs.resize(group.inputs.size());
    call.is_source = group.is_source;
    call.source_credit = group.source_credit;
    call.yielded = group.yielded;
    call.tells_start = group.tells_start;
  }
  pending->missing = 1;  // Until everything was asked for.
  std::vector<uint64_t> wanted;
  std::vector<Range> ranges;
  for (uint32_t input = 0; input < group.inputs.size(); ++input) {
    switch (group.inputs[input].kind) {
      case InputColumn::Kind::kValues:
        AddValues(pending, input, group, batch.rows, &wanted);
        break;
      case InputColumn::Kind::kElements:
        AddElements(pending, input, group, batch.rows, &ranges);
        break;
      case InputColumn::Kind::kRange:
        AddRange(pending, input, group, batch.rows);
        break;
      case InputColumn::Kind::kFanIn:
        AddFanIn(pending, input, group, batch.rows);
        break;
    }
  }
  if (!wanted.empty()) GetValues(std::move(wanted));
  if (!ranges.empty()) TakeRanges(std::move(ranges));
  Arrived(pending);
}

// ------------------------------------------------------------------------------- what is needed

void Inputs::AddValues(const PendingPtr& pending, uint32_t input, const GrantGroup& group,
                       const std::vector<uint32_t>& rows, std::vector<uint64_t>* wanted) {
  const std::vector<uint64_t>& addresses = group.inputs[input].address;
  if (addresses.size() == 1) {
    Want(addresses[0], {.pending = pending, .call = kAllCalls, .input = input}, wanted);
    return;
  }
  for (uint32_t call = 0; call < rows.size(); ++call) {
    Want(addresses[rows[call]], {.pending = pending, .call = call, .input = input}, wanted);
  }
}

void Inputs::Want(uint64_t address, Waiter waiter, std::vector<uint64_t>* wanted) {
  if (address == kNoObject) {
    Fill(waiter, address, {.data = none_});
    return;
  }
  if (const CachedValue* value = cache_.Find(address); value != nullptr) {
    Fill(waiter, address, *value);
    return;
  }
  ++waiter.pending->missing;
  std::vector<Waiter>& waiters = in_flight_[address];
  if (waiters.empty()) wanted->push_back(address);
  waiters.push_back(std::move(waiter));
}

void Inputs::AddRange(const PendingPtr& pending, uint32_t input, const GrantGroup& group,
                      const std::vector<uint32_t>& rows) {
  const InputColumn& column = group.inputs[input];
  for (uint32_t call = 0; call < rows.size(); ++call) {
    const uint64_t first = column.first[rows[call]];
    std::string data;
    if (column.count.empty()) {
      AppendInteger(first, &data);
      pending->calls[call].inputs[input] = InMemory(ObjectKind::kValue, std::move(data), 0);
      continue;
    }
    const uint32_t count = column.count[rows[call]];
    for (uint64_t i = first; i < first + count; ++i) AppendInteger(i, &data);
    pending->calls[call].inputs[input] = InMemory(ObjectKind::kList, std::move(data), count);
  }
}

void Inputs::AddFanIn(const PendingPtr& pending, uint32_t input, const GrantGroup& group,
                      const std::vector<uint32_t>& rows) {
  const InputColumn& column = group.inputs[input];
  for (uint32_t call = 0; call < rows.size(); ++call) {
    ++pending->missing;
    const StreamContext context = ContextOf(pending->calls[call].lease);
    const uint64_t instance = At(column.instance, rows[call]);
    fan_ins_.Post(
        [this, pending, call, input, context, run = group.run, instance, node = column.node] {
          const auto open = [context, run, instance, node] {
            return std::make_unique<FanInStream>(context, run, instance, node);
          };
          absl::StatusOr<CallInput> read = ReadFanIn(
              open(), [open]() -> absl::StatusOr<std::unique_ptr<InputStream>> { return open(); });
          inbox_->Post([this, pending, call, input, read = std::move(read)]() mutable {
            if (read.ok()) {
              pending->calls[call].inputs[input] = *std::move(read);
            } else {
              Fail(pending, call, TakeGone(pending->calls[call].lease), read.status());
            }
            Arrived(pending);
          });
        });
  }
}

// ---------------------------------------------------------------------------------------- values

void Inputs::GetValues(std::vector<uint64_t> addresses) {
  std::vector<GetItem> items;
  items.reserve(addresses.size());
  for (const uint64_t address : addresses) items.push_back({.address = address});
  bucket_->Get(std::move(items), kSmallValueBytes,
               [this, inbox = inbox_,
                addresses = std::move(addresses)](std::vector<absl::StatusOr<Fetched>> got) {
                 const bool small = got.size() <= kSmallGets;
                 inbox->Post(
                     [this, addresses, got = std::move(got)]() mutable {
                       OnValues(addresses, std::move(got));
                     },
                     small);
               });
}

void Inputs::OnValues(const std::vector<uint64_t>& addresses,
                      std::vector<absl::StatusOr<Fetched>> got) {
  CHECK(addresses.size() == got.size());
  std::vector<uint64_t> again;
  for (size_t i = 0; i < addresses.size(); ++i) {
    if (!got[i].ok() && MeansNotNow(got[i].status())) {
      again.push_back(addresses[i]);
      continue;
    }
    const auto found = in_flight_.find(addresses[i]);
    const std::vector<Waiter> waiters = std::move(found->second);
    in_flight_.erase(found);
    if (!got[i].ok()) {
      for (const Waiter& waiter : waiters) {
        Fail(waiter.pending, waiter.call, addresses[i], got[i].status());
        Arrived(waiter.pending);
      }
      continue;
    }
    Fetched& fetched = *got[i];
    CachedValue value{
        .kind = fetched.kind, .elements = fetched.elements, .total_bytes = fetched.total_bytes};
    if (!fetched.too_big) {
      value.total_bytes = fetched.data.size();
      value.data = std::make_shared<const std::string>(std::move(fetched.data));
    }
    cache_.Insert(addresses[i], value);
    for (const Waiter& waiter : waiters) {
      Fill(waiter, addresses[i], value);
      Arrived(waiter.pending);
    }
  }
  if (!again.empty()) GetValues(std::move(again));
}

void Inputs::Fill(const Waiter& waiter, uint64_t address, const CachedValue& value) {
  std::vector<Call>& calls = waiter.pending->calls;
  if (waiter.call != kAllCalls) {
    Call& call = calls[waiter.call];
    call.inputs[waiter.input] = MakeInput(value, address, call.lease);
    return;
  }
  for (Call& call : calls) call.inputs[waiter.input] = MakeInput(value, address, call.lease);
}

CallInput Inputs::MakeInput(const CachedValue& value, uint64_t address, uint64_t lease) const {
  CallInput input;
  if (value.data == nullptr) {
    input = StreamOf(lease, address, 0, 0);
  } else {
    input.data = value.data;
  }
  input.kind = value.kind;
  input.elements = value.elements;
  input.total_bytes = value.total_bytes;
  return input;
}

// --------------------------------------------------------------------------------------- answers

StreamContext Inputs::ContextOf(uint64_t lease) const {
  return {.bucket = bucket_, .hub = hub_, .gone = gone_, .lease = lease};
}

CallInput Inputs::StreamOf(uint64_t lease, uint64_t address, uint64_t first, uint64_t count) const {
  CallInput input;
  input.open = [context = ContextOf(lease), address, first, count] {
    return OpenObjectStream(context, address, first, count);
  };
  return input;
}

void Inputs::Fail(const PendingPtr& pending, uint32_t call, uint64_t address,
                  const absl::Status& status) {
  if (call == kAllCalls) {
    for (uint32_t i = 0; i < pending->calls.size(); ++i) Fail(pending, i, address, status);
    return;
  }
  pending->faults.push_back(
      {.call = call, .status = status, .gone = MeansGone(status) ? address : 0});
}

void Inputs::Arrived(const PendingPtr& pending) {
  if (--pending->missing == 0) Deliver(pending.get());
}

void Inputs::Deliver(Pending* pending) {
  std::vector<Call> calls = std::move(pending->calls);
  if (!pending->faults.empty()) {
    std::sort(pending->faults.begin(), pending->faults.end(),
              [](const Fault& a, const Fault& b) { return a.call < b.call; });
    uint32_t last = kAllCalls;
    for (const Fault& fault : pending->faults) {
      if (fault.call == last) continue;  // Two inputs failed; the first is enough.
      last = fault.call;
      const uint64_t lease = calls[fault.call].lease;
      calls[fault.call].step = nullptr;
      if (fault.gone != 0) {
        pending->listener->OnInputGone(lease, fault.gone, fault.status);
      } else {
        pending->listener->OnInputFailed(lease, fault.status);
      }
    }
    calls.erase(std::remove_if(calls.begin(), calls.end(),
                               [](const Call& call) { return call.step == nullptr; }),
                calls.end());
  }
  if (!calls.empty()) pending->listener->OnReady(std::move(calls));
}

}  // namespace bue::worker
