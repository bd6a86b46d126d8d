// Filterable fields and filters.

#include <utility>

#include <google/protobuf/timestamp.pb.h>

#include "server/rpc/convert.h"
#include "tandem/v1/filter.pb.h"

namespace tandem {
namespace {

// Rounded down, as times of payloads are.
int64_t Micros(const google::protobuf::Timestamp& time) { return time.seconds() * 1'000'000 + time.nanos() / 1000; }

FilterValue ToValue(const v1::FieldValue& value) {
  switch (value.value_case()) {
    case v1::FieldValue::kKeyword:
      return value.keyword();
    case v1::FieldValue::kInteger:
      return int64_t{value.integer()};
    case v1::FieldValue::kBoolean:
      return value.boolean();
    case v1::FieldValue::kTime:
      return FilterTime{Micros(value.time())};
    case v1::FieldValue::VALUE_NOT_SET:
      break;  // Validated.
  }
  return {};
}

NumberRangeTest ToRange(const v1::NumberRange& range) {
  NumberRangeTest test;
  if (range.has_greater_than()) test.greater_than = range.greater_than();
  if (range.has_at_least()) test.at_least = range.at_least();
  if (range.has_less_than()) test.less_than = range.less_than();
  if (range.has_at_most()) test.at_most = range.at_most();
  return test;
}

TimeRangeTest ToTimeRange(const v1::TimeRange& range) {
  TimeRangeTest test;
  if (range.has_after()) test.after = Micros(range.after());
  if (range.has_at_or_after()) test.at_or_after = Micros(range.at_or_after());
  if (range.has_before()) test.before = Micros(range.before());
  if (range.has_at_or_before()) test.at_or_before = Micros(range.at_or_before());
  return test;
}

FieldCondition ToField(const v1::FieldCondition& condition) {
  FieldCondition field{.field = condition.field(), .test = {}};
  switch (condition.test_case()) {
    case v1::FieldCondition::kEquals:
      field.test = EqualsTest{ToValue(condition.equals())};
      break;
    case v1::FieldCondition::kAnyOf: {
      AnyOfTest any;
      for (const v1::FieldValue& value : condition.any_of().values()) any.values.push_back(ToValue(value));
      field.test = std::move(any);
      break;
    }
    case v1::FieldCondition::kRange:
      field.test = ToRange(condition.range());
      break;
    case v1::FieldCondition::kTimeRange:
      field.test = ToTimeRange(condition.time_range());
      break;
    case v1::FieldCondition::kExists:
      field.test = ExistsTest{condition.exists()};
      break;
    case v1::FieldCondition::TEST_NOT_SET:
      break;  // Validated.
  }
  return field;
}

Condition ToCondition(const v1::Condition& condition) {
  switch (condition.condition_case()) {
    case v1::Condition::kField:
      return {ToField(condition.field())};
    case v1::Condition::kHasId:
      return {HasIdCondition{{condition.has_id().ids().begin(), condition.has_id().ids().end()}}};
    case v1::Condition::kFilter:
      return {FromProto(condition.filter())};
    case v1::Condition::CONDITION_NOT_SET:
      break;  // Validated.
  }
  return {};
}

}  // namespace

// The record's enum has the numbers of the API's.
FilterableField FromProto(const v1::FilterableField& field) {
  return {.name = field.name(), .type = static_cast<FieldType>(field.type())};
}

void ToProto(const FilterableField& field, v1::FilterableField* out) {
  out->set_name(field.name);
  out->set_type(static_cast<v1::FilterableField::Type>(field.type));
}

Filter FromProto(const v1::Filter& filter) {
  Filter to;
  for (const v1::Condition& condition : filter.must()) to.must.push_back(ToCondition(condition));
  for (const v1::Condition& condition : filter.should()) to.should.push_back(ToCondition(condition));
  for (const v1::Condition& condition : filter.must_not()) to.must_not.push_back(ToCondition(condition));
  return to;
}

}  // namespace tandem
