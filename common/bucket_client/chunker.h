// Chunker turns what a writer appends, in pieces of any size, into chunks of at most
// kChunkBytesMax: small pieces are collected, large ones cut between elements, and an element
// larger than a chunk gets chunks of its own, the further ones `continued`. Pure. For one thread.
#ifndef BUE_COMMON_BUCKET_CLIENT_CHUNKER_H_
#define BUE_COMMON_BUCKET_CLIENT_CHUNKER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/bucket_client/object.h"

namespace bue {

class Chunker {
 public:
  explicit Chunker(ObjectKind kind) : kind_(kind) {}

  struct Chunk {
    std::string data;
    uint64_t elements = 0;
    bool continued = false;
  };

  // As ValueWriter::Append. Full chunks are appended to `full`.
  absl::Status Add(absl::string_view bytes, uint64_t elements, bool continued,
                   std::vector<Chunk>* full);
  // What was collected and is no full chunk yet; nothing if that is empty.
  void TakeRest(std::vector<Chunk>* chunks);

  uint64_t collected_bytes() const { return open_.data.size(); }

 private:
  void AddRaw(absl::string_view bytes, std::vector<Chunk>* full);
  // Moves bytes over until they or the open chunk's room is used up.
  void AddUpToFull(absl::string_view* bytes, std::vector<Chunk>* full);
  absl::Status AddElements(absl::string_view bytes, uint64_t elements, std::vector<Chunk>* full);
  void AddLargeElement(absl::string_view bytes, std::vector<Chunk>* full);
  void AddContinued(absl::string_view bytes, std::vector<Chunk>* full);

  const ObjectKind kind_;
  Chunk open_;
};

}  // namespace bue

#endif  // BUE_COMMON_BUCKET_CLIENT_CHUNKER_H_
