// Values of PostgreSQL's results, from its text format:
//
//   boolean                       bool
//   smallint, integer, bigint, oid   int
//   real, double precision        float
//   numeric                       Decimal
//   bytea                         bytes
//   date, time, timetz            date, time
//   timestamp, timestamptz        datetime, the latter with the offset of the session's time zone
//   interval                      timedelta; a month is 30 days, a year 365
//   uuid                          UUID
//   json, jsonb                   what the JSON says; ints keep their digits
//   arrays of these and of text   list (of lists, with more dimensions)
//   any other type                str, as PostgreSQL writes it
//
// So does what Python has no value for: infinity, years beyond 9999 or before 1.
// Stateless.
#ifndef BUE_WORKER_SQL_POSTGRES_VALUES_H_
#define BUE_WORKER_SQL_POSTGRES_VALUES_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace bue::worker {

// What a transaction sets so that its text is understood.
inline constexpr char kPostgresSettings[] =
    "SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = postgres; "
    "SET LOCAL bytea_output = hex; SET LOCAL extra_float_digits = 1;";

// Appends the value of a field that is not NULL. `type` is the OID of its type.
void AppendPostgresValue(uint32_t type, absl::string_view text, std::string* out);

}  // namespace bue::worker

#endif  // BUE_WORKER_SQL_POSTGRES_VALUES_H_
