#include "tests/simulation/plan.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/check.h"
#include "common/program/program_codec.h"
#include "common/program/refill.h"
#include "hub/scheduler/run_graph.h"
#include "tests/simulation/model.h"
#include "tests/support/program_text.h"

namespace bue::sim {
namespace {

uint64_t HashText(absl::string_view text) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
  return Mix(hash);
}

bool Hits(uint64_t hash, uint32_t percent) { return hash % 100 < percent; }

}  // namespace

Content Fold(const std::vector<Content>& elements) {
  Content hash = Mix(0x6c697374, elements.size());
  for (const Content element : elements) hash = Mix(hash, element);
  return hash;
}

Plan::Plan(std::string key, uint64_t seed, const Size& size) : key_(std::move(key)), seed_(seed) {
  Random random(seed);
  while (!Make(&random, size)) {
  }
}

// False: the calls wait for each other in a circle, or there are too many tasks.
bool Plan::Make(Random* random, const Size& size) {
  const bool big = random->Chance(size.big_percent);
  text_ =
      big ? absl::StrCat("step s0 mode=async\nloop in 0 over range:", 1024 + random->Below(1200),
                         "\nnode s0 in 1 e1\n", random->Chance(50) ? "step s1\nnode s1 0\n" : "")
          : MakeText(random, size);
  // Drawn apart, so that whoever adds to it leaves the rest as it was.
  Random crowds(Mix(seed_, 0x63726f));
  const bool crowd = !big && crowds.Chance(size.crowd_percent);
  if (crowd) text_ = MakeCrowd(&crowds);
  Random limits(Mix(seed_, 0x6c696d));
  if (limits.Chance(30)) LimitSteps(&limits);
  // These too.
  Random refills(Mix(seed_, 0x726566));
  if (!big && refills.Chance(50)) RefillSources(&refills);
  Program program = *ParseProgramText(text_);
  program.script = key_;
  PlanSteps(random, size, &program);
  Random stops(Mix(seed_, 0x73746f70));
  if (stops.Chance(50)) StopOnError(&stops, &program);
  if (big) {
    steps_[0].takes = absl::Milliseconds(5);
    steps_[0].hangs = false;
  }
  if (crowd) {
    for (StepPlan& step : steps_) {
      step.takes = crowds.Between(absl::Milliseconds(10), absl::Milliseconds(100));
      step.hangs = false;
    }
  }
  weight_ = 1 + static_cast<uint32_t>(random->Below(3));
  program_ = std::make_shared<const Program>(std::move(program));
  Random ids(Mix(seed_, 0x696473));
  gives_ids_twice_ = false;
  if (ids.Chance(30)) GiveIds(&ids);
  if (!hub::RunGraph(program_).acyclic()) return false;
  expected_ = ExpectedWith({});
  if (expected_.tasks > (big || crowd ? 3000 : size.tasks_max)) return false;
  v1::Program proto;
  ToProto(*program_, &proto);
  bytes_ = proto.SerializeAsString();
  return true;
}

