#include "common/lang/call_order.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace bue::lang {
namespace {

// Something that happens: a call, a loop's beginning, a loop's end.
struct Vertex {
  enum class Kind : uint8_t { kCall, kLoopBegin, kLoopEnd };
  Kind kind = Kind::kCall;
  uint32_t index = 0;
};

std::vector<Begin> TextOrder(const SyntaxTree& tree) {
  std::vector<Begin> order;
  order.reserve(tree.calls.size() + tree.loops.size());
  for (const Event& event : tree.events) {
    if (event.kind == Event::Kind::kCall) order.push_back({false, event.index});
    if (event.kind != Event::Kind::kEnterLoop) continue;
    if (tree.loops[event.index].call != kNone)
      order.push_back({false, tree.loops[event.index].call});
    order.push_back({true, event.index});
  }
  return order;
}

// Depth first, from the first line to the last: what a vertex needs comes before it. Not recursive,
// since a chain may be as long as the script.
class DepthFirstOrder {
 public:
  DepthFirstOrder(const SyntaxTree& tree, const Resolution& resolution,
                  const Definitions& definitions, Report* report)
      : tree_(tree),
        resolution_(resolution),
        definitions_(definitions),
        report_(*report),
        members_(tree.loops.size()),
        states_(tree.calls.size() + 2 * tree.loops.size()) {}

  std::vector<Begin> Order() {
    CollectMembers();
    for (const Vertex vertex : top_) Visit(vertex);
    return std::move(order_);
  }

 private:
  enum class State : uint8_t { kNew, kOpen, kDone };
  struct Frame {
    Vertex vertex;
    std::vector<Vertex> needs;
    size_t next = 0;
  };

  size_t Id(Vertex v) const {
    switch (v.kind) {
      case Vertex::Kind::kCall:
        return v.index;
      case Vertex::Kind::kLoopBegin:
        return tree_.calls.size() + v.index;
      case Vertex::Kind::kLoopEnd:
        return tree_.calls.size() + tree_.loops.size() + v.index;
    }
    return 0;
  }

  // Fills what each loop's body, and the top, consist of. A loop in it counts with its end.
  void CollectMembers() {
    std::vector<uint32_t> inside;
    for (const Event& event : tree_.events) {
      if (event.kind == Event::Kind::kLeaveLoop) inside.pop_back();
      const Vertex member = event.kind == Event::Kind::kCall
                                ? Vertex{Vertex::Kind::kCall, event.index}
                                : Vertex{Vertex::Kind::kLoopEnd, event.index};
      std::vector<Vertex>& members = inside.empty() ? top_ : members_[inside.back()];
      if (event.kind == Event::Kind::kCall || event.kind == Event::Kind::kLeaveLoop) {
        members.push_back(member);
      }
      if (event.kind == Event::Kind::kEnterLoop) inside.push_back(event.index);
    }
  }

  // The loop whose end `level` waits for when it uses a value bound in `bound`; kNone if the level
  // is inside of it all.
  uint32_t FanInLoop(uint32_t bound, uint32_t level) const {
    uint32_t loop = kNone;
    while (!definitions_.Encloses(bound, level)) {
      loop = tree_.levels[bound].loop;
      bound = tree_.levels[bound].parent;
    }
    return loop;
  }

  void AddValue(ValueRef value, uint32_t level, std::vector<Vertex>* needs) const {
    if (value.kind != ValueRef::Kind::kCall) return;
    const uint32_t loop = FanInLoop(tree_.calls[value.index].level, level);
    needs->push_back(loop == kNone ? Vertex{Vertex::Kind::kCall, value.index}
                                   : Vertex{Vertex::Kind::kLoopEnd, loop});
  }

  void AddLevel(uint32_t level, std::vector<Vertex>* needs) const {
    const uint32_t loop = tree_.levels[level].loop;
    if (loop != kNone) needs->push_back({Vertex::Kind::kLoopBegin, loop});
  }

