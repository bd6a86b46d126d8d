#pragma once
// The reference numbers of tests/golden/encoder, which make_golden.py there writes, and scratch model directories.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace tandem {

inline std::filesystem::path GoldenPath(const std::string& name) {
  return std::filesystem::path("tests/golden/encoder") / name;
}

inline std::string Slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

inline nlohmann::json SlurpJson(const std::filesystem::path& path) { return nlohmann::json::parse(Slurp(path)); }

inline void Spill(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

inline std::vector<std::string> GoldenTexts() {
  std::ifstream file(GoldenPath("texts.jsonl"), std::ios::binary);
  std::vector<std::string> texts;
  for (std::string line; std::getline(file, line);) texts.push_back(nlohmann::json::parse(line).get<std::string>());
  return texts;
}

struct GoldenIds {
  int token_count = 0;
  std::vector<int32_t> ids;
};

inline std::vector<GoldenIds> ReadGoldenIds() {
  const std::string bytes = Slurp(GoldenPath("ids.bin"));
  std::vector<int32_t> values(bytes.size() / sizeof(int32_t));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(int32_t));
  std::vector<GoldenIds> result;
  for (size_t i = 0; i < values.size(); i += 2 + values[i + 1]) {
    result.push_back({values[i], {values.begin() + i + 2, values.begin() + i + 2 + values[i + 1]}});
  }
  return result;
}

inline std::vector<float> GoldenEmbeddings() {
  const std::string bytes = Slurp(GoldenPath("embeddings.bin"));
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

inline double Cosine(std::span<const float> a, std::span<const float> b) {
  double dot = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    dot += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  return dot / std::sqrt(aa * bb);
}

// A writable copy of a golden tiny model, gone with the object.
class ScratchModel {
 public:
  explicit ScratchModel(const std::string& variant) {
    std::string name = (std::filesystem::temp_directory_path() / "tandem-encoder-XXXXXX").string();
    path_ = mkdtemp(name.data());
    if (!variant.empty()) {
      std::filesystem::copy(GoldenPath("tiny/" + variant), path_, std::filesystem::copy_options::recursive);
    }
  }
  ~ScratchModel() { std::filesystem::remove_all(path_); }
  ScratchModel(const ScratchModel&) = delete;
  ScratchModel& operator=(const ScratchModel&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // Sets one key of a JSON file, which is made when it is not there.
  void Set(const std::string& file, const std::string& key, const nlohmann::json& value) const {
    nlohmann::json json = std::filesystem::exists(path_ / file) ? SlurpJson(path_ / file) : nlohmann::json::object();
    json[key] = value;
    Spill(path_ / file, json.dump());
  }

 private:
  std::filesystem::path path_;
};

}  // namespace tandem
