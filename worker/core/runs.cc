#include "worker/core/runs.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/program/program_codec.h"

namespace bue::worker {
namespace {

bool NamesFunction(const std::vector<Step>& steps, absl::string_view function) {
  return std::any_of(steps.begin(), steps.end(), [&](const Step& step) {
    return step.language == Language::kPython && step.relation == std::string(function);
  });
}

}  // namespace

const Step* Runs::FindStep(uint64_t run, uint32_t step) const {
  const auto found = runs_.find(run);
  if (found == runs_.end() || step >= found->second.steps.size()) return nullptr;
  return &found->second.steps[step];
}

void Runs::Add(const v1::RunInfo& proto) {
  const auto [place, is_new] = runs_.try_emplace(proto.run());
  if (!is_new) return;  // After a reconnect: a run never changes.
  Info& info = place->second;
  info.script = proto.script();
  for (const v1::Step& step : proto.steps()) {
    absl::StatusOr<Step> parsed = FromProto(step);
    if (!parsed.ok()) {
      info.status = parsed.status();
      return;
    }
    info.steps.push_back(*std::move(parsed));
  }
  for (const v1::File& file : proto.files()) info.files.push_back(FromProto(file));
  if (info.files.empty()) {
    MakeSteps(proto.run(), &info);
  } else {
    Fetch(proto.run(), &info);
  }
}

void Runs::Load(StartBatch batch) {
  const uint64_t run = batch.group->run;
  const auto found = runs_.find(run);
  if (found == runs_.end()) {
    listener_->OnStepFailed(
        batch, absl::InternalError(absl::StrCat("the hub granted a task of run r", run,
                                                " without saying what its steps are")));
    return;
  }
  Info& info = found->second;
  if (!info.status.ok()) {
    listener_->OnStepFailed(batch, info.status);
  } else if (!info.loaded.empty()) {
    Hand(batch, info);
  } else {
    info.waiting.push_back(std::move(batch));
    if (!info.fetching) Fetch(run, &info);
  }
}

void Runs::Forget(uint64_t run) {
  const auto found = runs_.find(run);
  if (found == runs_.end()) return;
  if (!found->second.directory.empty()) files_->Release(found->second.directory);
  const std::vector<StartBatch> waiting = std::move(found->second.waiting);
  runs_.erase(found);
  for (const StartBatch& batch : waiting) {
    listener_->OnStepFailed(batch, absl::CancelledError("its run has ended"));
  }
}

std::vector<uint64_t> Runs::ForgetUnless(const std::function<bool(uint64_t)>& keep) {
  std::vector<uint64_t> forgotten;
  for (const auto& [run, info] : runs_) {
    if (!keep(run)) forgotten.push_back(run);
  }
  for (const uint64_t run : forgotten) Forget(run);
  return forgotten;
}

void Runs::Fetch(uint64_t run, Info* info) {
  info->fetching = true;
  files_->Acquire(info->files, [this, run](absl::StatusOr<std::string> directory) {
    OnFiles(run, std::move(directory));
  });
}

void Runs::OnFiles(uint64_t run, absl::StatusOr<std::string> directory) {
  const auto found = runs_.find(run);
  if (found == runs_.end() || !found->second.fetching) {  // Forgotten meanwhile.
    if (directory.ok()) files_->Release(*directory);
    return;
  }
  Info& info = found->second;
  info.fetching = false;
  const std::vector<StartBatch> waiting = std::move(info.waiting);
  info.waiting.clear();
  if (!directory.ok()) {  // The next batch tries again.
    for (const StartBatch& batch : waiting) listener_->OnStepFailed(batch, directory.status());
    return;
  }
  info.directory = *std::move(directory);
  MakeSteps(run, &info);
  for (const StartBatch& batch : waiting) Hand(batch, info);
}

void Runs::MakeSteps(uint64_t run, Info* info) {
  const bool start_is_step = NamesFunction(info->steps, "start");
  const bool finalize_is_step = NamesFunction(info->steps, "finalize");
  for (uint32_t i = 0; i < info->steps.size(); ++i) {
    auto loaded = std::make_shared<LoadedStep>();
    loaded->run = run;
    loaded->index = i;
    loaded->step = info->steps[i];
    loaded->script = info->script;
    loaded->files_dir = info->directory;
    loaded->start_is_step = start_is_step;
    loaded->finalize_is_step = finalize_is_step;
    if (loaded->step.file < info->files.size()) {
      loaded->path = PlaceOf(info->files[loaded->step.file].path);
    }
    info->loaded.push_back(std::move(loaded));
  }
}

void Runs::Hand(const StartBatch& batch, const Info& info) {
  if (batch.group->step < info.loaded.size()) {
    listener_->OnStepReady(batch, info.loaded[batch.group->step]);
    return;
  }
  listener_->OnStepFailed(
      batch, absl::InternalError(absl::StrCat("the hub granted a task of step ", batch.group->step,
                                              " of run r", batch.group->run, ", which has only ",
                                              info.loaded.size(), " steps")));
}

}  // namespace bue::worker
