// Program <-> bue.v1.Program. FromProto checks everything that the hub relies on (indices in range,
// parents before children, inputs before consumers), so that a Program from the wire is as sound
// as one from the compiler; the error names the first thing wrong.
#ifndef BUE_COMMON_PROGRAM_PROGRAM_CODEC_H_
#define BUE_COMMON_PROGRAM_PROGRAM_CODEC_H_

#include "absl/status/statusor.h"
#include "bue/v1/program.pb.h"
#include "common/program/program.h"

namespace bue {

void ToProto(const Program& program, v1::Program* out);
void ToProto(const Step& step, v1::Step* out);
void ToProto(const File& file, v1::File* out);

absl::StatusOr<Program> FromProto(const v1::Program& proto);
absl::StatusOr<Step> FromProto(const v1::Step& proto);
File FromProto(const v1::File& proto);

}  // namespace bue

#endif  // BUE_COMMON_PROGRAM_PROGRAM_CODEC_H_
