#include "worker/python/transfers.h"

#include <utility>

#include "absl/status/status.h"
#include "common/status_macros.h"

namespace bue::worker {
namespace {

constexpr size_t kThreadsMax = 8;

}  // namespace

Transfers::Transfers(BucketClient* bucket, TransferEvents* events)
    : bucket_(bucket), events_(events) {}

Transfers::~Transfers() {
  std::vector<std::thread> threads;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
}

uint32_t Transfers::StartReader(Opener open, uint64_t window_bytes) {
  auto transfer = std::make_shared<Transfer>();
  transfer->is_reader = true;
  transfer->open = std::move(open);
  transfer->window_bytes = window_bytes;
  absl::MutexLock lock(&mutex_);
  transfer->number = ++last_number_;
  transfers_[transfer->number] = transfer;
  MakeReady(transfer);
  return transfer->number;
}

void Transfers::Acknowledge(uint32_t reader, uint64_t bytes) {
  absl::MutexLock lock(&mutex_);
  const TransferPtr transfer = Find(reader);
  if (transfer == nullptr) return;
  transfer->unacknowledged -= std::min(bytes, transfer->unacknowledged);
  MakeReady(transfer);
}

void Transfers::DropReader(uint32_t reader) {
  absl::MutexLock lock(&mutex_);
  const TransferPtr transfer = Find(reader);
  if (transfer == nullptr) return;
  transfer->dropped = true;
  transfers_.erase(reader);
}

uint32_t Transfers::StartWriter(ObjectKind kind, const Origin& origin) {
  auto transfer = std::make_shared<Transfer>();
  transfer->kind = kind;
  transfer->origin = origin;
  return AddWriter(std::move(transfer));
}

uint32_t Transfers::StartSource(const Origin& origin, const Yielded& yielded) {
  auto transfer = std::make_shared<Transfer>();
  transfer->kind = ObjectKind::kList;
  transfer->origin = origin;
  transfer->hash.emplace(yielded);
  return AddWriter(std::move(transfer));
}

uint32_t Transfers::AddWriter(TransferPtr transfer) {
  absl::MutexLock lock(&mutex_);
  const uint32_t number = ++last_number_;
  transfer->number = number;
  transfers_[number] = std::move(transfer);
  return number;
}

void Transfers::Append(uint32_t writer, std::string data, uint64_t elements, bool continued,
                       bool flush) {
  AddMove(writer, Move{.kind = Move::Kind::kAppend,
                       .data = std::move(data),
                       .elements = elements,
                       .continued = continued,
                       .flush = flush});
}

void Transfers::Finish(uint32_t writer, bool whole) {
  AddMove(writer, Move{.kind = Move::Kind::kFinish, .whole = whole});
}

void Transfers::Abort(uint32_t writer) { AddMove(writer, Move{.kind = Move::Kind::kAbort}); }

void Transfers::AddMove(uint32_t writer, Move move) {
  absl::MutexLock lock(&mutex_);
  const TransferPtr transfer = Find(writer);
  if (transfer == nullptr) return;
  const bool last = move.kind != Move::Kind::kAppend;
  transfer->moves.push_back(std::move(move));
  MakeReady(transfer);
  if (last) transfers_.erase(writer);
}

Transfers::TransferPtr Transfers::Find(uint32_t number) {
  const auto found = transfers_.find(number);
  return found == transfers_.end() ? nullptr : found->second;
}

bool Transfers::HasWork(const Transfer& transfer) {
  if (transfer.is_reader) {
    return !transfer.dropped && !transfer.closed && transfer.unacknowledged < transfer.window_bytes;
  }
  return !transfer.moves.empty();
}

void Transfers::MakeReady(const TransferPtr& transfer) {
  if (transfer->queued || stopping_ || !HasWork(*transfer)) return;
  transfer->queued = true;
  ready_.push_back(transfer);
  if (idle_ < static_cast<int>(ready_.size()) && threads_.size() < kThreadsMax) {
    threads_.emplace_back([this] { Work(); });
  }
}

void Transfers::Work() {
  const auto may_go = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !ready_.empty();
  };
  mutex_.Lock();
  while (true) {
    ++idle_;
    mutex_.Await(absl::Condition(&may_go));
    --idle_;
    if (stopping_) break;
    const TransferPtr transfer = std::move(ready_.front());
    ready_.pop_front();
    std::deque<Move> moves = std::exchange(transfer->moves, {});
    mutex_.Unlock();
    if (transfer->is_reader) {
      ReadOne(transfer.get());
    } else {
      Write(transfer.get(), std::move(moves));
    }
    mutex_.Lock();
    transfer->queued = false;
    if (transfer->is_reader && transfer->closed) transfers_.erase(transfer->number);
    MakeReady(transfer);
  }
  mutex_.Unlock();
}

