#pragma once
// Losses as people write them on the command line:
//   triplet:mining=batch-hard,margin=0.3,distance=cosine
//   info_nce:scale=30,symmetric
// The names are those of the messages in proto/tandem/v1/loss.proto (option_text.h).

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tandem/v1/training.pb.h"

namespace tandem::cli {

absl::StatusOr<v1::Loss> ParseLoss(absl::string_view text);

// DATASET[@COMMIT]:LOSS[:OPTIONS][:WEIGHT], for example "faq:info_nce:scale=30:2" or "clicks@5000:cosent".
absl::StatusOr<v1::Objective> ParseObjective(absl::string_view text);

// "256,128,64", or with weights "256=1,128=0.5".
absl::StatusOr<v1::Matryoshka> ParseMatryoshka(absl::string_view text);

// All losses with their options, one a line, for --help.
std::string DescribeLosses();

}  // namespace tandem::cli
