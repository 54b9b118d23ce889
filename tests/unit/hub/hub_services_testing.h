// A whole hub on loopback, with a stub for the worker and the real client.
#ifndef BUE_TESTS_UNIT_HUB_HUB_SERVICES_TESTING_H_
#define BUE_TESTS_UNIT_HUB_HUB_SERVICES_TESTING_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/hub_client/hub_client.h"
#include "hub/hub.h"
#include "tests/support/patience.h"
#include "tests/support/program_text.h"
#include "tests/support/stub_worker.h"

namespace bue::hub {

inline constexpr char kToken[] = "sesame";
inline constexpr char kOneStep[] = "node a\n";
inline constexpr char kLoopOfFour[] = "loop in 0 over range:4\nnode a in 1 e1\n";

class HubServicesTest : public testing::Test {
 protected:
  HubServicesTest() {
    std::string name = testing::TempDir() + "bue-hub-XXXXXX";
    dir_ = mkdtemp(name.data());
  }
  ~HubServicesTest() override {
    client_.reset();
    hub_.reset();
    std::filesystem::remove_all(dir_);
  }

  void SetUp() override { StartHub(); }

  void StartHub() {
    client_.reset();
    hub_.reset();
    options_.binding = "127.0.0.1:0";
    options_.buckets = {"127.0.0.1:1"};
    options_.data_dir = dir_ + "/hub";
    options_.token = kToken;
    auto hub = Hub::Start(options_);
    ASSERT_TRUE(hub.ok()) << hub.status();
    hub_ = *std::move(hub);
    auto client = HubClient::Connect({.target = hub_->address(),
                                      .token = kToken,
                                      .connect_timeout = Patience(absl::Seconds(60))});
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
  }

  absl::StatusOr<uint64_t> Upload(const std::string& text, std::string key = "") {
    if (key.empty()) key = HubClient::MakeKey();
    const std::shared_ptr<const Program> program = ParseProgramText(text);
    return client_->Upload({.key = key, .name = "test.bue", .program = program.get()});
  }
  uint64_t MustUpload(const std::string& text) {
    const absl::StatusOr<uint64_t> run = Upload(text);
    EXPECT_TRUE(run.ok()) << run.status();
    return run.value_or(0);
  }

  std::unique_ptr<StubWorker> Worker() {
    return std::make_unique<StubWorker>(hub_->address(), kToken);
  }

  v1::RunStatus AwaitEnd(uint64_t run) {
    const auto status =
        client_->WatchRun(run, absl::Milliseconds(50), [](const v1::RunStatus&) { return true; });
    EXPECT_TRUE(status.ok()) << status.status();
    return status.value_or(v1::RunStatus());
  }

  std::vector<uint64_t> Results(uint64_t run) {
    std::vector<uint64_t> addresses;
    const absl::Status status = client_->ListResults(run, [&](const v1::ResultRecord& result) {
      addresses.push_back(result.address());
      return true;
    });
    EXPECT_TRUE(status.ok()) << status;
    return addresses;
  }

  std::string dir_;
  HubOptions options_;
  std::unique_ptr<Hub> hub_;
  std::unique_ptr<HubClient> client_;
};

}  // namespace bue::hub

#endif  // BUE_TESTS_UNIT_HUB_HUB_SERVICES_TESTING_H_
