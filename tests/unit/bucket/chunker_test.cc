#include "common/bucket_client/chunker.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace bue {
namespace {

using namespace std::string_literals;

std::string Str(size_t size) {
  std::string out = "\xdb";
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(size >> shift));
  return out + std::string(size, 'x');
}

std::vector<Chunker::Chunk> ChunksOf(ObjectKind kind, const std::string& bytes, uint64_t elements) {
  Chunker chunker(kind);
  std::vector<Chunker::Chunk> chunks;
  EXPECT_TRUE(chunker.Add(bytes, elements, false, &chunks).ok());
  chunker.TakeRest(&chunks);
  return chunks;
}

TEST(Chunker, CollectsSmallPieces) {
  Chunker chunker(ObjectKind::kList);
  std::vector<Chunker::Chunk> chunks;
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(chunker.Add("\x01", 1, false, &chunks).ok());
  EXPECT_TRUE(chunks.empty());
  chunker.TakeRest(&chunks);
  ASSERT_EQ(chunks.size(), 1);
  EXPECT_EQ(chunks[0].elements, 1000);
  EXPECT_EQ(chunks[0].data.size(), 1000);
}

TEST(Chunker, CutsLargePiecesBetweenElements) {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes += Str(1000);
  const auto chunks = ChunksOf(ObjectKind::kList, bytes, 1000);
  ASSERT_GT(chunks.size(), 3);
  std::string together;
  uint64_t elements = 0;
  for (const auto& chunk : chunks) {
    EXPECT_LE(chunk.data.size(), kChunkBytesMax);
    EXPECT_EQ(chunk.data.size(), chunk.elements * 1005);
    EXPECT_FALSE(chunk.continued);
    together += chunk.data;
    elements += chunk.elements;
  }
  EXPECT_EQ(together, bytes);
  EXPECT_EQ(elements, 1000);
}

TEST(Chunker, GivesALargeElementChunksOfItsOwn) {
  const auto chunks = ChunksOf(ObjectKind::kList, "\x01" + Str(kChunkBytesMax + 10) + "\x02", 3);
  ASSERT_EQ(chunks.size(), 4);
  EXPECT_EQ(chunks[0].data, "\x01");
  EXPECT_EQ(chunks[1].elements, 1);
  EXPECT_EQ(chunks[1].data.size(), kChunkBytesMax);
  EXPECT_TRUE(chunks[2].continued);
  EXPECT_EQ(chunks[2].elements, 0);
  EXPECT_EQ(chunks[3].data, "\x02");
  EXPECT_FALSE(chunks[3].continued);
}

TEST(Chunker, AnElementMayComeInPieces) {
  const std::string element = Str(100);
  Chunker chunker(ObjectKind::kList);
  std::vector<Chunker::Chunk> chunks;
  ASSERT_TRUE(chunker.Add("\x01" + element.substr(0, 50), 2, false, &chunks).ok());
  ASSERT_TRUE(chunker.Add(element.substr(50), 0, true, &chunks).ok());
  ASSERT_TRUE(chunker.Add("\x02", 1, false, &chunks).ok());
  chunker.TakeRest(&chunks);
  ASSERT_EQ(chunks.size(), 3);
  EXPECT_EQ(chunks[0].elements, 2);
  EXPECT_TRUE(chunks[1].continued);
  EXPECT_EQ(chunks[2].data, "\x02");
}

TEST(Chunker, RefusesContradictions) {
  Chunker chunker(ObjectKind::kList);
  std::vector<Chunker::Chunk> chunks;
  EXPECT_TRUE(absl::IsInvalidArgument(chunker.Add("\x01", 1, true, &chunks)));
  EXPECT_TRUE(absl::IsInvalidArgument(chunker.Add("\x01", 0, false, &chunks)));
}

TEST(Chunker, CutsRawBytesAnywhere) {
  const std::string bytes(kChunkBytesMax * 2 + 5, 'b');
  const auto chunks = ChunksOf(ObjectKind::kBytes, bytes, 0);
  ASSERT_EQ(chunks.size(), 3);
  EXPECT_EQ(chunks[2].data.size(), 5);
}

}  // namespace
}  // namespace bue
