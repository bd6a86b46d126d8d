#include "server/storage/field_index.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "server/base/status.h"

namespace tandem {
namespace {

constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

struct KeyRange {
  int64_t least = kLeast, most = kMost;

  void Raise(int64_t bound) { least = std::max(least, bound); }
  void Lower(int64_t bound) { most = std::min(most, bound); }
};

// Of integers at most 2^53; a bound beyond what an int64 holds leaves nothing, or all.
int64_t ToInteger(double bound) {
  constexpr double kEdge = 9.2e18;
  return bound >= kEdge ? kMost : bound <= -kEdge ? kLeast : static_cast<int64_t>(bound);
}

KeyRange KeysOf(FieldType type, const NumberRangeTest& test) {
  KeyRange range;
  if (type == FieldType::kInteger) {
    if (test.at_least) range.Raise(ToInteger(std::ceil(*test.at_least)));
    if (test.greater_than) range.Raise(ToInteger(std::floor(*test.greater_than) + 1));
    if (test.at_most) range.Lower(ToInteger(std::floor(*test.at_most)));
    if (test.less_than) range.Lower(ToInteger(std::ceil(*test.less_than) - 1));
    return range;
  }
  // Keys of finite doubles are inside the keys of the infinities, so one more or less never overflows.
  if (test.at_least) range.Raise(FloatKey(*test.at_least));
  if (test.greater_than) range.Raise(FloatKey(*test.greater_than) + 1);
  if (test.at_most) range.Lower(FloatKey(*test.at_most));
  if (test.less_than) range.Lower(FloatKey(*test.less_than) - 1);
  return range;
}

KeyRange KeysOf(const TimeRangeTest& test) {
  KeyRange range;
  if (test.at_or_after) range.Raise(*test.at_or_after);
  if (test.after) range.Raise(*test.after + 1);
  if (test.at_or_before) range.Lower(*test.at_or_before);
  if (test.before) range.Lower(*test.before - 1);
  return range;
}

int64_t KeyOf(const FilterValue& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) return *integer;
  if (const auto* boolean = std::get_if<bool>(&value)) return *boolean ? 1 : 0;
  return std::get<FilterTime>(value).micros;
}

}  // namespace

void FieldIndex::LabelSet::Add(int64_t label) {
  if (many_ == nullptr && (one_ == 0 || one_ == label)) {
    one_ = label;
    return;
  }
  if (many_ == nullptr) {
    many_ = std::make_unique<Roaring64Map>();
    many_->add(static_cast<uint64_t>(std::exchange(one_, 0)));
  }
  many_->add(static_cast<uint64_t>(label));
}

void FieldIndex::LabelSet::Remove(int64_t label) {
  if (one_ == label) one_ = 0;
  if (many_ != nullptr) many_->remove(static_cast<uint64_t>(label));
}

void FieldIndex::LabelSet::AddTo(Roaring64Map* all) const {
  if (one_ != 0) all->add(static_cast<uint64_t>(one_));
  if (many_ != nullptr) *all |= *many_;
}

FieldIndex::FieldIndex(std::vector<FilterableField> fields) : fields_(std::move(fields)), postings_(fields_.size()) {}

void FieldIndex::Add(const std::vector<LabelValues>& versions) {
  absl::MutexLock lock(&mutex_);
  for (const LabelValues& version : versions) {
    for (const FieldValues& values : version.values) {
      Postings& postings = postings_[values.field];
      postings.present.add(static_cast<uint64_t>(version.label));
      for (const std::string& keyword : values.keywords) postings.keywords[keyword].Add(version.label);
      for (const int64_t number : values.numbers) postings.numbers.Add(number, version.label);
    }
  }
}

void FieldIndex::Remove(const std::vector<LabelValues>& versions) {
  absl::MutexLock lock(&mutex_);
  for (const LabelValues& version : versions) {
    for (const FieldValues& values : version.values) {
      Postings& postings = postings_[values.field];
      postings.present.remove(static_cast<uint64_t>(version.label));
      if (!values.numbers.empty()) postings.numbers.Remove(version.label);
      for (const std::string& keyword : values.keywords) {
        const auto found = postings.keywords.find(keyword);
        if (found == postings.keywords.end()) continue;
        found->second.Remove(version.label);
        if (found->second.empty()) postings.keywords.erase(found);
      }
    }
  }
}

