// RocksDB's checksum, as common/rocksdb/crc32c.cc computes it.
#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <random>
#include <string>

namespace rocksdb::crc32c {
// As RocksDB's util/crc32c.h declares it, which is not installed.
uint32_t Extend(uint32_t crc, const char* data, size_t size);
}  // namespace rocksdb::crc32c

// What RocksDB brings along, by the name that the linker gives it.
extern "C" uint32_t __real__ZN7rocksdb6crc32c6ExtendEjPKcm(uint32_t crc, const char* data,
                                                           size_t size);

namespace bue {
namespace {

// What RocksDB calls.
constexpr auto kOurs = rocksdb::crc32c::Extend;
constexpr auto kTheirs = __real__ZN7rocksdb6crc32c6ExtendEjPKcm;

TEST(Crc32cTest, RocksDbCallsOurs) { EXPECT_NE(kOurs, kTheirs); }

TEST(Crc32cTest, KnownValue) { EXPECT_EQ(kOurs(0, "123456789", 9), 0xe3069283u); }

TEST(Crc32cTest, IsRocksDbsForEveryLengthAndPlace) {
  std::mt19937 random(1);
  std::string data(5000, '\0');
  for (char& byte : data) byte = static_cast<char>(random());
  uint32_t crc = 0;
  for (size_t length = 0; length < 200; ++length) {
    const size_t place = random() % (data.size() - length);
    ASSERT_EQ(kOurs(crc, data.data() + place, length), kTheirs(crc, data.data() + place, length));
    crc = kOurs(crc, data.data() + place, length);
  }
  EXPECT_EQ(kOurs(crc, data.data(), data.size()), kTheirs(crc, data.data(), data.size()));
}

TEST(Crc32cTest, WhatRocksDbLoggedIsReadBack) {
  const std::string path = testing::TempDir() + "/crc32c_test";
  std::filesystem::remove_all(path);
  rocksdb::Options options;
  options.create_if_missing = true;
  options.paranoid_checks = true;
  const std::string value(100000, 'v');
  for (int opened = 0; opened < 2; ++opened) {
    rocksdb::DB* db = nullptr;
    ASSERT_TRUE(rocksdb::DB::Open(options, path, &db).ok());
    const std::unique_ptr<rocksdb::DB> closes(db);
    if (opened == 0) {
      ASSERT_TRUE(db->Put({}, "key", value).ok());
    } else {
      std::string read;
      ASSERT_TRUE(db->Get({}, "key", &read).ok());
      EXPECT_EQ(read, value);
    }
  }
  std::filesystem::remove_all(path);
}

}  // namespace
}  // namespace bue
