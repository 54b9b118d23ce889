#include "worker/core/inputs.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "worker/core/elements.h"

namespace bue::worker {
namespace {

// Bytes that one range may bring into memory at once.
constexpr uint64_t kRangeBytesMax = 1 << 20;

bool IsTransient(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

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

uint64_t Inputs::Range::elements() const {
  uint64_t sum = 0;
  for (const uint32_t count : counts) sum += std::max<uint32_t>(count, 1);
  return sum;
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
      fan_ins_(options.fan_in_threads) {}

void Inputs::Resolve(const StartBatch& batch, const std::shared_ptr<const LoadedStep>& step) {
  const GrantGroup& group = *batch.group;
  auto pending = std::make_shared<Pending>();
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
  if (!ranges.empty()) GetRanges(std::move(ranges));
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

void Inputs::AddElements(const PendingPtr& pending, uint32_t input, const GrantGroup& group,
                         const std::vector<uint32_t>& rows, std::vector<Range>* ranges) {
  const InputColumn& column = group.inputs[input];
  uint64_t next = 0;  // The element that would continue the last range.
  const size_t begin = ranges->size();
  for (uint32_t call = 0; call < rows.size(); ++call) {
    const uint32_t row = rows[call];
    const uint64_t address = At(column.address, row);
    const uint64_t first = column.first[row];
    const uint32_t count = column.count.empty() ? 0 : column.count[row];
    if (ranges->size() == begin || ranges->back().address != address || first != next) {
      ranges->push_back(
          {.pending = pending, .call = call, .input = input, .address = address, .first = first});
      ++pending->missing;
    }
    ranges->back().counts.push_back(count);
    next = first + std::max<uint32_t>(count, 1);
  }
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
                 inbox->Post([this, addresses, got = std::move(got)]() mutable {
                   OnValues(addresses, std::move(got));
                 });
               });
}

void Inputs::OnValues(const std::vector<uint64_t>& addresses,
                      std::vector<absl::StatusOr<Fetched>> got) {
  CHECK(addresses.size() == got.size());
  std::vector<uint64_t> again;
  for (size_t i = 0; i < addresses.size(); ++i) {
    if (!got[i].ok() && IsTransient(got[i].status())) {
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

// -------------------------------------------------------------------------------------- elements

void Inputs::GetRanges(std::vector<Range> ranges) {
  std::vector<GetItem> items;
  items.reserve(ranges.size());
  for (const Range& range : ranges) {
    items.push_back({.address = range.address, .first = range.first, .count = range.elements()});
  }
  auto asked = std::make_shared<std::vector<Range>>(std::move(ranges));
  bucket_->Get(std::move(items), kRangeBytesMax,
               [this, inbox = inbox_, asked](std::vector<absl::StatusOr<Fetched>> got) {
                 inbox->Post([this, asked, got = std::move(got)]() mutable {
                   CHECK(asked->size() == got.size());
                   std::vector<Range> again;
                   for (size_t i = 0; i < got.size(); ++i) {
                     OnRange(std::move((*asked)[i]), std::move(got[i]), &again);
                   }
                   if (!again.empty()) GetRanges(std::move(again));
                 });
               });
}

void Inputs::OnRange(Range range, absl::StatusOr<Fetched> got, std::vector<Range>* again) {
  if (!got.ok() && IsTransient(got.status())) {
    again->push_back(std::move(range));
    return;
  }
  const PendingPtr pending = range.pending;
  if (got.ok() && got->too_big) {
    if (range.counts.size() > 1) {
      Range second = range;
      const size_t half = range.counts.size() / 2;
      range.counts.resize(half);
      second.counts.erase(second.counts.begin(), second.counts.begin() + half);
      second.call += half;
      second.first += range.elements();
      ++pending->missing;
      again->push_back(std::move(range));
      again->push_back(std::move(second));
      return;
    }
    Call& call = pending->calls[range.call];
    CallInput& input = call.inputs[range.input];
    input = StreamOf(call.lease, range.address, range.first, range.elements());
    input.kind = range.counts[0] > 0 ? ObjectKind::kList : ObjectKind::kValue;
    input.elements = range.counts[0];
    Arrived(pending);
    return;
  }
  const absl::Status status = got.ok() ? Cut(range, *got) : got.status();
  if (!status.ok()) {
    for (uint32_t i = 0; i < range.counts.size(); ++i) {
      Fail(pending, range.call + i, range.address, status);
    }
  }
  Arrived(pending);
}

// Gives each call of the range its elements.
absl::Status Inputs::Cut(const Range& range, const Fetched& got) {
  std::vector<size_t> ends;
  ElementScanner scanner;
  if (absl::Status status = scanner.Scan(got.data, &ends); !status.ok()) return status;
  if (ends.size() != range.elements()) {
    return absl::OutOfRangeError(absl::StrCat("elements ", range.first, " to ",
                                              range.first + range.elements(),
                                              " of a list: it has only ", ends.size(), " of them"));
  }
  size_t begin = 0;
  size_t element = 0;
  for (uint32_t i = 0; i < range.counts.size(); ++i) {
    const uint64_t number = range.first + element;
    element += std::max<uint32_t>(range.counts[i], 1);
    const size_t end = ends[element - 1];
    const ObjectKind kind = range.counts[i] > 0 ? ObjectKind::kList : ObjectKind::kValue;
    Call& call = range.pending->calls[range.call + i];
    CallInput& input = call.inputs[range.input];
    if (end - begin <= kSmallValueBytes) {
      input = InMemory(kind, got.data.substr(begin, end - begin), range.counts[i]);
    } else {
      input = StreamOf(call.lease, range.address, number, std::max<uint32_t>(range.counts[i], 1));
      input.kind = kind;
      input.elements = range.counts[i];
      input.total_bytes = end - begin;
    }
    begin = end;
  }
  return absl::OkStatus();
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
        listener_->OnInputGone(lease, fault.gone, fault.status);
      } else {
        listener_->OnInputFailed(lease, fault.status);
      }
    }
    calls.erase(std::remove_if(calls.begin(), calls.end(),
                               [](const Call& call) { return call.step == nullptr; }),
                calls.end());
  }
  if (!calls.empty()) listener_->OnReady(std::move(calls));
}

}  // namespace bue::worker
