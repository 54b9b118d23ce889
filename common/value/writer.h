// Writer appends MessagePack to a string, each number and header in its shortest form, so that
// equal values have equal bytes. Whoever writes a header writes its elements next.
//
//   Writer writer(&bytes);
//   writer.MapHeader(1);
//   writer.String("at");
//   writer.Put(DateTime{…});
//
// Not thread-safe. The string outlives the writer and may be appended to by others in between.
#ifndef BUE_COMMON_VALUE_WRITER_H_
#define BUE_COMMON_VALUE_WRITER_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "common/value/extensions.h"

namespace bue::value {

class Writer final {
 public:
  explicit Writer(std::string* out) : out_(out) {}

  void Nil() { out_->push_back('\xc0'); }
  void Bool(bool boolean) { out_->push_back(boolean ? '\xc3' : '\xc2'); }
  void Int(int64_t integer);
  void Uint(uint64_t natural);
  void Double(double real);
  void String(absl::string_view string);  // At most 4 GiB, as Bytes and Extension.
  void Bytes(absl::string_view bytes);
  void ArrayHeader(uint32_t elements);
  void MapHeader(uint32_t pairs);
  void Extension(Ext code, absl::string_view payload);
  // One value, or several, already packed.
  void Raw(absl::string_view packed) { out_->append(packed.data(), packed.size()); }

  void Put(const Date& date);
  void Put(const Time& time);
  void Put(const DateTime& date_time);
  void Put(const TimeDelta& delta);
  // An int of any size from decimal digits with an optional sign. False if it is none.
  bool IntegerText(absl::string_view digits);

 private:
  void Head(uint8_t head, uint64_t number, int bytes);

  std::string* const out_;
};

}  // namespace bue::value

#endif  // BUE_COMMON_VALUE_WRITER_H_
