#include "tests/e2e/bad_input_cases.h"

#include <utility>

namespace tandem::test {
namespace {

std::string Long(int bytes) { return std::string(bytes, 'a'); }

using Cases = std::vector<BadInput>;

void AddName(Cases* cases, const std::string& method, const std::string& field, const std::string& more = "") {
  for (const char* bad : {"", "elsewhere/x", "Upper", "../../etc/passwd"}) {
    cases->push_back({method, {field + ": \"" + bad + "\" " + more}, field, ""});
  }
}

void AddPaging(Cases* cases, const std::string& method, const std::string& more = "") {
  cases->push_back({method, {more + " page_size: -1"}, "page_size", ""});
  cases->push_back({method, {more + " page_size: 1001"}, "page_size", ""});
  cases->push_back({method, {more + " page_token: \"not a token\""}, "page_token", ""});
  cases->push_back({method, {more + " page_token: \"b3RoZXIKYQ\""}, "page_token", ""});  // Of the list "other".
}

// `open` and `close` stand around a payload in the message; `element` is the path of what has it.
void AddPayload(Cases* cases, const std::string& method, const std::string& open, const std::string& close,
                const std::string& element) {
  const auto add = [&](const std::string& fields, const std::string& path) {
    cases->push_back(
        {method, {open + " payload { fields { " + fields + " } } " + close}, element + ".payload" + path, ""});
  };
  const auto value = [&](const std::string& field, const std::string& path) {
    add("key: \"k\" value { " + field + " }", ".fields[\"k\"]" + path);
  };
  value("", "");
  value("number_value: nan", ".number_value");
  value("number_value: inf", ".number_value");
  value("null_value: 5", ".null_value");
  value("struct_value { fields { key: \"b\" value { number_value: nan } } }",
        ".struct_value.fields[\"b\"].number_value");
  value("list_value { values { number_value: nan } }", ".list_value.values[0].number_value");
  add("key: \"k\" value { string_value: " + Quoted(70'000) + " }", "");
  // Strings that can be wrong only by not being UTF-8.
  add("key: \"k\" value { string_value: \"\\377\" }", ".fields[0].value.string_value");
  add("key: \"\\377\" value { bool_value: true }", ".fields[0].key");
}

// `before` stands before the documents in the message; `element` is the path of one.
void AddDocument(Cases* cases, const std::string& method, const std::string& before, const std::string& element) {
  const auto add = [&](const std::string& document, const std::string& path) {
    cases->push_back({method, {before + " documents { " + document + " }"}, element + "." + path, ""});
  };
  const std::string good = "id: \"d\" text: \"t\" ";
  add("text: \"t\"", "id");
  add("id: " + Quoted(257) + " text: \"t\"", "id");
  add("id: \"a\\nb\" text: \"t\"", "id");
  add("id: \"d\"", "text");
  add("id: \"d\" text: " + Quoted((1 << 20) + 1), "text");
  add(good + "commit: 7", "commit");
  add(good + "vector { values: 1 }", "vector");
}

// The same in a collection of vectors of 2 dimensions that clients bring.
void AddVectors(Cases* cases, const std::string& method, const std::string& before) {
  const auto add = [&](const std::string& vector, const std::string& path) {
    cases->push_back({method, {before + " documents { id: \"d\" " + vector + " }"}, "documents[0].vector" + path, ""});
  };
  add("", ".values");
  add("vector { values: 1 }", "");
  add("vector { values: 0 values: 0 }", "");  // Has no direction.
  add("vector { values: 1 values: nan }", ".values[1]");
  add("vector { packed: \"abcdefg\" encoding: PACKED_FLOAT32 }", ".packed");
  add("vector { values: 1 values: 1 encoding: 99 }", ".encoding");
  add("vector { packed: \"ab\" encoding: INT8 }", ".scale");
}

void AddGate(Cases* cases, const std::string& method, const std::string& more) {
  for (const char* field : {"margin", "min_index_recall", "min_ndcg"}) {
    for (const char* bad : {"-0.1", "1.5", "nan"}) {
      cases->push_back({method, {more + " gate { " + field + ": " + bad + " }"}, std::string("gate.") + field, ""});
    }
  }
  cases->push_back({method, {more + " rollback_window { seconds: -1 }"}, "rollback_window.seconds", ""});
  cases->push_back({method, {more + " rollback_window { seconds: 2592001 }"}, "rollback_window.seconds", ""});
  cases->push_back({method, {more + " rollback_window { nanos: -1 }"}, "rollback_window.nanos", ""});
  cases->push_back({method, {more + " rollback_window { seconds: 2592000 nanos: 1 }"}, "rollback_window.nanos", ""});
}

// `open` and `close` stand around a search; `prefix` is its path.
void AddSearch(Cases* cases, const std::string& method, const std::string& open, const std::string& close,
               const std::string& prefix) {
  const auto add = [&](const std::string& search, const std::string& path) {
    cases->push_back({method, {open + search + close}, prefix + path, ""});
  };
  add("", "query");
  add("text: \"\"", "text");
  add("text: " + Quoted((1 << 20) + 1), "text");
  const std::string revision = "model_revision: \"models/m/revisions/r\" ";
  const auto vector = [&](const std::string& body, const std::string& path) {
    add("vector { " + revision + "vector { " + body + " } }", "vector.vector." + path);
  };
  add("vector { model_revision: \"models/m\" vector { values: 1 } }", "vector.model_revision");
  vector("", "values");
  vector("values: 1 values: nan", "values[1]");
  vector("values: 1 encoding: FLOAT16", "values");
  vector("packed: \"abcd\"", "packed");
  vector("packed: \"abc\" encoding: PACKED_FLOAT32", "packed");
  vector("packed: \"\\000\\000\\300\\177\" encoding: PACKED_FLOAT32", "packed");  // NaN.
  vector("packed: \"a\" encoding: FLOAT16", "packed");
  vector("encoding: INT8 scale: 1", "packed");
  vector("packed: \"a\" encoding: BINARY", "encoding");
  vector("values: 1 encoding: 99", "encoding");
  vector("packed: \"a\" encoding: INT8", "scale");
  vector("packed: \"a\" encoding: INT8 scale: -1", "scale");
  vector("packed: \"a\" encoding: INT8 scale: inf", "scale");
  vector("values: 1 scale: 2", "scale");
  add("documents { }", "documents.ids");
  add("documents { ids: \"\" }", "documents.ids[0]");
  add("documents { ids: \"a\" ids: " + Quoted(257) + " }", "documents.ids[1]");
  for (const char* bad : {"top_k: 0", "top_k: -1", "top_k: 1001"}) add(std::string("text: \"q\" ") + bad, "top_k");
  for (const char* bad : {"offset: -1", "offset: 10001"}) add(std::string("text: \"q\" ") + bad, "offset");
  for (const char* bad : {"nan", "inf"}) add(std::string("text: \"q\" min_score: ") + bad, "min_score");
  for (const char* bad : {"0", "10001"}) add(std::string("text: \"q\" ef_search: ") + bad, "ef_search");
  for (const char* bad : {"0", "65537"}) add(std::string("text: \"q\" nprobe: ") + bad, "nprobe");
  for (const char* bad : {"0", "1001"}) add(std::string("text: \"q\" rerank_factor: ") + bad, "rerank_factor");
  for (const char* bad : {"-0.1", "1.1", "nan"}) add(std::string("text: \"q\" min_relevance: ") + bad, "min_relevance");
  add("documents { ids: \"a\" } min_relevance: 0.5", "min_relevance");
  add("text: \"q\" view: 9", "view");
}

void AddTexts(Cases* cases, const std::string& method) {
  const std::string model = "model: \"models/m\" ", role = "role: QUERY ", text = "texts: \"t\" ";
  AddName(cases, method, "model", role + text);
  cases->push_back({method, {model + role}, "texts", ""});
  std::string many;
  for (int i = 0; i < 1025; ++i) many += text;
  cases->push_back({method, {model + role + many}, "texts", ""});
  cases->push_back({method, {model + role + text + "texts: " + Quoted((1 << 20) + 1)}, "texts[1]", ""});
  cases->push_back({method, {model + text}, "role", ""});
  cases->push_back({method, {model + text + "role: 7"}, "role", ""});
}

void AddAnalysis(Cases* cases, const std::string& method) {
  const std::string dataset = "dataset: \"datasets/d\" ", base = "base_revision: \"models/m\" ";
  const auto add = [&](const std::string& request, const std::string& path) {
    cases->push_back({method, {dataset + request}, path, ""});
  };
  AddName(cases, method, "dataset");
  for (const char* bad : {"0", "-1", "99999"}) add(std::string("dataset_commit: ") + bad, "dataset_commit");
  for (const char* bad : {"d", "datasets/d", "datasets/../d"}) {
    add("validation_dataset: \"" + std::string(bad) + "\"", "validation_dataset");
  }
  for (const char* bad : {"m", "models/", "models/m/revisions/"}) {
    add("base_revision: \"" + std::string(bad) + "\"", "base_revision");
  }
  add("max_length: 64", "max_length");  // Of no tokenizer.
  for (const char* bad : {"0", "3", "-1", "131073"}) add(base + "max_length: " + bad, "max_length");
  for (const char* bad : {"0", "1", "-5", "65537"}) add(std::string("batch_size: ") + bad, "batch_size");
  add("request_id: " + Quoted(65), "request_id");
}

void AddDatasets(Cases* cases) {
  const std::string service = "DatasetService/";
  for (const std::string& bad : {std::string("Upper"), std::string("-x"), std::string("a/b"), Long(64)}) {
    cases->push_back({service + "CreateDataset", {"dataset_id: \"" + bad + "\""}, "dataset_id", ""});
  }
  cases->push_back({service + "CreateDataset", {"display_name: " + Quoted(257)}, "display_name", ""});
  cases->push_back({service + "CreateDataset", {"request_id: " + Quoted(65)}, "request_id", ""});
  AddName(cases, service + "GetDataset", "name");
  AddName(cases, service + "DeleteDataset", "name");
  AddAnalysis(cases, service + "AnalyzeDataset");
  AddPaging(cases, service + "ListDatasets");
  AddName(cases, service + "ListExamples", "dataset");
  AddPaging(cases, service + "ListExamples", "dataset: \"datasets/d\"");
  const std::string append = service + "AppendExamples", pair = "examples { pair { anchor: \"a\" positives: \"p\" } } ";
  const std::string first = "dataset: \"datasets/d\" sequence: 1 ";
  AddName(cases, append, "dataset", "sequence: 1 " + pair);
  cases->push_back({append, {first + pair, "dataset: \"datasets/d\" sequence: 2 " + pair}, "dataset", ""});
  cases->push_back({append, {first + pair + "request_id: " + Quoted(65)}, "request_id", ""});
  cases->push_back({append, {first + pair, "request_id: \"r\" sequence: 2 " + pair}, "request_id", ""});
  for (const char* bad : {"0", "-1", "2"}) {
    cases->push_back({append, {"dataset: \"datasets/d\" sequence: " + std::string(bad) + " " + pair}, "sequence", ""});
  }
  cases->push_back({append, {first + pair, "sequence: 3 " + pair}, "sequence", ""});
  cases->push_back({append, {first}, "examples", ""});
  const auto example = [&](const std::string& body, const std::string& path) {
    cases->push_back({append, {first + "examples { " + body + " }"}, "examples[0]." + path, ""});
  };
  example("", "kind");
  example("pair { positives: \"p\" }", "pair.anchor");
  example("pair { anchor: \"a\" }", "pair.positives");
  example("pair { anchor: \"a\" positives: \"p\" positives: \"\" }", "pair.positives[1]");
  example("pair { anchor: \"a\" positives: \"p\" negatives: \"\" }", "pair.negatives[0]");
  example("scored_pair { second: \"b\" score: 0.5 }", "scored_pair.first");
  example("scored_pair { first: \"a\" score: 0.5 }", "scored_pair.second");
  for (const char* bad : {"-0.1", "1.1", "nan"}) {
    example("scored_pair { first: \"a\" second: \"b\" score: " + std::string(bad) + " }", "scored_pair.score");
  }
  example("labelled_pair { second: \"b\" similar: true }", "labelled_pair.first");
  example("labelled_pair { first: \"a\" similar: true }", "labelled_pair.second");
  example("labelled_pair { first: \"a\" second: \"b\" }", "labelled_pair.similar");
  example("labelled_text { label: \"l\" }", "labelled_text.text");
  example("labelled_text { text: \"t\" }", "labelled_text.label");
  example("labelled_text { text: \"t\" label: " + Quoted(257) + " }", "labelled_text.label");
  example("text { }", "text.text");
}

void AddJobs(Cases* cases) {
  for (const char* method : {"GetJob", "CancelJob", "DeleteJob", "WatchJob"}) {
    AddName(cases, std::string("JobService/") + method, "name");
  }
  AddPaging(cases, "JobService/ListJobs");
  cases->push_back({"JobService/WatchJob", {"name: \"jobs/j\" after_sequence: -1"}, "after_sequence", ""});
}

void AddModels(Cases* cases) {
  for (const char* method : {"ExportModel", "GetModel", "DeleteModel", "GetModelRevision", "DeleteModelRevision"}) {
    AddName(cases, std::string("ModelService/") + method, "name");
  }
  AddPaging(cases, "ModelService/ListModels");
  AddName(cases, "ModelService/ListModelRevisions", "model");
  AddPaging(cases, "ModelService/ListModelRevisions", "model: \"models/m\"");
  const std::string import = "ModelService/ImportModel", header = "header { model_id: \"new\" }";
  cases->push_back({import, {}, "header", ""});
  cases->push_back({import, {"chunk { path: \"a\" }"}, "header", ""});
  cases->push_back({import, {header, header}, "chunk", ""});
  for (const char* bad : {"", "Upper", "../x"}) {
    cases->push_back({import, {"header { model_id: \"" + std::string(bad) + "\" }"}, "header.model_id", ""});
  }
  cases->push_back({import, {"header { model_id: \"new\" revision_id: \"..\" }"}, "header.revision_id", ""});
  for (const char* bad : {"../m", "/etc", "a/../..", "no-such", "a//b", "a\\\\b", "escape", "."}) {
    cases->push_back(
        {import, {"header { model_id: \"new\" directory: \"" + std::string(bad) + "\" }"}, "header.directory", ""});
  }
  for (const char* bad : {"", "../x", "/etc/passwd", "a/../b", "a//b", "a/", "./a"}) {
    cases->push_back({import, {header, "chunk { path: \"" + std::string(bad) + "\" }"}, "chunk.path", ""});
  }
  cases->push_back(
      {import, {header, "chunk { path: \"a\" }", "chunk { path: \"b\" }", "chunk { path: \"a\" }"}, "chunk.path", ""});
  cases->push_back({import, {header, "chunk { path: \"a\" data: " + Quoted((1 << 20) + 1) + " }"}, "chunk.data", ""});
  cases->push_back(
      {import, {"header { model_id: \"new\" directory: \"tiny\" }", "chunk { path: \"a\" }"}, "chunk", ""});
  for (const char* method : {"EmbeddingService/Embed", "EmbeddingService/EmbedStream"}) {
    AddTexts(cases, method);
    cases->push_back({method, {"model: \"models/m\" texts: \"t\" role: QUERY encoding: 17"}, "encoding", ""});
    std::string words;
    for (int i = 0; i < 2000; ++i) words += "w1 ";
    cases->push_back(
        {method,
         {"model: \"models/m\" role: QUERY texts: \"w1\" texts: \"" + words + "\" refuse_truncation: true"},
         "texts[1]",
         "refuse_truncation"});
  }
  AddTexts(cases, "EmbeddingService/Tokenize");
}

void AddCollections(Cases* cases) {
  const std::string service = "CollectionService/", in_c = "collection: \"collections/c\" ";
  cases->push_back({service + "CreateCollection", {"collection_id: \"Upper\""}, "collection_id", ""});
  cases->push_back({service + "CreateCollection", {"display_name: " + Quoted(257)}, "display_name", ""});
  cases->push_back({service + "CreateCollection",
                    {"gate { evaluation_set: \"collections/c/evaluationSets/e\" }"},
                    "gate.evaluation_set",
                    ""});
  cases->push_back({service + "CreateCollection", {"request_id: " + Quoted(65)}, "request_id", ""});
  AddGate(cases, service + "CreateCollection", "");
  for (const char* bad : {"", "dimensions: -1", "dimensions: 65537"}) {
    cases->push_back(
        {service + "CreateCollection", {std::string("external { ") + bad + " }"}, "external.dimensions", ""});
  }
  cases->push_back({service + "CreateCollection", {"external { dimensions: 2 metric: 9 }"}, "external.metric", ""});
  cases->push_back(
      {service + "CreateCollection", {"external { dimensions: 2 } gate { min_ndcg: 0.5 }"}, "gate.min_ndcg", ""});
  for (const char* method : {"GetCollection", "DeleteCollection", "GetEvaluationSet", "DeleteEvaluationSet"}) {
    AddName(cases, service + method, "name");
  }
  AddPaging(cases, service + "ListCollections");
  const std::string update = service + "UpdateCollection", name = "name: \"collections/c\" ";
  const std::string mask = "update_mask { paths: \"display_name\" paths: \"gate\" paths: \"rollback_window\" } ";
  AddName(cases, update, "name", mask);
  cases->push_back({update, {name}, "update_mask", ""});
  cases->push_back({update, {name + "update_mask { paths: \"gate\" paths: \"etag\" }"}, "update_mask.paths[1]", ""});
  cases->push_back({update, {name + mask + "display_name: " + Quoted(257)}, "display_name", ""});
  cases->push_back({update, {name + "update_mask { paths: \"gate\" } display_name: \"x\""}, "display_name", ""});
  cases->push_back({update, {name + "update_mask { paths: \"display_name\" } gate { }"}, "gate", ""});
  cases->push_back({update, {name + mask + "gate { evaluation_set: \"e\" }"}, "gate.evaluation_set", ""});
  cases->push_back({update,
                    {name + mask + "gate { evaluation_set: \"collections/x/evaluationSets/e\" }"},
                    "gate.evaluation_set",
                    ""});
  cases->push_back({update, {name + mask + "etag: \"x\""}, "etag", ""});
  AddGate(cases, update, name + mask);
  const std::string upsert = service + "UpsertDocuments", import = service + "ImportDocuments";
  const std::string document = "documents { id: \"a\" text: \"t\" } ";
  AddName(cases, upsert, "collection", document);
  cases->push_back({upsert, {in_c}, "documents", ""});
  cases->push_back({upsert, {in_c + document + document}, "documents[1].id", ""});
  cases->push_back({upsert, {in_c + document + "request_id: " + Quoted(65)}, "request_id", ""});
  const std::string in_e = "collection: \"collections/e\" ", open = "documents { id: \"d\" text: \"t\" ";
  AddDocument(cases, upsert, in_c, "documents[0]");
  AddVectors(cases, upsert, in_e);
  AddPayload(cases, upsert, in_c + open, "}", "documents[0]");
  const std::string first = in_c + "sequence: 1 ";
  AddName(cases, import, "collection", "sequence: 1 " + document);
  cases->push_back({import, {first + document, in_c + "sequence: 2 " + document}, "collection", ""});
  cases->push_back({import, {first + document + "request_id: " + Quoted(65)}, "request_id", ""});
  cases->push_back({import, {in_c + document}, "sequence", ""});
  cases->push_back({import, {first + document, "sequence: 1 " + document}, "sequence", ""});
  cases->push_back({import, {first}, "documents", ""});
  AddDocument(cases, import, first, "documents[0]");
  AddVectors(cases, import, in_e + "sequence: 1 ");
  AddPayload(cases, import, first + open, "}", "documents[0]");
  AddName(cases, service + "GetDocument", "collection", "id: \"a\"");
  cases->push_back({service + "GetDocument", {in_c}, "id", ""});
  cases->push_back({service + "GetDocument", {in_c + "id: " + Quoted(257)}, "id", ""});
  for (const char* method : {"ListDocuments", "ListEvaluationSets"}) {
    AddName(cases, service + method, "collection");
    AddPaging(cases, service + method, in_c);
  }
  AddName(cases, service + "CountDocuments", "collection");
  AddName(cases, service + "DeleteDocuments", "collection", "ids: \"a\"");
  cases->push_back({service + "DeleteDocuments", {in_c}, "ids", ""});
  cases->push_back({service + "DeleteDocuments", {in_c + "ids: \"a\" ids: \"\""}, "ids[1]", ""});
  const std::string payloads = service + "UpdatePayloads", update_a = "updates { id: \"a\" payload { } } ";
  const std::string in_mode = in_c + "mode: MERGE ";
  AddName(cases, payloads, "collection", "mode: MERGE " + update_a);
  cases->push_back({payloads, {in_mode}, "updates", ""});
  cases->push_back({payloads, {in_c + update_a}, "mode", ""});
  cases->push_back({payloads, {in_c + "mode: 9 " + update_a}, "mode", ""});
  cases->push_back({payloads, {in_mode + "updates { id: \"\" }"}, "updates[0].id", ""});
  cases->push_back({payloads, {in_mode + update_a + update_a}, "updates[1].id", ""});
  cases->push_back({payloads, {in_mode + update_a + "request_id: " + Quoted(65)}, "request_id", ""});
  AddPayload(cases, payloads, in_mode + "updates { id: \"a\" ", "}", "updates[0]");
  const std::string set = service + "CreateEvaluationSet",
                    query = "queries { text: \"q\" judgements { document: \"a\" grade: 1 } } ";
  AddName(cases, set, "collection", query);
  cases->push_back({set, {in_e + query}, "collection", ""});
  cases->push_back({set, {in_c + query + "evaluation_set_id: \"Upper\""}, "evaluation_set_id", ""});
  cases->push_back({set, {in_c + query + "request_id: " + Quoted(65)}, "request_id", ""});
  cases->push_back({set, {in_c}, "queries", ""});
  cases->push_back(
      {set, {in_c + query + "queries { judgements { document: \"a\" grade: 1 } }"}, "queries[1].text", ""});
  cases->push_back({set, {in_c + "queries { text: \"q\" }"}, "queries[0].judgements", ""});
  cases->push_back(
      {set, {in_c + "queries { text: \"q\" judgements { grade: 1 } }"}, "queries[0].judgements[0].document", ""});
  for (const char* bad : {"0", "-1", "101"}) {
    cases->push_back({set,
                      {in_c + "queries { text: \"q\" judgements { document: \"a\" grade: " + bad + " } }"},
                      "queries[0].judgements[0].grade",
                      ""});
  }
  cases->push_back(
      {set,
       {in_c + "queries { text: \"q\" judgements { document: \"a\" grade: 1 } judgements { document: \"a\" "
               "grade: 2 } }"},
       "queries[0].judgements[1].document",
       ""});
}

void AddReleases(Cases* cases) {
  const std::string service = "ReleaseService/", in_c = "collection: \"collections/c\" ",
                    model = "model_revision: \"models/m\" ";
  const std::string create = service + "CreateRelease";
  AddName(cases, create, "collection", model);
  AddName(cases, create, "model_revision", in_c);
  cases->push_back({create, {in_c + model + "release_id: \"..\""}, "release_id", ""});
  cases->push_back({create, {in_c + model + "request_id: " + Quoted(65)}, "request_id", ""});
  cases->push_back({create, {in_c + model + "index { hnsw { m: 3 } }"}, "index.hnsw.m", ""});
  cases->push_back({create, {in_c + model + "index { hnsw { m: 129 } }"}, "index.hnsw.m", ""});
  cases->push_back(
      {create, {in_c + model + "index { hnsw { ef_construction: 7 } }"}, "index.hnsw.ef_construction", ""});
  cases->push_back(
      {create, {in_c + model + "index { hnsw { ef_construction: 2001 } }"}, "index.hnsw.ef_construction", ""});
  cases->push_back({create, {in_c + model + "index { hnsw { ef_search: 0 } }"}, "index.hnsw.ef_search", ""});
  cases->push_back({create, {in_c + model + "index { hnsw { ef_search: 10001 } }"}, "index.hnsw.ef_search", ""});
  const auto add_index = [&](const std::string& kind, const std::string& field, const std::string& value) {
    cases->push_back({create,
                      {in_c + model + "index { " + kind + " { " + field + ": " + value + " } }"},
                      "index." + kind + "." + field,
                      ""});
  };
  for (const char* kind : {"ivf_flat", "ivf_pq"}) {
    for (const char* bad : {"0", "65537"}) add_index(kind, "lists", bad);
    for (const char* bad : {"0", "65537"}) add_index(kind, "nprobe", bad);
    cases->push_back({create,
                      {in_c + model + "index { " + kind + " { lists: 7 nprobe: 8 } }"},
                      std::string("index.") + kind + ".nprobe",
                      ""});
  }
  for (const char* kind : {"ivf_pq", "scalar_quantized", "binary"}) {
    for (const char* bad : {"0", "1001"}) add_index(kind, "rerank_factor", bad);
  }
  for (const char* bad : {"0", "65537"}) add_index("ivf_pq", "subquantizers", bad);
  for (const char* bad : {"STORE_FLOAT32", "9"}) add_index("scalar_quantized", "storage", bad);
  for (const char* method :
       {"GetRelease", "CancelRelease", "DeleteRelease", "WatchRelease", "PromoteRelease", "ExportIndex"}) {
    AddName(cases, service + method, "name");
  }
  AddName(cases, service + "ListReleases", "collection");
  AddPaging(cases, service + "ListReleases", in_c);
  const std::string promote = service + "PromoteRelease", name = "name: \"collections/c/releases/r\" ";
  cases->push_back({promote, {name + "etag: \"x\""}, "etag", ""});
  cases->push_back({promote, {name + "override_reason: " + Quoted(1025)}, "override_reason", ""});
  cases->push_back({promote, {name + "request_id: " + Quoted(65)}, "request_id", ""});
  const std::string compare = service + "CompareReleases", first = "first: \"collections/c/releases/a\" ";
  const std::string second = "second: \"collections/c/releases/b\" ",
                    set = "evaluation_set: \"collections/c/evaluationSets/e\" ";
  AddName(cases, compare, "first", second + set);
  AddName(cases, compare, "second", first + set);
  AddName(cases, compare, "evaluation_set", first + second);
  cases->push_back({compare, {first + set + "second: \"collections/c/releases/a\""}, "second", ""});
  cases->push_back({compare, {first + set + "second: \"collections/x/releases/b\""}, "second", ""});
  cases->push_back(
      {compare, {first + second + "evaluation_set: \"collections/x/evaluationSets/e\""}, "evaluation_set", ""});
  cases->push_back({compare, {first + second + set + "queries: \"q\""}, "queries", ""});
  cases->push_back({compare, {first + second + "queries: \"q\" queries: \"\""}, "queries[1]", ""});
  std::string many;
  for (int i = 0; i < 10'001; ++i) many += "queries: \"q\" ";
  cases->push_back({compare, {first + second + many}, "queries", ""});
  for (const char* bad : {"0", "-1", "101"}) {
    cases->push_back({compare, {first + second + set + "top_k: " + bad}, "top_k", ""});
  }
  cases->push_back({compare, {first + second + set + "request_id: " + Quoted(65)}, "request_id", ""});
}

void AddSearches(Cases* cases) {
  const std::string in_c = "collection: \"collections/c\" ", search = "SearchService/Search",
                    batch = "SearchService/BatchSearch";
  AddName(cases, search, "collection", "text: \"q\"");
  cases->push_back({search, {in_c + "text: \"q\" min_commit: -1"}, "min_commit", ""});
  AddSearch(cases, search, in_c, "", "");
  AddName(cases, batch, "collection", "searches { text: \"q\" }");
  cases->push_back({batch, {in_c}, "searches", ""});
  cases->push_back({batch, {in_c + "min_commit: -1 searches { text: \"q\" }"}, "min_commit", ""});
  cases->push_back({batch, {in_c + "searches { text: \"q\" " + in_c + "}"}, "searches[0].collection", ""});
  cases->push_back({batch, {in_c + "searches { text: \"q\" min_commit: 0 }"}, "searches[0].min_commit", ""});
  AddSearch(cases, batch, in_c + "searches { text: \"q\" } searches { ", " }", "searches[1].");
}

void AddServer(Cases* cases) {
  const std::string snapshot = "snapshot_id: \"s\" ";
  AddName(cases, "SnapshotService/CreateSnapshot", "collection", snapshot);
  cases->push_back(
      {"SnapshotService/CreateSnapshot", {"collection: \"collections/c\" snapshot_id: \"../s\""}, "snapshot_id", ""});
  cases->push_back({"SnapshotService/RestoreSnapshot", {"collection_id: \"c\" snapshot_id: \"\""}, "snapshot_id", ""});
  cases->push_back(
      {"SnapshotService/RestoreSnapshot", {snapshot + "collection_id: \"collections/c\""}, "collection_id", ""});
  cases->push_back({"SnapshotService/RestoreSnapshot", {snapshot + "request_id: " + Quoted(65)}, "request_id", ""});
  cases->push_back({"SnapshotService/CreateSnapshot",
                    {"collection: \"collections/c\" request_id: " + Quoted(65)},
                    "request_id",
                    ""});
  AddPaging(cases, "SnapshotService/ListSnapshots");
  AddName(cases, "SnapshotService/DeleteSnapshot", "name");
  AddName(cases, "SnapshotService/DownloadSnapshot", "name");
  const std::string create = "AdminService/CreateApiKey", role = "role: READER ", tenant = "tenant: \"t\" ";
  cases->push_back({create, {role + tenant + "api_key_id: \"Upper\""}, "api_key_id", ""});
  cases->push_back({create, {tenant}, "role", ""});
  cases->push_back({create, {tenant + "role: 9"}, "role", ""});
  cases->push_back({create, {role}, "tenant", ""});
  cases->push_back({create, {role + "tenant: \"../t\""}, "tenant", ""});
  AddPaging(cases, "AdminService/ListApiKeys");
  AddName(cases, "AdminService/DeleteApiKey", "name");
}

}  // namespace

std::vector<BadInput> BadInputs() {
  Cases cases;
  AddDatasets(&cases);
  AddJobs(&cases);
  AddModels(&cases);
  AddCollections(&cases);
  AddReleases(&cases);
  AddSearches(&cases);
  AddServer(&cases);
  for (BadInput& input : TrainingInputs()) cases.push_back(std::move(input));
  for (BadInput& input : FilterInputs()) cases.push_back(std::move(input));
  for (BadInput& input : FeedbackInputs()) cases.push_back(std::move(input));
  for (BadInput& input : InputsOverLimits()) cases.push_back(std::move(input));
  return cases;
}

std::vector<AnyValue> AnyValueIsLegal() {
  const std::string reason = "a truth value in a client's own JSON: both are legal beside anything else";
  std::vector<AnyValue> fields = AnyTrainingValueIsLegal();
  fields.push_back(
      {"CollectionService/CreateCollection:keyword_index", "with or without one, any collection is legal"});
  fields.push_back({"CollectionService/UpsertDocuments:documents.payload.fields.value.bool_value", reason});
  fields.push_back({"CollectionService/ImportDocuments:documents.payload.fields.value.bool_value", reason});
  fields.push_back({"CollectionService/UpdatePayloads:updates.payload.fields.value.bool_value", reason});
  return fields;
}

}  // namespace tandem::test
