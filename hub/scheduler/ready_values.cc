// ReadyQueue's lines of values: each has tasks whose limits go by the same values.
#include <algorithm>
#include <utility>

#include "common/check.h"
#include "hub/scheduler/ready_queue.h"

namespace bue::hub {
namespace {

// Of values that have come once fewer are kept: there may be as many as tasks.
constexpr size_t kOnceShare = 64;

}  // namespace

Line* ReadyQueue::MakeLine(Line* asking, Gates gates, const ByValues& hashes, uint32_t queues_of) {
  Line* line = AddLine(asking->queue, new Line{.queue = asking->queue,
                                               .gates = std::move(gates),
                                               .ahead = asking->ahead,
                                               .asking = asking,
                                               .hashes = hashes,
                                               .queues_of = queues_of});
  for (Gate* gate : line->gates) ++gate->lines;
  asking->asks->lines[KeyOf(hashes, queues_of)] = line;
  return line;
}

void ReadyQueue::DropIdleLines() {
  DropIdleLines(&idle_once_, idle_lines_max_ / kOnceShare);
  DropIdleLines(&idle_again_, idle_lines_max_);
}

void ReadyQueue::DropIdleLines(std::deque<Line*>* idle, size_t most) {
  while (idle->size() > most) {
    Line* line = idle->front();
    idle->pop_front();
    line->may_go = false;
    const bool in_use = line->leases > 0 || line->rank() != Line::kNothing || line->listed() ||
                        line->waits_at != nullptr || !line->held.empty();
    if (in_use) continue;
    if (line->used_again && idle == &idle_once_) {
      LookAtLater(line);
    } else {
      DropLine(line);
    }
  }
}

void ReadyQueue::DropLine(Line* line) {
  RunQueue* queue = line->queue;
  if (queue->next == line) queue->next = nullptr;
  if (FindLine(*line->asking, line->hashes, line->queues_of) == line) {
    line->asking->asks->lines.erase(KeyOf(line->hashes, line->queues_of));
  }
  const Gates gates = line->gates;
  const size_t place = line->place;
  queue->lines.back()->place = place;
  std::swap(queue->lines[place], queue->lines.back());
  queue->lines.pop_back();
  for (Gate* gate : gates) {
    --gate->lines;
    DropIfUnused(gate);
  }
}

void ReadyQueue::CountAhead(absl::btree_map<const Gate*, uint64_t>* tasks) const {
  absl::btree_map<const Gate*, uint64_t> for_room;
  for (const auto& [run, queues] : queues_) {
    for (const auto& queue : queues.all) {
      for (const auto& line : queue->lines) {
        if (!line->of_values()) continue;
        (*tasks)[line->ahead] += line->tasks.size();
        if (WaitsForValue(*line)) for_room[line->ahead] += line->tasks.size();
      }
    }
  }
  VisitGates([&](const Gate& gate) { CHECK(gate.for_room == for_room[&gate]); });
}

}  // namespace bue::hub
