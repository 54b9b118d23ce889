// SHA-256 of a byte string: how uploaded files are named.
#ifndef BUE_COMMON_SHA256_H_
#define BUE_COMMON_SHA256_H_

#include <string>

#include "absl/strings/string_view.h"

namespace bue {

inline constexpr size_t kSha256Bytes = 32;

// 32 raw bytes.
std::string Sha256(absl::string_view bytes);

}  // namespace bue

#endif  // BUE_COMMON_SHA256_H_
