// Filterable fields and filters: what needs no look at the collection.

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include <google/protobuf/timestamp.pb.h>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/rpc/checks.h"
#include "server/rpc/limits.h"
#include "server/rpc/validate_filter.h"
#include "tandem/v1/filter.pb.h"

namespace tandem {
namespace {

using google::protobuf::RepeatedPtrField;
using google::protobuf::Timestamp;

// What JSON's times and absl's calendar have in common: years 1 to 9999.
constexpr int64_t kFirstSecond = -62'135'596'800;
constexpr int64_t kLastSecond = 253'402'300'799;

absl::Status CheckTime(const std::string& path, const Timestamp& time) {
  RETURN_IF_ERROR(CheckRange(Path(path, "seconds"), time.seconds(), kFirstSecond, kLastSecond));
  return CheckRange(Path(path, "nanos"), time.nanos(), 0, 999'999'999);
}

absl::Status CheckFieldName(const std::string& path, const std::string& name) {
  RETURN_IF_ERROR(CheckBytes(path, name, 1, kMaxFieldNameBytes));
  const std::string framed = Concat(".", name, ".");
  if (framed.find("..") == framed.npos) return absl::OkStatus();
  return InvalidField(path, "has an empty key: must be keys of the payload joined by single dots");
}

absl::Status CheckValue(const std::string& path, const v1::FieldValue& value) {
  switch (value.value_case()) {
    case v1::FieldValue::kKeyword:
      return CheckBytes(Path(path, "keyword"), value.keyword(), 0, kMaxKeywordBytes);
    case v1::FieldValue::kInteger:
    case v1::FieldValue::kBoolean:
      return absl::OkStatus();
    case v1::FieldValue::kTime:
      return CheckTime(Path(path, "time"), value.time());
    case v1::FieldValue::VALUE_NOT_SET:
      break;
  }
  return InvalidField(path, "one of keyword, integer, boolean and time must be set");
}

// At least one bound, at most one of each side.
absl::Status CheckSides(const std::string& path, int lower, int upper) {
  if (lower + upper == 0) return InvalidField(path, "at least one bound must be set");
  if (lower > 1) return InvalidField(path, "has two lower bounds: at most one may be set");
  if (upper > 1) return InvalidField(path, "has two upper bounds: at most one may be set");
  return absl::OkStatus();
}

absl::Status CheckBound(const std::string& path, double bound) {
  if (std::isfinite(bound)) return absl::OkStatus();
  return InvalidField(path, Concat(bound, ": must be finite"));
}

absl::Status CheckNumbers(const std::string& path, const v1::NumberRange& range) {
  RETURN_IF_ERROR(
      CheckSides(path, range.has_greater_than() + range.has_at_least(), range.has_less_than() + range.has_at_most()));
  RETURN_IF_ERROR(CheckBound(Path(path, "greater_than"), range.greater_than()));
  RETURN_IF_ERROR(CheckBound(Path(path, "at_least"), range.at_least()));
  RETURN_IF_ERROR(CheckBound(Path(path, "less_than"), range.less_than()));
  return CheckBound(Path(path, "at_most"), range.at_most());
}

absl::Status CheckTimes(const std::string& path, const v1::TimeRange& range) {
  RETURN_IF_ERROR(
      CheckSides(path, range.has_after() + range.has_at_or_after(), range.has_before() + range.has_at_or_before()));
  RETURN_IF_ERROR(CheckTime(Path(path, "after"), range.after()));
  RETURN_IF_ERROR(CheckTime(Path(path, "at_or_after"), range.at_or_after()));
  RETURN_IF_ERROR(CheckTime(Path(path, "before"), range.before()));
  return CheckTime(Path(path, "at_or_before"), range.at_or_before());
}

absl::Status CheckField(const std::string& path, const v1::FieldCondition& condition) {
  RETURN_IF_ERROR(CheckFieldName(Path(path, "field"), condition.field()));
  switch (condition.test_case()) {
    case v1::FieldCondition::kEquals:
      return CheckValue(Path(path, "equals"), condition.equals());
    case v1::FieldCondition::kAnyOf: {
      const std::string values = Path(Path(path, "any_of"), "values");
      RETURN_IF_ERROR(CheckCount(values, condition.any_of().values_size(), 1, kMaxAnyOf));
      for (int i = 0; i < condition.any_of().values_size(); ++i) {
        RETURN_IF_ERROR(CheckValue(Path(values, i), condition.any_of().values(i)));
      }
      return absl::OkStatus();
    }
    case v1::FieldCondition::kRange:
      return CheckNumbers(Path(path, "range"), condition.range());
    case v1::FieldCondition::kTimeRange:
      return CheckTimes(Path(path, "time_range"), condition.time_range());
    case v1::FieldCondition::kExists:
      return absl::OkStatus();
    case v1::FieldCondition::TEST_NOT_SET:
      break;
  }
  return InvalidField(path, "one of equals, any_of, range, time_range and exists must be set");
}

absl::Status CheckIds(const std::string& path, const v1::HasId& has_id) {
  const std::string ids = Path(path, "ids");
  RETURN_IF_ERROR(CheckCount(ids, has_id.ids_size(), 1, kMaxAnyOf));
  for (int i = 0; i < has_id.ids_size(); ++i) RETURN_IF_ERROR(CheckDocumentId(Path(ids, i), has_id.ids(i)));
  return absl::OkStatus();
}

// Goes down a filter; `conditions_` counts those seen so far.
class FilterChecks {
 public:
  absl::Status Check(const std::string& path, const v1::Filter& filter, int depth) {
    if (depth > kMaxFilterDepth) return InvalidField(path, Concat("filters lie more than ", kMaxFilterDepth, " deep"));
    RETURN_IF_ERROR(CheckAll(Path(path, "must"), filter.must(), depth));
    RETURN_IF_ERROR(CheckAll(Path(path, "should"), filter.should(), depth));
    return CheckAll(Path(path, "must_not"), filter.must_not(), depth);
  }

