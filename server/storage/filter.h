#pragma once
// Which documents a call is about: the Filter of proto/tandem/v1/filter.proto as a plain value, with times as
// microseconds since 1970 and paths of errors made while it is walked. What a filter holds for is decided by
// DocumentStore; see field_index.h.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "server/storage/records.h"

namespace tandem {

// A value as a request gives it; its alternative must be that of the field's type.
struct FilterTime {
  int64_t micros = 0;
};
using FilterValue = std::variant<std::string, int64_t, bool, FilterTime>;

struct EqualsTest {
  FilterValue value;
};
struct AnyOfTest {
  std::vector<FilterValue> values;
};
struct NumberRangeTest {
  std::optional<double> greater_than, at_least, less_than, at_most;
};
struct TimeRangeTest {
  std::optional<int64_t> after, at_or_after, before, at_or_before;  // Microseconds.
};
struct ExistsTest {
  bool exists = true;
};

struct FieldCondition {
  std::string field;
  std::variant<EqualsTest, AnyOfTest, NumberRangeTest, TimeRangeTest, ExistsTest> test;
};
struct HasIdCondition {
  std::vector<std::string> ids;
};

struct Condition;
struct Filter {
  std::vector<Condition> must, should, must_not;

  bool empty() const;
};
struct Condition {
  std::variant<FieldCondition, HasIdCondition, Filter> condition;
};

inline bool Filter::empty() const { return must.empty() && should.empty() && must_not.empty(); }

// OK when each condition names a field of `fields` and tests it as its type allows; otherwise InvalidField with the
// path in the request, `path` being that of the filter: "filter.must[1].field.any_of.values[3]".
absl::Status CheckFilter(const std::vector<FilterableField>& fields, const Filter& filter, std::string_view path);

}  // namespace tandem
