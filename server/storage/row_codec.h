#pragma once
// How values that are not one column are written into one: lists of texts, judgements, metrics. The forms reach disk:
// do not change them, add a migration. Decoders check what they read and answer DATA_LOSS.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/storage/records.h"

namespace tandem {

// A list of texts as one blob: for each, its length in 4 little-endian bytes and its bytes.
std::string PackTexts(const std::vector<std::string>& texts);
absl::StatusOr<std::vector<std::string>> UnpackTexts(std::string_view bytes);

// Judgements as one blob: for each, grade and length of the id in 4 little-endian bytes each, and the id.
std::string PackJudgements(const std::vector<Judgement>& judgements);
absl::StatusOr<std::vector<Judgement>> UnpackJudgements(std::string_view bytes);

// A JSON list of ids.
std::string PackIds(const std::vector<std::string>& ids);
absl::StatusOr<std::vector<std::string>> UnpackIds(std::string_view json);

// JSON; an empty text stands for "none".
std::string PackSources(const std::vector<DatasetCommit>& sources);  // [["dataset", commit], ...]
absl::StatusOr<std::vector<DatasetCommit>> UnpackSources(std::string_view json);
std::string PackComparison(const std::optional<TrainingComparison>& comparison);
absl::StatusOr<std::optional<TrainingComparison>> UnpackComparison(std::string_view json);
std::string PackValidation(const std::optional<ValidationResult>& validation);
absl::StatusOr<std::optional<ValidationResult>> UnpackValidation(std::string_view json);
std::string PackEvaluation(const std::optional<Evaluation>& evaluation);
absl::StatusOr<std::optional<Evaluation>> UnpackEvaluation(std::string_view json);
std::string PackGate(const std::optional<GateReport>& report);
absl::StatusOr<std::optional<GateReport>> UnpackGate(std::string_view json);
std::string PackFields(const std::vector<FilterableField>& fields);  // [["name", type], ...]; never empty.
absl::StatusOr<std::vector<FilterableField>> UnpackFields(std::string_view json);
std::string PackContract(const EmbeddingContract& contract);
absl::StatusOr<EmbeddingContract> UnpackContract(std::string_view json);
// The same form, of vectors that clients bring: dimensions and metric only, the rest says nothing.
absl::StatusOr<EmbeddingContract> UnpackVectorContract(std::string_view json);

// Views for Query: a blob parameter.
inline std::span<const std::byte> AsBlob(std::string_view bytes) {
  return {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()};
}

}  // namespace tandem
