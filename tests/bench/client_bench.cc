// A client that times its own calls, so that starting a process for each is not part of them.
// Prints one JSON object.
//
//   client_bench HUB roundtrip SCRIPT COUNT [BUCKET]
//     One run after the other, each from the upload to its end, in one call as `bue upload --wait`
//     makes it, and to its only result in this
//     process if BUCKET is given: {"ms": [...], "bytes": size of the last result}
//   client_bench HUB upload SCRIPT COUNT AT_ONCE
//     Uploads COUNT runs, AT_ONCE at a time: {"seconds": ..., "runs": how many were acknowledged}
//   client_bench HUB watch SCRIPT INTERVAL_MS
//     Uploads one run and looks at it until it ends: {"run": its number, "seconds": [...], "done":
//     [...]}, how many tasks were done so many seconds after the upload began
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "cli/script.h"
#include "cli/text.h"
#include "cli/values.h"
#include "common/bucket_client/bucket_client.h"
#include "common/check.h"
#include "common/hub_client/hub_client.h"
#include "common/logging.h"
#include "common/rpc.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"

namespace bue {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kValueBytesMax = 16 << 20;

class Client {
 public:
  static absl::StatusOr<std::unique_ptr<Client>> Make(const std::string& hub,
                                                      const std::string& script) {
    auto client = std::make_unique<Client>();
    client->flags_.file = script;
    ASSIGN_OR_RETURN(client->script_, cli::CompileScript(client->flags_));
    if (!client->script_.result.program.has_value()) {
      return absl::InvalidArgumentError(cli::FormatScript(client->script_));
    }
    ASSIGN_OR_RETURN(client->hub_, HubClient::Connect({.target = hub}));
    return client;
  }

  // May be called by many threads at once.
  absl::StatusOr<uint64_t> Upload() { return hub_->Upload(cli::ToNewRun(script_, flags_)); }

  absl::StatusOr<Json> RoundTrips(int count, BucketClient* bucket) {
    std::vector<double> ms;
    size_t bytes = 0;
    for (int i = 0; i < count; ++i) {
      const absl::Time before = absl::Now();
      ASSIGN_OR_RETURN(const v1::RunStatus end, RunToEnd());
      if (bucket != nullptr) {
        ASSIGN_OR_RETURN(bytes, ReadResult(end, bucket));
      }
      ms.push_back(absl::ToDoubleMilliseconds(absl::Now() - before));
    }
    return Json{{"ms", ms}, {"bytes", bytes}};
  }

  absl::StatusOr<Json> Uploads(int count, int at_once) {
    std::atomic<int> left = count;
    std::atomic<int> acknowledged = 0;
    const absl::Time before = absl::Now();
    std::vector<std::thread> threads;
    for (int i = 0; i < at_once; ++i) {
      threads.emplace_back([&] {
        while (left.fetch_sub(1) > 0) {
          if (Upload().ok()) ++acknowledged;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return Json{{"seconds", absl::ToDoubleSeconds(absl::Now() - before)},
                {"runs", acknowledged.load()}};
  }

  absl::StatusOr<Json> Watch(absl::Duration interval) {
    std::vector<double> seconds;
    std::vector<uint64_t> done;
    const absl::Time before = absl::Now();
    ASSIGN_OR_RETURN(const uint64_t run, Upload());
    const auto note = [&](const v1::RunStatus& status) {
      seconds.push_back(absl::ToDoubleSeconds(absl::Now() - before));
      done.push_back(status.tasks().done());
      return true;
    };
    RETURN_IF_ERROR(hub_->WatchRun(run, interval, note).status());
    return Json{{"run", cli::RunName(run)}, {"seconds", seconds}, {"done", done}};
  }

 private:
  absl::StatusOr<v1::RunStatus> RunToEnd() {
    ASSIGN_OR_RETURN(v1::RunStatus end,
                     hub_->UploadAndWatch(
                         cli::ToNewRun(script_, flags_), absl::InfiniteDuration(), [](uint64_t) {},
                         [](const v1::RunStatus&) { return true; }));
    if (end.state() != v1::RUN_SUCCEEDED) return absl::InternalError("the run did not succeed");
    return end;
  }

  // Its size.
  absl::StatusOr<size_t> ReadResult(const v1::RunStatus& end, BucketClient* bucket) {
    if (end.results_size() != 1) return absl::InternalError("the run has not one result");
    ASSIGN_OR_RETURN(const Fetched value,
                     cli::FetchAll(bucket, {end.results(0).address()}, kValueBytesMax)[0]);
    return value.data.size();
  }

  cli::ScriptFlags flags_;
  cli::CompiledScript script_;
  std::unique_ptr<HubClient> hub_;
};

absl::StatusOr<Json> Run(const std::vector<std::string>& words) {
  const auto number = [&](size_t i) { return std::atoi(words[i].c_str()); };
  ASSIGN_OR_RETURN(const std::unique_ptr<Client> client, Client::Make(words[0], words[2]));
  if (words[1] == "upload" && words.size() == 5) return client->Uploads(number(3), number(4));
  if (words[1] == "watch") return client->Watch(absl::Milliseconds(number(3)));
  if (words[1] != "roundtrip") return absl::InvalidArgumentError("roundtrip, upload or watch");
  if (words.size() == 4) return client->RoundTrips(number(3), nullptr);
  if (words.size() != 5) return absl::InvalidArgumentError("one BUCKET");
  ASSIGN_OR_RETURN(const std::unique_ptr<BucketClient> bucket,
                   BucketClient::Connect({words[4]}, "", absl::Seconds(5)));
  return client->RoundTrips(number(3), bucket.get());
}

}  // namespace
}  // namespace bue

int main(int argc, char** argv) {
  bue::SetUpProcess();
  bue::SetUpLogging("client", "warning");
  if (argc < 5) {
    std::fprintf(stderr, "client_bench HUB roundtrip|upload|watch SCRIPT NUMBER ...\n");
    return 2;
  }
  const absl::StatusOr<bue::Json> found = bue::Run({argv + 1, argv + argc});
  if (!found.ok()) {
    std::fprintf(stderr, "%s\n", std::string(found.status().message()).c_str());
    return 1;
  }
  std::printf("%s\n", found->dump().c_str());
  return 0;
}
