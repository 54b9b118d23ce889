#include "worker/core/elements.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/worker/fake_bucket.h"
#include "worker/core/list_writer.h"

namespace bue::worker {
namespace {

using namespace std::string_literals;

// One of each kind of item, nested and flat.
const std::vector<std::string>& Samples() {
  static const auto* const samples = new std::vector<std::string>{
      "\x05"s,
      "\xff"s,
      "\xc0"s,
      "\xc3"s,
      "\xa3"
      "abc"s,
      "\xd9\x03"
      "abc"s,
      "\xda\x00\x03"
      "abc"s,
      "\xdb\x00\x00\x00\x03"
      "abc"s,
      "\xc4\x02zz"s,
      "\xc5\x00\x02zz"s,
      "\xc6\x00\x00\x00\x02zz"s,
      "\xca"
      "1234"s,
      "\xcb"
      "12345678"s,
      "\xcc\x01"s,
      "\xcd\x01\x02"s,
      "\xce\x01\x02\x03\x04"s,
      "\xcf\x01\x02\x03\x04\x05\x06\x07\x08"s,
      "\xd0\x01"s,
      "\xd3\x01\x02\x03\x04\x05\x06\x07\x08"s,
      "\xd4\x01z"s,
      "\xd8\x01"
      "0123456789abcdef"s,
      "\xc7\x03\x01zzz"s,
      "\xc8\x00\x03\x01zzz"s,
      "\xc9\x00\x00\x00\x03\x01zzz"s,
      "\x90"s,
      "\x80"s,
      "\x93\x01\xa1"
      "a\x92\x01\xc0"s,
      "\xdc\x00\x02\x01\x02"s,
      "\xdd\x00\x00\x00\x01\x91\x90"s,
      "\x82\xa1"
      "k\x81\x01\x02\xa1"
      "l\xc4\x01z"s,
      "\xde\x00\x01\x01\x02"s,
      "\xdf\x00\x00\x00\x01\x01\x90"s,
  };
  return *samples;
}

TEST(ElementScannerTest, FindsTheEndOfEveryElementHoweverTheBytesAreCut) {
  std::string all;
  std::vector<size_t> expected;
  for (const std::string& sample : Samples()) {
    all += sample;
    expected.push_back(all.size());
  }
  for (size_t piece = 1; piece < 20; ++piece) {
    ElementScanner scanner;
    std::vector<size_t> found;
    for (size_t at = 0; at < all.size(); at += piece) {
      std::vector<size_t> ends;
      ASSERT_TRUE(scanner.Scan(absl::string_view(all).substr(at, piece), &ends).ok());
      for (const size_t end : ends) found.push_back(at + end);
    }
    EXPECT_EQ(found, expected) << "pieces of " << piece;
    EXPECT_TRUE(scanner.between());
  }
}

TEST(ElementScannerTest, RefusesWhatIsNotMessagePack) {
  std::vector<size_t> ends;
  EXPECT_TRUE(absl::IsDataLoss(ElementScanner().Scan("\xc1", &ends)));
}

TEST(ElementsTest, HeadersSayHowMuchFollows) {
  EXPECT_EQ(ArrayHeader(3), "\x93");
  EXPECT_EQ(ArrayHeader(300), "\xdc\x01\x2c");
  EXPECT_EQ(ArrayHeader(70000), "\xdd\x00\x01\x11\x70"s);
  EXPECT_EQ(BinHeader(3), "\xc4\x03");
  EXPECT_EQ(BinHeader(70000), "\xc6\x00\x01\x11\x70"s);
  for (const uint64_t elements : {0, 15, 16, 65535, 65536}) {
    const std::string header = ArrayHeader(elements);
    const std::optional<ArrayStart> start = ParseArrayStart(header);
    ASSERT_TRUE(start.has_value());
    EXPECT_EQ(start->elements, elements);
    EXPECT_EQ(start->header_bytes, header.size());
  }
  EXPECT_FALSE(ParseArrayStart("\x81").has_value());
  EXPECT_FALSE(ParseArrayStart("").has_value());
}

TEST(ElementsTest, TypesAreNamedAsInPython) {
  EXPECT_EQ(TypeName(""), "None");
  EXPECT_EQ(TypeName("\x81"), "dict");
  EXPECT_EQ(TypeName("\x07"), "int");
  EXPECT_EQ(TypeName("\xa1z"), "str");
  EXPECT_EQ(TypeName("\xcb"), "float");
}

// Records what was appended.
class RecordingWriter final : public ValueWriter {
 public:
  struct Chunk {
    std::string data;
    uint64_t elements;
    bool continued;
  };
  explicit RecordingWriter(std::vector<Chunk>* chunks) : chunks_(chunks) {}
  absl::Status Append(absl::string_view bytes, uint64_t elements, bool continued) override {
    chunks_->push_back({std::string(bytes), elements, continued});
    return absl::OkStatus();
  }
  absl::StatusOr<Written> Flush() override { return Written{}; }
  absl::StatusOr<Written> Finish() override { return Written{}; }
  void Abort() override {}

 private:
  std::vector<Chunk>* const chunks_;
};

TEST(ListWriterTest, ChunksHoldWholeElementsAndLargeOnesHaveTheirOwn) {
  std::string all;
  uint64_t elements = 0;
  for (int i = 0; i < 3000; ++i, ++elements) {
    const size_t bytes = i == 1500 ? 700000 : i % 300;
    all += BinHeader(bytes) + std::string(bytes, 'x');
  }
  for (const size_t piece : {size_t{1000}, size_t{100000}, all.size()}) {
    std::vector<RecordingWriter::Chunk> chunks;
    ListWriter writer(std::make_unique<RecordingWriter>(&chunks));
    for (size_t at = 0; at < all.size(); at += piece) {
      ASSERT_TRUE(writer.Append(absl::string_view(all).substr(at, piece)).ok());
    }
    ASSERT_TRUE(writer.Finish().ok());
    std::string written;
    uint64_t begun = 0;
    for (const RecordingWriter::Chunk& chunk : chunks) {
      EXPECT_LE(chunk.data.size(), kChunkBytesMax);
      EXPECT_EQ(chunk.continued, chunk.elements == 0);
      if (!chunk.continued && chunk.elements > 1) {
        std::vector<size_t> ends;
        ASSERT_TRUE(ElementScanner().Scan(chunk.data, &ends).ok());
        EXPECT_EQ(ends.size(), chunk.elements);
        EXPECT_EQ(ends.back(), chunk.data.size());
      }
      written += chunk.data;
      begun += chunk.elements;
    }
    EXPECT_TRUE(written == all);
    EXPECT_EQ(begun, elements);
  }
}

TEST(ListWriterTest, AListThatEndsWithinAnElementIsAnError) {
  std::vector<RecordingWriter::Chunk> chunks;
  ListWriter writer(std::make_unique<RecordingWriter>(&chunks));
  ASSERT_TRUE(writer.Append("\x92\x01").ok());
  EXPECT_TRUE(absl::IsDataLoss(writer.Finish().status()));
}

}  // namespace
}  // namespace bue::worker
