#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/option_text.h"
#include "client/cli/vector_file.h"
#include "client/error.h"
#include "client/names.h"

namespace tandem::cli {
namespace {

struct Options {
  std::string collection, vector_file, model_revision;
  std::string filter, hybrid_options, group_by;
  std::vector<std::string> texts, like, more, less, more_texts, less_texts, parts;
  std::optional<double> diversity;
  bool by_keyword = false, hybrid = false;
  std::optional<int32_t> top_k, offset, ef_search, nprobe, rerank_factor;
  std::optional<float> min_score;
  std::optional<double> min_relevance;
  std::optional<int64_t> min_commit;
  bool exact = false;
  bool ids_only = false;
};

// How hits are found and chosen.
absl::Status AddChoice(const Options& options, v1::SearchRequest* request) {
  if (!options.filter.empty()) {
    if (absl::Status status = FromJson("--filter", options.filter, request->mutable_filter()); !status.ok()) {
      return status;
    }
  }
  if (options.by_keyword) request->mutable_by_keyword();
  if (options.hybrid) request->mutable_hybrid();
  if (!options.hybrid_options.empty()) {
    const absl::Status status = FromJson("--hybrid-options", options.hybrid_options, request->mutable_hybrid());
    if (!status.ok()) return status;
  }
  if (!options.group_by.empty()) {
    const size_t colon = options.group_by.rfind(':');
    int32_t size = 0;
    request->mutable_group_by()->set_field(options.group_by.substr(0, colon));
    if (colon != options.group_by.npos) {
      if (!absl::SimpleAtoi(options.group_by.substr(colon + 1), &size)) {
        return BadInput("--group-by", "must be FIELD or FIELD:SIZE");
      }
      request->mutable_group_by()->set_size(size);
    }
  }
  if (options.diversity) request->mutable_diversity()->set_lambda(*options.diversity);
  for (const std::string& part : options.parts) request->mutable_read_mask()->add_paths(part);
  return absl::OkStatus();
}

v1::RecommendQuery Recommend(const Options& options) {
  v1::RecommendQuery query;
  for (const std::string& id : options.more) query.add_positives()->set_document(id);
  for (const std::string& text : options.more_texts) query.add_positives()->set_text(text);
  for (const std::string& id : options.less) query.add_negatives()->set_document(id);
  for (const std::string& text : options.less_texts) query.add_negatives()->set_text(text);
  return query;
}

v1::SearchRequest Settings(const Options& options) {
  v1::SearchRequest request;
  if (options.top_k) request.set_top_k(*options.top_k);
  if (options.offset) request.set_offset(*options.offset);
  if (options.ef_search) request.set_ef_search(*options.ef_search);
  if (options.nprobe) request.set_nprobe(*options.nprobe);
  if (options.rerank_factor) request.set_rerank_factor(*options.rerank_factor);
  if (options.exact) request.set_exact(true);
  if (options.min_score) request.set_min_score(*options.min_score);
  if (options.min_relevance) request.set_min_relevance(*options.min_relevance);
  request.set_view(options.ids_only ? v1::SearchRequest::IDS : v1::SearchRequest::FULL);
  return request;
}

absl::StatusOr<std::vector<v1::SearchRequest>> Requests(const Options& options) {
  std::vector<v1::SearchRequest> requests;
  for (const std::string& text : options.texts) {
    requests.push_back(Settings(options));
    requests.back().set_text(text);
  }
  if (!options.like.empty()) {
    requests.push_back(Settings(options));
    for (const std::string& id : options.like) requests.back().mutable_documents()->add_ids(id);
  }
  if (!options.vector_file.empty()) {
    absl::StatusOr<v1::Vector> vector = ReadVectorFile(options.vector_file);
    if (!vector.ok()) return vector.status();
    requests.push_back(Settings(options));
    *requests.back().mutable_vector()->mutable_vector() = *std::move(vector);
    if (!options.model_revision.empty()) {
      requests.back().mutable_vector()->set_model_revision(ModelOrRevisionName(options.model_revision));
    }
  }
  const v1::RecommendQuery recommend = Recommend(options);
  if (recommend.positives_size() + recommend.negatives_size() > 0) {
    requests.push_back(Settings(options));
    *requests.back().mutable_recommend() = recommend;
  }
  if (requests.empty()) return BadInput("search", "give a TEXT, --like ID, --more ID or --vector-file FILE");
  for (v1::SearchRequest& request : requests) {
    if (absl::Status status = AddChoice(options, &request); !status.ok()) return status;
  }
  return requests;
}

std::string Title(const v1::SearchRequest& request) {
  if (request.has_text()) return request.text();
  if (request.has_recommend()) return "recommended";
  return request.has_documents() ? "documents like the given ones" : "the vector's neighbours";
}

void PrintHits(Session& out, const v1::SearchRequest& request, const v1::SearchResponse& response) {
  if (out.json) return out.PrintLine(ToJson(response));
  out.PrintLine(absl::StrCat(Title(request), "   [", ShortName(response.release()), ", commit ", response.commit(),
                             response.truncated() ? ", query truncated" : "", "]"));
  Table table({{"", Table::kRight}, {"SCORE", Table::kRight}, {"ID"}, {"TEXT"}});
  int rank = request.offset();
  for (const v1::Hit& hit : response.hits()) {
    table.AddRow({absl::StrCat(++rank), absl::StrFormat("%.4f", hit.score()), hit.id(), hit.document().text()});
  }
  out.PrintTable(table);
}

absl::Status RunSearch(Client& client, Session& out, const Options& options) {
  absl::StatusOr<std::vector<v1::SearchRequest>> requests = Requests(options);
  if (!requests.ok()) return requests.status();
  if (requests->size() == 1) {
    v1::SearchRequest request = requests->front();
    request.set_collection(options.collection);
    if (options.min_commit) request.set_min_commit(*options.min_commit);
    absl::StatusOr<v1::SearchResponse> response = client.search.Query(request);
    if (!response.ok()) return response.status();
    PrintHits(out, request, *response);
    return absl::OkStatus();
  }
  v1::BatchSearchRequest batch;
  batch.set_collection(options.collection);
  if (options.min_commit) batch.set_min_commit(*options.min_commit);
  for (const v1::SearchRequest& request : *requests) *batch.add_searches() = request;
  absl::StatusOr<v1::BatchSearchResponse> responses = client.search.QueryBatch(std::move(batch));
  if (!responses.ok()) return responses.status();
  for (int i = 0; i < responses->responses_size(); ++i) {
    PrintHits(out, (*requests)[static_cast<size_t>(i)], responses->responses(i));
  }
  return absl::OkStatus();
}

}  // namespace

void AddSearchCommand(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      session.Add(app, "search", "Finds the documents nearest to a text, to other documents, or to a vector",
                  "tandem search docs 'show free disk space' --top-k 3\n"
                  "tandem search docs --like df,du\n"
                  "tandem search docs --more df --less-text 'network file systems'\n"
                  "tandem search docs 'free disk space' --hybrid --group-by section:2\n"
                  "tandem search docs disk --keyword --filter '{\"must\": [{\"field\": {\"field\": \"section\", "
                  "\"equals\": {\"keyword\": \"utils\"}}}]}'\n"
                  "tandem --json search docs --vector-file v.json --model-revision mini/r1",
                  [options](Client& client, Session& out) { return RunSearch(client, out, *options); });
  command->add_option("COLLECTION", options->collection, "Collection")->required();
  command->add_option("TEXT", options->texts, "What is asked; several are answered by one release");
  command->add_option("--like", options->like, "Ids of documents, separated by commas")->delimiter(',');
  command->add_option("--more", options->more, "Recommend documents like these, ids separated by commas")
      ->delimiter(',');
  command->add_option("--less", options->less, "... and unlike these")->delimiter(',');
  command->add_option("--more-text", options->more_texts, "... like this text; may be repeated");
  command->add_option("--less-text", options->less_texts, "... unlike this text; may be repeated");
  command->add_option("--filter", options->filter,
                      "Only these documents: a Filter of proto/tandem/v1/filter.proto as JSON");
  CLI::Option* keyword = command->add_flag("--keyword", options->by_keyword, "By the words of the text (BM25)");
  command->add_flag("--hybrid", options->hybrid, "By meaning and by words")->excludes(keyword);
  command
      ->add_option("--hybrid-options", options->hybrid_options,
                   "A HybridMode of proto/tandem/v1/search.proto as JSON: how the two halves become one list")
      ->excludes(keyword);
  command->add_option("--group-by", options->group_by, "FIELD or FIELD:SIZE: at most SIZE hits with one value [1]");
  command->add_option("--diversity", options->diversity,
                      "0 to 1: hits unlike each other (maximal marginal relevance); 1 is none");
  command->add_option("--part", options->parts,
                      "Which parts of documents hits carry: text, payload, payload.author.name; may be repeated");
  command->add_option("--vector-file", options->vector_file, "File with a vector: numbers or a JSON array");
  command->add_option("--model-revision", options->model_revision,
                      "MODEL/REVISION that made the vector; none where clients bring the vectors");
  command->add_option("--top-k", options->top_k, "Hits, 1 to 1000 [10]");
  command->add_option("--offset", options->offset, "Skip so many of the best hits");
  command->add_option("--min-score", options->min_score, "Leave out hits below it");
  command->add_option(
      "--min-relevance", options->min_relevance,
      "Of a text: leave out hits that are less probably relevant, 0 to 1; the release must be calibrated");
  command->add_option("--min-commit", options->min_commit, "Wait until this write is searchable");
  command->add_option("--ef-search", options->ef_search, "hnsw: candidates while searching");
  command->add_option("--nprobe", options->nprobe, "ivf-flat, ivf-pq: cells that are visited");
  command->add_option("--rerank-factor", options->rerank_factor,
                      "ivf-pq, sq8, sq16, binary: candidates that are scored again for each hit");
  command->add_flag("--exact", options->exact, "Score every vector, whatever the kind of the index");
  command->add_flag("--ids-only", options->ids_only, "Ids and scores without the documents");
}

}  // namespace tandem::cli