void Transfers::ReadOne(Transfer* transfer) {
  absl::StatusOr<std::optional<std::string>> chunk = std::nullopt;
  if (transfer->stream == nullptr) {
    absl::StatusOr<std::unique_ptr<InputStream>> opened = transfer->open();
    if (opened.ok()) {
      transfer->stream = *std::move(opened);
    } else {
      chunk = opened.status();
    }
  }
  if (transfer->stream != nullptr) chunk = transfer->stream->Next();
  const bool last = !chunk.ok() || !chunk->has_value();
  {
    absl::MutexLock lock(&mutex_);
    transfer->closed = last;
    if (!last) transfer->unacknowledged += (*chunk)->size();
    if (transfer->dropped) return;
  }
  events_->OnChunkRead(transfer->number, std::move(chunk));
}

void Transfers::Write(Transfer* transfer, std::deque<Move> moves) {
  if (transfer->closed) return;
  const absl::Status status = WriteMoves(transfer, std::move(moves));
  if (!status.ok()) {
    transfer->closed = true;
    events_->OnClosed(transfer->number, status);
  }
  if (transfer->closed) transfer->writer.reset();
}

absl::Status Transfers::WriteMoves(Transfer* transfer, std::deque<Move> moves) {
  if (transfer->writer == nullptr) {
    if (bucket_ == nullptr) return absl::FailedPreconditionError("no bucket to store values in");
    ASSIGN_OR_RETURN(transfer->writer, bucket_->OpenWriter(transfer->kind, transfer->origin));
  }
  bool flush = false;
  uint64_t flushed_hash = 0;
  for (Move& move : moves) {
    switch (move.kind) {
      case Move::Kind::kAppend:
        if (transfer->hash.has_value()) RETURN_IF_ERROR(transfer->hash->Add(move.data));
        RETURN_IF_ERROR(transfer->writer->Append(move.data, move.elements, move.continued));
        events_->OnAppended(transfer->number, move.data.size());
        flush = flush || move.flush;
        if (move.flush && transfer->hash.has_value()) flushed_hash = transfer->hash->hash();
        // Of a stream that flushes, only a part of an element comes without.
        transfer->within_element = !move.flush;
        break;
      case Move::Kind::kFinish: {
        if (move.whole && transfer->hash.has_value()) RETURN_IF_ERROR(transfer->hash->End());
        ASSIGN_OR_RETURN(const ValueWriter::Written written, transfer->writer->Finish());
        transfer->closed = true;
        events_->OnClosed(transfer->number, written);
        return absl::OkStatus();
      }
      case Move::Kind::kAbort:
        transfer->writer->Abort();
        transfer->closed = true;
        return absl::OkStatus();
    }
  }
  if (!flush) return absl::OkStatus();
  ASSIGN_OR_RETURN(ValueWriter::Written written, transfer->writer->Flush());
  if (transfer->within_element && written.elements > 0) --written.elements;  // Not whole yet.
  events_->OnFlushed(transfer->number, written, flushed_hash);
  return absl::OkStatus();
}

}  // namespace bue::worker
