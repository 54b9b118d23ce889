// Peers that behave badly, for cluster tests: what gRPC itself would never let our clients do.
//
//   bad_peer put BUCKET BYTES                    a good one: stores so many bytes, says the address
//   bad_peer get BUCKET ADDRESS                  a good one: reads them, says how many there were
//   bad_peer stall-get BUCKET ADDRESS STREAMS    asks on so many connections, reads nothing
//   bad_peer upload HUB COUNT BYTES              uploads so many programs of so many bytes at once;
//                                                none can run: they name a file that is not sent
//   bad_peer half-upload HUB COUNT BYTES         half of each, and then nothing
//   bad_peer stall-results HUB RUN CALLS         asks for a run's results, reads nothing
//   bad_peer idle-calls HUB CONNECTIONS CALLS    opens uploads on each connection, says nothing
//
// Those that stall print `ready` once they do. The uploads print how their calls ended, a line per
// call: the status code's number, a blank, the message. gRPC tells those that do not read nothing.
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "bue/v1/bucket.grpc.pb.h"
#include "bue/v1/hub.grpc.pb.h"
#include "common/bucket_client/bucket_client.h"
#include "common/check.h"
#include "common/program/program_codec.h"
#include "common/rpc.h"

namespace bue {
namespace {

constexpr size_t kPieceBytes = 1 << 20;

// Waits for the end of its call, however that comes about.
class Ending {
 public:
  void End(const grpc::Status& status) {
    status_ = status;
    ended_.Notify();
  }
  const grpc::Status& Await() {
    ended_.WaitForNotification();
    return status_;
  }

 private:
  grpc::Status status_;
  absl::Notification ended_;
};

// Writes what it is given, one message after the other, then ends its requests, or stalls.
template <typename Reactor, typename Request>
class Peer : public Reactor, public Ending {
 public:
  Peer(std::vector<Request> requests, bool stall) : requests_(std::move(requests)), stall_(stall) {
    context_.set_wait_for_ready(true);  // The server may be busy with the others.
  }

  grpc::ClientContext* context() { return &context_; }
  void Start() {
    WriteNext();
    this->StartCall();
  }
  // All was written, or will never be.
  void AwaitWritten() { written_.WaitForNotification(); }

  void OnWriteDone(bool ok) override {
    if (ok) return WriteNext();
    written_.Notify();
  }
  void OnDone(const grpc::Status& status) override { End(status); }

 private:
  void WriteNext() {
    if (next_ < requests_.size()) return this->StartWrite(&requests_[next_++]);
    if (!stall_) this->StartWritesDone();
    written_.Notify();
  }

  grpc::ClientContext context_;
  const std::vector<Request> requests_;
  const bool stall_;
  size_t next_ = 0;
  absl::Notification written_;
};

using GetPeer = Peer<grpc::ClientBidiReactor<v1::GetRequest, v1::GetReply>, v1::GetRequest>;
using UploadPeer = Peer<grpc::ClientWriteReactor<v1::UploadRequest>, v1::UploadRequest>;

class ResultsPeer : public grpc::ClientReadReactor<v1::ResultRecord>, public Ending {
 public:
  ResultsPeer() { context_.set_wait_for_ready(true); }

  grpc::ClientContext* context() { return &context_; }
  void OnDone(const grpc::Status& status) override { End(status); }

