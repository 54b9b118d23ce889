#include "tests/simulation/connection.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "tests/simulation/hub_process.h"
#include "tests/simulation/worker_process.h"

namespace bue::sim {

Connection::Connection(World* world, WorkerProcess* worker) : world_(world), worker_(worker) {}

// ------------------------------------------------------------------------------- the worker's end

void Connection::Open(std::string hello) {
  auto shared = std::make_shared<std::string>(std::move(hello));
  world_->events.After(world_->Latency() + world_->Latency(),
                       [self = shared_from_this(), shared] { self->TryToReach(shared); });
}

// As wait_for_ready has it: while there is no hub the call waits, and so does what it says.
void Connection::TryToReach(const std::shared_ptr<std::string>& hello) {
  if (worker_end_closed_) return;
  if (world_->hub == nullptr) {
    world_->events.After(world_->random.Between(absl::Milliseconds(20), absl::Milliseconds(800)),
                         [self = shared_from_this(), hello] { self->TryToReach(hello); });
    return;
  }
  hub_ = world_->hub;
  hub_->Do([self = shared_from_this(), hello] {
    absl::StatusOr<std::shared_ptr<hub::WorkerSession>> session =
        self->hub_->sessions()->Open(self, self->hub_->Now());
    CHECK(session.ok());
    self->session_ = *std::move(session);
  });
  ToHub(std::move(*hello));
  world_->events.After(world_->Latency(), [self = shared_from_this()] {
    if (!self->worker_end_closed_)
      self->worker_->Do([self] { self->worker_->OnWritten(self.get()); });
  });
}

absl::Time Connection::Arrival(Direction* direction) {
  direction->last = std::max({direction->last, world_->events.now() + world_->Latency(),
                              direction->stalled_until + world_->Latency()});
  return direction->last;
}

void Connection::Send(std::string message) {
  CHECK(!worker_end_closed_);
  ToHub(std::move(message));
  const absl::Time written = std::max(
      world_->events.now() + world_->random.Skewed(absl::ZeroDuration(), absl::Milliseconds(2)),
      up_.stalled_until);
  world_->events.At(written, [self = shared_from_this()] {
    if (!self->worker_end_closed_)
      self->worker_->Do([self] { self->worker_->OnWritten(self.get()); });
  });
}

void Connection::ToHub(std::string message) {
  if (up_.lost) return;
  const absl::Time arrival = Arrival(&up_);
  world_->events.At(arrival, [self = shared_from_this(), message = std::move(message)] {
    if (self->world_->events.now() > self->up_.cut) return;
    self->hub_->Do([self, message] {
      if (self->hub_end_closed_) return;
      v1::FromWorker parsed;
      CHECK(parsed.ParseFromString(message));
      if (!self->hub_->sessions()->Read(self->session_.get(), parsed, self->hub_->Now())) {
        self->world_->history.Fail("the hub refused a worker's message: " +
                                   parsed.ShortDebugString());
      }
    });
  });
}

void Connection::Finish() {
  if (worker_end_closed_ || up_.lost || hub_ == nullptr) return;
  world_->events.At(Arrival(&up_), [self = shared_from_this()] {
    if (self->world_->events.now() <= self->up_.cut) self->EndAtHub(absl::ZeroDuration());
  });
}

void Connection::CancelByWorker() {
  if (!up_.lost) EndAtHub(world_->Latency());
  EndAtWorker(absl::ZeroDuration());
}

// ---------------------------------------------------------------------------------- the hub's end

void Connection::Write(const v1::ToWorker* message) {
  CHECK(!hub_writing_ && !hub_finished_);
  hub_writing_ = true;
  if (!hub_->TakesWrite()) return;
  if (!down_.lost) {
    std::string bytes = message->SerializeAsString();
    world_->events.At(Arrival(&down_), [self = shared_from_this(), bytes = std::move(bytes)] {
      if (self->world_->events.now() > self->down_.cut || self->worker_end_closed_) return;
      self->worker_->Do([self, bytes] {
        if (self->worker_end_closed_) return;
        v1::ToWorker parsed;
        CHECK(parsed.ParseFromString(bytes));
        self->worker_->OnRead(self.get(), parsed);
      });
    });
  }
  const absl::Time written = std::max(
      world_->events.now() + world_->random.Skewed(absl::ZeroDuration(), absl::Milliseconds(2)),
      down_.stalled_until);
  world_->events.At(written, [self = shared_from_this()] {
    self->hub_->Do([self] {
      if (!std::exchange(self->hub_writing_, false)) return;
      self->session_->stream.Written(true);
    });
  });
}

// The hub has nothing more to say: the worker learns of it after all that was said before.
void Connection::Finish(const absl::Status&) {
  CHECK(!hub_finished_ && !hub_writing_);
  hub_finished_ = true;
  hub_end_closed_ = true;
  world_->events.After(absl::ZeroDuration(), [self = shared_from_this()] {
    self->hub_->Do([self] { self->hub_->sessions()->Ended(self->session_.get()); });
  });
  if (down_.lost) return;
  world_->events.At(Arrival(&down_), [self = shared_from_this()] {
    if (self->world_->events.now() <= self->down_.cut) self->EndAtWorker(absl::ZeroDuration());
  });
}

void Connection::Cancel() {
  if (!down_.lost) EndAtWorker(world_->Latency());
  EndAtHub(absl::ZeroDuration());
}

void Connection::EndAtHub(absl::Duration wait) {
  if (hub_ == nullptr) return;
  world_->events.After(wait, [self = shared_from_this()] {
    self->hub_->Do([self] {
      if (self->hub_finished_) return;
      if (!std::exchange(self->hub_end_closed_, true)) {
        self->hub_->sessions()->ReadsEnded(self->session_.get());
      }
      if (std::exchange(self->hub_writing_, false)) self->session_->stream.Written(false);
    });
  });
}

void Connection::EndAtWorker(absl::Duration wait) {
  world_->events.After(wait, [self = shared_from_this()] {
    if (self->worker_end_closed_) return;
    self->worker_->Do([self] {
      if (!std::exchange(self->worker_end_closed_, true)) self->worker_->OnEnded(self.get());
    });
  });
}

// ------------------------------------------------------------------------------------- the faults

void Connection::Break() {
  Random& random = world_->random;
  const absl::Time now = world_->events.now();
  for (Direction* direction : {&up_, &down_}) {
    direction->cut =
        std::min(direction->cut, now + random.Skewed(absl::ZeroDuration(), absl::Milliseconds(50)));
  }
  EndAtHub(random.Skewed(absl::ZeroDuration(), absl::Seconds(3)));
  EndAtWorker(random.Skewed(absl::ZeroDuration(), absl::Seconds(2)));
}

void Connection::LoseDirection(bool up) {
  Direction& direction = up ? up_ : down_;
  direction.lost = true;
  direction.cut = std::min(direction.cut, world_->events.now());
}

void Connection::Stall(bool up, absl::Duration time) {
  Direction& direction = up ? up_ : down_;
  direction.stalled_until = std::max(direction.stalled_until, world_->events.now() + time);
}

void Connection::HubDied(bool power) {
  hub_end_closed_ = true;
  up_.lost = true;
  down_.cut = std::min(down_.cut, world_->events.now() + absl::Milliseconds(5));
  EndAtWorker(power ? world_->random.Between(absl::Milliseconds(1), absl::Seconds(6))
                    : world_->random.Skewed(absl::ZeroDuration(), absl::Milliseconds(300)));
}

void Connection::WorkerDied(const WorkerProcess* worker, bool silently) {
  if (worker != worker_ || worker_end_closed_) return;
  worker_end_closed_ = true;
  down_.lost = true;
  up_.cut = std::min(up_.cut, world_->events.now() + absl::Milliseconds(5));
  if (!silently) EndAtHub(world_->random.Skewed(absl::ZeroDuration(), absl::Milliseconds(100)));
}

}  // namespace bue::sim
