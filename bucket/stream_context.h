// StreamContext is what the streams of a bucket work with.
#ifndef BUE_BUCKET_STREAM_CONTEXT_H_
#define BUE_BUCKET_STREAM_CONTEXT_H_

#include "bucket/byte_budget.h"
#include "bucket/group_sync.h"
#include "bucket/object_store.h"
#include "bucket/room_watch.h"
#include "bucket/shortcut.h"
#include "common/stall_watch.h"
#include "common/thread_pool.h"

namespace bue::bucket {

// All of it outlives every stream.
struct StreamContext {
  ObjectStore* store = nullptr;
  GroupSync* sync = nullptr;
  ThreadPool* pool = nullptr;
  // Around the pool.
  Shortcut* put_shortcut = nullptr;
  Shortcut* get_shortcut = nullptr;
  RoomWatch* room = nullptr;
  StallWatch* stalls = nullptr;
  ByteBudget* put_budget = nullptr;  // Requests received and not written yet.
  ByteBudget* get_budget = nullptr;  // Replies read from the store and not sent yet.
};

}  // namespace bue::bucket

#endif  // BUE_BUCKET_STREAM_CONTEXT_H_
