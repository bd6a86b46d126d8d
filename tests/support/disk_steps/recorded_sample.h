#pragma once
// A process that changes a directory in all the ways that the recorder knows, alone and with others beside it.

#include <filesystem>

namespace tandem::test {

// Returns the exit code: 0, or 1 when a call failed (which goes to stderr).
int RunRecordedSample(const std::filesystem::path& directory);

}  // namespace tandem::test
