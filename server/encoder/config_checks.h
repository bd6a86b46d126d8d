#pragma once
// Checks of config.json that the architectures share. Used by transformer_config.cc and pre_norm_config.cc only.

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/encoder/json_file.h"
#include "server/encoder/transformer_config.h"

namespace tandem {

// The value of a key, or INVALID_ARGUMENT with the limits.
absl::StatusOr<int64_t> ReadSize(const JsonFile& file, std::string_view key, int64_t otherwise, int64_t limit);
absl::StatusOr<double> ReadDropout(const JsonFile& file, std::string_view key, double otherwise);
absl::StatusOr<double> ReadEpsilon(const JsonFile& file, std::string_view key, double otherwise);
absl::StatusOr<Activation> ReadActivation(const JsonFile& file, std::string_view key, std::string_view otherwise);
// Not set when the file says null; `otherwise` when it says nothing.
absl::StatusOr<std::optional<int64_t>> ReadPaddingId(const JsonFile& file, std::optional<int64_t> otherwise,
                                                     int64_t vocabulary);

// pre_norm_config.cc. Sizes and dropout as well as everything that only they have.
absl::Status ReadModernBert(const JsonFile& file, TransformerConfig& config);
absl::Status ReadQwen3(const JsonFile& file, TransformerConfig& config);

}  // namespace tandem
