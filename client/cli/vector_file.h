#pragma once
// A vector in a file: numbers separated by white space, commas or brackets, so plain text as well as a JSON array.

#include <string>

#include "absl/status/statusor.h"
#include "tandem/v1/types.pb.h"

namespace tandem::cli {

absl::StatusOr<v1::Vector> ReadVectorFile(const std::string& path);

}  // namespace tandem::cli
