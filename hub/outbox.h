// Outbox sends what a turn decided.
#ifndef BUE_HUB_OUTBOX_H_
#define BUE_HUB_OUTBOX_H_

#include "hub/scheduler/effects.h"

namespace bue::hub {

class Outbox {
 public:
  virtual ~Outbox() = default;

  // The turn's record is written: everything but `promises`. May move parts out of `outgoing`.
  // Called by the turn's thread; never blocks.
  virtual void Publish(Outgoing* outgoing) = 0;

  // The records of the turns these came from are on disk. Called by the sync thread.
  virtual void PublishPromises(Promises promises) = 0;
};

}  // namespace bue::hub

#endif  // BUE_HUB_OUTBOX_H_
