#include "hub/service/worker_sessions.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/logging.h"
#include "common/status_macros.h"

namespace bue::hub {
namespace {

constexpr size_t kLogBytesMax = 128 << 10;  // Of one answer: its end.

}  // namespace

WorkerSessions::WorkerSessions(WorkerServiceOptions options, Post post, absl::Time now)
    : options_(std::move(options)), post_(std::move(post)), last_tick_(now) {}

// ------------------------------------------------------------------------------------ the way up

absl::StatusOr<WorkerSessions::SessionPointer> WorkerSessions::Open(
    std::shared_ptr<StreamWire> wire, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  if (stopping_) return absl::UnavailableError("the hub is stopping");
  if (sessions_.size() >= options_.workers_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the hub has its ", options_.workers_max, " workers already"));
  }
  auto session =
      std::make_shared<WorkerSession>(next_worker_++, std::move(wire), options_.queued_bytes_max);
  session->Heard(now);
  sessions_[session->id] = session;
  return session;
}

bool WorkerSessions::Read(WorkerSession* session, const v1::FromWorker& message, absl::Time now) {
  session->Heard(now);
  const absl::Status status = Take(session, message);
  if (status.ok() && session->leaving) session->stream.Flush(now);  // It waits for nothing else.
  if (status.ok()) return true;
  session->stream.Close(status);
  Gone(session);
  return false;
}

void WorkerSessions::ReadsEnded(WorkerSession* session) {
  Gone(session);
  session->stream.Close(absl::OkStatus());
}

absl::Status WorkerSessions::Take(WorkerSession* session, const v1::FromWorker& message) {
  if (message.number() != 0 && message.number() != session->heard_number + 1) {
    return absl::DataLossError(absl::StrCat("message ", message.number(),
                                            " of the worker came after ", session->heard_number));
  }
  session->heard_number = message.number();
  if (message.has_hello() == session->joined) {
    return absl::InvalidArgumentError(session->joined ? "a worker says hello once"
                                                      : "a worker says hello first");
  }
  if (message.has_hello()) RETURN_IF_ERROR(TakeHello(session, message.hello()));
  if (message.logs_size() > 0) TakeLogs(message);
  if (message.goodbye()) session->leaving = true;
  // An empty report tells the scheduler that the worker is alive.
  ASSIGN_OR_RETURN(WorkerReported report, ToReported(message, session->id, options_.limits));
  return post_(std::move(report));
}

absl::Status WorkerSessions::TakeHello(WorkerSession* session, const v1::Hello& hello) {
  ASSIGN_OR_RETURN(WorkerJoined joined, ToJoined(hello, session->id, options_.limits));
  session->name = joined.name;
  log::info("worker joined worker={} host={} version={} stream={} held={}", joined.name,
            joined.host, joined.version, session->id, joined.held.size());
  RETURN_IF_ERROR(post_(std::move(joined)));
  session->joined = true;
  return absl::OkStatus();
}

void WorkerSessions::TakeLogs(const v1::FromWorker& message) {
  for (const v1::LogReply& reply : message.logs()) {
    LogAnswer answer;
    {
      absl::MutexLock lock(&mutex_);
      const auto found = logs_.find(reply.tag());
      if (found == logs_.end()) continue;
      answer = std::move(found->second.answer);
      logs_.erase(found);
    }
    if (reply.unknown()) {
      answer(std::nullopt);
    } else {
      const std::string& text = reply.text();
      answer(text.substr(text.size() - std::min(text.size(), kLogBytesMax)));
    }
  }
}

// Once per session: tells the scheduler, the log, and who waits for what a task printed.
void WorkerSessions::Gone(WorkerSession* session) {
  if (!session->joined || session->gone.exchange(true)) return;
  const absl::Status reason = session->stream.closed().value_or(absl::OkStatus());
  log::info("worker stream ended worker={} stream={} reason={}", session->name, session->id,
            reason.ok() ? "closed" : std::string(reason.message()));
  (void)post_(WorkerGone{.worker = session->id});  // Refused only when the hub stops.
  std::vector<LogAnswer> answers;
  {
    absl::MutexLock lock(&mutex_);
    for (auto pending = logs_.begin(); pending != logs_.end();) {
      const auto it = pending++;
      if (it->second.worker != session->id) continue;
      answers.push_back(std::move(it->second.answer));
      logs_.erase(it);
    }
  }
  for (LogAnswer& answer : answers) answer(std::nullopt);
}

void WorkerSessions::Ended(WorkerSession* session) {
  Gone(session);
  SessionPointer last;  // Let go without the lock.
  absl::MutexLock lock(&mutex_);
  const auto found = sessions_.find(session->id);
  last = std::move(found->second);
  sessions_.erase(found);
}

// ---------------------------------------------------------------------------------- the way down

WorkerSessions::SessionPointer WorkerSessions::Find(uint64_t worker) {
  absl::MutexLock lock(&mutex_);
  const auto found = sessions_.find(worker);
  return found == sessions_.end() ? nullptr : found->second;
}

void WorkerSessions::Publish(Outgoing* outgoing, absl::Time now) {
  // A run can end and be retried in one turn.
  for (const RunSteps& run : outgoing->run_steps) std::erase(outgoing->ended_runs, run.run);
  for (RunSteps& run : outgoing->run_steps) programs_[run.run] = std::move(run.program);
  FillParcels(outgoing);
  for (const auto& [worker, parcel] : parcels_) {
    if (const SessionPointer session = Find(worker)) SendParcel(session.get(), parcel, now);
  }
  parcels_.clear();
  if (!outgoing->ended_runs.empty()) SendEndedRuns(outgoing->ended_runs, now);
}

void WorkerSessions::FillParcels(Outgoing* outgoing) {
  for (const WorkerWelcome& welcome : outgoing->welcomes)
    parcels_[welcome.worker].welcome = &welcome;
  for (const GrantGroup& group : outgoing->grants) parcels_[group.worker].grants.push_back(&group);
  for (const GrantGroup& group : outgoing->eager) parcels_[group.worker].eager.push_back(&group);
  for (const HashRequest& request : outgoing->hash_requests) {
    parcels_[request.worker].hash_requests.push_back(&request);
  }
  for (const Revocation& revocation : outgoing->revocations) {
    parcels_[revocation.worker].revoked.push_back(revocation.lease);
  }
  for (const Recall& recall : outgoing->recalls) {
    parcels_[recall.worker].recalled_runs.push_back(recall.run);
  }
  for (const LeaseRecall& recall : outgoing->lease_recalls) {
    parcels_[recall.worker].recalled_leases.push_back(recall.lease);
  }
  for (const SourceCredit& credit : outgoing->credits) {
    parcels_[credit.worker].credits.push_back(credit);
  }
  for (const uint64_t worker : outgoing->closed_workers) parcels_[worker].close = true;
}

void WorkerSessions::SendParcel(WorkerSession* session, const Parcel& parcel, absl::Time now) {
  session->stream.Send(now, [&](v1::ToWorker* out) {
    size_t bytes = 0;
    if (parcel.welcome != nullptr) {
      SendWelcome(*parcel.welcome, out);
      bytes += 64 + 8 * parcel.welcome->dropped.size();
    }
    bytes += AppendGrants(session, parcel, out);
    for (const HashRequest* request : parcel.hash_requests) {
      bytes += AppendHashRequest(*request, out);
    }
    out->mutable_revoked()->Add(parcel.revoked.begin(), parcel.revoked.end());
    bytes += 8 * parcel.revoked.size();
    out->mutable_recalled_runs()->Add(parcel.recalled_runs.begin(), parcel.recalled_runs.end());
    bytes += 8 * parcel.recalled_runs.size();
    out->mutable_recalled_leases()->Add(parcel.recalled_leases.begin(),
                                        parcel.recalled_leases.end());
    bytes += 8 * parcel.recalled_leases.size();
    for (const SourceCredit& credit : parcel.credits) {
      v1::SourceCredit* to = out->add_credit();
      to->set_lease(credit.lease);
      to->set_elements(credit.elements);
      bytes += 16;
    }
    return bytes;
  });
  if (parcel.welcome != nullptr) session->welcomed = true;
  if (parcel.close) session->stream.Close(absl::OkStatus());
}

// A run's steps and files go before its first grant of the stream.
size_t WorkerSessions::AppendGrants(WorkerSession* session, const Parcel& parcel,
                                    v1::ToWorker* out) {
  size_t bytes = 0;
  for (const GrantGroup* group : parcel.grants) {
    if (session->told_runs.insert(group->run).second) {
      // A run that had ended and goes on: what is not sent yet of its end is not true any more.
      auto* ended = out->mutable_ended_runs();
      ended->erase(std::remove(ended->begin(), ended->end(), group->run), ended->end());
      const auto program = programs_.find(group->run);
      CHECK(program != programs_.end());
      bytes += AppendRun(group->run, *program->second, out);
    }
    bytes += CopyGrant(*group, out->add_grants());
  }
  // Each follows a lease whose run the worker was told of, though maybe on an earlier stream.
  for (const GrantGroup* group : parcel.eager) {
    session->eager_runs.insert(group->run);
    bytes += CopyGrant(*group, out->add_eager());
  }
  return bytes;
}

void WorkerSessions::SendWelcome(const WorkerWelcome& welcome, v1::ToWorker* out) const {
  v1::Welcome* to = out->mutable_welcome();
  to->set_epoch(options_.epoch);
  to->set_worker(welcome.worker);
  for (const std::string& bucket : options_.buckets) to->add_buckets(bucket);
  to->set_heartbeat_ms(absl::ToInt64Milliseconds(options_.heartbeat));
  to->set_silence_ms(absl::ToInt64Milliseconds(options_.silence));
  to->mutable_dropped()->Add(welcome.dropped.begin(), welcome.dropped.end());
}

void WorkerSessions::SendEndedRuns(const std::vector<uint64_t>& runs, absl::Time now) {
  for (const uint64_t run : runs) programs_.erase(run);
  for (const SessionPointer& session : AllSessions()) {
    std::vector<uint64_t> told;
    for (const uint64_t run : runs) {
      const bool was_eager = session->eager_runs.erase(run) > 0;
      if (session->told_runs.erase(run) > 0 || was_eager) told.push_back(run);
    }
    if (told.empty()) continue;
    session->stream.Leave(now, [&](v1::ToWorker* out) {
      out->mutable_ended_runs()->Add(told.begin(), told.end());
      return 4 * told.size();
    });
  }
}

void WorkerSessions::Acknowledge(const std::vector<OutcomeAck>& acks, absl::Time now) {
  for (const OutcomeAck& ack : acks) {
    const SessionPointer session = Find(ack.worker);
    if (session == nullptr) continue;
    session->stream.Leave(now, [&](v1::ToWorker* out) {
      out->set_acked_report(std::max(out->acked_report(), ack.report));
      return size_t{8};
    });
    if (session->leaving) session->stream.Flush(now);
  }
}

void WorkerSessions::AskLog(uint64_t worker, uint64_t lease, absl::Time now, LogAnswer answer) {
  const SessionPointer session = Find(worker);
  if (session == nullptr || session->gone) return answer(std::nullopt);
  uint64_t tag = 0;
  {
    absl::MutexLock lock(&mutex_);
    tag = next_log_++;
    logs_[tag] = {
        .worker = worker, .deadline = now + options_.log_patience, .answer = std::move(answer)};
  }
  session->stream.Send(now, [&](v1::ToWorker* out) {
    v1::LogRequest* request = out->add_logs();
    request->set_tag(tag);
    request->set_lease(lease);
    return size_t{16};
  });
}

// --------------------------------------------------------------------------------- the clockwork

void WorkerSessions::Tick(absl::Time now) {
  // A machine that slept, or a process that was stopped, heard nobody: that proves nothing.
  const bool stalled = now - last_tick_ > options_.silence / 2;
  last_tick_ = now;
  for (const SessionPointer& session : AllSessions()) {
    if (stalled) session->Heard(now);
    Check(session.get(), now);
  }
  ExpireLogs(now);
}

void WorkerSessions::Check(WorkerSession* session, absl::Time now) {
  session->stream.Flush(now);
  const absl::Duration silent = now - session->last_heard();
  if (silent > options_.silence) {
    if (session->stream.Abort(absl::DeadlineExceededError(absl::StrCat(
            "the worker said nothing for ", absl::FormatDuration(options_.silence))))) {
      Gone(session);
    }
  } else if (session->welcomed && now - session->stream.last_sent() >= options_.heartbeat * 3 / 4) {
    session->stream.Send(now, [](v1::ToWorker* out) {
      out->set_ping(true);
      return size_t{2};
    });
  }
}

void WorkerSessions::ExpireLogs(absl::Time now) {
  std::vector<LogAnswer> answers;
  {
    absl::MutexLock lock(&mutex_);
    for (auto pending = logs_.begin(); pending != logs_.end();) {
      const auto it = pending++;
      if (it->second.deadline > now) continue;
      answers.push_back(std::move(it->second.answer));
      logs_.erase(it);
    }
  }
  for (LogAnswer& answer : answers) answer(std::nullopt);
}

std::vector<WorkerSessions::SessionPointer> WorkerSessions::AllSessions() {
  absl::MutexLock lock(&mutex_);
  std::vector<SessionPointer> sessions;
  sessions.reserve(sessions_.size());
  for (const auto& [id, session] : sessions_) sessions.push_back(session);
  return sessions;
}

void WorkerSessions::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  for (const SessionPointer& session : AllSessions()) {
    session->stream.Close(absl::UnavailableError("the hub is stopping"));
  }
}

}  // namespace bue::hub
