#include "cli/values.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/status_macros.h"
#include "common/value/json.h"
#include "common/value/reader.h"

namespace bue::cli {
namespace {

constexpr uint64_t kSmallBytes = 256 << 10;
constexpr size_t kBatch = 256;

// Raw bytes as {"$bytes": base64}, whatever way they come in pieces: base64 goes by threes.
class BytesWriter {
 public:
  explicit BytesWriter(const Sink& sink) : sink_(sink) { sink_("{\"$bytes\": \""); }

  void Add(absl::string_view bytes) {
    rest_.append(bytes.data(), bytes.size());
    const size_t whole = rest_.size() / 3 * 3;
    sink_(absl::Base64Escape(absl::string_view(rest_).substr(0, whole)));
    rest_.erase(0, whole);
  }

  void Finish() {
    sink_(absl::Base64Escape(rest_));
    sink_("\"}");
  }

 private:
  const Sink& sink_;
  std::string rest_;
};

// List elements, each written as soon as it is whole.
class ListWriter {
 public:
  explicit ListWriter(const Sink& sink) : sink_(sink) { sink_("["); }

  absl::Status Add(absl::string_view bytes) {
    rest_.append(bytes.data(), bytes.size());
    value::Reader reader(rest_);
    std::string text;
    size_t done = 0;
    while (reader.Skip()) {
      const absl::string_view element =
          absl::string_view(rest_).substr(done, reader.offset() - done);
      absl::StrAppend(&text, first_ ? "" : ", ");
      RETURN_IF_ERROR(value::AppendJson(element, {}, &text));
      first_ = false;
      done = reader.offset();
    }
    rest_.erase(0, done);
    sink_(text);
    return absl::OkStatus();
  }

  absl::Status Finish() {
    if (!rest_.empty()) return absl::DataLossError("the list ends in the middle of an element");
    sink_("]");
    return absl::OkStatus();
  }

 private:
  const Sink& sink_;
  std::string rest_;
  bool first_ = true;
};

// Calls `each` with the data of every chunk.
template <typename Each>
absl::Status ReadChunks(ValueReader* reader, const Each& each) {
  while (true) {
    ASSIGN_OR_RETURN(const std::optional<ValueReader::Chunk> chunk, reader->Next());
    if (!chunk.has_value()) return absl::OkStatus();
    RETURN_IF_ERROR(each(chunk->data));
  }
}

absl::Status WriteWhole(ValueReader* reader, const Sink& sink) {
  Fetched object;
  RETURN_IF_ERROR(ReadChunks(reader, [&](const std::string& data) {
    object.data.append(data);
    return absl::OkStatus();
  }));
  ASSIGN_OR_RETURN(const std::string text, ToJson(object));
  sink(text);
  return absl::OkStatus();
}

absl::Status WriteList(ValueReader* reader, const Sink& sink) {
  ListWriter writer(sink);
  RETURN_IF_ERROR(ReadChunks(reader, [&](const std::string& data) { return writer.Add(data); }));
  return writer.Finish();
}

absl::Status StreamObject(BucketClient* bucket, uint64_t address, const Sink& sink) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ValueReader> reader, bucket->OpenReader(address));
  switch (reader->kind()) {
    case ObjectKind::kValue:
      return WriteWhole(reader.get(), sink);
    case ObjectKind::kList:
      return WriteList(reader.get(), sink);
    case ObjectKind::kBytes: {
      BytesWriter writer(sink);
      RETURN_IF_ERROR(ReadChunks(reader.get(), [&](const std::string& data) {
        writer.Add(data);
        return absl::OkStatus();
      }));
      writer.Finish();
      return absl::OkStatus();
    }
  }
  return absl::DataLossError("an object of unknown kind");
}

