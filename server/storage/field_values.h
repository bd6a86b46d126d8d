#pragma once
// The values that a document's payload has in its collection's filterable fields, and the form in which documents.db
// keeps them beside each version, so that the payloads need not be parsed again when a collection is opened.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/storage/records.h"

namespace tandem {

// Of one field; a KEYWORD field has `keywords`, the others have `numbers`: keys that are ordered as the values are
// (integers themselves, booleans 0 and 1, times microseconds since 1970, floats by FloatKey).
struct FieldValues {
  int field = 0;  // Its place in the declaration.
  std::vector<std::string> keywords;
  std::vector<int64_t> numbers;

  bool operator==(const FieldValues&) const = default;
};

std::string_view FieldTypeName(FieldType type);  // As the API spells it: "KEYWORD".

// An integer that is ordered as finite doubles are; -0 is 0.
int64_t FloatKey(double value);

// The values of fields that have any, by place. `payload_json` may be empty. InvalidField "payload.author.name" for a
// value that its field's type does not allow.
absl::StatusOr<std::vector<FieldValues>> ReadFieldValues(const std::vector<FilterableField>& fields,
                                                         std::string_view payload_json);

// One blob: for each field its place and how many values, 4 little-endian bytes each; then the values, 8 bytes a
// number, 4 bytes of length and the bytes a keyword. Reaches disk: do not change.
std::string PackFieldValues(const std::vector<FieldValues>& values);
absl::StatusOr<std::vector<FieldValues>> UnpackFieldValues(const std::vector<FilterableField>& fields,
                                                           std::string_view bytes);

}  // namespace tandem
