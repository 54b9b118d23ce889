// Runs the bucket's tests as the real processes run: with the same allocator settings, since one of
// them measures memory.
#include <gtest/gtest.h>

#include "common/logging.h"
#include "common/rpc.h"

int main(int argc, char** argv) {
  bue::SetUpProcess();
  bue::SetUpLogging("test", "warning");
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
