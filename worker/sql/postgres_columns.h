// PostgreSQL columns for the columns of a Table, without loss. What the cells of all rows are
// (None fits everything) decides the type:
//
//   bool                     boolean
//   int within 64 bits       bigint
//   float                    double precision
//   int and float            double precision if no int is beyond 2^53, else numeric
//   larger ints, Decimal     numeric, with any numbers beside them
//   bool and numbers         as if True were 1 and False 0, as in Python
//   str                      text
//   bytes                    bytea
//   datetime                 timestamptz with an offset (the instant is kept, not the zone),
//   timestamp
//                            without; dates among the latter are their midnights
//   date, timedelta, UUID    date, interval, uuid
//   time                     time without an offset, timetz with
//   list, dict, set          jsonb
//   nothing but None         text
//   anything else mixed      text: str as it is, bytes as \x and hexadecimal digits, other cells as
//                            their str(), list, dict and set as JSON
//
// Stateless.
#ifndef BUE_WORKER_SQL_POSTGRES_COLUMNS_H_
#define BUE_WORKER_SQL_POSTGRES_COLUMNS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "worker/sql/cells.h"

namespace bue::worker {

enum class PostgresType : uint8_t {
  kBoolean,
  kBigInt,
  kDouble,
  kNumeric,
  kText,
  kBytea,
  kTimestamp,
  kTimestamptz,
  kDate,
  kTime,
  kTimetz,
  kInterval,
  kUuid,
  kJsonb,
};

// `kinds` is a set of CellKinds.
PostgresType PostgresTypeFor(uint32_t kinds);

// As in CREATE TABLE.
absl::string_view PostgresTypeName(PostgresType type);

// Appends the cell as a field of COPY's text format. InvalidArgument for foreign objects.
absl::Status AppendCopyField(const Cell& cell, PostgresType type, std::string* out);

}  // namespace bue::worker

#endif  // BUE_WORKER_SQL_POSTGRES_COLUMNS_H_
