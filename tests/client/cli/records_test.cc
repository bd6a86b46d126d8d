#include "client/cli/records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tandem::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<v1::Example> Json(const char* line) {
  return ParseExample(line, RecordFormat::kJsonl, ExampleKind::kPair);
}
absl::StatusOr<v1::Example> Tsv(const char* line, ExampleKind kind) {
  return ParseExample(line, RecordFormat::kTsv, kind);
}
std::string Refusal(const absl::Status& status) { return std::string(status.message()); }

TEST(RecordsTest, TheFileNameDecidesTheFormat) {
  EXPECT_EQ(FormatOf("a.tsv"), RecordFormat::kTsv);
  EXPECT_EQ(FormatOf("a.jsonl"), RecordFormat::kJsonl);
  EXPECT_EQ(FormatOf("-"), RecordFormat::kJsonl);
}

TEST(RecordsTest, JsonPairTakesOneOrManyTexts) {
  absl::StatusOr<v1::Example> example =
      Json(R"({"anchor": "q", "positive": "p1", "positives": ["p2"], "negatives": ["n1", "n2"]})");
  ASSERT_TRUE(example.ok()) << example.status();
  EXPECT_EQ(example->pair().anchor(), "q");
  EXPECT_THAT(example->pair().positives(), ElementsAre("p1", "p2"));
  EXPECT_THAT(example->pair().negatives(), ElementsAre("n1", "n2"));
}

TEST(RecordsTest, JsonKeysDecideTheKindOfExample) {
  EXPECT_FLOAT_EQ(Json(R"({"first": "a", "second": "b", "score": 0.5})")->scored_pair().score(), 0.5f);
  EXPECT_TRUE(Json(R"({"first": "a", "second": "b", "similar": false})")->labelled_pair().has_similar());
  EXPECT_EQ(Json(R"({"text": "a", "label": "b"})")->labelled_text().label(), "b");
  EXPECT_EQ(Json(R"({"text": "a"})")->text().text(), "a");
}

TEST(RecordsTest, JsonRefusalsNameTheKey) {
  EXPECT_THAT(Refusal(Json("{").status()), HasSubstr("not JSON"));
  EXPECT_THAT(Refusal(Json("[1]").status()), HasSubstr("no JSON object"));
  EXPECT_THAT(Refusal(Json(R"({"positive": "p"})").status()), HasSubstr("anchor: is missing"));
  EXPECT_THAT(Refusal(Json(R"({"anchor": "q"})").status()), HasSubstr("positive: is missing"));
  EXPECT_THAT(Refusal(Json(R"({"anchor": 1, "positive": "p"})").status()), HasSubstr("anchor: must be a string"));
  EXPECT_THAT(Refusal(Json(R"({"anchor": "q", "positives": "p"})").status()), HasSubstr("positives: must be a list"));
  EXPECT_THAT(Refusal(Json(R"({"first": "a", "second": "b"})").status()), HasSubstr("score: is missing"));
  EXPECT_THAT(Refusal(Json(R"({"label": "b"})").status()), HasSubstr("text: is missing"));
  EXPECT_THAT(Refusal(Json("{\"anchor\": \"\xff\", \"positive\": \"p\"}").status()), HasSubstr("not JSON"));
}

TEST(RecordsTest, JsonKeepsZeroBytesAndChinese) {
  EXPECT_EQ(Json(R"({"anchor": "a\u0000b", "positive": "检索"})")->pair().anchor(), std::string("a\0b", 3));
  EXPECT_EQ(Json(R"({"anchor": "a", "positive": "检索"})")->pair().positives(0), "检索");
}

TEST(RecordsTest, TsvColumnsFollowTheKind) {
  EXPECT_THAT(Tsv("q\tp\tn1\tn2", ExampleKind::kPair)->pair().negatives(), ElementsAre("n1", "n2"));
  EXPECT_FLOAT_EQ(Tsv("a\tb\t0.25", ExampleKind::kScoredPair)->scored_pair().score(), 0.25f);
  EXPECT_TRUE(Tsv("a\tb\ttrue", ExampleKind::kLabelledPair)->labelled_pair().similar());
  EXPECT_EQ(Tsv("a\tb", ExampleKind::kLabelledText)->labelled_text().text(), "a");
  EXPECT_EQ(Tsv("a b", ExampleKind::kText)->text().text(), "a b");
}

TEST(RecordsTest, TsvRefusalsSayWhatIsNeeded) {
  EXPECT_THAT(Refusal(Tsv("q", ExampleKind::kPair).status()), HasSubstr("has 1 columns; anchor, positive"));
  EXPECT_THAT(Refusal(Tsv("a\tb\tx", ExampleKind::kScoredPair).status()), HasSubstr("score: 'x' is no number"));
  EXPECT_THAT(Refusal(Tsv("a\tb\tmaybe", ExampleKind::kLabelledPair).status()), HasSubstr("similar: 'maybe'"));
  EXPECT_THAT(Refusal(Tsv("q\t\xff", ExampleKind::kPair).status()), HasSubstr("not UTF-8"));
  EXPECT_THAT(Refusal(Tsv("a\tb", ExampleKind::kText).status()), HasSubstr("has 2 columns; text is needed"));
}

