#include "hub/service/program_cache.h"

namespace bue::hub {

std::shared_ptr<const Program> ProgramCache::Find(const std::string& hash) {
  absl::MutexLock lock(&mutex_);
  const auto found = programs_.find(hash);
  return found == programs_.end() ? nullptr : found->second.lock();
}

void ProgramCache::Keep(const std::string& hash, const std::shared_ptr<const Program>& program) {
  absl::MutexLock lock(&mutex_);
  programs_[hash] = program;
  if (programs_.size() < sweep_at_) return;
  absl::erase_if(programs_, [](const auto& entry) { return entry.second.expired(); });
  sweep_at_ = 2 * programs_.size() + 64;
}

}  // namespace bue::hub
