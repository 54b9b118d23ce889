// What the client of the hub does when the hub goes away in the middle: it tries again where that
// is safe, delivers nothing twice, and gives up in time, saying where it looked.
#include "common/hub_client/hub_client.h"

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "bue/v1/hub.grpc.pb.h"
#include "common/rpc.h"
#include "common/sha256.h"
#include "gtest/gtest.h"
#include "tests/support/patience.h"

namespace bue {
namespace {

// Writes `messages`, then ends with `status`.
template <typename Message>
class WriteAll final : public grpc::ServerWriteReactor<Message> {
 public:
  WriteAll(std::vector<Message> messages, grpc::Status status)
      : messages_(std::move(messages)), status_(std::move(status)) {
    Next();
  }
  void OnWriteDone(bool ok) override { ok ? Next() : this->Finish(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }

 private:
  void Next() {
    if (written_ == messages_.size()) {
      this->Finish(status_);
    } else {
      this->StartWrite(&messages_[written_++]);
    }
  }

  std::vector<Message> messages_;
  const grpc::Status status_;
  size_t written_ = 0;
};

const grpc::Status kAway(grpc::StatusCode::UNAVAILABLE, "stopping");

// A hub that breaks off the first call of each kind.
class BreakingHub final : public v1::Hub::CallbackService {
 public:
  grpc::ServerWriteReactor<v1::ResultRecord>* ListResults(grpc::CallbackServerContext*,
                                                          const v1::ListResultsRequest*) override {
    const bool first = results_calls_++ == 0;
    std::vector<v1::ResultRecord> records(first ? 3 : 5);
    for (size_t i = 0; i < records.size(); ++i) records[i].set_item(std::to_string(i));
    return new WriteAll<v1::ResultRecord>(std::move(records), first ? kAway : grpc::Status::OK);
  }

  grpc::ServerWriteReactor<v1::RunStatus>* WatchRun(grpc::CallbackServerContext*,
                                                    const v1::WatchRunRequest*) override {
    v1::RunStatus status;
    status.set_state(watch_calls_++ == 0 ? v1::RUNNING : v1::RUN_SUCCEEDED);
    return new WriteAll<v1::RunStatus>({status}, watch_calls_ == 1 ? kAway : grpc::Status::OK);
  }

  grpc::ServerReadReactor<v1::UploadRequest>* Upload(grpc::CallbackServerContext*,
                                                     v1::UploadReply* reply) override {
    class Reader final : public grpc::ServerReadReactor<v1::UploadRequest> {
     public:
      Reader(BreakingHub* hub, v1::UploadReply* reply) : hub_(hub), reply_(reply) {
        StartRead(&message_);
      }
      void OnReadDone(bool ok) override {
        if (!ok) return End();
        if (message_.has_start()) key_ = message_.start().key();
        if (message_.has_file()) file_ += message_.file().data();
        StartRead(&message_);
      }
      void OnDone() override { delete this; }

     private:
      void End() {
        absl::MutexLock lock(&hub_->mutex_);
        hub_->keys_.push_back(key_);
        hub_->files_.push_back(file_);
        reply_->set_run(17);
        Finish(hub_->keys_.size() == 1 ? kAway : grpc::Status::OK);
      }

      BreakingHub* const hub_;
      v1::UploadReply* const reply_;
      v1::UploadRequest message_;
      std::string key_;
      std::string file_;
    };
    return new Reader(this, reply);
  }

  // Breaks off twice: before the run is accepted, and after that.
  grpc::ServerBidiReactor<v1::UploadRequest, v1::RunUpdate>* UploadAndWatch(
      grpc::CallbackServerContext*) override {
    class Call final : public grpc::ServerBidiReactor<v1::UploadRequest, v1::RunUpdate> {
     public:
      explicit Call(BreakingHub* hub) : hub_(hub) { StartRead(&message_); }
      void OnReadDone(bool ok) override {
        if (!ok) return End();
        if (message_.has_start()) key_ = message_.start().key();
        StartRead(&message_);
      }
      void OnWriteDone(bool) override { Finish(kAway); }
      void OnDone() override { delete this; }

     private:
      void End() {
        absl::MutexLock lock(&hub_->mutex_);
        hub_->keys_.push_back(key_);
        if (hub_->keys_.size() == 1) return Finish(kAway);
        update_.mutable_accepted()->set_run(17);
        alarm_.Set(absl::ToChronoTime(absl::Now() + hub_->accepts_after_),
                   [this](bool) { StartWrite(&update_); });
      }

      BreakingHub* const hub_;
      v1::UploadRequest message_;
      v1::RunUpdate update_;
      grpc::Alarm alarm_;
      std::string key_;
    };
    return new Call(this);
  }

