// Program <-> bue.v1.Program. FromProto checks everything that the hub relies on (indices in range,
// parents before children, inputs before consumers), so that a Program from the wire is as sound
// as one from the compiler; the error names the first thing wrong.
#ifndef BUE_COMMON_PROGRAM_PROGRAM_CODEC_H_
#define BUE_COMMON_PROGRAM_PROGRAM_CODEC_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "bue/v1/program.pb.h"
#include "common/program/program.h"

namespace bue {

void ToProto(const Program& program, v1::Program* out);
void ToProto(const Step& step, v1::Step* out);
void ToProto(const File& file, v1::File* out);

absl::StatusOr<Program> FromProto(const v1::Program& proto);
// The same for a serialized bue.v1.Program, element by element, so that no bytes whatever take more
// than about `memory_max` (of MemoryOf): InvalidArgument then.
absl::StatusOr<Program> ParseProgram(absl::string_view bytes, size_t memory_max);
// Bytes that `program` takes in memory, about.
size_t MemoryOf(const Program& program);
absl::StatusOr<Step> FromProto(const v1::Step& proto);
Region FromProto(const v1::Region& proto);
Node FromProto(const v1::Node& proto);
File FromProto(const v1::File& proto);
Binding FromProto(const v1::Binding& proto);

}  // namespace bue

#endif  // BUE_COMMON_PROGRAM_PROGRAM_CODEC_H_
