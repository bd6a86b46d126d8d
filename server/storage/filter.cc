#include "server/storage/filter.h"

#include <algorithm>
#include <string>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/storage/field_values.h"

namespace tandem {
namespace {

std::string_view TypeOf(const FilterValue& value) {
  static constexpr std::string_view kTypes[] = {"keyword", "integer", "boolean", "time"};
  return kTypes[value.index()];
}

std::string_view WantedOf(FieldType type) {
  switch (type) {
    case FieldType::kKeyword:
      return "keyword";
    case FieldType::kInteger:
      return "integer";
    case FieldType::kBool:
      return "boolean";
    case FieldType::kDatetime:
      return "time";
    case FieldType::kFloat:
      break;
  }
  return "";
}

absl::Status CheckValue(const FilterableField& field, const FilterValue& value, const std::string& path) {
  if (TypeOf(value) == WantedOf(field.type)) return absl::OkStatus();
  return InvalidField(Concat(path, ".", TypeOf(value)),
                      Concat("field \"", field.name, "\" is of type ", FieldTypeName(field.type)));
}

// REQUIRES: not of a FLOAT field.
absl::Status CheckValues(const FilterableField& field, const std::vector<FilterValue>& values,
                         const std::string& path) {
  for (size_t i = 0; i < values.size(); ++i) {
    RETURN_IF_ERROR(CheckValue(field, values[i], Concat(path, ".values[", i, "]")));
  }
  return absl::OkStatus();
}

absl::Status CheckField(const std::vector<FilterableField>& fields, const FieldCondition& condition,
                        const std::string& path) {
  const auto field =
      std::find_if(fields.begin(), fields.end(), [&](const auto& known) { return known.name == condition.field; });
  if (field == fields.end()) {
    return InvalidField(Concat(path, ".field"),
                        Concat("\"", condition.field, "\": the collection declares no such filterable field"));
  }
  const auto refused = [&](std::string_view test, std::string_view types) {
    return InvalidField(Concat(path, ".", test), Concat("is for ", types, " fields; \"", field->name, "\" is of type ",
                                                        FieldTypeName(field->type)));
  };
  const FieldType type = field->type;
  if (const auto* equals = std::get_if<EqualsTest>(&condition.test)) {
    if (type == FieldType::kFloat) return refused("equals", "KEYWORD, INTEGER, BOOL and DATETIME");
    return CheckValue(*field, equals->value, Concat(path, ".equals"));
  }
  if (const auto* any = std::get_if<AnyOfTest>(&condition.test)) {
    if (type == FieldType::kFloat) return refused("any_of", "KEYWORD, INTEGER, BOOL and DATETIME");
    return CheckValues(*field, any->values, Concat(path, ".any_of"));
  }
  if (std::holds_alternative<NumberRangeTest>(condition.test) && type != FieldType::kInteger &&
      type != FieldType::kFloat) {
    return refused("range", "INTEGER and FLOAT");
  }
  if (std::holds_alternative<TimeRangeTest>(condition.test) && type != FieldType::kDatetime) {
    return refused("time_range", "DATETIME");
  }
  return absl::OkStatus();
}

absl::Status CheckConditions(const std::vector<FilterableField>& fields, const std::vector<Condition>& conditions,
                             const std::string& path) {
  for (size_t i = 0; i < conditions.size(); ++i) {
    const std::string place = Concat(path, "[", i, "]");
    if (const auto* field = std::get_if<FieldCondition>(&conditions[i].condition)) {
      RETURN_IF_ERROR(CheckField(fields, *field, Concat(place, ".field")));
    } else if (const auto* nested = std::get_if<Filter>(&conditions[i].condition)) {
      RETURN_IF_ERROR(CheckFilter(fields, *nested, Concat(place, ".filter")));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckFilter(const std::vector<FilterableField>& fields, const Filter& filter, std::string_view path) {
  RETURN_IF_ERROR(CheckConditions(fields, filter.must, Concat(path, ".must")));
  RETURN_IF_ERROR(CheckConditions(fields, filter.should, Concat(path, ".should")));
  return CheckConditions(fields, filter.must_not, Concat(path, ".must_not"));
}

}  // namespace tandem
