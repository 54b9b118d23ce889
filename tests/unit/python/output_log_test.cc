#include "worker/python/output_log.h"

#include "gtest/gtest.h"

namespace bue::worker {
namespace {

TEST(OutputLogTest, WhatFitsIsKeptWhole) {
  OutputLog log;
  log.Add(1, 0, "a");
  log.Add(2, 0, "x");
  log.Add(1, 0, "b");
  EXPECT_EQ(log.Show(1), "ab");
  EXPECT_EQ(log.Take(1), "ab");
  EXPECT_EQ(log.Take(1), "");
  EXPECT_EQ(log.Show(2), "x");
}

TEST(OutputLogTest, OfMoreTheMiddleIsLeftOut) {
  OutputLog log;
  for (int i = 0; i < 100; ++i)
    log.Add(1, 0, std::string(1 << 10, static_cast<char>('A' + i % 26)));
  const std::string text = log.Show(1);
  EXPECT_EQ(text.substr(0, 1 << 10), std::string(1 << 10, 'A'));
  EXPECT_NE(text.find("\n... 36864 bytes left out ...\n"), std::string::npos);
  EXPECT_EQ(text.back(), 'A' + 99 % 26);
}

TEST(OutputLogTest, WhatTheRunnerDroppedCounts) {
  OutputLog log;
  log.Add(1, 0, "first");
  log.Add(1, 100, "last");
  EXPECT_EQ(log.Show(1), "first\n... 100 bytes left out ...\nlast");
}

}  // namespace
}  // namespace bue::worker
