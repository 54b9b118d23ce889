// Reader walks MessagePack in place: nothing is copied, strings are views into the data. It stays
// inside the data whatever the bytes are; after the first fault it reads nothing more.
//
//   Reader reader(bytes);
//   Token token;
//   while (reader.Read(&token)) …      // Headers of arrays and maps are tokens of their own.
//   RETURN_IF_ERROR(reader.status());  // OK if the data ended between two tokens.
//
// Strings are opaque bytes: a Python str with lone surrogates is not valid UTF-8. Readers that
// recurse must stop at kDepthMax; Read and Skip themselves do not recurse.
//
// Not thread-safe. The data outlives the reader and the tokens.
#ifndef BUE_COMMON_VALUE_READER_H_
#define BUE_COMMON_VALUE_READER_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace bue::value {

// Values nested deeper are refused; the packers of Python's msgpack stop at 511.
inline constexpr int kDepthMax = 512;

enum class Type : uint8_t {
  kNil,
  kBool,
  kInt,   // Fits int64_t.
  kUint,  // Above INT64_MAX.
  kDouble,
  kString,
  kBytes,
  kArray,  // Header: `count` elements follow.
  kMap,    // Header: `count` pairs of key and value follow.
  kExt,    // See extensions.h for the codes.
};

struct Token {
  Type type = Type::kNil;
  int8_t ext = 0;      // kExt
  uint32_t count = 0;  // kArray, kMap
  union {
    bool boolean;
    int64_t integer = 0;
    uint64_t natural;
    double real;
  };
  absl::string_view bytes;  // kString, kBytes, kExt (the payload)
};

class Reader final {
 public:
  explicit Reader(absl::string_view data)
      : begin_(data.data()), at_(begin_), end_(begin_ + data.size()) {}

  // The next token. False at the end of the data and after a fault.
  bool Read(Token* token);

  // Passes one whole value. False at the end of the data and after a fault.
  bool Skip();

  // Passes `prefix` if the data goes on with it.
  bool SkipPrefix(absl::string_view prefix);

  bool AtEnd() const { return at_ == end_; }
  size_t offset() const { return at_ - begin_; }
  absl::string_view rest() const { return {at_, static_cast<size_t>(end_ - at_)}; }
  // What was read since `offset`.
  absl::string_view Since(size_t offset) const {
    return {begin_ + offset, this->offset() - offset};
  }

  // InvalidArgument names the fault and where it is.
  absl::Status status() const;

 private:
  bool ReadLong(uint8_t head, Token* token);
  bool TakeBytes(uint64_t size, absl::string_view* bytes);
  bool CheckCount(uint64_t values);
  template <typename T>
  bool TakeNumber(T* number);
  bool Fail(const char* fault);

  const char* begin_;
  const char* at_;
  const char* end_;
  const char* fault_ = nullptr;
};

// OK if `data` is exactly one value (or, with `elements`, a row of them) nested at most kDepthMax.
absl::Status Validate(absl::string_view data, bool elements = false);

// How Python calls the type of a token: "None", "int", "list", "datetime", …
absl::string_view PythonTypeName(const Token& token);

}  // namespace bue::value

#endif  // BUE_COMMON_VALUE_READER_H_
