#include "cli/local_cluster.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/role_flags.h"
#include "common/hub_client/hub_client.h"
#include "common/status_macros.h"

namespace bue::cli {
namespace {

constexpr char kAnyPort[] = "127.0.0.1:0";
// By then the run has ended, or a person wants it to.
constexpr absl::Duration kStopGrace = absl::Seconds(2);

}  // namespace

absl::StatusOr<std::unique_ptr<LocalCluster>> LocalCluster::Start(
    const LocalClusterOptions& options) {
  std::unique_ptr<LocalCluster> cluster(new LocalCluster);
  cluster->token_ = HubClient::MakeKey();

  worker::WorkerOptions worker;
  worker.token = cluster->token_;
  worker.name = "run";
  worker.python = options.python;
  worker.state_dir = absl::StrCat(options.data_dir, "/worker");
  worker.slots = options.slots;
  worker.stop_grace = kStopGrace;
  worker.echo_output = true;
  RETURN_IF_ERROR(MakeDirectory(worker.state_dir));
  ASSIGN_OR_RETURN(cluster->worker_, worker::Worker::Prepare(worker));

  BucketOptions bucket;
  bucket.binding = kAnyPort;
  bucket.data_dir = absl::StrCat(options.data_dir, "/bucket");
  bucket.token = cluster->token_;
  bucket.sync_os = true;  // A power cut ends the run anyway.
  ASSIGN_OR_RETURN(cluster->bucket_, Bucket::Start(bucket));

  hub::HubOptions hub;
  hub.binding = kAnyPort;
  hub.buckets = {cluster->bucket_->address()};
  hub.data_dir = absl::StrCat(options.data_dir, "/hub");
  hub.token = cluster->token_;
  hub.sync_os = true;
  ASSIGN_OR_RETURN(cluster->hub_, hub::Hub::Start(hub));

  RETURN_IF_ERROR(cluster->worker_->Connect(cluster->hub_->address()));
  return cluster;
}

LocalCluster::~LocalCluster() {
  if (worker_ != nullptr) worker_->Stop();
  if (hub_ != nullptr) hub_->Shutdown();
  if (bucket_ != nullptr) bucket_->Shutdown();
}

}  // namespace bue::cli
