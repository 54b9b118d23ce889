// What the store's rows are called, and the programs in them. Keys sort as their numbers do, so
// that a run's rows lie together and its turns in order.
//
// Pure functions.
#ifndef BUE_HUB_STORAGE_ROWS_H_
#define BUE_HUB_STORAGE_ROWS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/program/program.h"

namespace bue::hub {

// First byte of a key outside the journal. After it comes the run's number and, where there is one,
// the turn's.
enum Row : char {
  kMeta = 'm',
  kRun = 'r',
  kState = 's',
  kBlock = 'b',
  kErrors = 'e',
  kLogs = 'l',
  kFile = 'f',
};
// Eight bytes, the highest first.
std::string BigEndian(uint64_t number);
uint64_t FromBigEndian(absl::string_view bytes);

std::string RowKey(Row row, uint64_t run);
std::string TurnKey(Row row, uint64_t run, uint64_t turn);
std::string FileKey(absl::string_view sha256);
uint64_t RunOfKey(absl::string_view key);  // Of any key that begins as RowKey does; else 0.

// Reads stored programs; those of runs that were uploaded alike are kept once.
class ProgramParser {
 public:
  absl::StatusOr<std::shared_ptr<const Program>> Parse(const std::string& bytes);

 private:
  absl::flat_hash_map<std::string, std::shared_ptr<const Program>> programs_;  // By hash.
};

}  // namespace bue::hub

#endif  // BUE_HUB_STORAGE_ROWS_H_
