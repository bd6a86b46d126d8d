#include "server/training/example_file.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <unordered_set>
#include <utility>

#include <nlohmann/json.hpp>

#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/training/random.h"

namespace tandem {
namespace {

using nlohmann::json;

absl::Status ReadTexts(const json& example, const char* key, TextTable& texts, std::vector<TextId>& out) {
  const auto found = example.find(key);
  if (found == example.end()) return absl::OkStatus();
  if (!found->is_array()) return absl::InvalidArgumentError(Concat("\"", key, "\" is not a list of texts"));
  for (const json& text : *found) {
    if (!text.is_string()) return absl::InvalidArgumentError(Concat("\"", key, "\" holds something not a text"));
    out.push_back(texts.Intern(text.get<std::string>()));
  }
  return absl::OkStatus();
}

}  // namespace

TextId TextTable::Intern(std::string text) {
  const uint64_t hash = std::hash<std::string>()(text);
  const auto [begin, end] = by_hash_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (texts_[it->second] == text) return it->second;
  }
  const TextId id = static_cast<TextId>(texts_.size());
  texts_.push_back(std::move(text));
  by_hash_.emplace(hash, id);
  return id;
}

absl::Status ParseExample(std::string_view line, TextTable& texts, std::vector<TrainingPair>& pairs) {
  const json example = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!example.is_object()) return absl::InvalidArgumentError("not a JSON object");
  for (const auto& [key, value] : example.items()) {
    if (key != "anchor" && key != "positives" && key != "negatives") {
      return absl::InvalidArgumentError(Concat("unknown key \"", key, "\""));
    }
  }
  const auto anchor = example.find("anchor");
  if (anchor == example.end() || !anchor->is_string()) return absl::InvalidArgumentError("\"anchor\" is not a text");
  std::vector<TextId> positives, negatives;
  RETURN_IF_ERROR(ReadTexts(example, "positives", texts, positives));
  RETURN_IF_ERROR(ReadTexts(example, "negatives", texts, negatives));
  if (positives.empty()) return absl::InvalidArgumentError("\"positives\" is empty: at least one text is needed");
  const TextId anchor_id = texts.Intern(anchor->get<std::string>());
  for (const TextId positive : positives) pairs.push_back({anchor_id, positive, negatives});
  return absl::OkStatus();
}

absl::Status ReadExampleFile(const std::filesystem::path& path, TextTable& texts, std::vector<TrainingPair>& pairs) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(Concat(path.string(), ": cannot be opened"));
  std::string line;
  for (int64_t number = 1; std::getline(file, line); ++number) {
    if (line.empty()) continue;
    const absl::Status status = ParseExample(line, texts, pairs);
    if (!status.ok()) {
      return absl::Status(status.code(), Concat(path.filename().string(), ":", number, ": ", status.message()));
    }
  }
  if (file.bad()) return absl::InternalError(Concat(path.string(), ": reading failed"));
  return absl::OkStatus();
}

ExampleSplit SplitByAnchor(std::vector<TrainingPair> pairs, const TextTable& texts, double fraction) {
  ExampleSplit split;
  for (TrainingPair& pair : pairs) {
    // CRC-32C is linear in its input; mixing it makes the high bits those of a hash.
    const uint64_t hash = MixBits(Crc32c(texts.texts()[pair.anchor]));
    const double position = static_cast<double>(hash >> 11) * 0x1p-53;  // [0, 1)
    (position < fraction ? split.validation : split.training).push_back(std::move(pair));
  }
  return split;
}

int64_t RemoveSharedAnchors(const std::vector<TrainingPair>& validation, std::vector<TrainingPair>& training) {
  std::unordered_set<TextId> anchors;
  for (const TrainingPair& pair : validation) anchors.insert(pair.anchor);
  return static_cast<int64_t>(
      std::erase_if(training, [&](const TrainingPair& pair) { return anchors.contains(pair.anchor); }));
}

}  // namespace tandem
