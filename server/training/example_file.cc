#include "server/training/example_file.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <nlohmann/json.hpp>

#include "server/base/held_out.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

using nlohmann::json;

// The keys of a form; the first tells it from the others.
struct FormKeys {
  ExampleForm form;
  std::vector<std::string_view> keys;
};

const std::vector<FormKeys>& AllForms() {
  static const std::vector<FormKeys> kForms = {{ExampleForm::kPair, {"anchor", "positives", "negatives"}},
                                               {ExampleForm::kScoredPair, {"score", "first", "second"}},
                                               {ExampleForm::kLabelledPair, {"similar", "first", "second"}},
                                               {ExampleForm::kLabelledText, {"label", "text"}},
                                               {ExampleForm::kText, {"text"}}};
  return kForms;
}

absl::StatusOr<ExampleForm> FormOf(const json& example) {
  for (const FormKeys& form : AllForms()) {
    if (!example.contains(form.keys[0])) continue;
    for (const auto& [key, value] : example.items()) {
      if (std::find(form.keys.begin(), form.keys.end(), key) == form.keys.end()) {
        return absl::InvalidArgumentError(Concat("unknown key \"", key, "\" in ", NameOf(form.form)));
      }
    }
    return form.form;
  }
  return absl::InvalidArgumentError(
      "no form of example has these keys: one of \"anchor\", \"score\", \"similar\", \"label\", \"text\" is needed");
}

// Reads the lines of one file.
class ExampleReader {
 public:
  explicit ExampleReader(TextTable& texts) : texts_(texts) {}

  absl::Status Read(std::string_view line) {
    const json example = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!example.is_object()) return absl::InvalidArgumentError("not a JSON object");
    ASSIGN_OR_RETURN(const ExampleForm form, FormOf(example));
    if (set_.empty()) set_.form = form;
    if (form != set_.form) {
      return absl::InvalidArgumentError(
          Concat("is ", NameOf(form), ", but the first example of the file is ", NameOf(set_.form)));
    }
    TrainingExample out;
    RETURN_IF_ERROR(Take(example, out));
    set_.examples.push_back(std::move(out));
    return absl::OkStatus();
  }

  ExampleSet Finish() && { return std::move(set_); }

 private:
  absl::Status Take(const json& example, TrainingExample& out) {
    switch (set_.form) {
      case ExampleForm::kPair:
        RETURN_IF_ERROR(TakeText(example, "anchor", out.anchor));
        RETURN_IF_ERROR(TakeTexts(example, "positives", out.positives));
        RETURN_IF_ERROR(TakeTexts(example, "negatives", out.negatives));
        if (!out.positives.empty()) return absl::OkStatus();
        return absl::InvalidArgumentError("\"positives\" is empty: at least one text is needed");
      case ExampleForm::kScoredPair:
        RETURN_IF_ERROR(TakeText(example, "first", out.anchor));
        RETURN_IF_ERROR(TakeText(example, "second", out.positives.emplace_back()));
        return TakeScore(example, out.score);
      case ExampleForm::kLabelledPair:
        RETURN_IF_ERROR(TakeText(example, "first", out.anchor));
        RETURN_IF_ERROR(TakeText(example, "second", out.positives.emplace_back()));
        if (!example["similar"].is_boolean()) return absl::InvalidArgumentError("\"similar\" is not true or false");
        out.similar = example["similar"].get<bool>();
        return absl::OkStatus();
      case ExampleForm::kLabelledText:
        RETURN_IF_ERROR(TakeText(example, "text", out.anchor));
        if (!example["label"].is_string()) return absl::InvalidArgumentError("\"label\" is not a text");
        out.label = classes_.try_emplace(example["label"].get<std::string>(), classes_.size()).first->second;
        return absl::OkStatus();
      case ExampleForm::kText:
        return TakeText(example, "text", out.anchor);
    }
    __builtin_unreachable();
  }

  absl::Status TakeText(const json& example, const char* key, TextId& out) {
    const auto found = example.find(key);
    if (found == example.end() || !found->is_string()) {
      return absl::InvalidArgumentError(Concat("\"", key, "\" is not a text"));
    }
    out = texts_.Intern(found->get<std::string>());
    return absl::OkStatus();
  }

  absl::Status TakeTexts(const json& example, const char* key, std::vector<TextId>& out) {
    const auto found = example.find(key);
    if (found == example.end()) return absl::OkStatus();
    if (!found->is_array()) return absl::InvalidArgumentError(Concat("\"", key, "\" is not a list of texts"));
    for (const json& text : *found) {
      if (!text.is_string()) return absl::InvalidArgumentError(Concat("\"", key, "\" holds something not a text"));
      out.push_back(texts_.Intern(text.get<std::string>()));
    }
    return absl::OkStatus();
  }

  static absl::Status TakeScore(const json& example, float& out) {
    const json& score = example["score"];
    if (score.is_number()) out = score.get<float>();
    if (score.is_number() && std::isfinite(out)) return absl::OkStatus();
    return absl::InvalidArgumentError("\"score\" is not a number of 32 bits");
  }

  TextTable& texts_;
  ExampleSet set_;
  std::unordered_map<std::string, int32_t> classes_;
};

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

absl::StatusOr<ExampleSet> ReadExampleFile(const std::filesystem::path& path, TextTable& texts) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(Concat(path.string(), ": cannot be opened"));
  ExampleReader reader(texts);
  std::string line;
  for (int64_t number = 1; std::getline(file, line); ++number) {
    if (line.empty()) continue;
    const absl::Status status = reader.Read(line);
    if (!status.ok()) {
      return absl::Status(status.code(), Concat(path.filename().string(), ":", number, ": ", status.message()));
    }
  }
  if (file.bad()) return absl::InternalError(Concat(path.string(), ": reading failed"));
  return std::move(reader).Finish();
}

ExampleSet OnePositiveEach(ExampleSet set) {
  ExampleSet result{set.form, {}};
  result.examples.reserve(set.examples.size());
  for (TrainingExample& example : set.examples) {
    const std::vector<TextId> positives = example.positives;
    if (positives.size() <= 1) {
      result.examples.push_back(std::move(example));
      continue;
    }
    for (const TextId positive : positives) {
      example.positives = {positive};
      result.examples.push_back(example);
    }
  }
  return result;
}

ExampleSet TwoViewsEach(ExampleSet set) {
  for (TrainingExample& example : set.examples) {
    example = TrainingExample{.anchor = example.anchor, .positives = {example.anchor}};
  }
  set.form = ExampleForm::kText;
  return set;
}

ExampleSplit SplitByAnchor(ExampleSet set, const TextTable& texts, double fraction) {
  ExampleSplit split{{set.form, {}}, {set.form, {}}};
  for (TrainingExample& example : set.examples) {
    const bool held_out = IsHeldOut(texts.texts()[example.anchor], fraction);
    (held_out ? split.validation : split.training).examples.push_back(std::move(example));
  }
  return split;
}

int64_t RemoveSharedAnchors(const ExampleSet& validation, ExampleSet& training) {
  std::unordered_set<TextId> anchors;
  for (const TrainingExample& example : validation.examples) anchors.insert(example.anchor);
  return static_cast<int64_t>(std::erase_if(
      training.examples, [&](const TrainingExample& example) { return anchors.contains(example.anchor); }));
}

}  // namespace tandem
