#include "worker/core/element_hash.h"

#include <gtest/gtest.h>

#include <string>

namespace bue::worker {
namespace {

// [1, "three", [2, 3], {"a": 300000}], without the header.
const std::string kElements("\x01\xa5three\x92\x02\x03\x81\xa1\x61\xce\x00\x04\x93\xe0", 18);

Yielded HashOf(absl::string_view bytes, uint64_t elements) {
  ElementHash hash({});
  EXPECT_TRUE(hash.Add(bytes).ok());
  return {.elements = elements, .hash = hash.hash()};
}

absl::Status Check(const Yielded& before, absl::string_view first, absl::string_view second) {
  ElementHash hash(before);
  if (absl::Status status = hash.Add(first); !status.ok()) return status;
  if (absl::Status status = hash.Add(second); !status.ok()) return status;
  return hash.End();
}

TEST(ElementHashTest, FindsTheSameWhereverBytesAreCut) {
  const Yielded before = HashOf(absl::string_view(kElements).substr(0, 10), 3);
  const std::string more = kElements + "\x05\x06";
  for (size_t cut = 0; cut <= more.size(); ++cut) {
    EXPECT_TRUE(Check(before, more.substr(0, cut), more.substr(cut)).ok()) << cut;
  }
  EXPECT_TRUE(Check(HashOf(kElements, 4), kElements, "").ok());
  EXPECT_TRUE(Check({}, "", "").ok());
}

TEST(ElementHashTest, FindsEveryDifference) {
  const Yielded before = HashOf(kElements, 4);
  for (size_t i = 0; i < kElements.size(); ++i) {
    std::string other = kElements + kElements;
    other[i] ^= 1;
    EXPECT_FALSE(Check(before, other, "").ok()) << i;
  }
}

TEST(ElementHashTest, FindsThatElementsAreMissing) {
  const Yielded before = HashOf(kElements, 4);
  EXPECT_TRUE(absl::IsFailedPrecondition(Check(before, "", "")));
  EXPECT_TRUE(absl::IsFailedPrecondition(Check(before, kElements.substr(0, 10), "")));
}

TEST(ElementHashTest, TheHashIsOfTheBytesAlone) {
  ElementHash hash(HashOf(absl::string_view(kElements).substr(0, 1), 1));
  ASSERT_TRUE(hash.Add(kElements.substr(0, 5)).ok());
  ASSERT_TRUE(hash.Add(kElements.substr(5)).ok());
  EXPECT_EQ(hash.hash(), HashOf(kElements, 4).hash);
}

}  // namespace
}  // namespace bue::worker
