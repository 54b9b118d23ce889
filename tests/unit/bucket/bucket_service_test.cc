// What the service does with requests that our own client never makes.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "bue/v1/bucket.grpc.pb.h"
#include "common/rpc.h"
#include "tests/unit/bucket/bucket_fixture.h"

namespace bue {
namespace {

class BucketServiceTest : public BucketFixture {
 protected:
  void SetUp() override {
    BucketFixture::SetUp();
    stub_ = v1::Bucket::NewStub(MakeChannel(bucket_->address(), ""));
  }

  std::unique_ptr<v1::Bucket::Stub> stub_;
};

TEST_F(BucketServiceTest, PutsThatMakeNoSenseFailAlone) {
  grpc::ClientContext context;
  auto stream = stub_->Put(&context);
  v1::PutRequest request;
  v1::PutRequest::Whole* whole = request.add_whole();
  whole->set_tag(1);  // No kind.
  whole = request.add_whole();
  whole->set_tag(2);
  whole->set_kind(v1::BYTES);
  whole->set_data(std::string(kChunkBytesMax + 1, 'x'));
  whole = request.add_whole();
  whole->set_tag(3);
  whole->set_kind(v1::BYTES);
  whole->set_data("good");
  v1::PutRequest::Append* append = request.add_append();
  append->set_tag(4);
  append->set_kind(v1::LIST);
  v1::Chunk* chunk = append->add_chunks();
  chunk->set_continued(true);
  chunk->set_elements(1);  // A continued chunk begins none.
  append = request.add_append();
  append->set_tag(4);
  append->set_finish(true);  // Of a tag that failed.
  ASSERT_TRUE(stream->Write(request));
  stream->WritesDone();
  std::vector<uint32_t> codes(5, 99);
  v1::PutReply reply;
  while (stream->Read(&reply)) {
    for (const v1::PutReply::Done& done : reply.done()) codes[done.tag()] = done.code();
  }
  EXPECT_TRUE(stream->Finish().ok());
  const auto invalid = static_cast<uint32_t>(absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(codes, (std::vector<uint32_t>{99, invalid, invalid, 0, invalid}));
}

TEST_F(BucketServiceTest, WhatIsAbortedBeforeItIsWrittenIsNotStored) {
  grpc::ClientContext context;
  auto stream = stub_->Put(&context);
  v1::PutRequest request;
  for (const uint64_t tag : {1, 2}) {
    v1::PutRequest::Whole* whole = request.add_whole();
    whole->set_tag(tag);
    whole->set_kind(v1::BYTES);
    whole->set_data("data");
  }
  v1::PutRequest::Append* append = request.add_append();
  append->set_tag(3);
  append->set_kind(v1::BYTES);
  append->add_chunks()->set_data("data");
  for (const uint64_t tag : {1, 3}) {
    append = request.add_append();
    append->set_tag(tag);
    append->set_abort(true);
  }
  ASSERT_TRUE(stream->Write(request));
  stream->WritesDone();
  std::vector<uint64_t> done_tags;
  uint64_t consumed_bytes = 0;
  v1::PutReply reply;
  while (stream->Read(&reply)) {
    consumed_bytes += reply.consumed_bytes();
    for (const v1::PutReply::Done& done : reply.done()) done_tags.push_back(done.tag());
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(done_tags, (std::vector<uint64_t>{2}));
  EXPECT_EQ(consumed_bytes, 4u);
  v1::ListObjectsReply listed;
  grpc::ClientContext list_context;
  ASSERT_TRUE(stub_->ListObjects(&list_context, v1::ListObjectsRequest(), &listed).ok());
  EXPECT_EQ(listed.object_size(), 1);
}

TEST_F(BucketServiceTest, AnUnfinishedWriterGoesWithItsStream) {
  {
    grpc::ClientContext context;
    auto stream = stub_->Put(&context);
    v1::PutRequest request;
    v1::PutRequest::Append* append = request.add_append();
    append->set_tag(1);
    append->set_kind(v1::BYTES);
    append->add_chunks()->set_data("abc");
    ASSERT_TRUE(stream->Write(request));
    v1::PutReply reply;
    ASSERT_TRUE(stream->Read(&reply));
    EXPECT_EQ(reply.consumed_bytes(), 3);
    context.TryCancel();
    EXPECT_FALSE(stream->Finish().ok());
  }
  StopBucket();  // Returns after the stream's last work.
  StartBucket();
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  v1::ListObjectsReply listed;
  ASSERT_TRUE(stub_->ListObjects(&context, {}, &listed).ok());
  EXPECT_EQ(listed.object_size(), 0);
  EXPECT_TRUE(listed.end());
}

TEST_F(BucketServiceTest, ATagInUseEndsTheGetStream) {
  const uint64_t address = Write(ObjectKind::kBytes, std::string(4 << 20, 'x'), 0);
  grpc::ClientContext context;
  auto stream = stub_->Get(&context);
  v1::GetRequest request;
  for (int i = 0; i < 2; ++i) {
    v1::GetRequest::One* one = request.add_one();
    one->set_tag(1);
    one->set_address(address);
  }
  ASSERT_TRUE(stream->Write(request));
  v1::GetReply reply;
  while (stream->Read(&reply)) {
  }
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(BucketServiceTest, AWindowIsKept) {
  const uint64_t address = Write(ObjectKind::kBytes, std::string(4 << 20, 'x'), 0);
  grpc::ClientContext context;
  auto stream = stub_->Get(&context);
  v1::GetRequest request;
  v1::GetRequest::One* one = request.add_one();
  one->set_tag(1);
  one->set_address(address);
  one->set_window_bytes(1 << 20);
  ASSERT_TRUE(stream->Write(request));
  uint64_t received = 0;
  uint64_t allowed = 1 << 20;
  bool last = false;
  v1::GetReply reply;
  while (!last && stream->Read(&reply)) {
    for (const v1::GetReply::Part& part : reply.part()) {
      received += part.chunk().data().size();
      last = part.last();
    }
    EXPECT_LE(received, allowed);
    if (received == allowed) {
      allowed += 1 << 20;
      v1::GetRequest more;
      more.add_credit()->set_tag(1);
      more.mutable_credit(0)->set_bytes(1 << 20);
      ASSERT_TRUE(stream->Write(more));
    }
  }
  EXPECT_EQ(received, 4u << 20);
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(BucketServiceTest, ManyStreamsShareTheBudget) {
  StopBucket();
  options_.put_bytes_max = 1;  // Every request waits for the one before.
  options_.get_bytes_max = 1;
  StartBucket();
  std::vector<std::unique_ptr<BucketClient>> clients;
  std::vector<std::unique_ptr<ValueWriter>> writers;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(BucketClient::Connect({bucket_->address()}, "", absl::Seconds(60)).value());
    writers.push_back(clients[i]->OpenWriter(ObjectKind::kBytes, {}).value());
  }
  const std::string bytes(2 << 20, 'b');
  for (int i = 0; i < 3; ++i) {
    for (auto& writer : writers) ASSERT_TRUE(writer->Append(bytes, 0, false).ok());
  }
  for (int i = 0; i < 4; ++i) {
    const auto written = writers[i]->Finish();
    ASSERT_TRUE(written.ok()) << written.status();
    EXPECT_EQ(ReadAll(clients[i]->OpenReader(written->address)->get()).size(), 3 * bytes.size());
  }
}

}  // namespace
}  // namespace bue
