// What tests of SQL steps share: inputs from JSON or packed by hand, values as JSON.
#ifndef BUE_TESTS_UNIT_SQL_SQL_TESTING_H_
#define BUE_TESTS_UNIT_SQL_SQL_TESTING_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/value/writer.h"
#include "worker/sql/sql_step.h"

namespace bue::worker {

// The MessagePack of a JSON text.
std::string FromJson(absl::string_view json);

// A list of one dict for each function, with the one key "v" and what the function writes.
std::string ListOf(const std::vector<std::function<void(value::Writer*)>>& cells);

// The value as JSON, or the error's code and message.
std::string ToJson(const absl::StatusOr<SqlResult>& result);

// A call over table "t" (and pipe1, …). `inputs` outlive it.
SqlCall CallOf(absl::string_view code, const std::vector<std::string>& inputs);

}  // namespace bue::worker

#endif  // BUE_TESTS_UNIT_SQL_SQL_TESTING_H_
