// Telling of tasks and items that come to their end (see turn_history.h).
#include "absl/strings/str_cat.h"
#include "hub/scheduler/scheduler_impl.h"

namespace bue::hub {

// Before the change that ends the task. Its lease has just ended.
void Scheduler::Impl::NoteTaskEnd(const Run& run, const Item& item, uint32_t v,
                                  HistoryEvent::End end, uint64_t address) {
  const Instance& instance = *item.instance;
  const RunGraph::Vertex& info = run.graph().vertex(instance.region, v);
  TurnHistory& history = effects_->record.history;
  const bool is_result = end == HistoryEvent::End::kSucceeded && info.final;
  history.events.push_back(
      HistoryEvent{.run = run.number(),
                   .instance = instance.id,
                   .item = instance.region == 0 ? info.unit : item.index,
                   .node = info.index,
                   .attempts = item.vertices[v].attempts + 1,
                   .task = end,
                   .is_result = is_result,
                   .address = is_result ? address : 0,
                   .prefix = history.PrefixFor(run.number(), instance.id, instance.prefix),
                   .queued_us = attempt_.queued_us,
                   .started_us = attempt_.started_us,
                   .ended_us = now_us_});
}

void Scheduler::Impl::OnUnitEnded(Run* run, const Item& item, uint32_t unit,
                                  const UnitState& state) {
  const Instance& instance = *item.instance;
  const uint64_t index = instance.region == 0 ? unit : item.index;
  const HistoryEvent::End end = state.failed     ? HistoryEvent::End::kFailed
                                : state.filtered ? HistoryEvent::End::kFiltered
                                                 : HistoryEvent::End::kSucceeded;
  TurnHistory& history = effects_->record.history;
  if (!history.empty()) {
    // Mostly with its last task.
    HistoryEvent& last = history.events.back();
    if (last.run == run->number() && last.instance == instance.id && last.item == index &&
        last.item_end == HistoryEvent::End::kNone) {
      last.item_end = end;
      return;
    }
  }
  history.events.push_back(
      HistoryEvent{.run = run->number(),
                   .instance = instance.id,
                   .item = index,
                   .item_end = end,
                   .prefix = history.PrefixFor(run->number(), instance.id, instance.prefix),
                   .ended_us = now_us_});
}

void Scheduler::Impl::Handle(QueryProgram& command) {
  const Run* run = FindRun(command.run);
  if (run == nullptr) {
    return Answer(command.request, NoRun(command.run), Done{});
  }
  Answer(command.request, absl::OkStatus(), RunProgram{run->graph().shared_program()});
}

}  // namespace bue::hub
