#pragma once
// What people feed the command line: JSON lines and tab-separated values, one record a line. A line is turned into the
// API's message or refused with the reason; the caller goes on with the next one.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tandem/v1/collection.pb.h"
#include "tandem/v1/dataset.pb.h"

namespace tandem::cli {

enum class RecordFormat { kJsonl, kTsv };

// By the ending of a file's name: .tsv or .txt is kTsv, everything else kJsonl.
RecordFormat FormatOf(absl::string_view path);

// What the columns of a TSV line mean. JSON says it by its keys.
enum class ExampleKind { kPair, kScoredPair, kLabelledPair, kLabelledText, kText };

//   pair           {"anchor": "…", "positive": "…", "negative": "…"}; "positives" and "negatives" are lists
//                  anchor <TAB> positive [<TAB> negative …]
//   scored pair    {"first": "…", "second": "…", "score": 0.8}            first <TAB> second <TAB> score
//   labelled pair  {"first": "…", "second": "…", "similar": true}         first <TAB> second <TAB> true|false|1|0
//   labelled text  {"text": "…", "label": "…"}                            text <TAB> label
//   text           {"text": "…"}                                          text
absl::StatusOr<v1::Example> ParseExample(absl::string_view line, RecordFormat format, ExampleKind kind);

//   {"id": "…", "text": "…", "payload": {…}}                              id <TAB> text [<TAB> payload as JSON]
// In JSON "vector": [0.1, …] may stand beside the text or in place of it, for collections whose clients bring vectors.
// "_id" is taken for "id", and "title" is put in front of "text", as in BEIR's corpus.jsonl.
absl::StatusOr<v1::Document> ParseDocument(absl::string_view line, RecordFormat format);

//   {"id": "…", "payload": {…}}; the payload must be there.
absl::StatusOr<v1::UpdatePayloadsRequest::Update> ParsePayloadUpdate(absl::string_view line);

// {"text": "…", "judgements": [{"document": "…", "grade": 1}]}; the grade may be left out and is 1 then.
absl::StatusOr<v1::EvaluationQuery> ParseEvaluationQuery(absl::string_view line);

// BEIR: queries.jsonl, {"_id": "…", "text": "…"}, and a line of qrels.tsv, query <TAB> document <TAB> grade.
struct BeirQuery {
  std::string id, text;
};
struct BeirJudgement {
  std::string query, document;
  int32_t grade = 0;
};
absl::StatusOr<BeirQuery> ParseBeirQuery(absl::string_view line);
absl::StatusOr<BeirJudgement> ParseBeirJudgement(absl::string_view line);

}  // namespace tandem::cli
