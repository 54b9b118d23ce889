// JSON for values, for people and programs outside: `bue get`, pages, JSON cells of SQL tables. And
// values for JSON, of which PostgreSQL's json columns are made.
//
// What JSON lacks is written so that it can be read:
//   NaN, infinities    null                       (no JSON reader must take anything else)
//   int of any size    a number; over 4 KiB of bits, the string "0x…"
//   bytes              {"$bytes": "base64"}
//   datetime           "2024-01-02T03:04:05.000006+01:00", naive ones without the offset
//   date, time         "2024-01-02", "03:04:05"
//   timedelta          its seconds, a number exact to the microsecond
//   Decimal, UUID      their text, a string
//   set, frozenset, tuple   a list, in the order it was stored
//   pickled objects    {"$pickle": size in bytes}
//   other extensions   {"$ext": code, "bytes": size in bytes}
// Keys that are no strings become the text of their JSON: 1 is "1", None is "null", True is "true".
// Strings keep their characters; lone surrogates become \udXXX, other bytes that are no UTF-8
// become U+FFFD.
//
// Stateless.
#ifndef BUE_COMMON_VALUE_JSON_H_
#define BUE_COMMON_VALUE_JSON_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace bue::value {

struct JsonOptions {
  // About how much to write. What is left out is replaced by "…" (a string that is cut ends so),
  // and the text is complete JSON all the same.
  uint64_t bytes_max = UINT64_MAX;
  // Objects that only Python can read are an error instead of {"$pickle": …}.
  bool refuse_pickles = false;
};

struct JsonResult {
  bool truncated = false;
};

// Appends the JSON of one value. On an error (broken bytes, deeper than kDepthMax) *out holds a
// part.
absl::Status AppendJson(absl::string_view value, const JsonOptions& options, std::string* out,
                        JsonResult* result = nullptr);

// Appends the JSON list of values that lie one after the other, as in a LIST object of the bucket.
absl::Status AppendJsonOfElements(absl::string_view elements, const JsonOptions& options,
                                  std::string* out, JsonResult* result = nullptr);

// Appends a JSON string with its quotes.
void AppendJsonString(absl::string_view text, std::string* out);

// Appends the value of a JSON text. Ints keep all digits, other numbers become floats; of equal
// keys all are kept, and readers take the last.
absl::Status AppendValueOfJson(absl::string_view json, std::string* out);

}  // namespace bue::value

#endif  // BUE_COMMON_VALUE_JSON_H_
