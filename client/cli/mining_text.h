#pragma once
// Mining of hard negatives as people write it on the command line:
//   negatives=5,ranks=10-100,margin=0.05,refresh=1
// The names are those of NegativeMining in proto/tandem/v1/training.proto (option_text.h), with ranks for min_rank and
// max_rank, and refresh for refresh_epochs.

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tandem/v1/training.pb.h"

namespace tandem::cli {

// "10-100", or "50", which is 1 to 50.
absl::Status SetRanks(absl::string_view text, v1::NegativeMining* mining);

// Empty: mining with its defaults.
absl::StatusOr<v1::MiningDuringTraining> ParseMining(absl::string_view text);

// The options, for --help.
std::string DescribeMining();

}  // namespace tandem::cli
