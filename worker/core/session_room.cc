// How much a session asks for: a pool's slots, and what they run while a report and a grant travel.
#include <algorithm>

#include "worker/core/session.h"

namespace bue::worker {
namespace {

// Tasks that take so many times as long as a pool asks ahead for.
constexpr double kLongTasks = 10;

}  // namespace

Room Session::WantedRoom(Pool pool) const {
  const int index = Index(pool);
  Room room{.pool = pool, .leases = 0, .slots = options_.slots[index]};
  if (stopping_) return room;
  if (unacknowledged() >= options_.unacked_max || outcome_bytes_ >= options_.unacked_bytes_max) {
    return room;
  }
  const uint32_t beside = std::min(pools_[index].held_beside, options_.ahead_max);
  room.leases = room.slots + std::min(Ahead(index) + beside, options_.ahead_max);
  return room;
}

uint32_t Session::Ahead(int pool) const {
  if (pools_[pool].mean_us == 0) return 1;
  // What takes long is not asked ahead for: a slot that is free a moment longer costs less than a
  // task that could be running elsewhere, or waits here in front of a more urgent one.
  if (pools_[pool].mean_us >= kLongTasks * absl::ToDoubleMicroseconds(options_.ahead)) return 0;
  const double in_time =
      options_.slots[pool] * absl::ToDoubleMicroseconds(options_.ahead) / pools_[pool].mean_us;
  const double cap = std::max<double>(2.0 * options_.slots[pool], options_.ahead_min_cap);
  return std::max<uint32_t>(1, static_cast<uint32_t>(std::min(in_time, cap)));
}

// Room alone is worth a message when the pool is about to run dry, with what waits and what the hub
// may still grant; else it travels with the next outcomes. Less room is told at once: it keeps
// grants away.
bool Session::RoomIsUrgent(int pool) const {
  const PoolState& state = pools_[pool];
  if (!state.room_sent) return true;
  const uint32_t wanted = WantedRoom(static_cast<Pool>(pool)).leases;
  if (wanted == 0) return state.sent.leases != 0;
  const uint32_t busy = state.running + state.held_beside;
  return wanted > state.sent.leases && state.sent.leases <= busy + Ahead(pool) / 2;
}

}  // namespace bue::worker