void FieldIndex::AddEqual(const Postings& postings, const FilterValue& value, Roaring64Map* found) {
  if (const auto* keyword = std::get_if<std::string>(&value)) {
    if (const auto labels = postings.keywords.find(*keyword); labels != postings.keywords.end()) {
      labels->second.AddTo(found);
    }
    return;
  }
  *found |= postings.numbers.InRange(KeyOf(value), KeyOf(value));
}

Roaring64Map FieldIndex::MatchField(const FieldCondition& condition, const Roaring64Map& universe) const {
  const size_t place = std::find_if(fields_.begin(), fields_.end(),
                                    [&](const FilterableField& field) { return field.name == condition.field; }) -
                       fields_.begin();
  absl::ReaderMutexLock lock(&mutex_);
  const Postings& postings = postings_[place];
  Roaring64Map found;
  if (const auto* equals = std::get_if<EqualsTest>(&condition.test)) {
    AddEqual(postings, equals->value, &found);
  } else if (const auto* any = std::get_if<AnyOfTest>(&condition.test)) {
    for (const FilterValue& value : any->values) AddEqual(postings, value, &found);
  } else if (const auto* numbers = std::get_if<NumberRangeTest>(&condition.test)) {
    const KeyRange range = KeysOf(fields_[place].type, *numbers);
    found = postings.numbers.InRange(range.least, range.most);
  } else if (const auto* times = std::get_if<TimeRangeTest>(&condition.test)) {
    const KeyRange range = KeysOf(*times);
    found = postings.numbers.InRange(range.least, range.most);
  } else if (std::get<ExistsTest>(condition.test).exists) {
    found = postings.present;
  } else {
    found = universe;
    found -= postings.present;
  }
  return found;
}

absl::StatusOr<Roaring64Map> FieldIndex::MatchOne(const Condition& condition, const Roaring64Map& universe,
                                                  const LabelsOfIds& labels_of_ids) const {
  if (const auto* field = std::get_if<FieldCondition>(&condition.condition)) return MatchField(*field, universe);
  if (const auto* ids = std::get_if<HasIdCondition>(&condition.condition)) return labels_of_ids(ids->ids);
  return Match(std::get<Filter>(condition.condition), universe, labels_of_ids);
}

absl::StatusOr<Roaring64Map> FieldIndex::MatchAny(const std::vector<Condition>& conditions,
                                                  const Roaring64Map& universe,
                                                  const LabelsOfIds& labels_of_ids) const {
  Roaring64Map all;
  for (const Condition& condition : conditions) {
    ASSIGN_OR_RETURN(const Roaring64Map found, MatchOne(condition, universe, labels_of_ids));
    all |= found;
  }
  return all;
}

absl::StatusOr<Roaring64Map> FieldIndex::Match(const Filter& filter, const Roaring64Map& universe,
                                               const LabelsOfIds& labels_of_ids) const {
  std::optional<Roaring64Map> held;
  const auto keep = [&](Roaring64Map found) {
    if (held) {
      *held &= found;
    } else {
      held = std::move(found);
    }
  };
  for (const Condition& condition : filter.must) {
    ASSIGN_OR_RETURN(Roaring64Map found, MatchOne(condition, universe, labels_of_ids));
    keep(std::move(found));
  }
  if (!filter.should.empty()) {
    ASSIGN_OR_RETURN(Roaring64Map found, MatchAny(filter.should, universe, labels_of_ids));
    keep(std::move(found));
  }
  if (!held) held = universe;
  if (!filter.must_not.empty()) {
    ASSIGN_OR_RETURN(const Roaring64Map refused, MatchAny(filter.must_not, universe, labels_of_ids));
    *held -= refused;
  }
  return *std::move(held);
}

}  // namespace tandem
