#include "server/storage/field_values.h"

#include <limits>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "server/base/status.h"
#include "server/storage/filter.h"
#include "server/storage/number_postings.h"

namespace tandem {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::vector<FilterableField> kFields = {{"tag", FieldType::kKeyword},
                                              {"author.age", FieldType::kInteger},
                                              {"price", FieldType::kFloat},
                                              {"sold", FieldType::kBool},
                                              {"at", FieldType::kDatetime}};

std::vector<FieldValues> Read(const std::string& payload) { return ReadFieldValues(kFields, payload).value(); }

// The path and the message of what is refused.
std::string Refusal(const std::string& payload) {
  const absl::Status status = ReadFieldValues(kFields, payload).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << payload;
  return std::string(status.message());
}

TEST(FieldValuesTest, ValuesAreReadByTypeAndPath) {
  EXPECT_THAT(Read(R"({"tag":"a","author":{"age":-7,"name":"x"},"price":2.5,"sold":true,"other":[{}]})"),
              ElementsAre(FieldValues{0, {"a"}, {}}, FieldValues{1, {}, {-7}}, FieldValues{2, {}, {FloatKey(2.5)}},
                          FieldValues{3, {}, {1}}));
  const int64_t micros = 1'796'036'601'250'000;
  EXPECT_EQ(absl::FormatTime("%Y-%m-%dT%H:%M:%E6S", absl::FromUnixMicros(micros), absl::UTCTimeZone()),
            "2026-11-30T11:03:21.250000");
  EXPECT_THAT(Read(R"({"at":"2026-11-30T11:03:21.25Z"})"), ElementsAre(FieldValues{4, {}, {micros}}));
  EXPECT_THAT(Read(R"({"at":"2026-11-30T12:03:21.25+01:00"})"), ElementsAre(FieldValues{4, {}, {micros}}));
  EXPECT_THAT(Read(R"({"author":{"age":9007199254740992}})"), ElementsAre(FieldValues{1, {}, {int64_t{1} << 53}}));
}

TEST(FieldValuesTest, ListsGiveEachElementAndNullsNone) {
  EXPECT_THAT(Read(R"({"tag":["a",null,"b","a"]})"), ElementsAre(FieldValues{0, {"a", "b", "a"}, {}}));
  EXPECT_THAT(Read(R"({"author":[{"age":1},{},{"age":[2,3]},null]})"), ElementsAre(FieldValues{1, {}, {1, 2, 3}}));
  EXPECT_THAT(Read(R"({"tag":null,"author":null,"price":[]})"), IsEmpty());
  EXPECT_THAT(Read("{}"), IsEmpty());
  EXPECT_THAT(Read(""), IsEmpty());
}

TEST(FieldValuesTest, AWrongTypeIsRefusedWithItsPath) {
  EXPECT_EQ(Refusal(R"({"tag":5})"), "payload.tag: 5: field \"tag\" is of type KEYWORD");
  EXPECT_EQ(Refusal(R"({"tag":["a",["b"]]})"), "payload.tag[1]: a list: field \"tag\" is of type KEYWORD");
  EXPECT_THAT(Refusal(R"({"tag":")" + std::string(1025, 'x') + "\"}"), HasSubstr("payload.tag: 1025 bytes"));
  EXPECT_THAT(Refusal(R"({"author":{"age":1.5}})"), HasSubstr("payload.author.age: 1.5"));
  EXPECT_THAT(Refusal(R"({"author":{"age":9007199254740994}})"), HasSubstr("payload.author.age"));
  EXPECT_THAT(Refusal(R"({"author":{"age":"7"}})"), HasSubstr("payload.author.age: \"7\""));
  EXPECT_THAT(Refusal(R"({"author":"x"})"), HasSubstr("payload.author: \"x\": must be an object"));
  EXPECT_THAT(Refusal(R"({"price":true})"), HasSubstr("payload.price: true"));
  EXPECT_THAT(Refusal(R"({"sold":1})"), HasSubstr("payload.sold: 1"));
  for (const char* time : {"yesterday", "2026-11-30", "2026-11-30T11:03:21", "2026-13-30T11:03:21Z",
                           "2026-11-30 11:03:21Z", "2026-11-30T11:03:21Z ", "infinite-future-and-beyond"}) {
    EXPECT_THAT(Refusal(std::string(R"({"at":")") + time + "\"}"), HasSubstr("payload.at")) << time;
  }
}

