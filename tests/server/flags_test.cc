#include "server/flags.h"

#include <cstdlib>
#include <iostream>
#include <string>

#include <gtest/gtest.h>

namespace tandem {
namespace {

// Flags are read once a process, so each of these runs in one of its own.
void ExitWith(const char* variable) {
  setenv(variable, "5", 1);
  std::string program = "tandemd";
  char* arguments[] = {program.data()};
  const absl::Status status = ReadFlags(1, arguments).status();
  std::cerr << status;
  std::_Exit(status.ok() ? 0 : 1);
}

TEST(FlagsTest, VariablesOfTheSetupScriptAndTheTestsAreNotForTandemd) {
  for (const char* variable : {"TANDEM_JOBS", "TANDEM_DEPS", "TANDEM_KILL_TEST_DIRECTORY", "TANDEM_KILL_TEST_SEED"}) {
    EXPECT_EXIT(ExitWith(variable), testing::ExitedWithCode(0), "OK") << variable;
  }
}

TEST(FlagsTest, AVariableThatIsNoSettingIsNamed) {
  for (const char* variable : {"TANDEM_JOB", "TANDEM_KILL"}) {
    EXPECT_EXIT(ExitWith(variable), testing::ExitedWithCode(1), variable);
  }
}

}  // namespace
}  // namespace tandem
