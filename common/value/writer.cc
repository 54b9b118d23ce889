// See writer.h.
// Not thread-safe.
#include "common/value/writer.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "absl/strings/numbers.h"
#include "common/check.h"
#include "common/value/text.h"

namespace bue::value {
namespace {

void PutOffset(const Time& time, Writer* writer) {
  if (!time.aware) return writer->Nil();
  if (time.offset_us % 1000000 == 0) return writer->Int(time.offset_us / 1000000);
  writer->Double(static_cast<double>(time.offset_us) / 1e6);
}

}  // namespace

void Writer::Head(uint8_t head, uint64_t number, int bytes) {
  static_assert(std::endian::native == std::endian::little);
  char buffer[9];
  buffer[0] = static_cast<char>(head);
  const uint64_t big_endian = __builtin_bswap64(number << (64 - 8 * bytes));
  std::memcpy(buffer + 1, &big_endian, sizeof(big_endian));
  out_->append(buffer, 1 + bytes);
}

void Writer::Int(int64_t integer) {
  if (integer >= 0) return Uint(integer);
  if (integer >= -32) return out_->push_back(static_cast<char>(integer));
  if (integer >= INT8_MIN) return Head(0xd0, integer, 1);
  if (integer >= INT16_MIN) return Head(0xd1, integer, 2);
  if (integer >= INT32_MIN) return Head(0xd2, integer, 4);
  Head(0xd3, integer, 8);
}

void Writer::Uint(uint64_t natural) {
  if (natural <= 0x7f) return out_->push_back(static_cast<char>(natural));
  if (natural <= UINT8_MAX) return Head(0xcc, natural, 1);
  if (natural <= UINT16_MAX) return Head(0xcd, natural, 2);
  if (natural <= UINT32_MAX) return Head(0xce, natural, 4);
  Head(0xcf, natural, 8);
}

void Writer::Double(double real) { Head(0xcb, std::bit_cast<uint64_t>(real), 8); }

void Writer::String(absl::string_view string) {
  const size_t size = string.size();
  CHECK(size <= UINT32_MAX);
  if (size <= 31) {
    out_->push_back(static_cast<char>(0xa0 | size));
  } else if (size <= UINT8_MAX) {
    Head(0xd9, size, 1);
  } else if (size <= UINT16_MAX) {
    Head(0xda, size, 2);
  } else {
    Head(0xdb, size, 4);
  }
  out_->append(string.data(), size);
}

void Writer::Bytes(absl::string_view bytes) {
  const size_t size = bytes.size();
  CHECK(size <= UINT32_MAX);
  if (size <= UINT8_MAX) {
    Head(0xc4, size, 1);
  } else if (size <= UINT16_MAX) {
    Head(0xc5, size, 2);
  } else {
    Head(0xc6, size, 4);
  }
  out_->append(bytes.data(), size);
}

void Writer::ArrayHeader(uint32_t elements) {
  if (elements <= 15) return out_->push_back(static_cast<char>(0x90 | elements));
  if (elements <= UINT16_MAX) return Head(0xdc, elements, 2);
  Head(0xdd, elements, 4);
}

void Writer::MapHeader(uint32_t pairs) {
  if (pairs <= 15) return out_->push_back(static_cast<char>(0x80 | pairs));
  if (pairs <= UINT16_MAX) return Head(0xde, pairs, 2);
  Head(0xdf, pairs, 4);
}

void Writer::Extension(Ext code, absl::string_view payload) {
  const size_t size = payload.size();
  CHECK(size <= UINT32_MAX);
  if (size <= 16 && std::has_single_bit(size)) {
    out_->push_back(static_cast<char>(0xd4 + std::countr_zero(size)));
  } else if (size <= UINT8_MAX) {
    Head(0xc7, size, 1);
  } else if (size <= UINT16_MAX) {
    Head(0xc8, size, 2);
  } else {
    Head(0xc9, size, 4);
  }
  out_->push_back(static_cast<char>(code));
  out_->append(payload.data(), size);
}

void Writer::Put(const Date& date) {
  std::string payload;
  Writer writer(&payload);
  writer.ArrayHeader(3);
  for (int field : {date.year, date.month, date.day}) writer.Int(field);
  Extension(Ext::kDate, payload);
}

void Writer::Put(const Time& time) {
  std::string payload;
  Writer writer(&payload);
  writer.ArrayHeader(6);
  for (int field : {time.hour, time.minute, time.second, time.microsecond, time.fold}) {
    writer.Int(field);
  }
  PutOffset(time, &writer);
  Extension(Ext::kTime, payload);
}

void Writer::Put(const DateTime& date_time) {
  const Date& date = date_time.date;
  const Time& time = date_time.time;
  std::string payload;
  Writer writer(&payload);
  writer.ArrayHeader(10);
  for (int field : {date.year, date.month, date.day, time.hour, time.minute, time.second,
                    time.microsecond, time.fold}) {
    writer.Int(field);
  }
  PutOffset(time, &writer);
  if (date_time.zone.empty()) {
    writer.Nil();
  } else {
    writer.String(date_time.zone);
  }
  Extension(Ext::kDateTime, payload);
}

void Writer::Put(const TimeDelta& delta) {
  std::string payload;
  Writer writer(&payload);
  writer.ArrayHeader(3);
  for (int64_t field : {delta.days, delta.seconds, delta.microseconds}) writer.Int(field);
  Extension(Ext::kTimeDelta, payload);
}

bool Writer::IntegerText(absl::string_view digits) {
  int64_t integer = 0;
  uint64_t natural = 0;
  if (absl::SimpleAtoi(digits, &integer)) {
    Int(integer);
  } else if (absl::SimpleAtoi(digits, &natural)) {
    Uint(natural);
  } else {
    std::string big;
    if (!BigIntFromText(digits, &big)) return false;
    Extension(Ext::kBigInt, big);
  }
  return true;
}

}  // namespace bue::value