std::string Plan::MakeText(Random* random, const Size& size) {
  std::string text;
  std::vector<uint32_t> region_of_node;
  std::vector<uint32_t> parent{0};
  const auto encloses = [&](uint32_t outer, uint32_t inner) {
    while (inner > outer) inner = parent[inner];
    return inner == outer;
  };
  static constexpr const char* kModes[] = {"", "", " mode=async", " sql"};
  const uint64_t parts = 2 + random->Below(9);
  const uint64_t edges = 15 + random->Below(25);
  for (uint64_t i = 0; i < parts; ++i) {
    const uint32_t region = static_cast<uint32_t>(random->Below(parent.size()));
    if (random->Chance(35) && parent.size() < 5) {
      std::vector<uint32_t> sources;
      for (uint32_t n = 0; n < region_of_node.size(); ++n) {
        if (encloses(region_of_node[n], region)) sources.push_back(n);
      }
      const std::string source = sources.empty() || random->Chance(30)
                                     ? absl::StrCat("range:", random->Below(size.range_max + 1))
                                     : absl::StrCat(sources[random->Below(sources.size())]);
      absl::StrAppend(&text, "loop in ", region, " over ", source,
                      random->Chance(25) ? absl::StrCat(" by=", 2 + random->Below(2)) : "", "\n");
      parent.push_back(region);
      continue;
    }
    absl::StrAppend(&text, "step s", i, kModes[random->Below(4)], " retries=", random->Below(4),
                    " backoff=0.2 poll=0.3");
    if (random->Chance(30)) absl::StrAppend(&text, " priority=", random->Below(3));
    if (random->Chance(20)) absl::StrAppend(&text, " scope=", random->Chance(50) ? "a" : "b");
    absl::StrAppend(&text, "\nnode s", i, " in ", region);
    for (uint32_t n = 0; n < region_of_node.size(); ++n) {
      if (random->Chance(static_cast<double>(edges))) absl::StrAppend(&text, " ", n);
    }
    for (uint32_t r = 1; r < parent.size(); ++r) {
      if (encloses(r, region) && random->Chance(60)) absl::StrAppend(&text, " e", r);
    }
    absl::StrAppend(&text, "\n");
    region_of_node.push_back(region);
  }
  return text;
}

// Mostly at the same place, so that runs compete there.
std::string Plan::MakeCrowd(Random* random) {
  const auto where = [&] {
    return absl::StrCat(random->Chance(80) ? " mode=async" : " sql", " retries=1 backoff=0.2",
                        random->Chance(15) ? " scope=a" : "",
                        random->Chance(15) ? " priority=1" : "");
  };
  std::string text =
      absl::StrCat("step s0", where(), "\nloop in 0 over range:", 60 + random->Below(200),
                   "\nnode s0 in 1 e1\n");
  if (random->Chance(40)) absl::StrAppend(&text, "step s1", where(), "\nnode s1 in 1 0\n");
  return text;
}

// Numbers of a key are the same in all plans, so that each knows what holds.
void Plan::LimitSteps(Random* random) {
  limited_ = true;
  const Program program = *ParseProgramText(text_);
  for (const Step& step : program.steps) {
    std::string limits, by;
    // Shared, or by a value that the step takes.
    const auto sharing = [&](const std::string& key) -> std::string {
      if (random->Chance(30)) return absl::StrCat("@", key);
      const std::string value = random->Chance(40) ? DrawBy(program, step.name, random) : "";
      if (value.empty()) return "";
      absl::StrAppend(&by, " ", value);
      return "%";
    };
    if (random->Chance(50)) {
      const uint64_t count = 1 + random->Below(3);
      absl::StrAppend(&limits, " max_running=", count, sharing(absl::StrCat("run", count)));
    }
    if (random->Chance(25)) absl::StrAppend(&limits, " queue=", 1 + random->Below(4));
    if (random->Chance(20)) {
      const uint64_t count = 1 + random->Below(3);
      const std::string rate = absl::StrCat(count, random->Chance(50) ? "/2" : "/0.2");
      absl::StrAppend(&limits, " rate=", rate, sharing(absl::StrCat("rate", rate)));
    }
    if (!limits.empty()) absl::StrAppend(&text_, "\nstep ", step.name, limits);
    if (!by.empty()) absl::StrAppend(&text_, "\nby ", step.name, by);
  }
}

// An input of the step's node that limits can go by; empty: it has none.
std::string Plan::DrawBy(const Program& program, const std::string& step, Random* random) {
  for (const Node& node : program.nodes) {
    if (program.steps[node.step].name != step) continue;
    std::vector<std::string> values;
    for (const Input& input : node.inputs) {
      if (input.kind == Input::Kind::kElement) {
        values.push_back(absl::StrCat("e", input.index));
      } else if (Encloses(program, program.nodes[input.index].region, node.region)) {
        values.push_back(absl::StrCat(input.index));
      }
    }
    return values.empty() ? "" : values[random->Below(values.size())];
  }
  return "";
}