  grpc::ServerUnaryReactor* GetRun(grpc::CallbackServerContext* context,
                                   const v1::GetRunRequest* request,
                                   v1::RunStatus* reply) override {
    ++get_calls_;
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    if (request->run() == 404) {
      reactor->Finish(grpc::Status(grpc::StatusCode::NOT_FOUND, "no run r404"));
    } else if (request->run() == 503 || get_calls_ == 1) {
      reactor->Finish(kAway);
    } else {
      reply->set_run(request->run());
      reactor->Finish(grpc::Status::OK);
    }
    return reactor;
  }

  grpc::ServerUnaryReactor* GetInfo(grpc::CallbackServerContext* context, const v1::HubInfoRequest*,
                                    v1::HubInfo* reply) override {
    ++info_calls_;
    if (!away_.empty()) reply->add_away()->set_bucket(away_);
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  // Set before it is asked.
  std::string away_;  // A bucket.
  absl::Duration accepts_after_;

  std::atomic<int> info_calls_ = 0;
  std::atomic<int> results_calls_ = 0;
  std::atomic<int> watch_calls_ = 0;
  std::atomic<int> get_calls_ = 0;
  absl::Mutex mutex_;
  std::vector<std::string> keys_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> files_ ABSL_GUARDED_BY(mutex_);
};

class HubClientTest : public testing::Test {
 protected:
  void SetUp() override {
    auto server = RpcServer::Start({.binding = "127.0.0.1:0"}, {&hub_});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    Connect(Patience(absl::Seconds(60)));
  }
  void Connect(absl::Duration retry_for) {
    auto client = HubClient::Connect(
        {.target = server_->address(),
         .connect_timeout = Patience(absl::Seconds(60)),
         .retry_for = retry_for,
         .notice = [this](const std::string& text) { notices_.push_back(text); }});
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
  }