 private:
  grpc::ClientContext context_;
};

void SayReady() {
  std::puts("ready");
  std::fflush(stdout);
}

void SayEnds(const std::vector<Ending*>& calls) {
  for (Ending* call : calls) {
    const grpc::Status& status = call->Await();
    std::printf("%d %s\n", status.error_code(), status.error_message().c_str());
  }
}

std::unique_ptr<BucketClient> ConnectBucket(const std::string& bucket) {
  absl::StatusOr<std::unique_ptr<BucketClient>> client =
      BucketClient::Connect({.buckets = {bucket}});
  CHECK(client.ok());
  return *std::move(client);
}

int Put(const std::string& bucket, size_t bytes) {
  const std::unique_ptr<BucketClient> client = ConnectBucket(bucket);
  auto writer = client->OpenWriter(ObjectKind::kBytes, {});
  CHECK(writer.ok());
  const std::string piece(kChunkBytesMax, 'x');
  for (size_t written = 0; written < bytes; written += piece.size()) {
    CHECK((*writer)->Append(absl::string_view(piece).substr(0, bytes - written), 0, false).ok());
  }
  const auto done = (*writer)->Finish();
  CHECK(done.ok());
  std::printf("%llu\n", static_cast<unsigned long long>(done->address));
  return 0;
}

int Get(const std::string& bucket, uint64_t address) {
  const std::unique_ptr<BucketClient> client = ConnectBucket(bucket);
  const auto reader = client->OpenReader(address);
  CHECK(reader.ok());
  uint64_t bytes = 0;
  while (true) {
    const auto chunk = (*reader)->Next();
    CHECK(chunk.ok());
    if (!chunk->has_value()) break;
    bytes += (*chunk)->data.size();
  }
  std::printf("%llu\n", static_cast<unsigned long long>(bytes));
  return 0;
}

int StallGet(const std::string& bucket, uint64_t address, int streams) {
  v1::GetRequest request;
  request.add_one()->set_address(address);
  std::vector<std::unique_ptr<GetPeer>> peers;
  std::vector<Ending*> calls;
  for (int i = 0; i < streams; ++i) {
    const auto stub = v1::Bucket::NewStub(MakeChannel(bucket, ""));
    auto& peer = peers.emplace_back(
        std::make_unique<GetPeer>(std::vector<v1::GetRequest>{request}, /*stall=*/true));
    stub->async()->Get(peer->context(), peer.get());
    peer->Start();
    calls.push_back(peer.get());
  }
  for (const auto& peer : peers) peer->AwaitWritten();
  SayReady();
  SayEnds(calls);
  return 0;
}

// A program of about `bytes`: calls, each of what the one before it gave, of a step in a file that
// is never sent.
Program MakeProgram(size_t bytes) {
  Program program{.script = "bad.bue"};
  program.files = {{.path = "missing.py", .sha256 = std::string(32, 's')}};
  program.steps = {{.name = "step", .relation = "f", .file = 0}};
  program.regions = {{}};
  constexpr size_t kCallBytes = 13;
  for (uint32_t i = 0; i < bytes / kCallBytes; ++i) {
    Node& node = program.nodes.emplace_back(Node{.line = 1});
    if (i > 0) node.inputs = {{.index = i - 1}};
  }
  return program;
}

std::string Serialize(const Program& program) {
  v1::Program proto;
  ToProto(program, &proto);
  return proto.SerializeAsString();
}

// What `serialized` says, as a program that is like no other number's.
std::vector<v1::UploadRequest> MakeUpload(int number, const std::string& serialized,
                                          size_t memory_bytes) {
  const std::string whole = serialized + Serialize({.script = absl::StrCat(number, ".bue")});
  std::vector<v1::UploadRequest> requests(1);
  v1::UploadRequest::Start* start = requests[0].mutable_start();
  start->set_key(absl::StrCat("key ", number));
  start->set_program_bytes(whole.size());
  start->set_memory_bytes(whole.size() + memory_bytes + 100);
  for (size_t sent = 0; sent < whole.size(); sent += requests.back().program().size()) {
    requests.emplace_back().set_program(whole.substr(sent, kPieceBytes));
  }
  return requests;
}

int Upload(const std::string& hub, int count, size_t bytes, bool stall) {
  std::vector<std::unique_ptr<UploadPeer>> peers;
  std::vector<Ending*> calls;
  std::vector<v1::UploadReply> replies(count);
  const Program program = MakeProgram(bytes);
  const std::string serialized = Serialize(program);
  const size_t memory_bytes = MemoryOf(program);
  for (int i = 0; i < count; ++i) {
    std::vector<v1::UploadRequest> requests = MakeUpload(i, serialized, memory_bytes);
    if (stall) requests.resize(requests.size() / 2);
    peers.push_back(std::make_unique<UploadPeer>(std::move(requests), stall));
    calls.push_back(peers.back().get());
  }
  for (int i = 0; i < count; ++i) {
    const auto stub = v1::Hub::NewStub(MakeChannel(hub, ""));
    stub->async()->Upload(peers[i]->context(), &replies[i], peers[i].get());
    peers[i]->Start();
  }
  if (stall) SayReady();
  SayEnds(calls);
  return 0;
}

int StallResults(const std::string& hub, uint64_t run, int count) {
  v1::ListResultsRequest request;
  request.set_run(run);
  std::vector<std::unique_ptr<ResultsPeer>> peers;
  std::vector<Ending*> calls;
  for (int i = 0; i < count; ++i) {
    const auto stub = v1::Hub::NewStub(MakeChannel(hub, ""));
    auto& peer = peers.emplace_back(std::make_unique<ResultsPeer>());
    stub->async()->ListResults(peer->context(), &request, peer.get());
    peer->StartCall();
    calls.push_back(peer.get());
  }
  SayReady();
  SayEnds(calls);
  return 0;
}

int IdleCalls(const std::string& hub, int connections, int count) {
  std::vector<std::unique_ptr<UploadPeer>> peers;
  std::vector<Ending*> calls;
  std::vector<v1::UploadReply> replies(connections * count);
  for (int i = 0; i < connections; ++i) {
    const auto stub = v1::Hub::NewStub(MakeChannel(hub, ""));
    for (int k = 0; k < count; ++k) {
      auto& peer = peers.emplace_back(
          std::make_unique<UploadPeer>(std::vector<v1::UploadRequest>(), /*stall=*/true));
      stub->async()->Upload(peer->context(), &replies[peers.size() - 1], peer.get());
      peer->Start();
      calls.push_back(peer.get());
    }
  }
  SayReady();
  SayEnds(calls);
  return 0;
}

uint64_t Number(const std::string& text) {
  uint64_t number = 0;
  CHECK(absl::SimpleAtoi(text, &number));
  return number;
}

int Run(const std::vector<std::string>& words) {
  CHECK(words.size() >= 3);
  const std::string& what = words[0];
  const std::string& server = words[1];
  const uint64_t first = Number(words[2]);
  const uint64_t second = words.size() > 3 ? Number(words[3]) : 0;
  if (what == "put") return Put(server, first);
  if (what == "get") return Get(server, first);
  if (what == "stall-get") return StallGet(server, first, second);
  if (what == "upload") return Upload(server, first, second, /*stall=*/false);
  if (what == "half-upload") return Upload(server, first, second, /*stall=*/true);
  if (what == "stall-results") return StallResults(server, first, second);
  if (what == "idle-calls") return IdleCalls(server, first, second);
  return 2;
}

}  // namespace
}  // namespace bue

int main(int argc, char** argv) {
  bue::SetUpProcess();
  return bue::Run({argv + 1, argv + argc});
}
