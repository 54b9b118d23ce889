// Fifo is a queue in one piece of memory, with room at both ends. An empty one has none to speak
// of: there may be tens of thousands.
//
// Not thread-safe.
#ifndef BUE_HUB_SCHEDULER_FIFO_H_
#define BUE_HUB_SCHEDULER_FIFO_H_

#include <cstddef>
#include <utility>
#include <vector>

namespace bue::hub {

template <typename T>
class Fifo {
 public:
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }

  // REQUIRES: index < size().
  T& operator[](size_t index) { return ring_[At(index)]; }
  const T& operator[](size_t index) const { return ring_[At(index)]; }
  T& front() { return (*this)[0]; }
  T& back() { return (*this)[size_ - 1]; }

  void push_back(T value) {
    if (size_ == ring_.size()) Grow();
    ring_[At(size_++)] = std::move(value);
  }
  void push_front(T value) {
    if (size_ == ring_.size()) Grow();
    first_ = At(ring_.size() - 1);
    ++size_;
    front() = std::move(value);
  }
  // REQUIRES: !empty().
  void pop_front() {
    first_ = At(1);
    if (--size_ == 0 && ring_.size() > kKept) std::vector<T>().swap(ring_);
    if (size_ == 0) first_ = 0;
  }

 private:
  static constexpr size_t kFirst = 1;
  static constexpr size_t kKept = 64;  // An empty one keeps so much.

  size_t At(size_t index) const {
    const size_t at = first_ + index;
    return at < ring_.size() ? at : at - ring_.size();
  }
  void Grow() {
    std::vector<T> larger(ring_.empty() ? kFirst : 2 * ring_.size());
    for (size_t i = 0; i < size_; ++i) larger[i] = std::move((*this)[i]);
    ring_ = std::move(larger);
    first_ = 0;
  }

  std::vector<T> ring_;
  size_t first_ = 0;
  size_t size_ = 0;
};

}  // namespace bue::hub

#endif  // BUE_HUB_SCHEDULER_FIFO_H_