TEST(FieldValuesTest, FloatKeysAreOrderedAsTheirNumbers) {
  const double numbers[] = {-std::numeric_limits<double>::max(),
                            -1e300,
                            -2,
                            -1.5,
                            -1e-300,
                            -std::numeric_limits<double>::denorm_min(),
                            0,
                            std::numeric_limits<double>::denorm_min(),
                            1e-300,
                            1,
                            1.5,
                            1e300,
                            std::numeric_limits<double>::max()};
  for (size_t i = 1; i < std::size(numbers); ++i) EXPECT_LT(FloatKey(numbers[i - 1]), FloatKey(numbers[i])) << i;
  EXPECT_EQ(FloatKey(-0.0), FloatKey(0.0));
}

TEST(FieldValuesTest, StoredValuesComeBackAndDamageIsDataLoss) {
  const std::vector<FieldValues> values = {
      {0, {"", std::string("n\0l", 3)}, {}}, {2, {}, {std::numeric_limits<int64_t>::min(), 7}}, {4, {}, {1}}};
  const std::string bytes = PackFieldValues(values);
  EXPECT_EQ(UnpackFieldValues(kFields, bytes).value(), values);
  EXPECT_TRUE(UnpackFieldValues(kFields, "")->empty());
  for (size_t size = 1; size < bytes.size(); ++size) {
    const auto cut = UnpackFieldValues(kFields, std::string_view(bytes).substr(0, size));
    EXPECT_TRUE(cut.ok() || absl::IsDataLoss(cut.status())) << size;
    EXPECT_LT(cut.ok() ? cut->size() : 0, values.size()) << size;  // It may be cut between two fields.
  }
  EXPECT_TRUE(absl::IsDataLoss(UnpackFieldValues({}, bytes).status()));
}

TEST(NumberPostingsTest, RangesAreThoseOfASortedList) {
  std::mt19937 random(7);
  const auto below = [&](int n) { return std::uniform_int_distribution<>(0, n - 1)(random); };
  NumberPostings recorded;
  std::vector<std::pair<int64_t, int64_t>> pairs;  // Key and label.
  std::set<int64_t> removed;
  for (int64_t label = 1; label <= 30'000; ++label) {
    for (int i = 1 + below(2); i > 0; --i) {
      const int64_t key = below(3) == 0 ? 5 : below(2000) - 1000;
      recorded.Add(key, label);
      pairs.emplace_back(key, label);
    }
    if (below(3) == 0) {
      const int64_t gone = 1 + below(static_cast<int>(label));
      recorded.Remove(gone);
      removed.insert(gone);
    }
    if (label % 1'500 != 0) continue;
    for (int i = 0; i < 20; ++i) {
      const int64_t least = below(2400) - 1200, most = least + below(i % 2 == 0 ? 3 : 2000) - 1;
      const Roaring64Map found = recorded.InRange(least, most);
      std::set<int64_t> expected;
      for (const auto& [key, owner] : pairs) {
        if (key >= least && key <= most) expected.insert(owner);
      }
      for (const int64_t owner : expected) {
        ASSERT_TRUE(removed.contains(owner) || found.contains(static_cast<uint64_t>(owner))) << owner;
      }
      for (const uint64_t owner : found) ASSERT_TRUE(expected.contains(static_cast<int64_t>(owner))) << owner;
    }
  }
}

TEST(FilterTest, ConditionsThatTheFieldsDoNotAllowAreRefusedByPath) {
  const auto refusal = [](FieldCondition condition) {
    Filter inner;
    inner.must_not.push_back({HasIdCondition{{"x"}}});
    inner.must_not.push_back({std::move(condition)});
    Filter filter;
    filter.should.push_back({inner});
    const absl::Status status = CheckFilter(kFields, filter, "filter");
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    return std::string(status.message());
  };
  const std::string place = "filter.should[0].filter.must_not[1].field.";
  EXPECT_THAT(refusal({"tags", ExistsTest{}}), HasSubstr(place + "field: \"tags\""));
  EXPECT_THAT(refusal({"tag", EqualsTest{int64_t{5}}}),
              HasSubstr(place + "equals.integer: field \"tag\" is of type KEYWORD"));
  EXPECT_THAT(refusal({"sold", AnyOfTest{{true, int64_t{1}}}}), HasSubstr(place + "any_of.values[1].integer"));
  EXPECT_THAT(refusal({"price", EqualsTest{int64_t{5}}}), HasSubstr(place + "equals: is for KEYWORD, INTEGER"));
  EXPECT_THAT(refusal({"at", NumberRangeTest{}}), HasSubstr(place + "range: is for INTEGER and FLOAT"));
  EXPECT_THAT(refusal({"author.age", TimeRangeTest{}}), HasSubstr(place + "time_range: is for DATETIME"));
}

}  // namespace
}  // namespace tandem