// Some sources are asked again and again, where the language has it.
void Plan::RefillSources(Random* random) {
  const std::shared_ptr<const Program> before = ParseProgramText(text_);
  for (const Step& step : before->steps) {
    const std::string with = absl::StrCat(text_, "\nstep ", step.name, " refill");
    const Program program = *ParseProgramText(with);
    const auto is_source = [&](const Region& region) {
      return region.source_node != kNoNode &&
             program.steps[program.nodes[region.source_node].step].name == step.name;
    };
    if (std::none_of(program.regions.begin() + 1, program.regions.end(), is_source)) continue;
    if (random->Chance(50) && FindRefillMisuses(program).empty()) text_ = with;
  }
}

// Failures and cancels of one item race for how it ends, so most plans have only one of them.
void Plan::PlanSteps(Random* random, const Size& size, Program* program) {
  enum class Mood { kCalm, kFailing, kCancelling, kMixed };
  static constexpr Mood kMoods[] = {Mood::kCalm, Mood::kFailing, Mood::kFailing, Mood::kCancelling,
                                    Mood::kMixed};
  const Mood mood = kMoods[random->Below(5)];
  const bool may_fail = mood == Mood::kFailing || mood == Mood::kMixed;
  const bool may_cancel = mood == Mood::kCancelling || mood == Mood::kMixed;
  ends_exactly_ = mood != Mood::kMixed;
  cancels_ = may_cancel;
  resets_ = false;
  steps_.assign(program->steps.size(), StepPlan{});
  std::vector<uint32_t> node_of_step(program->steps.size());
  for (uint32_t n = 0; n < program->nodes.size(); ++n) {
    node_of_step[program->nodes[n].step] = n;
  }
  for (uint32_t s = 0; s < program->steps.size(); ++s) {
    Step& step = program->steps[s];
    StepPlan& plan = steps_[s];
    const uint32_t node = node_of_step[s];
    const bool is_source =
        std::any_of(program->regions.begin() + 1, program->regions.end(),
                    [&](const Region& region) { return region.source_node == node; });
    step.timeout_s = 2 + static_cast<double>(random->Below(4));
    plan.takes = random->Skewed(absl::ZeroDuration(), absl::Seconds(3));
    if (random->Chance(35)) {
      plan.fails = 1 + static_cast<uint32_t>(random->Below(step.retries + (may_fail ? 2 : 0)));
      if (!may_fail || random->Chance(60)) {
        plan.fails = std::min<uint32_t>(plan.fails, static_cast<uint32_t>(step.retries));
      }
      plan.fail_percent = random->Chance(50) ? 100 : 30;
      plan.hangs = random->Chance(20);
    }
    if (random->Chance(15)) {
      plan.pendings = 1 + static_cast<uint32_t>(random->Below(3));
      plan.pending_percent = random->Chance(50) ? 100 : 30;
      // Asked for ever it never ends; so it fails.
      if (may_fail && random->Chance(20)) {
        step.max_handbacks = 1 + random->Below(3);
        plan.pendings = UINT32_MAX;
      }
    }
    if (random->Chance(12)) {
      plan.resets = 1 + static_cast<uint32_t>(random->Below(2));
      plan.reset_percent = random->Chance(50) ? 100 : 30;
      resets_ = true;
    }
    if (may_cancel && random->Chance(30) &&
        (mood == Mood::kMixed || program->nodes[node].region != 0)) {
      plan.cancel_percent = random->Chance(30) ? 100 : 30;
    }
    plan.async =
        step.mode == Mode::kAuto && step.language == Language::kPython && random->Chance(25);
    if (!is_source) {
      plan.none = random->Chance(10);
      continue;
    }
    plan.streams = random->Chance(50);
    if (step.refill) {
      plan.streams = false;
      plan.resets = 0;  // Asked for again in each call, they would never end.
    }
    plan.elements_max = size.range_max + (plan.streams && random->Chance(30) ? 20 : 0);
    plan.many = random->Chance(30);
    if (plan.streams) {  // How many items begin before it fails for good is chance.
      plan.fails = std::min<uint32_t>(plan.fails, static_cast<uint32_t>(step.retries));
      plan.cancel_percent = mood == Mood::kMixed ? plan.cancel_percent : 0;
      if (plan.pendings == UINT32_MAX) plan.pendings = 1;
      step.max_handbacks = 0;
    }
  }
}

