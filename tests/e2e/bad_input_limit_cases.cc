// One more than each limit of server/rpc/limits.h that is a count, or a length that no other case exceeds; what an id
// must not hold; and what only the stored state makes wrong (SetUpTestSuite of bad_input_test.cc stores it).

#include "absl/strings/escaping.h"
#include "tests/e2e/bad_input_cases.h"

namespace tandem::test {
namespace {

using Cases = std::vector<BadInput>;

constexpr int kMiB = 1 << 20;

std::string Repeat(const std::string& text, int times) {
  std::string all;
  all.reserve(text.size() * times);
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

void AddExampleLimits(Cases* cases) {
  const std::string append = "DatasetService/AppendExamples", first = "dataset: \"datasets/d\" sequence: 1 ";
  const std::string pair = "examples { pair { anchor: \"a\" positives: \"p\" } } ";
  cases->push_back({append, {first + Repeat(pair, 10'001)}, "examples", ""});
  cases->push_back({append, {first + "request_id: \"used\" " + pair}, "request_id", ""});
  const auto add = [&](const std::string& body, const std::string& path) {
    cases->push_back({append, {first + "examples { " + body + " }"}, "examples[0]." + path, ""});
  };
  add("pair { anchor: \"a\" " + Repeat("positives: \"p\" ", 65) + "}", "pair.positives");
  add("pair { anchor: \"a\" positives: \"p\" " + Repeat("negatives: \"n\" ", 65) + "}", "pair.negatives");
  const std::string over = Quoted(kMiB + 1), most = Quoted(kMiB);
  add("pair { anchor: " + over + " positives: \"p\" }", "pair.anchor");
  add("pair { anchor: \"a\" positives: " + over + " }", "pair.positives[0]");
  add("pair { anchor: \"a\" positives: \"p\" negatives: " + over + " }", "pair.negatives[0]");
  add("pair { anchor: \"a\" " + Repeat("positives: " + most + " ", 2) + "negatives: " + most + " }", "pair");
  add("scored_pair { first: " + over + " second: \"b\" score: 0.5 }", "scored_pair.first");
  add("labelled_pair { first: \"a\" second: " + over + " similar: true }", "labelled_pair.second");
  add("labelled_text { text: " + over + " label: \"l\" }", "labelled_text.text");
  add("text { text: " + over + " }", "text.text");
  std::string token;  // As PageToken makes it, but with a key that no dataset has.
  absl::WebSafeBase64Escape(std::string("datasets\n") + std::string(1024, 'a'), &token);
  cases->push_back({"DatasetService/ListDatasets", {"page_token: \"" + token + "\""}, "page_token", ""});
}

void AddDocumentLimits(Cases* cases) {
  const std::string in_c = "collection: \"collections/c\" ", document = "documents { id: \"a\" text: \"t\" } ";
  const std::string key = std::string(2100, 'a'), shown = "[\"" + std::string(80, 'a') + "...\" (2100 bytes)]";
  for (const std::string method : {"UpsertDocuments", "ImportDocuments"}) {
    const std::string rpc = "CollectionService/" + method;
    const std::string first = in_c + (method == "ImportDocuments" ? "sequence: 1 " : "");
    cases->push_back({rpc, {first + Repeat(document, 10'001)}, "documents", ""});
    cases->push_back({rpc, {first + document + "request_id: \"used\""}, "request_id", ""});
    cases->push_back({rpc,
                      {first + "documents { id: \"a\" text: \"t\" payload { fields { key: \"" + key +
                       "\" value { number_value: nan } } } }"},
                      "documents[0].payload.fields" + shown + ".number_value",
                      ""});
  }
  cases->push_back({"CollectionService/DeleteDocuments", {in_c + Repeat("ids: \"a\" ", 10'001)}, "ids", ""});
  const std::string set = "CollectionService/CreateEvaluationSet",
                    judgement = "judgements { document: \"a\" grade: 1 } ";
  cases->push_back(
      {set, {in_c + "queries { text: \"q\" " + Repeat(judgement, 1001) + "}"}, "queries[0].judgements", ""});
  cases->push_back(
      {set, {in_c + "queries { text: " + Quoted(kMiB + 1) + " " + judgement + " }"}, "queries[0].text", ""});
  cases->push_back({set, {in_c + Repeat("queries { text: \"q\" " + judgement + "} ", 100'001)}, "queries", ""});
}

void AddSearchLimits(Cases* cases) {
  const std::string in_c = "collection: \"collections/c\" ", ids = "documents { " + Repeat("ids: \"a\" ", 101) + "} ";
  cases->push_back({"SearchService/Search", {in_c + ids}, "documents.ids", ""});
  const std::string batch = "SearchService/BatchSearch";
  cases->push_back({batch, {in_c + "searches { " + ids + "}"}, "searches[0].documents.ids", ""});
  cases->push_back({batch, {in_c + Repeat("searches { text: \"q\" } ", 1001)}, "searches", ""});
}

// Legal UTF-8, but an id with them could not be shown or typed.
void AddControlCharacters(Cases* cases) {
  const std::string in_c = "collection: \"collections/c\" ";
  for (const std::string character : {"\\001", "\\037", "\\177"}) {
    const std::string id = "\"a" + character + "b\" ";
    const std::string document = "documents { id: " + id + " text: \"t\" }";
    cases->push_back({"CollectionService/UpsertDocuments", {in_c + document}, "documents[0].id", ""});
    cases->push_back({"CollectionService/ImportDocuments", {in_c + "sequence: 1 " + document}, "documents[0].id", ""});
    cases->push_back({"CollectionService/GetDocument", {in_c + "id: " + id}, "id", ""});
    cases->push_back({"CollectionService/DeleteDocuments", {in_c + "ids: " + id}, "ids[0]", ""});
    cases->push_back({"CollectionService/CreateEvaluationSet",
                      {in_c + "queries { text: \"q\" judgements { document: " + id + " grade: 1 } }"},
                      "queries[0].judgements[0].document",
                      ""});
    cases->push_back({"SearchService/Search", {in_c + "documents { ids: " + id + "}"}, "documents.ids[0]", ""});
    cases->push_back(
        {"SearchService/SendFeedback", {"search_id: \"s\" judgement: RELEVANT document: " + id}, "document", ""});
  }
}

}  // namespace

std::vector<BadInput> InputsOverLimits() {
  Cases cases;
  AddExampleLimits(&cases);
  AddDocumentLimits(&cases);
  AddSearchLimits(&cases);
  AddControlCharacters(&cases);
  return cases;
}

}  // namespace tandem::test
