#include "worker/core/elements.h"

#include <algorithm>

namespace bue::worker {
namespace {

uint64_t BigEndian(const unsigned char* bytes, size_t count) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i) value = value << 8 | bytes[i];
  return value;
}

void AppendBigEndian(uint64_t value, int bytes, std::string* out) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    out->push_back(static_cast<char>(value >> shift));
  }
}

// How many bytes say an item's lengths, its first byte included.
size_t HeaderBytes(unsigned char type) {
  switch (type) {
    case 0xc4:
    case 0xd9:
      return 2;  // bin 8, str 8
    case 0xc5:
    case 0xda:
    case 0xdc:
    case 0xde:
      return 3;
    case 0xc6:
    case 0xdb:
    case 0xdd:
    case 0xdf:
      return 5;
    case 0xc7:
      return 2;  // ext 8 (its type is payload)
    case 0xc8:
      return 3;
    case 0xc9:
      return 5;
    default:
      return 1;
  }
}

}  // namespace

absl::Status ElementScanner::Scan(absl::string_view bytes, std::vector<size_t>* ends) {
  size_t at = 0;
  while (at < bytes.size()) {
    const auto first = static_cast<unsigned char>(bytes[at]);
    if (skip_ == 0 && header_size_ == 0 && (first < 0x80 || (first >= 0xa0 && first < 0xc0))) {
      // Most of what there is: a small number, or a short string.
      if (items_ > 0) --items_;
      ++at;
      if (first >= 0xa0) skip_ = first & 0x1f;
    } else if (skip_ > 0) {
      const uint64_t step = std::min<uint64_t>(skip_, bytes.size() - at);
      skip_ -= step;
      at += step;
    } else {
      if (header_size_ == 0) {
        header_needed_ = HeaderBytes(static_cast<unsigned char>(bytes[at]));
        if (items_ == 0) items_ = 1;
      }
      header_[header_size_++] = static_cast<unsigned char>(bytes[at++]);
      if (header_size_ < header_needed_) continue;
      header_size_ = 0;
      if (absl::Status status = ReadHeader(); !status.ok()) return status;
    }
    if (skip_ == 0 && items_ == 0) ends->push_back(at);
  }
  return absl::OkStatus();
}

absl::Status ElementScanner::ReadHeader() {
  const unsigned char type = header_[0];
  --items_;
  const uint64_t length = BigEndian(header_ + 1, header_needed_ - 1);
  if (type < 0x80 || type >= 0xe0) return absl::OkStatus();  // fixint
  if (type < 0x90) {
    items_ += 2 * (type & 0x0f);
  } else if (type < 0xa0) {
    items_ += type & 0x0f;
  } else if (type < 0xc0) {
    skip_ = type & 0x1f;
  } else {
    switch (type) {
      case 0xc0:
      case 0xc2:
      case 0xc3:
        break;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        skip_ = length;
        break;  // bin
      case 0xc7:
      case 0xc8:
      case 0xc9:
        skip_ = length + 1;
        break;  // ext
      case 0xca:
        skip_ = 4;
        break;
      case 0xcb:
        skip_ = 8;
        break;
      case 0xcc:
      case 0xd0:
        skip_ = 1;
        break;
      case 0xcd:
      case 0xd1:
        skip_ = 2;
        break;
      case 0xce:
      case 0xd2:
        skip_ = 4;
        break;
      case 0xcf:
      case 0xd3:
        skip_ = 8;
        break;
      case 0xd4:
        skip_ = 2;
        break;  // fixext
      case 0xd5:
        skip_ = 3;
        break;
      case 0xd6:
        skip_ = 5;
        break;
      case 0xd7:
        skip_ = 9;
        break;
      case 0xd8:
        skip_ = 17;
        break;
      case 0xd9:
      case 0xda:
      case 0xdb:
        skip_ = length;
        break;  // str
      case 0xdc:
      case 0xdd:
        items_ += length;
        break;  // array
      case 0xde:
      case 0xdf:
        items_ += 2 * length;
        break;  // map
      default:
        return absl::DataLossError("a stored list is damaged: not MessagePack");
    }
  }
  return absl::OkStatus();
}

std::string ArrayHeader(uint64_t elements) {
  std::string header;
  if (elements < 16) {
    header.push_back(static_cast<char>(0x90 | elements));
  } else if (elements <= UINT16_MAX) {
    header.push_back('\xdc');
    AppendBigEndian(elements, 2, &header);
  } else {
    header.push_back('\xdd');
    AppendBigEndian(elements, 4, &header);
  }
  return header;
}

std::string BinHeader(uint64_t bytes) {
  std::string header;
  if (bytes <= UINT8_MAX) {
    header.push_back('\xc4');
    AppendBigEndian(bytes, 1, &header);
  } else if (bytes <= UINT16_MAX) {
    header.push_back('\xc5');
    AppendBigEndian(bytes, 2, &header);
  } else {
    header.push_back('\xc6');
    AppendBigEndian(bytes, 4, &header);
  }
  return header;
}

void AppendInteger(uint64_t value, std::string* out) {
  if (value < 0x80) {
    out->push_back(static_cast<char>(value));
  } else if (value <= UINT8_MAX) {
    out->push_back('\xcc');
    AppendBigEndian(value, 1, out);
  } else if (value <= UINT16_MAX) {
    out->push_back('\xcd');
    AppendBigEndian(value, 2, out);
  } else if (value <= UINT32_MAX) {
    out->push_back('\xce');
    AppendBigEndian(value, 4, out);
  } else {
    out->push_back('\xcf');
    AppendBigEndian(value, 8, out);
  }
}

std::optional<ArrayStart> ParseArrayStart(absl::string_view value) {
  if (value.empty()) return std::nullopt;
  const unsigned char* bytes = reinterpret_cast<const unsigned char*>(value.data());
  if ((bytes[0] & 0xf0) == 0x90) return ArrayStart{uint64_t{bytes[0]} & 0x0f, 1};
  if (bytes[0] == 0xdc && value.size() >= 3) return ArrayStart{BigEndian(bytes + 1, 2), 3};
  if (bytes[0] == 0xdd && value.size() >= 5) return ArrayStart{BigEndian(bytes + 1, 4), 5};
  return std::nullopt;
}

absl::string_view TypeName(absl::string_view value) {
  if (value.empty() || value[0] == kNil) return "None";
  const unsigned char type = static_cast<unsigned char>(value[0]);
  if (type < 0x80 || type >= 0xe0 || (type >= 0xcc && type <= 0xd3)) return "int";
  if (type < 0x90 || type == 0xde || type == 0xdf) return "dict";
  if (type < 0xa0 || type == 0xdc || type == 0xdd) return "list";
  if (type < 0xc0 || (type >= 0xd9 && type <= 0xdb)) return "str";
  if (type == 0xc2 || type == 0xc3) return "bool";
  if (type >= 0xc4 && type <= 0xc6) return "bytes";
  if (type == 0xca || type == 0xcb) return "float";
  return "object";
}

}  // namespace bue::worker