// Of those that fail for good, so that it happens.
void Plan::StopOnError(Random* random, Program* program) {
  for (uint32_t s = 0; s < steps_.size(); ++s) {
    Step& step = program->steps[s];
    const bool fails = steps_[s].fails > step.retries || steps_[s].pendings == UINT32_MAX;
    if (!random->Chance(fails ? 50 : 10)) continue;
    step.stop_on_error = true;
    absl::StrAppend(&text_, "\nstep ", step.name, " on_error=stop");
  }
}

// Where cancels decide who comes to give one, no two are alike.
void Plan::GiveIds(Random* random) {
  for (const Node& node : program_->nodes) {
    const uint32_t n = static_cast<uint32_t>(&node - program_->nodes.data());
    const bool is_source =
        std::any_of(program_->regions.begin() + 1, program_->regions.end(),
                    [&](const Region& region) { return region.source_node == n; });
    if (node.region == 0 || is_source || !random->Chance(60)) continue;
    StepPlan& plan = steps_[node.step];
    plan.ids = true;
    plan.ids_twice = !cancels_ && random->Chance(40);
    gives_ids_twice_ = gives_ids_twice_ || plan.ids_twice;
  }
}

// Of some pairs of neighbours both have the first one's.
std::string Plan::IdFor(const TaskName& task) const {
  const uint32_t s = program_->nodes[task.node].step;
  if (!steps_[s].ids) return "";
  const size_t dot = task.item.rfind('.');
  const std::string outer = dot == std::string::npos ? "" : task.item.substr(0, dot + 1);
  uint64_t index = 0;
  CHECK(absl::SimpleAtoi(task.item.substr(outer.size()), &index));
  const TaskName pair{.node = task.node, .item = absl::StrCat(outer, index - index % 2)};
  const bool same = steps_[s].ids_twice && Hits(Hash(pair, 8), 50);
  return absl::StrCat(program_->steps[s].name, "-", same ? pair.item : task.item);
}

uint64_t Plan::Hash(const TaskName& task, uint64_t salt) const {
  return Mix(Mix(seed_, salt), Mix(task.node, HashText(task.item)));
}

Expected Plan::ExpectedWith(const Steps& mended) const { return Model(this, mended).Run(); }

std::set<TaskName> Plan::Untouched(const Steps& mended, const Steps& retried) const {
  Model model(this, mended);
  model.Run();
  return model.Untouched(retried);
}

Behaviour Plan::Of(const TaskName& task, const Steps& mended) const {
  const uint32_t s = program_->nodes[task.node].step;
  const StepPlan& plan = steps_[s];
  Behaviour does;
  if (Hits(Hash(task, 1), plan.fail_percent)) does.fails = plan.fails;
  does.hangs = plan.hangs;
  if (Hits(Hash(task, 2), plan.pending_percent)) does.pendings = plan.pendings;
  if (Hits(Hash(task, 3), plan.reset_percent)) does.resets = plan.resets;
  does.cancels = Hits(Hash(task, 4), plan.cancel_percent);
  does.none = plan.none;
  does.id = IdFor(task);
  does.streams = plan.streams;
  does.elements = plan.many ? plan.elements_max : Hash(task, 5) % (plan.elements_max + 1);
  if (mended.contains(s)) {
    const Step& step = program_->steps[s];
    does.fails = std::min<uint32_t>(does.fails, static_cast<uint32_t>(step.retries));
    if (step.max_handbacks != 0 && does.handbacks() > step.max_handbacks) {
      does.pendings = does.resets = 0;
    }
  }
  does.takes = plan.takes * (0.5 + 0.01 * static_cast<double>(Hash(task, 6) % 100));
  return does;
}

Content Plan::ContentOf(const TaskName& task, const std::vector<Content>& inputs) const {
  if (steps_[program_->nodes[task.node].step].none) return kNone;
  Content hash = Hash(task, 7);
  for (const Content input : inputs) hash = Mix(hash, input);
  return hash;
}

}  // namespace bue::sim
