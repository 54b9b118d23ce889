# What lies between the decisions and the world: turns, and what is said on workers' streams. Without
# gRPC and RocksDB, so that the simulation links it.
add_library(bue_hub_core STATIC
  service/worker_messages.cc
  service/worker_sessions.cc
  service/worker_stream.cc
  storage/history_codec.cc
  storage/record_codec.cc
  turn_loop.cc)
target_link_libraries(bue_hub_core PUBLIC hub_scheduler bue_logging bue_program
  absl::synchronization)

# Storage, and what of the services needs no gRPC.
add_library(bue_hub_store STATIC
  service/bucket_watch.cc
  service/object_deleter.cc
  service/program_cache.cc
  service/requests.cc
  service/statistics_log.cc
  service/sweeper.cc
  service/upload_budget.cc
  storage/data_directory.cc
  storage/database.cc
  storage/history_rows.cc
  storage/rocksdb_hub_store.cc
  storage/row_loader.cc
  storage/rows.cc
  storage/verify_rows.cc
  verify.cc)
target_link_libraries(bue_hub_store PUBLIC bue_hub_core
  PRIVATE bue_rocksdb bue_sha256 ${BUE_ROCKSDB})

# The services.
add_library(bue_hub STATIC
  hub.cc
  service/client_messages.cc
  service/client_service.cc
  service/history_listing.cc
  service/listings.cc
  service/upload.cc
  service/upload_and_watch.cc
  service/watch.cc
  service/worker_service.cc)
target_compile_definitions(bue_hub PRIVATE BUE_VERSION="${PROJECT_VERSION}")
target_link_libraries(bue_hub PUBLIC bue_hub_store bue_common
  PRIVATE bue_bucket_client bue_sha256)
