#include "hub/service/requests.h"

#include <utility>
#include <variant>

#include "common/check.h"

namespace bue::hub {
namespace {

void SetRequest(Command* command, uint64_t request) {
  std::visit(
      [request](auto& any) {
        if constexpr (requires { any.request; }) {
          any.request = request;
        } else {
          CHECK(false);  // Workers' commands have no reply.
        }
      },
      *command);
}

}  // namespace

void Requests::Ask(Command command, Answer answer) {
  uint64_t request = 0;
  absl::Status failed;
  {
    absl::MutexLock lock(&mutex_);
    failed = failed_;
    request = next_++;
    if (failed.ok()) open_[request] = std::move(answer);
  }
  if (!failed.ok()) return answer(Reply{.status = failed});
  SetRequest(&command, request);
  if (absl::Status status = post_(std::move(command)); !status.ok()) {
    if (const Answer refused = Take(request)) refused(Reply{.request = request, .status = status});
  }
}

void Requests::Deliver(std::vector<Reply>* replies) {
  for (Reply& reply : *replies) {
    if (const Answer answer = Take(reply.request)) answer(std::move(reply));
  }
}

void Requests::FailAll(const absl::Status& status) {
  absl::flat_hash_map<uint64_t, Answer> open;
  {
    absl::MutexLock lock(&mutex_);
    failed_ = status;
    open.swap(open_);
  }
  for (const auto& [request, answer] : open) answer(Reply{.request = request, .status = status});
}

Requests::Answer Requests::Take(uint64_t request) {
  absl::MutexLock lock(&mutex_);
  const auto found = open_.find(request);
  if (found == open_.end()) return nullptr;
  Answer answer = std::move(found->second);
  open_.erase(found);
  return answer;
}

}  // namespace bue::hub