  BreakingHub hub_;
  std::unique_ptr<RpcServer> server_;
  std::unique_ptr<HubClient> client_;
  std::vector<std::string> notices_;
};

TEST_F(HubClientTest, BrokenListingDeliversEachRecordOnce) {
  std::vector<std::string> items;
  const absl::Status status = client_->ListResults(1, [&](const v1::ResultRecord& record) {
    items.push_back(record.item());
    return true;
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(items, (std::vector<std::string>{"0", "1", "2", "3", "4"}));
  EXPECT_EQ(hub_.results_calls_, 2);
}

TEST_F(HubClientTest, ListingEndsWhenItsUserHasEnough) {
  int seen = 0;
  EXPECT_TRUE(client_->ListResults(1, [&](const v1::ResultRecord&) { return ++seen < 2; }).ok());
  EXPECT_EQ(seen, 2);
}

TEST_F(HubClientTest, WatchGoesOnAfterTheHubWasAway) {
  std::vector<v1::RunState> states;
  const absl::StatusOr<v1::RunStatus> last =
      client_->WatchRun(1, absl::Milliseconds(10), [&](const v1::RunStatus& status) {
        states.push_back(status.state());
        return true;
      });
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(last->state(), v1::RUN_SUCCEEDED);
  EXPECT_EQ(states, (std::vector<v1::RunState>{v1::RUNNING, v1::RUN_SUCCEEDED}));
}

TEST_F(HubClientTest, WhoWatchesIsToldOnceThatTheHubIsAwayAndBack) {
  const auto go_on = [](const v1::RunStatus&) { return true; };
  ASSERT_TRUE(client_->WatchRun(1, absl::InfiniteDuration(), go_on).ok());
  ASSERT_EQ(notices_.size(), 2u);
  const std::string hub = absl::StrCat("the hub at ", server_->address());
  EXPECT_TRUE(absl::StrContains(notices_[0], absl::StrCat("no answer from ", hub))) << notices_[0];
  EXPECT_EQ(notices_[1], absl::StrCat(hub, " is back"));
}

TEST_F(HubClientTest, BucketsThatAreAwayAreNamed) {
  hub_.away_ = "bucket.example:1";
  ASSERT_TRUE(client_->NoteBuckets().ok());
  ASSERT_EQ(notices_.size(), 1u);
  EXPECT_TRUE(
      absl::StartsWith(notices_[0], "bucket bucket.example:1 has not answered the hub for "))
      << notices_[0];
}

TEST_F(HubClientTest, UploadIsSentAgainWithItsKeyAndAllOfItsFiles) {
  const Program program;
  const std::string file(3'000'000, 'x');
  NewRun run;
  run.key = HubClient::MakeKey();
  run.program = &program;
  const std::string hash = Sha256(file);
  run.files = {{.sha256 = hash, .data = file}, {.sha256 = hash, .data = ""}};
  const absl::StatusOr<uint64_t> number = client_->Upload(run);
  ASSERT_TRUE(number.ok()) << number.status();
  EXPECT_EQ(*number, 17u);
  absl::MutexLock lock(&hub_.mutex_);
  EXPECT_EQ(hub_.keys_, (std::vector<std::string>{run.key, run.key}));
  EXPECT_EQ(hub_.files_, (std::vector<std::string>{file, file}));
}

TEST_F(HubClientTest, UploadAndWatchGoesOnWhereItWasBrokenOff) {
  const Program program;
  NewRun run;
  run.key = HubClient::MakeKey();
  run.program = &program;
  std::vector<uint64_t> accepted;
  std::vector<v1::RunState> states;
  const absl::StatusOr<v1::RunStatus> last = client_->UploadAndWatch(
      run, absl::Milliseconds(10), [&](uint64_t number) { accepted.push_back(number); },
      [&](const v1::RunStatus& status) {
        states.push_back(status.state());
        return true;
      });
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(accepted, (std::vector<uint64_t>{17}));
  EXPECT_EQ(states, (std::vector<v1::RunState>{v1::RUNNING, v1::RUN_SUCCEEDED}));
  absl::MutexLock lock(&hub_.mutex_);
  EXPECT_EQ(hub_.keys_, (std::vector<std::string>{run.key, run.key}));
}

// Longer than the silence after which the hub of a watched run is asked whether it is there: a hub
// that answers this need not get on with the upload.
TEST_F(HubClientTest, WhoWaitsForAnUploadAsksNothingElse) {
  hub_.accepts_after_ = absl::Seconds(6);
  const Program program;
  NewRun run;
  run.key = HubClient::MakeKey();
  run.program = &program;
  const absl::StatusOr<v1::RunStatus> last = client_->UploadAndWatch(
      run, absl::InfiniteDuration(), [&](uint64_t) { EXPECT_EQ(hub_.info_calls_, 0); },
      [](const v1::RunStatus&) { return true; });
  EXPECT_TRUE(last.ok()) << last.status();
}

TEST_F(HubClientTest, CallIsTriedAgainWhenTheHubWasAway) {
  const absl::StatusOr<v1::RunStatus> status = client_->GetRun(5);
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(status->run(), 5u);
  EXPECT_EQ(hub_.get_calls_, 2);
}

TEST_F(HubClientTest, AnswerThatStaysIsNotAskedForAgain) {
  Connect(absl::Milliseconds(500));
  EXPECT_TRUE(absl::IsUnavailable(client_->GetRun(503).status()));
  const int before = hub_.get_calls_;
  EXPECT_TRUE(absl::IsNotFound(client_->GetRun(404).status()));
  EXPECT_EQ(hub_.get_calls_, before + 1);
}

TEST_F(HubClientTest, HubThatStaysAwayIsGivenUpInTimeAndNamed) {
  Connect(absl::Milliseconds(500));
  const std::string address = server_->address();
  server_->Shutdown(absl::ZeroDuration());
  const absl::Time began = absl::Now();
  const absl::Status status = client_->GetRun(1).status();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_TRUE(absl::StrContains(status.message(), address)) << status;
  EXPECT_LT(absl::Now() - began, Patience(absl::Seconds(60)));
}

TEST(HubClientKeys, AreDifferentEachTime) {
  EXPECT_EQ(HubClient::MakeKey().size(), 32u);
  EXPECT_NE(HubClient::MakeKey(), HubClient::MakeKey());
}

}  // namespace
}  // namespace bue
