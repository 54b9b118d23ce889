// See reader.h.
// Not thread-safe.
#include "common/value/reader.h"

#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/value/extensions.h"

namespace bue::value {
namespace {

void SetInteger(int64_t integer, Token* token) {
  token->type = Type::kInt;
  token->integer = integer;
}

void SetNatural(uint64_t natural, Token* token) {
  token->type = natural <= INT64_MAX ? Type::kInt : Type::kUint;
  token->natural = natural;
}

template <typename T>
T FromBigEndian(const char* bytes) {
  T number;
  std::memcpy(&number, bytes, sizeof(T));
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(number);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(number);
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(number);
  return number;
}
static_assert(std::endian::native == std::endian::little);

}  // namespace

bool Reader::Fail(const char* fault) {
  if (fault_ == nullptr) fault_ = fault;
  end_ = at_;
  return false;
}

absl::Status Reader::status() const {
  if (fault_ == nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("broken MessagePack at byte ", offset(), ": ", fault_));
}

bool Reader::TakeBytes(uint64_t size, absl::string_view* bytes) {
  if (size > static_cast<uint64_t>(end_ - at_)) return Fail("the value is cut short");
  *bytes = absl::string_view(at_, size);
  at_ += size;
  return true;
}

template <typename T>
bool Reader::TakeNumber(T* number) {
  absl::string_view bytes;
  if (!TakeBytes(sizeof(T), &bytes)) return false;
  *number = FromBigEndian<T>(bytes.data());
  return true;
}

// A header cannot promise more values than there are bytes: whoever reserves room may trust it.
bool Reader::CheckCount(uint64_t values) {
  if (values > static_cast<uint64_t>(end_ - at_)) {
    return Fail("a header counts more values than there are bytes");
  }
  return true;
}

bool Reader::SkipPrefix(absl::string_view prefix) {
  const size_t size = prefix.size();
  if (size > static_cast<size_t>(end_ - at_)) return false;
  if (std::memcmp(at_, prefix.data(), size) != 0) return false;
  at_ += size;
  return true;
}

bool Reader::Read(Token* token) {
  if (at_ == end_) return false;
  const uint8_t head = static_cast<uint8_t>(*at_++);
  if (head <= 0x7f) {
    SetInteger(head, token);
    return true;
  }
  if (head >= 0xe0) {
    SetInteger(static_cast<int8_t>(head), token);
    return true;
  }
  if (head >= 0xa0 && head <= 0xbf) {
    token->type = Type::kString;
    return TakeBytes(head & 0x1f, &token->bytes);
  }
  if (head <= 0x8f) {
    token->type = Type::kMap;
    token->count = head & 0x0f;
    return CheckCount(2ull * token->count);
  }
  if (head <= 0x9f) {
    token->type = Type::kArray;
    token->count = head & 0x0f;
    return CheckCount(token->count);
  }
  return ReadLong(head, token);
}

bool Reader::ReadLong(uint8_t head, Token* token) {
  uint8_t n8 = 0;
  uint16_t n16 = 0;
  uint32_t n32 = 0;
  uint64_t n64 = 0;
  auto string = [&](uint64_t size) {
    token->type = Type::kString;
    return TakeBytes(size, &token->bytes);
  };
  auto bytes = [&](uint64_t size) {
    token->type = Type::kBytes;
    return TakeBytes(size, &token->bytes);
  };
  auto ext = [&](uint64_t size) {
    token->type = Type::kExt;
    uint8_t code = 0;
    if (!TakeNumber(&code)) return false;
    token->ext = static_cast<int8_t>(code);
    return TakeBytes(size, &token->bytes);
  };
  auto array = [&](uint32_t count) {
    token->type = Type::kArray;
    token->count = count;
    return CheckCount(count);
  };
  auto map = [&](uint32_t count) {
    token->type = Type::kMap;
    token->count = count;
    return CheckCount(2ull * count);
  };
  auto real = [&](double number) {
    token->type = Type::kDouble;
    token->real = number;
    return true;
  };
  auto integer = [&](int64_t number) {
    SetInteger(number, token);
    return true;
  };
  switch (head) {
    case 0xc0:
      token->type = Type::kNil;
      return true;
    case 0xc2:
    case 0xc3:
      token->type = Type::kBool;
      token->boolean = head == 0xc3;
      return true;
    case 0xc4:
      return TakeNumber(&n8) && bytes(n8);
    case 0xc5:
      return TakeNumber(&n16) && bytes(n16);
    case 0xc6:
      return TakeNumber(&n32) && bytes(n32);
    case 0xc7:
      return TakeNumber(&n8) && ext(n8);
    case 0xc8:
      return TakeNumber(&n16) && ext(n16);
    case 0xc9:
      return TakeNumber(&n32) && ext(n32);
    case 0xca:
      return TakeNumber(&n32) && real(std::bit_cast<float>(n32));
    case 0xcb:
      return TakeNumber(&n64) && real(std::bit_cast<double>(n64));
    case 0xcc:
      return TakeNumber(&n8) && integer(n8);
    case 0xcd:
      return TakeNumber(&n16) && integer(n16);
    case 0xce:
      return TakeNumber(&n32) && integer(n32);
    case 0xcf:
      if (!TakeNumber(&n64)) return false;
      SetNatural(n64, token);
      return true;
    case 0xd0:
      return TakeNumber(&n8) && integer(static_cast<int8_t>(n8));
    case 0xd1:
      return TakeNumber(&n16) && integer(static_cast<int16_t>(n16));
    case 0xd2:
      return TakeNumber(&n32) && integer(static_cast<int32_t>(n32));
    case 0xd3:
      return TakeNumber(&n64) && integer(static_cast<int64_t>(n64));
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
      return ext(1u << (head - 0xd4));
    case 0xd9:
      return TakeNumber(&n8) && string(n8);
    case 0xda:
      return TakeNumber(&n16) && string(n16);
    case 0xdb:
      return TakeNumber(&n32) && string(n32);
    case 0xdc:
      return TakeNumber(&n16) && array(n16);
    case 0xdd:
      return TakeNumber(&n32) && array(n32);
    case 0xde:
      return TakeNumber(&n16) && map(n16);
    case 0xdf:
      return TakeNumber(&n32) && map(n32);
    default:
      --at_;
      return Fail("0xc1 begins no value");
  }
}

bool Reader::Skip() {
  if (AtEnd()) return false;
  Token token;
  for (uint64_t values = 1; values > 0; --values) {
    if (!Read(&token)) return Fail("the value is cut short");
    if (token.type == Type::kArray) values += token.count;
    if (token.type == Type::kMap) values += 2ull * token.count;
  }
  return true;
}

namespace {

// Passes one value; false if it is broken or nested too deep. Sets and tuples keep values in their
// payloads, which count as nested.
bool ValidateOne(Reader* reader, int depth, const char** problem) {
  Token token;
  if (!reader->Read(&token)) {
    *problem = "the value is cut short";
    return false;
  }
  uint64_t values = 0;
  if (token.type == Type::kArray) values = token.count;
  if (token.type == Type::kMap) values = 2ull * token.count;
  const bool nests = token.type == Type::kExt && HoldsElements(token.ext);
  if ((values > 0 || nests) && depth >= kDepthMax) {
    *problem = "it is nested too deep";
    return false;
  }
  for (; values > 0; --values) {
    if (!ValidateOne(reader, depth + 1, problem)) return false;
  }
  if (!nests) return true;
  Reader payload(token.bytes);
  if (!ValidateOne(&payload, depth + 1, problem)) return false;
  if (!payload.AtEnd()) *problem = "bytes follow the elements of a set or tuple";
  return payload.AtEnd();
}

}  // namespace

absl::Status Validate(absl::string_view data, bool elements) {
  Reader reader(data);
  const char* problem = nullptr;
  do {
    if (elements && reader.AtEnd()) return absl::OkStatus();
    if (!ValidateOne(&reader, 0, &problem)) {
      RETURN_IF_ERROR(reader.status());
      return absl::InvalidArgumentError(
          absl::StrCat("broken value at byte ", reader.offset(), ": ", problem));
    }
  } while (elements);
  if (reader.AtEnd()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("broken value: ", reader.rest().size(), " bytes follow it"));
}

absl::string_view PythonTypeName(const Token& token) {
  switch (token.type) {
    case Type::kNil:
      return "None";
    case Type::kBool:
      return "bool";
    case Type::kInt:
    case Type::kUint:
      return "int";
    case Type::kDouble:
      return "float";
    case Type::kString:
      return "str";
    case Type::kBytes:
      return "bytes";
    case Type::kArray:
      return "list";
    case Type::kMap:
      return "dict";
    case Type::kExt:
      return ExtensionName(token.ext);
  }
  return "value";
}

}  // namespace bue::value
