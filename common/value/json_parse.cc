// JSON text to MessagePack, see json.h. Headers need counts that are known only at the end of an
// array or object, so each is put in front of its elements then.
// Stateless.
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/value/json.h"
#include "common/value/reader.h"
#include "common/value/writer.h"
#include "nlohmann/json.hpp"

namespace bue::value {
namespace {

class Builder {
 public:
  using Json = nlohmann::json;

  explicit Builder(std::string* out) : out_(out), writer_(out) {}

  const std::string& problem() const { return problem_; }

  // What nlohmann's parser calls; false stops it.
  bool null() {
    writer_.Nil();
    return Count();
  }
  bool boolean(bool value) {
    writer_.Bool(value);
    return Count();
  }
  bool number_integer(Json::number_integer_t value) {
    writer_.Int(value);
    return Count();
  }
  bool number_unsigned(Json::number_unsigned_t value) {
    writer_.Uint(value);
    return Count();
  }
  // Also called for ints beyond 64 bits.
  bool number_float(Json::number_float_t value, const Json::string_t& text) {
    const bool is_int = text.find_first_not_of("-0123456789") == std::string::npos;
    if (!is_int || !writer_.IntegerText(text)) writer_.Double(value);
    return Count();
  }
  bool string(Json::string_t& text) {
    writer_.String(text);
    return Count();
  }
  bool binary(Json::binary_t&) { return false; }  // JSON text has none.
  bool start_object(size_t) { return Open(); }
  bool key(Json::string_t& text) {
    writer_.String(text);
    return true;
  }
  bool end_object() { return Close(&Writer::MapHeader); }
  bool start_array(size_t) { return Open(); }
  bool end_array() { return Close(&Writer::ArrayHeader); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) {
    problem_ = error.what();
    return false;
  }

 private:
  struct Level {
    size_t start = 0;
    uint32_t count = 0;
  };

  bool Count() {
    if (!levels_.empty()) ++levels_.back().count;
    return true;
  }
  bool Open() {
    if (levels_.size() >= static_cast<size_t>(kDepthMax)) {
      problem_ = absl::StrCat("it is nested deeper than ", kDepthMax, " levels");
      return false;
    }
    levels_.push_back({.start = out_->size()});
    return true;
  }
  bool Close(void (Writer::*header)(uint32_t)) {
    const Level level = levels_.back();
    levels_.pop_back();
    std::string bytes;
    Writer header_writer(&bytes);
    (header_writer.*header)(level.count);
    out_->insert(level.start, bytes);
    return Count();
  }

  std::string* const out_;
  Writer writer_;
  std::vector<Level> levels_;
  std::string problem_;
};

}  // namespace

absl::Status AppendValueOfJson(absl::string_view json, std::string* out) {
  const size_t start = out->size();
  Builder builder(out);
  if (nlohmann::json::sax_parse(json.begin(), json.end(), &builder)) return absl::OkStatus();
  out->resize(start);
  return absl::InvalidArgumentError(absl::StrCat("not JSON: ", builder.problem()));
}

}  // namespace bue::value