  std::vector<Vertex> Needs(Vertex vertex) const {
    std::vector<Vertex> needs;
    switch (vertex.kind) {
      case Vertex::Kind::kCall: {
        const Call& call = tree_.calls[vertex.index];
        AddLevel(call.level, &needs);
        for (uint32_t i = call.arguments_begin; i < call.arguments_end; ++i) {
          AddValue(resolution_.arguments[i], call.level, &needs);
        }
        break;
      }
      case Vertex::Kind::kLoopBegin: {
        const Loop& loop = tree_.loops[vertex.index];
        AddLevel(loop.parent_level, &needs);
        if (loop.call != kNone) needs.push_back({Vertex::Kind::kCall, loop.call});
        AddValue(resolution_.loops[vertex.index].value, loop.parent_level, &needs);
        break;
      }
      case Vertex::Kind::kLoopEnd:
        needs = members_[vertex.index];
        needs.insert(needs.begin(), {Vertex::Kind::kLoopBegin, vertex.index});
        break;
    }
    return needs;
  }

  void Visit(Vertex root) {
    Open(root);
    while (!stack_.empty()) {
      Frame& frame = stack_.back();
      if (frame.next < frame.needs.size()) {
        Open(frame.needs[frame.next++]);
      } else {
        Close(frame.vertex);
        stack_.pop_back();
      }
    }
  }

  void Open(Vertex vertex) {
    State& state = states_[Id(vertex)];
    if (state == State::kOpen) ReportCycle(vertex);
    if (state != State::kNew) return;
    state = State::kOpen;
    stack_.push_back({vertex, Needs(vertex)});
  }

  void Close(Vertex vertex) {
    states_[Id(vertex)] = State::kDone;
    if (vertex.kind == Vertex::Kind::kLoopEnd) return;
    order_.push_back({vertex.kind == Vertex::Kind::kLoopBegin, vertex.index});
  }

  std::string Describe(Vertex vertex) const {
    if (vertex.kind != Vertex::Kind::kCall) {
      const Loop& loop = tree_.loops[vertex.index];
      return absl::StrCat("the loop in line ", loop.at.line);
    }
    const Call& call = tree_.calls[vertex.index];
    if (call.value == kNoName) return absl::StrCat("the call in line ", call.line);
    return absl::StrCat("'", tree_.names.Text(call.value), "' (line ", call.line, ")");
  }

  Position PositionOf(Vertex vertex) const {
    if (vertex.kind != Vertex::Kind::kCall) return tree_.loops[vertex.index].at;
    return {tree_.calls[vertex.index].line, tree_.calls[vertex.index].byte};
  }

  // `again` is needed by what is on top of the stack and lies further below in it.
  void ReportCycle(Vertex again) {
    constexpr size_t kNamed = 6;
    size_t begin = stack_.size();
    while (Id(stack_[--begin].vertex) != Id(again)) {
    }
    std::string text = Describe(again);
    for (size_t i = begin + 1; i < stack_.size(); ++i) {
      if (Describe(stack_[i].vertex) == Describe(stack_[i - 1].vertex)) continue;
      if (i - begin < kNamed)
        absl::StrAppend(&text, " needs ", Describe(stack_[i].vertex), ", which");
      if (i - begin == kNamed) absl::StrAppend(&text, " needs more, which");
    }
    report_.Error(PositionOf(again),
                  absl::StrCat("values need each other: ", text, " needs ", Describe(again)),
                  "a value means its nearest binding above, else the first one below");
  }

  const SyntaxTree& tree_;
  const Resolution& resolution_;
  const Definitions& definitions_;
  Report& report_;
  std::vector<Vertex> top_;
  std::vector<std::vector<Vertex>> members_;  // Per loop.
  std::vector<State> states_;                 // By Id.
  std::vector<Frame> stack_;
  std::vector<Begin> order_;
};

}  // namespace

std::vector<Begin> OrderCalls(const SyntaxTree& tree, const Resolution& resolution,
                              const Definitions& definitions, Report* report) {
  std::vector<Begin> order = resolution.in_text_order
                                 ? TextOrder(tree)
                                 : DepthFirstOrder(tree, resolution, definitions, report).Order();
  order.erase(
      std::remove_if(order.begin(), order.end(),
                     [&](Begin begin) { return !begin.is_loop && tree.calls[begin.index].broken; }),
      order.end());
  return order;
}

}  // namespace bue::lang
