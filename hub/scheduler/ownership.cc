// Which objects in the buckets are still wanted: what a sweep asks before it deletes.
//
// A value is found by where it came from, not by searching: its origin names the item and node, so
// an answer costs a look-up, or one block of ended items unpacked, which neighbours share. When in
// doubt the answer is that it is wanted: a later sweep asks again.
#include <utility>
#include <vector>

#include "hub/scheduler/scheduler_impl.h"

namespace bue::hub {
namespace {

// Blocks of ended items unpacked for one query: about half a millisecond.
constexpr int kBlocksMax = 64;

// Reads kept values of ended items, a block at a time.
class KeptReader {
 public:
  // Whether another block may be unpacked, or this one is at hand.
  bool MayRead(const Instance& instance, uint64_t item) const {
    return IsAtHand(instance, item) || blocks_ < kBlocksMax;
  }

  // The value of `column` that was kept of `item`; 0: none. REQUIRES: MayRead.
  uint64_t ValueOf(const Instance& instance, uint64_t item, size_t column) {
    if (!IsAtHand(instance, item)) Read(instance, item / KeptValues::kBlockItems);
    const size_t place = item % KeptValues::kBlockItems * columns_ + column;
    return place < values_.size() ? values_[place] : 0;
  }

 private:
  bool IsAtHand(const Instance& instance, uint64_t item) const {
    return instance_ == &instance && block_ == item / KeptValues::kBlockItems;
  }

  void Read(const Instance& instance, uint64_t block) {
    ++blocks_;
    instance_ = &instance;
    block_ = block;
    values_.clear();
    const uint64_t begin = block * KeptValues::kBlockItems;
    instance.kept.Visit(begin, [&](uint64_t index, absl::Span<const uint64_t> values) {
      if (index >= begin + KeptValues::kBlockItems) return false;
      columns_ = values.size();
      values_.resize((index - begin) * columns_);
      values_.insert(values_.end(), values.begin(), values.end());
      return true;
    });
  }

  int blocks_ = 0;
  const Instance* instance_ = nullptr;
  uint64_t block_ = 0;
  size_t columns_ = 0;
  std::vector<uint64_t> values_;  // Of the block at hand: by item, then column.
};

Ownership WantedIf(bool wanted) { return wanted ? Ownership::kWanted : Ownership::kUnclaimed; }

// Whether a loop over task `v` of `item` reads the object: a source that was tried again left
// elements in several.
bool IsRead(Run* run, const Item& item, uint32_t v, uint64_t address) {
  for (const uint32_t loop : run->graph().loops_over(item.instance->region, v)) {
    const Instance* instance = run->FindInstance(item.vertices[loop].value);
    if (instance == nullptr) continue;
    for (const Instance::Segment& segment : instance->segments) {
      if (segment.address == address) return true;
    }
  }
  return false;
}

Ownership OfLiveItem(Run* run, const Item& item, uint32_t v, uint64_t address) {
  const Vertex& vertex = item.vertices[v];
  if (IsRead(run, item, v, address)) return Ownership::kWanted;
  // A `!refill` source between two calls: what it gave has been taken.
  if (vertex.state == VertexState::kOpen) return WantedIf(vertex.value == address);
  // Whoever has run the task may still report it: a lease that is not current can be renewed.
  if (!IsTerminal(vertex.state)) return WantedIf(run->active());
  return WantedIf(vertex.state == VertexState::kSucceeded && vertex.value == address);
}

Ownership OfEndedItem(Run* run, const Instance& instance, uint64_t item, uint32_t v,
                      uint64_t address, KeptReader* kept) {
  const std::vector<uint32_t>& columns = run->graph().region(instance.region).kept_columns;
  for (size_t column = 0; column < columns.size(); ++column) {
    if (columns[column] != v) continue;
    if (!kept->MayRead(instance, item)) return Ownership::kAskAgain;
    return WantedIf(kept->ValueOf(instance, item, column) == address);
  }
  return Ownership::kUnclaimed;
}

Ownership OfRun(Run* run, const QueryOwnership::Object& object, KeptReader* kept) {
  const Program& program = run->graph().program();
  if (run->expired() || object.node >= program.nodes.size()) return Ownership::kUnclaimed;
  const Instance* instance = run->FindInstance(object.instance);
  if (instance == nullptr) {  // Gone; or a power cut took back that it was made.
    return WantedIf(run->active() && object.instance >= run->next_instance());
  }
  if (program.nodes[object.node].region != instance->region) return Ownership::kUnclaimed;
  const uint32_t v = run->graph().vertex_of_node(object.node);
  if (const Item* item = run->FindItem(object.instance, object.item)) {
    return OfLiveItem(run, *item, v, object.address);
  }
  if (object.item >= instance->next) return WantedIf(run->active());
  return OfEndedItem(run, *instance, object.item, v, object.address, kept);
}

}  // namespace

// A promise, because objects go for it: a run's deletion, say, must be on disk before its values
// are gone.
void Scheduler::Impl::Handle(QueryOwnership& command) {
  OwnershipList list;
  list.verdicts.reserve(command.objects.size());
  KeptReader kept;
  for (const QueryOwnership::Object& object : command.objects) {
    Run* const run = FindRun(object.run);
    // After a restart workers come back with outcomes that nobody knows of yet.
    list.verdicts.push_back(run == nullptr ? Ownership::kGone
                            : in_grace_    ? Ownership::kWanted
                                           : OfRun(run, object, &kept));
  }
  Promise(command.request, absl::OkStatus(), std::move(list));
}

}  // namespace bue::hub
