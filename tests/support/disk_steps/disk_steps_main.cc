// Runs the tests, or, with --sample DIRECTORY, is the process that a test records.
#include <cstring>

#include <gtest/gtest.h>

#include "tests/support/disk_steps/recorded_sample.h"

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--sample") == 0) return tandem::test::RunRecordedSample(argv[2]);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
