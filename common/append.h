// Append moves what one vector holds behind what another holds.
//
// Pure.
#ifndef BUE_COMMON_APPEND_H_
#define BUE_COMMON_APPEND_H_

#include <iterator>
#include <vector>

namespace bue {

// Leaves `from` empty; an empty `to` takes its memory over.
template <typename T>
void Append(std::vector<T>* to, std::vector<T>* from) {
  if (to->empty()) {
    to->swap(*from);
  } else {
    to->insert(to->end(), std::make_move_iterator(from->begin()),
               std::make_move_iterator(from->end()));
  }
  from->clear();
}

}  // namespace bue

#endif  // BUE_COMMON_APPEND_H_