TEST(RecordsTest, DocumentsCarryTheirPayload) {
  absl::StatusOr<v1::Document> document =
      ParseDocument(R"({"id": "d1", "text": "t", "payload": {"n": 3, "tags": ["x"]}})", RecordFormat::kJsonl);
  ASSERT_TRUE(document.ok()) << document.status();
  EXPECT_EQ(document->payload().fields().at("n").number_value(), 3);
  document = ParseDocument("d1\tt\t{\"n\": 4}", RecordFormat::kTsv);
  ASSERT_TRUE(document.ok()) << document.status();
  EXPECT_EQ(document->payload().fields().at("n").number_value(), 4);
  EXPECT_THAT(Refusal(ParseDocument("d1\tt\t[1]", RecordFormat::kTsv).status()), HasSubstr("payload"));
  EXPECT_THAT(Refusal(ParseDocument(R"({"id": "d", "text": "t", "payload": 1})", RecordFormat::kJsonl).status()),
              HasSubstr("payload: must be a JSON object"));
}

TEST(RecordsTest, ADocumentMayBringItsVectorWithOrWithoutAText) {
  absl::StatusOr<v1::Document> document = ParseDocument(R"({"id": "d", "vector": [0.5, -2]})", RecordFormat::kJsonl);
  ASSERT_TRUE(document.ok()) << document.status();
  EXPECT_EQ(document->text(), "");
  EXPECT_EQ(document->vector().encoding(), v1::PACKED_FLOAT32);
  const float values[] = {0.5F, -2.0F};
  EXPECT_EQ(document->vector().packed(), std::string(reinterpret_cast<const char*>(values), sizeof(values)));
  document = ParseDocument(R"({"id": "d", "text": "t", "title": "T", "vector": [1]})", RecordFormat::kJsonl);
  EXPECT_EQ(document->text(), "T t");
  EXPECT_THAT(Refusal(ParseDocument(R"({"id": "d", "vector": ["1"]})", RecordFormat::kJsonl).status()),
              HasSubstr("vector"));
  EXPECT_THAT(Refusal(ParseDocument(R"({"id": "d"})", RecordFormat::kJsonl).status()), HasSubstr("text"));
}

TEST(RecordsTest, APayloadUpdateNamesAnIdAndAnObject) {
  const auto update = ParsePayloadUpdate(R"({"id": "d", "payload": {"n": 3, "old": null}})");
  ASSERT_TRUE(update.ok()) << update.status();
  EXPECT_EQ(update->id(), "d");
  EXPECT_EQ(update->payload().fields().at("n").number_value(), 3);
  EXPECT_TRUE(update->payload().fields().at("old").has_null_value());
  EXPECT_FALSE(ParsePayloadUpdate(R"({"id": "d"})").ok());
  EXPECT_FALSE(ParsePayloadUpdate(R"({"payload": {}})").ok());
}

TEST(RecordsTest, BeirCorpusLinesAreDocuments) {
  absl::StatusOr<v1::Document> document =
      ParseDocument(R"({"_id": "d1", "title": "Disk", "text": "Shows free space."})", RecordFormat::kJsonl);
  ASSERT_TRUE(document.ok()) << document.status();
  EXPECT_EQ(document->id(), "d1");
  EXPECT_EQ(document->text(), "Disk Shows free space.");
}

TEST(RecordsTest, EvaluationQueriesNeedJudgements) {
  absl::StatusOr<v1::EvaluationQuery> query =
      ParseEvaluationQuery(R"({"text": "q", "judgements": [{"document": "a", "grade": 3}, {"document": "b"}]})");
  ASSERT_TRUE(query.ok()) << query.status();
  EXPECT_EQ(query->judgements(0).grade(), 3);
  EXPECT_EQ(query->judgements(1).grade(), 1);
  EXPECT_FALSE(ParseEvaluationQuery(R"({"text": "q", "judgements": []})").ok());
  EXPECT_FALSE(ParseEvaluationQuery(R"({"text": "q", "judgements": [{"document": "a", "grade": 1.5}]})").ok());
}

TEST(RecordsTest, BeirJudgementsAreThreeColumns) {
  EXPECT_EQ(ParseBeirJudgement("q1\td1\t2")->grade, 2);
  EXPECT_FALSE(ParseBeirJudgement("query-id\tcorpus-id\tscore").ok());
  EXPECT_EQ(ParseBeirQuery(R"({"_id": "q1", "text": "t"})")->id, "q1");
}

}  // namespace
}  // namespace tandem::cli
