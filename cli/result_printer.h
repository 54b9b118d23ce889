// ResultPrinter prints lines of `bue results` to standard output, for people or as one JSON object
// a line (cli/README.md), with the values, which it fetches in batches. A line is printed once its
// value is known, or that it has none: one that cannot be read does not keep the others from it.
//
// Not thread-safe.
#ifndef BUE_CLI_RESULT_PRINTER_H_
#define BUE_CLI_RESULT_PRINTER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cli/run_times.h"
#include "cli/values.h"
#include "common/bucket_client/bucket_client.h"

namespace bue::cli {

// What became of an item: its value, or that it failed.
struct ResultLine {
  uint64_t run = 0;
  std::string step;
  std::string item;
  bool failed = false;
  std::string error;
  Json times = Json::object();  // Further fields, of JSON only.
  bool has_value = false;       // It lies at
  uint64_t address = 0;
};

class ResultPrinter {
 public:
  // `bucket` may be null: no values are printed then. Outlives the printer.
  ResultPrinter(BucketClient* bucket, bool json) : bucket_(bucket), json_(json) {}

  // An error: the bucket is away, and what follows would fail as well.
  absl::Status Add(ResultLine line);
  absl::Status Flush();

  // Of what was printed: nothing if every value was there, else how many were not, and why.
  std::string Complaint() const;

 private:
  void PrintWithout(const ResultLine& line) const;
  void NotRead(ResultLine line, const absl::Status& status);
  absl::Status PrintOne(const ResultLine& line, const absl::StatusOr<Fetched>& value);
  void PrintLine(const ResultLine& line, absl::string_view value) const;
  std::string Head(const ResultLine& line) const;
  absl::string_view Tail() const;
  bool Shortened() const;

  BucketClient* const bucket_;
  const bool json_;
  std::vector<ResultLine> lines_;
  uint64_t printed_ = 0;
  uint64_t lost_ = 0;
  uint64_t failed_ = 0;
  absl::Status first_failure_;
};

}  // namespace bue::cli

#endif  // BUE_CLI_RESULT_PRINTER_H_
