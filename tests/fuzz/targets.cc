#include "tests/fuzz/target.h"

namespace bue::fuzz {
namespace {

const Target* const kAll[] = {&kGrants, &kProgram, &kRecord, &kRunState,
                              &kRunner, &kScript,  &kValue,  &kWorkerStream};

}  // namespace

absl::Span<const Target* const> AllTargets() { return kAll; }

const Target* FindTarget(absl::string_view name) {
  for (const Target* target : kAll) {
    if (target->name == name) return target;
  }
  return nullptr;
}

}  // namespace bue::fuzz
