#include "server/training/validation_outcomes.h"

#include <string_view>

#include "absl/strings/str_format.h"
#include "server/base/files.h"
#include "server/base/job_directory.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

using nlohmann::json;

std::string Checksum(std::string_view bytes) { return absl::StrFormat("%08x", Crc32c(bytes)); }

}  // namespace

json ToJson(const ValidationOutcomes& outcomes) {
  return {{"result", ToJson(outcomes.result)}, {"values", outcomes.values}};
}

absl::StatusOr<ValidationOutcomes> ValidationOutcomesFromJson(const json& in) {
  if (!in.is_object() || !in.contains("values") || !in["values"].is_object()) {
    return absl::DataLossError("validation outcomes: values is missing or not an object");
  }
  ValidationOutcomes outcomes;
  ASSIGN_OR_RETURN(outcomes.result, ValidationResultFromJson(in.value("result", json())));
  for (const auto& [name, list] : in["values"].items()) {
    std::vector<double>& values = outcomes.values[name];
    if (!list.is_array()) return absl::DataLossError(Concat("validation outcomes: ", name, " is not a list"));
    values.reserve(list.size());
    for (const json& value : list) {
      if (!value.is_number()) return absl::DataLossError(Concat("validation outcomes: ", name, " has no number"));
      values.push_back(value.get<double>());
    }
  }
  return outcomes;
}

absl::Status SaveBaseline(const std::filesystem::path& job_directory, const ValidationOutcomes& outcomes) {
  const std::string text = ToJson(outcomes).dump();
  return WriteFileDurably(job_directory / kBaselineFile, Concat(Checksum(text), " ", text, "\n"));
}

absl::StatusOr<ValidationOutcomes> LoadBaseline(const std::filesystem::path& job_directory) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(job_directory / kBaselineFile));
  const std::string_view line = bytes;
  constexpr size_t kTextBegin = 9;  // Eight digits and a space.
  if (line.size() < kTextBegin || !line.ends_with('\n')) {
    return absl::DataLossError(Concat(kBaselineFile, ": it is cut short"));
  }
  const std::string_view text = line.substr(kTextBegin, line.size() - kTextBegin - 1);
  if (line.substr(0, kTextBegin - 1) != Checksum(text)) {
    return absl::DataLossError(Concat(kBaselineFile, ": its checksum is wrong"));
  }
  return ValidationOutcomesFromJson(json::parse(text, nullptr, /*allow_exceptions=*/false));
}

}  // namespace tandem