// A page of a fan-in: its objects in order, small ones fetched together.
absl::Status WriteObjects(BucketClient* bucket, const std::vector<uint64_t>& addresses, bool* first,
                          const Sink& sink) {
  for (size_t begin = 0; begin < addresses.size(); begin += kBatch) {
    const std::vector<uint64_t> batch(
        addresses.begin() + begin, addresses.begin() + std::min(begin + kBatch, addresses.size()));
    const std::vector<absl::StatusOr<Fetched>> objects = FetchAll(bucket, batch, kSmallBytes);
    for (size_t i = 0; i < batch.size(); ++i) {
      RETURN_IF_ERROR(objects[i].status());
      sink(*first ? "" : ", ");
      *first = false;
      if (objects[i]->too_big) {
        RETURN_IF_ERROR(StreamObject(bucket, batch[i], sink));
      } else {
        ASSIGN_OR_RETURN(const std::string text, ToJson(*objects[i]));
        sink(text);
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ToJson(const Fetched& object) {
  std::string text;
  switch (object.kind) {
    case ObjectKind::kValue:
      if (object.data.empty()) return "null";
      RETURN_IF_ERROR(value::AppendJson(object.data, {}, &text));
      return text;
    case ObjectKind::kList:
      RETURN_IF_ERROR(value::AppendJsonOfElements(object.data, {}, &text));
      return text;
    case ObjectKind::kBytes:
      return absl::StrCat("{\"$bytes\": \"", absl::Base64Escape(object.data), "\"}");
  }
  return absl::DataLossError("an object of unknown kind");
}

std::vector<absl::StatusOr<Fetched>> FetchAll(BucketClient* bucket,
                                              const std::vector<uint64_t>& addresses,
                                              uint64_t bytes_max) {
  std::vector<GetItem> items;
  for (const uint64_t address : addresses) items.push_back({.address = address});
  absl::Notification done;
  std::vector<absl::StatusOr<Fetched>> objects;
  bucket->Get(std::move(items), bytes_max, [&](std::vector<absl::StatusOr<Fetched>> fetched) {
    objects = std::move(fetched);
    done.Notify();
  });
  done.WaitForNotification();
  return objects;
}

absl::Status WriteObject(BucketClient* bucket, uint64_t address, const Sink& sink) {
  bool first = true;
  return WriteObjects(bucket, {address}, &first, sink);
}

absl::Status WriteElements(BucketClient* bucket, uint64_t address, uint64_t first, uint64_t count,
                           const Sink& sink) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ValueReader> reader,
                   bucket->OpenReader(address, first, std::max<uint64_t>(1, count)));
  if (reader->kind() != ObjectKind::kList) {
    return absl::InvalidArgumentError("it is not a list, so it has no elements");
  }
  const uint64_t total = reader->total_elements();
  if (first >= total || count > total - first) {
    return absl::OutOfRangeError(absl::StrCat("the list has ", total, " elements"));
  }
  return count == 0 ? WriteWhole(reader.get(), sink) : WriteList(reader.get(), sink);
}

absl::Status WriteFanIn(HubClient* hub, BucketClient* bucket, const v1::ListValuesRequest& request,
                        const Sink& sink) {
  v1::ListValuesRequest page = request;
  bool first = true;
  sink("[");
  while (true) {
    ASSIGN_OR_RETURN(const v1::ListValuesReply reply, hub->ListValues(page));
    RETURN_IF_ERROR(WriteObjects(
        bucket, std::vector<uint64_t>(reply.addresses().begin(), reply.addresses().end()), &first,
        sink));
    for (const uint64_t instance : reply.instances()) {
      sink(first ? "" : ", ");
      first = false;
      v1::ListValuesRequest inner = request;
      inner.set_instance(instance);
      inner.set_start(0);
      RETURN_IF_ERROR(WriteFanIn(hub, bucket, inner, sink));
    }
    if (reply.end()) break;
    page.set_start(reply.next());
  }
  sink("]");
  return absl::OkStatus();
}

}  // namespace bue::cli
