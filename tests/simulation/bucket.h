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

}  // namespace bue::sim

#endif  // BUE_TESTS_SIMULATION_BUCKET_H_
