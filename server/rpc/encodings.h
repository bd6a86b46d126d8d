#pragma once
// How vectors travel: see VectorEncoding in proto/tandem/v1/types.proto. All packed forms are little-endian.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tandem::v1 {
class Vector;
enum VectorEncoding : int;
}  // namespace tandem::v1

namespace tandem {

// Fills `out` with `values` in the encoding; _UNSPECIFIED is FLOATS. INT8 is symmetric for each vector: scale =
// max|x| / 127, so a value is off by at most half a scale.
void EncodeVector(std::span<const float> values, v1::VectorEncoding encoding, v1::Vector* out);

// The values of a vector in a request. InvalidField below `path` ("vector"): no values or too many, both forms at once,
// a length that does not fit the encoding, a value that is not finite, a scale without INT8, BINARY.
absl::StatusOr<std::vector<float>> DecodeVector(std::string_view path, const v1::Vector& vector);

}  // namespace tandem
