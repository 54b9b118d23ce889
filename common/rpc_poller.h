// RpcPoller makes one thread of ours do what gRPC's own threads do for its callbacks.
//
// gRPC 1.51 has at least two threads that wait for what happens on a process's connections. They
// hand the waiting to each other before they look at what came, so that a message costs four
// changes of thread where one would do; and after a second without one, each sleeps for a tenth of
// a second, so that the first message after a pause may lie for so long. One thread that only waits
// and calls back does neither. A second one relieves it while a callback keeps it for long.
#ifndef BUE_COMMON_RPC_POLLER_H_
#define BUE_COMMON_RPC_POLLER_H_

namespace bue {

// Takes gRPC's callbacks over, for the rest of the process's life; the first call does. Before the
// first channel or server. Callbacks come one at a time from then on, but for the time until gRPC's
// threads have let go, for those of alarms, and while one of them takes more than half a second.
void PollOnOneThread();

}  // namespace bue

#endif  // BUE_COMMON_RPC_POLLER_H_
