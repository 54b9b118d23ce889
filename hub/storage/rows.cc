#include "hub/storage/rows.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "bue/v1/program.pb.h"
#include "common/program/program_codec.h"
#include "common/sha256.h"
#include "common/status_macros.h"

namespace bue::hub {

std::string BigEndian(uint64_t number) {
  std::string bytes(8, '\0');
  for (int i = 7; i >= 0; --i, number >>= 8) bytes[i] = static_cast<char>(number);
  return bytes;
}

uint64_t FromBigEndian(absl::string_view bytes) {
  uint64_t number = 0;
  for (size_t i = 0; i < 8 && i < bytes.size(); ++i) {
    number = number << 8 | static_cast<uint8_t>(bytes[i]);
  }
  return number;
}

std::string RowKey(Row row, uint64_t run) { return std::string(1, row) + BigEndian(run); }

std::string TurnKey(Row row, uint64_t run, uint64_t turn) {
  return RowKey(row, run) + BigEndian(turn);
}

std::string FileKey(absl::string_view sha256) {
  return absl::StrCat(std::string(1, kFile), sha256);
}

uint64_t RunOfKey(absl::string_view key) {
  return key.size() < 9 ? 0 : FromBigEndian(key.substr(1, 8));
}

absl::StatusOr<std::shared_ptr<const Program>> ProgramParser::Parse(const std::string& bytes) {
  std::shared_ptr<const Program>& known = programs_[Sha256(bytes)];
  if (known != nullptr) return known;
  v1::Program proto;
  if (!proto.ParseFromString(bytes)) return absl::DataLossError("its program is damaged");
  ASSIGN_OR_RETURN(Program program, FromProto(proto));
  known = std::make_shared<const Program>(std::move(program));
  return known;
}

}  // namespace bue::hub
