// RocksDB's checksum, as common/rocksdb/crc32c.cc computes it.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <random>
#include <string>

namespace bue {
namespace {

using ExtendFunction = uint32_t (*)(uint32_t, const char*, size_t);
constexpr char kSymbol[] = "_ZN7rocksdb6crc32c6ExtendEjPKcm";

// What RocksDB calls.
ExtendFunction Ours() { return reinterpret_cast<ExtendFunction>(dlsym(RTLD_DEFAULT, kSymbol)); }
// What RocksDB brings along.
ExtendFunction Theirs() { return reinterpret_cast<ExtendFunction>(dlsym(RTLD_NEXT, kSymbol)); }

TEST(Crc32cTest, RocksDbFindsOursFirst) {
  ASSERT_NE(Ours(), nullptr);
  ASSERT_NE(Theirs(), nullptr);
  EXPECT_NE(Ours(), Theirs());
}

TEST(Crc32cTest, KnownValue) { EXPECT_EQ(Ours()(0, "123456789", 9), 0xe3069283u); }

TEST(Crc32cTest, IsRocksDbsForEveryLengthAndPlace) {
  std::mt19937 random(1);
  std::string data(5000, '\0');
  for (char& byte : data) byte = static_cast<char>(random());
  uint32_t crc = 0;
  for (size_t length = 0; length < 200; ++length) {
    const size_t place = random() % (data.size() - length);
    ASSERT_EQ(Ours()(crc, data.data() + place, length), Theirs()(crc, data.data() + place, length));
    crc = Ours()(crc, data.data() + place, length);
  }
  EXPECT_EQ(Ours()(crc, data.data(), data.size()), Theirs()(crc, data.data(), data.size()));
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
