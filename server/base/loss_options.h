#pragma once
// What a training job minimises: one loss with its options. Formulas, papers and the peers whose numbers they have
// stand at the functions that compute them (server/training/losses/). `Validate` is what a request is checked with;
// field paths in its errors are those of proto/tandem/v1/training.proto below `path` ("loss.info_nce.scale").
//
// Defaults are those of sentence-transformers 6.2.0, and of pytorch-metric-learning 2.9.0 for NT-Xent, N-pair and
// SupCon, which the former lacks.

#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// Values of all enums here reach disk: do not change.

// kEuclidean is the 2-norm of the difference, kCosine is 1 - cosine.
enum class Distance { kEuclidean = 1, kCosine = 2 };

// Pairs: each anchor against all documents of the batch.
struct InfoNceOptions {
  enum class HardNegatives { kAll = 1, kInBatch = 2, kExplicit = 3 };

  float scale = 20;                 // (0, 1000]; the inverse of the temperature.
  bool symmetric = false;           // Also from each positive to the anchors.
  bool query_negatives = false;     // The other anchors of the batch are negatives, too.
  bool document_negatives = false;  // For a positive, the documents of the other examples are.
  float hardness = 0;               // [0, 100]; negatives weigh exp(hardness * cosine); 0: all alike.
  // Which negatives `hardness` weighs: all; the documents of other examples; an example's own negatives.
  HardNegatives hard_negatives = HardNegatives::kAll;
  // [-2, 2]; a text whose cosine is above that of the anchor and its positive less this is no negative.
  std::optional<float> false_negative_margin;
  bool several_positives = false;  // An example's positives stay together; otherwise each makes a pair of its own.
};

// Pairs: both texts are views of one thing, and every other text of the batch is a negative.
struct NtXentOptions {
  float temperature = 0.07f;  // [0.001, 100]
};

// Pairs: inner products instead of cosines, with a penalty on the vectors' lengths.
struct NPairOptions {
  float regularization = 0;  // [0, 100]
};

// Pairs with explicit negatives, or labelled texts with the triplets mined in the batch.
struct TripletOptions {
  enum class Mining { kExplicit = 1, kBatchAll = 2, kBatchHard = 3, kBatchHardSoftMargin = 4, kBatchSemiHard = 5 };

  Mining mining = Mining::kExplicit;
  Distance distance = Distance::kEuclidean;
  float margin = 5;  // (0, 1000]; vectors of length 1 are at most 2 apart. kBatchHardSoftMargin has none.
};

// Labelled texts.
struct SupConOptions {
  float temperature = 0.1f;  // [0.001, 100]
};

// Labelled pairs.
struct ContrastiveOptions {
  Distance distance = Distance::kCosine;
  float margin = 0.5f;     // (0, 1000]
  bool squared = true;     // Hadsell's form; otherwise linear in the distance.
  bool only_hard = false;  // Only the pairs of the batch that the other kind overtakes.
};

// Plain texts (of any other form, the first text): two dropout masks make two views of a text.
struct SimCseOptions {
  float scale = 20;  // (0, 1000]
};

// Scored pairs.
struct CosentOptions {
  float scale = 20;  // (0, 1000]
};
struct AngleOptions {
  float scale = 20;  // (0, 1000]
};
struct CosineMseOptions {};

// The sum over `dimensions` of the loss on so many first values of the vectors, brought to length 1 again, times the
// dimension's weight.
struct MatryoshkaOptions {
  std::vector<int> dimensions;  // 1 to 64 different ones, in any order, from 1 up; empty: off.
  std::vector<float> weights;   // (0, 1000]; as many, or empty: 1 each.
};

struct LossOptions {
  std::variant<InfoNceOptions, NtXentOptions, NPairOptions, TripletOptions, SupConOptions, ContrastiveOptions,
               SimCseOptions, CosentOptions, AngleOptions, CosineMseOptions>
      kind;
  MatryoshkaOptions matryoshka;

  absl::Status Validate(std::string_view path) const;

  // Whether a model whose vectors have `model_dimensions` values has those of matryoshka.
  absl::Status ValidateDimensions(std::string_view path, int model_dimensions) const;
};

// What a loss is made for. Values are those of storage's ExampleKind.
enum class ExampleForm { kPair = 1, kScoredPair = 2, kLabelledPair = 3, kLabelledText = 4, kText = 5 };

// Whether the loss can train on examples of this form.
bool Takes(const LossOptions& loss, ExampleForm form);
// Whether an example's own negatives take part in it.
bool TakesNegatives(const LossOptions& loss);
// "info_nce", "triplet", …: the field of the request, and the name in messages.
std::string_view NameOf(const LossOptions& loss);
std::string_view NameOf(ExampleForm form);  // "a pair", "a scored pair", "a labelled pair", "a labelled text", "a text"

// {"<name of the loss>": {its options}, "matryoshka": {"dimensions", "weights"}}, keys as the fields, enums as numbers;
// "matryoshka" only when it is on. A key that is missing has its default; an unknown one is INVALID_ARGUMENT. Ranges
// are Validate's.
nlohmann::json ToJson(const LossOptions& loss);
absl::StatusOr<LossOptions> LossOptionsFromJson(const nlohmann::json& json);

}  // namespace tandem
