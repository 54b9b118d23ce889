// The ListHistory call: what a run's tasks and items came to, page by page, to the run's end if its
// reader wants to follow it.
#ifndef BUE_HUB_SERVICE_HISTORY_LISTING_H_
#define BUE_HUB_SERVICE_HISTORY_LISTING_H_

#include <atomic>
#include <cstddef>

#include "absl/time/time.h"
#include "bue/v1/hub.pb.h"
#include "hub/service/client_service.h"

namespace grpc {
template <typename Response>
class ServerWriteReactor;
}  // namespace grpc

namespace bue::hub {

struct HistoryListingOptions {
  absl::Duration look_every = absl::Milliseconds(50);  // Whether there is more to tell.
  size_t followers_max = 1000;
};

// Ends by itself; the request is copied. `followers` counts those who follow and outlives the call.
grpc::ServerWriteReactor<v1::HistoryPage>* StartListHistory(const ClientParts& parts,
                                                            const v1::ListHistoryRequest& request,
                                                            const HistoryListingOptions& options,
                                                            std::atomic<size_t>* followers);

}  // namespace bue::hub

#endif  // BUE_HUB_SERVICE_HISTORY_LISTING_H_
