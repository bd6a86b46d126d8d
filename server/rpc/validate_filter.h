#pragma once
// The parts of requests that say what may be filtered and what is: InvalidField on "filter.…" and "fields[…].…".

#include <google/protobuf/repeated_field.h>

#include "absl/status/status.h"

namespace tandem::v1 {
class Filter;
class FilterableField;
}  // namespace tandem::v1

namespace tandem {

absl::Status CheckFilterShape(const v1::Filter& filter);
absl::Status CheckFields(const google::protobuf::RepeatedPtrField<v1::FilterableField>& fields);

}  // namespace tandem
