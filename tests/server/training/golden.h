#pragma once
// What tests/golden/training/make_golden.py made. Paths are below the root of the repository, where ctest runs the
// tests.

#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

namespace tandem {

std::filesystem::path GoldenPath(const std::string& name);
nlohmann::json ReadGolden(const std::string& name);  // Fails the test and returns null when it cannot be read.

}  // namespace tandem