 private:
  absl::Status CheckAll(const std::string& path, const RepeatedPtrField<v1::Condition>& conditions, int depth) {
    for (int i = 0; i < conditions.size(); ++i) {
      const std::string place = Path(path, i);
      if (++conditions_ > kMaxConditions) {
        return InvalidField(place, Concat("the filter has more than ", kMaxConditions, " conditions"));
      }
      RETURN_IF_ERROR(CheckOne(place, conditions[i], depth));
    }
    return absl::OkStatus();
  }

  absl::Status CheckOne(const std::string& path, const v1::Condition& condition, int depth) {
    switch (condition.condition_case()) {
      case v1::Condition::kField:
        return CheckField(Path(path, "field"), condition.field());
      case v1::Condition::kHasId:
        return CheckIds(Path(path, "has_id"), condition.has_id());
      case v1::Condition::kFilter:
        // It would hold for every document: what a client that builds a filter from parts does not mean.
        if (condition.filter().must().empty() && condition.filter().should().empty() &&
            condition.filter().must_not().empty()) {
          return InvalidField(Path(path, "filter"), "has no condition");
        }
        return Check(Path(path, "filter"), condition.filter(), depth + 1);
      case v1::Condition::CONDITION_NOT_SET:
        break;
    }
    return InvalidField(path, "one of field, has_id and filter must be set");
  }

  int conditions_ = 0;
};

}  // namespace

absl::Status CheckFilterShape(const v1::Filter& filter) { return FilterChecks().Check("filter", filter, 1); }

absl::Status CheckFields(const RepeatedPtrField<v1::FilterableField>& fields) {
  RETURN_IF_ERROR(CheckCount("fields", fields.size(), 0, kMaxFields));
  std::set<std::string> names;
  for (int i = 0; i < fields.size(); ++i) {
    const std::string path = Path("fields", i);
    RETURN_IF_ERROR(CheckFieldName(Path(path, "name"), fields[i].name()));
    RETURN_IF_ERROR(CheckEnum(Path(path, "type"), fields[i].type(), v1::FilterableField::Type_IsValid(fields[i].type()),
                              "FilterableField.Type",
                              /*required=*/true));
    if (!names.insert(fields[i].name()).second) return InvalidField(Path(path, "name"), "is declared twice");
  }
  // A value cannot be both a keyword, say, and an object that has a field in it.
  for (int i = 0; i < fields.size(); ++i) {
    const std::string& name = fields[i].name();
    for (size_t dot = name.find('.'); dot != name.npos; dot = name.find('.', dot + 1)) {
      if (!names.contains(name.substr(0, dot))) continue;
      return InvalidField(Path(Path("fields", i), "name"), Concat("lies in the field \"", name.substr(0, dot), "\""));
    }
  }
  return absl::OkStatus();
}

}  // namespace tandem
