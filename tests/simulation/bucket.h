// Bucket is where simulated values lie: good enough for addresses. An object is there from its put
// until its deletion, and remembers for the history who made it out of what.
//
// Not thread-safe.
#ifndef BUE_TESTS_SIMULATION_BUCKET_H_
#define BUE_TESTS_SIMULATION_BUCKET_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "tests/simulation/plan.h"

namespace bue::sim {

struct Object {
  uint64_t address = 0;
  uint64_t run = 0;
  TaskName task;
  uint64_t lease = 0;
  Content content = 0;
  uint64_t elements = 0;         // Durable ones, of a list.
  uint64_t offset = 0;           // What a call of a `!refill` source gave: elements before it.
  bool has_cursor = false;       // And the last element is its cursor.
  std::vector<uint64_t> inputs;  // Addresses that it was made from.
  bool there = true;
};

class Bucket {
 public:
  uint64_t Put(Object object) {
    object.address = kFirst + objects_.size();
    objects_.push_back(std::move(object));
    return objects_.back().address;
  }
  // Null: there never was such an object.
  Object* Find(uint64_t address) {
    return address < kFirst || address >= kFirst + objects_.size() ? nullptr
                                                                   : &objects_[address - kFirst];
  }
  const std::vector<Object>& objects() const { return objects_; }

 private:
  static constexpr uint64_t kFirst = 1000;
  std::vector<Object> objects_;
};

// Which of a few values a row of the column is, for limits that go by it. 0: it is not there.
template <typename Column>
uint64_t ByHashOf(Bucket* bucket, const Column& column, size_t row) {
  constexpr uint64_t kValues = 3;
  if (column.kind == Column::Kind::kRange) return 1 + column.first[row];
  const uint64_t address = column.address.size() == 1 ? column.address[0] : column.address[row];
  if (address == 0) return 1 + kNone % kValues;
  const Object* object = bucket->Find(address);
  if (object == nullptr || !object->there) return 0;
  if (column.kind == Column::Kind::kValues) return 1 + object->content % kValues;
  return 1 + ElementOf(object->content, object->offset + column.first[row]) % kValues;
}

}  // namespace bue::sim

#endif  // BUE_TESTS_SIMULATION_BUCKET_H_
