#include "server/search/searcher.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <span>
#include <utility>

#include "absl/time/clock.h"
#include "server/base/ids.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/search/retrieval.h"

namespace tandem {
namespace {

constexpr size_t kTextsAtOnce = 32;  // Documents read at once: a text may have 1 MiB.
constexpr size_t kIdsAtOnce = 1024;

// What all queries of one call share. The snapshot is taken once, so that they see one commit.
struct Call {
  std::shared_ptr<const ActiveRelease> release;
  std::shared_ptr<const IndexSnapshot> snapshot;
  std::shared_ptr<DocumentStore> documents;
  DocumentStore::Pin pin;  // Of the versions that the snapshot shows.
  std::optional<PlattScaling> calibration;
  size_t query_count = 0;
  absl::Time deadline;
};

// A query as the index takes it.
struct PreparedQuery {
  std::vector<float> vector;
  std::vector<int64_t> exclude;
  bool truncated = false;
};

// Path of a field of query `i` in the request.
std::string Path(const Call& call, size_t i, std::string_view field) {
  return call.query_count > 1 ? Concat("searches[", i, "].", field) : std::string(field);
}

// A status that names fields of query `i`.
absl::Status InQuery(const Call& call, size_t i, const absl::Status& status) {
  return call.query_count > 1 ? PrefixField(Concat("searches[", i, "]"), status) : status;
}

absl::Status CheckDeadline(const Call& call) {
  if (absl::Now() < call.deadline) return absl::OkStatus();
  return absl::DeadlineExceededError("search: the deadline passed before all queries were answered");
}

absl::Status CheckRelevance(const Call& call, const std::vector<SearchQuery>& queries) {
  for (size_t i = 0; i < queries.size(); ++i) {
    if (!queries[i].min_relevance) continue;
    if (!std::holds_alternative<TextQuery>(queries[i].query) || queries[i].mode != SearchMode::kVector) {
      return InvalidField(Path(call, i, "min_relevance"), "is of a text query: others' scores are not calibrated");
    }
    if (!call.calibration) {
      return absl::FailedPreconditionError(Concat(
          Path(call, i, "min_relevance"), ": the live release ", call.release->id,
          " has no calibration: it needs an evaluation set with enough judged hits (GatePolicy.evaluation_set)"));
    }
  }
  return absl::OkStatus();
}

// A text whose vector, times `weight`, goes into that of query `owner`.
struct WeightedText {
  std::string text;
  size_t owner;
  float weight;
};

void AddScaled(std::span<const float> vector, float weight, std::vector<float>* sum) {
  sum->resize(vector.size());
  for (size_t i = 0; i < vector.size(); ++i) (*sum)[i] += weight * vector[i];
}

// What stands for the examples of a recommendation: 2 p - n, or p without negatives, as a sum of weighted vectors.
float ExampleWeight(const RecommendQuery& query, bool positive) {
  if (!positive) return -1.0f / static_cast<float>(query.negatives.size());
  return (query.negatives.empty() ? 1.0f : 2.0f) / static_cast<float>(query.positives.size());
}

std::vector<WeightedText> TextsOf(const std::vector<SearchQuery>& queries) {
  std::vector<WeightedText> texts;
  for (size_t i = 0; i < queries.size(); ++i) {
    if (queries[i].mode == SearchMode::kKeyword) continue;
    if (const auto* text = std::get_if<TextQuery>(&queries[i].query)) texts.push_back({text->text, i, 1});
    if (const auto* recommend = std::get_if<RecommendQuery>(&queries[i].query)) {
      for (const bool positive : {true, false}) {
        for (const RecommendExample& example : positive ? recommend->positives : recommend->negatives) {
          if (!example.document.empty()) continue;
          texts.push_back({example.text, i, ExampleWeight(*recommend, positive)});
        }
      }
    }
  }
  return texts;
}

absl::Status EmbedTexts(const Call& call, const std::vector<SearchQuery>& queries, EmbeddingQueue* queue,
                        std::vector<PreparedQuery>* prepared) {
  const std::vector<WeightedText> weighted = TextsOf(queries);
  if (weighted.empty()) return absl::OkStatus();
  std::vector<std::string> texts;
  for (const WeightedText& text : weighted) texts.push_back(text.text);
  if (call.release->encoder == nullptr) {
    const bool recommend = std::holds_alternative<RecommendQuery>(queries[weighted[0].owner].query);
    return InvalidField(Path(call, weighted[0].owner, recommend ? "recommend" : "text"),
                        "the collection's documents bring their vectors and no model embeds texts for it: search by "
                        "vector, by documents or by keyword");
  }
  ASSIGN_OR_RETURN(const EmbeddedTexts embedded, queue->Embed(call.release->encoder, texts, InputRole::kQuery,
                                                              EmbeddingPriority::kInteractive, call.deadline));
  const size_t dimensions = static_cast<size_t>(call.snapshot->dimensions());
  for (size_t j = 0; j < weighted.size(); ++j) {
    PreparedQuery& query = (*prepared)[weighted[j].owner];
    const auto vector = std::span<const float>(embedded.vectors).subspan(j * dimensions, dimensions);
    float weight = weighted[j].weight;
    // As the index keeps the documents' vectors: examples of both kinds are averaged.
    if (std::holds_alternative<RecommendQuery>(queries[weighted[j].owner].query) &&
        call.release->index->options().metric == VectorMetric::kCosine) {
      const float length = std::sqrt(std::inner_product(vector.begin(), vector.end(), vector.begin(), 0.0f));
      if (length > 0) weight /= length;
    }
    AddScaled(vector, weight, &query.vector);
    query.truncated = query.truncated || embedded.truncated[j];
  }
  return absl::OkStatus();
}

absl::Status PrepareVector(const Call& call, size_t i, const VectorQuery& query, PreparedQuery* prepared) {
  const ActiveRelease& release = *call.release;
  if (query.model.empty() && !release.model.empty()) {
    return InvalidField(Path(call, i, "vector.model_revision"), "is needed: it says which encoder made the vector");
  }
  if (release.model.empty() && !query.model.empty()) {
    return InvalidField(Path(call, i, "vector.model_revision"),
                        "must be empty: the collection's vectors are of no model of this server");
  }
  if (query.model != release.model || query.revision != release.revision) {
    return absl::FailedPreconditionError(Concat(Path(call, i, "vector.model_revision"), ": the vector is of models/",
                                                query.model, "/revisions/", query.revision, ", the live release ",
                                                release.id, " answers for models/", release.model, "/revisions/",
                                                release.revision));
  }
  if (query.vector.size() != static_cast<size_t>(call.snapshot->dimensions())) {
    return InvalidField(Path(call, i, "vector.vector"),
                        Concat(query.vector.size(), " values: must be ", call.snapshot->dimensions()));
  }
  for (size_t j = 0; j < query.vector.size(); ++j) {
    if (!std::isfinite(query.vector[j])) {
      return InvalidField(Path(call, i, "vector.vector"),
                          Concat("value ", j, " is ", query.vector[j], ": must be finite"));
    }
  }
  prepared->vector = query.vector;
  return absl::OkStatus();
}

// The label under which the snapshot has document `id`: its current version, or, while the index is behind, the version
// before that it still shows. NOT_FOUND names the document.
absl::StatusOr<int64_t> LabelOf(const Call& call, const std::string& path, const std::string& id) {
  absl::StatusOr<DocumentVersion> version = call.documents->Get(id);
  while (version.ok() && version->commit > call.snapshot->commit() && version->previous != 0) {
    const int64_t previous[] = {version->previous};
    ASSIGN_OR_RETURN(const std::vector<DocumentVersion> older, call.documents->ReadVersions(previous, false));
    version = older[0];
  }
  if (absl::IsNotFound(version.status())) return absl::NotFoundError(Concat(path, ": document \"", id, "\""));
  if (!version.ok()) return version.status();
  if (!call.snapshot->Vector(version->commit).has_value()) {
    return absl::NotFoundError(Concat(path, ": document \"", id, "\" is not in the live release ", call.release->id,
                                      " at commit ", call.snapshot->commit()));
  }
  return version->commit;
}

absl::Status PrepareDocuments(const Call& call, size_t i, const DocumentsQuery& query, PreparedQuery* prepared) {
  if (query.ids.empty()) return InvalidField(Path(call, i, "documents.ids"), "0 ids: must be at least 1");
  std::vector<double> sum(static_cast<size_t>(call.snapshot->dimensions()));
  for (size_t j = 0; j < query.ids.size(); ++j) {
    const std::string path = Path(call, i, Concat("documents.ids[", j, "]"));
    ASSIGN_OR_RETURN(const int64_t label, LabelOf(call, path, query.ids[j]));
    const std::span<const float> vector = *call.snapshot->Vector(label);
    std::transform(sum.begin(), sum.end(), vector.begin(), sum.begin(), std::plus<>());
    prepared->exclude.push_back(label);
  }
  for (double value : sum) prepared->vector.push_back(static_cast<float>(value / query.ids.size()));
  return absl::OkStatus();
}

// The examples that are documents; those that are texts come with EmbedTexts.
absl::Status PrepareRecommend(const Call& call, size_t i, const RecommendQuery& query, PreparedQuery* prepared) {
  for (const bool positive : {true, false}) {
    const std::vector<RecommendExample>& examples = positive ? query.positives : query.negatives;
    for (size_t j = 0; j < examples.size(); ++j) {
      if (examples[j].document.empty()) continue;
      const std::string path =
          Path(call, i, Concat("recommend.", positive ? "positives[" : "negatives[", j, "].document"));
      ASSIGN_OR_RETURN(const int64_t label, LabelOf(call, path, examples[j].document));
      AddScaled(*call.snapshot->Vector(label), ExampleWeight(query, positive), &prepared->vector);
      prepared->exclude.push_back(label);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<PreparedQuery>> Prepare(const Call& call, const std::vector<SearchQuery>& queries,
                                                   EmbeddingQueue* queue) {
  std::vector<PreparedQuery> prepared(queries.size());
  // First what costs little and may be refused, then the encoder.
  for (size_t i = 0; i < queries.size(); ++i) {
    if (const auto* vector = std::get_if<VectorQuery>(&queries[i].query)) {
      RETURN_IF_ERROR(PrepareVector(call, i, *vector, &prepared[i]));
    } else if (const auto* documents = std::get_if<DocumentsQuery>(&queries[i].query)) {
      RETURN_IF_ERROR(PrepareDocuments(call, i, *documents, &prepared[i]));
    } else if (const auto* recommend = std::get_if<RecommendQuery>(&queries[i].query)) {
      RETURN_IF_ERROR(PrepareRecommend(call, i, *recommend, &prepared[i]));
    }
  }
  RETURN_IF_ERROR(EmbedTexts(call, queries, queue, &prepared));
  return prepared;
}

// The lowest score that neither min_score nor min_relevance leaves out. REQUIRES: a calibration for min_relevance.
std::optional<float> LowestScore(const Call& call, const SearchQuery& query) {
  if (!query.min_relevance || *query.min_relevance <= 0) return query.min_score;
  const double limit = call.calibration->Score(*query.min_relevance);  // Infinite for 1.
  auto lowest = static_cast<float>(std::min<double>(limit, std::numeric_limits<float>::max()));
  if (lowest < limit) lowest = std::nextafter(lowest, std::numeric_limits<float>::max());
  return std::max(lowest, query.min_score.value_or(lowest));
}

// Hits after the offset; what is refused names a field of query `i`.
absl::StatusOr<std::vector<FoundHit>> FindHits(const Call& call, size_t i, const SearchQuery& query,
                                               const PreparedQuery& prepared) {
  SearchQuery stricter;
  if (query.min_relevance) {
    stricter = query;
    stricter.min_score = LowestScore(call, query);
  }
  auto hits = Retrieve({.snapshot = *call.snapshot,
                        .metric = call.release->index->options().metric,
                        .documents = *call.documents,
                        .query = query.min_relevance ? stricter : query,
                        .vector = prepared.vector,
                        .exclude = prepared.exclude,
                        .deadline = call.deadline});
  if (!hits.ok()) return InQuery(call, i, hits.status());
  return hits;
}

// What the documents that a call has read so far take in its reply, at the least.
class ReplyBytes {
 public:
  explicit ReplyBytes(int64_t limit) : limit_(limit) {}

  absl::Status Add(const DocumentVersion& version, const SearchQuery& query) {
    bytes_ += kHitBytes + version.id.size();
    // A payload's Struct takes more than half of its JSON.
    if (query.with_documents) {
      bytes_ += version.id.size() + (query.with_text ? version.text.size() : 0) +
                (query.with_payload ? version.payload_json.size() / 2 : 0);
    }
    if (bytes_ <= limit_) return absl::OkStatus();
    return absl::ResourceExhaustedError(
        Concat("the reply has more than ", limit_,
               " bytes, which is the limit of a unary reply: ask for fewer hits or "
               "searches at once, for fewer parts of them (read_mask), or for the view IDS"));
  }

 private:
  static constexpr int64_t kHitBytes = 4;  // Tags and lengths.

  const int64_t limit_;
  int64_t bytes_ = 0;
};

// The documents are read in slices, so that a call that asks for too much ends before it has filled the memory.
absl::StatusOr<SearchAnswer> MakeAnswer(const Call& call, const SearchQuery& query, const PreparedQuery& prepared,
                                        const std::vector<FoundHit>& found, ReplyBytes* reply_bytes) {
  SearchAnswer answer{.search_id = NewId(), .truncated = prepared.truncated};
  if (std::holds_alternative<TextQuery>(query.query) && query.mode == SearchMode::kVector) {
    answer.calibration = call.calibration;
  }
  const size_t slice = query.with_documents ? kTextsAtOnce : kIdsAtOnce;
  for (size_t first = 0; first < found.size(); first += slice) {
    const std::span<const FoundHit> hits = std::span(found).subspan(first, std::min(slice, found.size() - first));
    std::vector<int64_t> labels;
    for (const FoundHit& hit : hits) labels.push_back(hit.label);
    ASSIGN_OR_RETURN(std::vector<DocumentVersion> versions, call.documents->ReadVersions(labels, query.with_documents));
    for (size_t i = 0; i < hits.size(); ++i) {
      RETURN_IF_ERROR(reply_bytes->Add(versions[i], query));
      SearchHit& added = answer.hits.emplace_back(SearchHit{.id = versions[i].id,
                                                            .score = hits[i].score,
                                                            .vector_score = hits[i].vector_score,
                                                            .keyword_score = hits[i].keyword_score});
      added.document = std::move(versions[i]);
      if (!query.with_text) added.document.text = std::string();  // So that memory has the same bound.
      if (!query.with_payload) added.document.payload_json = "{}";
    }
  }
  return answer;
}

}  // namespace

Searcher::Searcher(Collections* collections, EmbeddingQueue* queue) : collections_(collections), queue_(queue) {}

absl::StatusOr<SearchAnswers> Searcher::Search(std::string_view tenant, std::string_view collection,
                                               const std::vector<SearchQuery>& queries, const SearchTerms& terms) {
  Call call{.query_count = queries.size(), .deadline = terms.patience.deadline};
  ASSIGN_OR_RETURN(call.documents, collections_->Documents(tenant, collection));
  for (size_t i = 0; i < queries.size(); ++i) {
    RETURN_IF_ERROR(InQuery(call, i, CheckAskable(call.documents->options(), queries[i])));
  }
  // A release that stopped following just now may show what was pruned meanwhile: the next one is asked.
  do {
    RETURN_IF_ERROR(CheckDeadline(call));
    ASSIGN_OR_RETURN(call.release, terms.min_commit.has_value()
                                       ? collections_->LiveAt(tenant, collection, *terms.min_commit, terms.patience)
                                       : collections_->Live(tenant, collection));
    call.pin = call.documents->PinVersions();
    call.snapshot = call.release->index->snapshot();
  } while (call.snapshot->commit() < *call.pin);
  call.calibration = call.release->calibration->Get();
  RETURN_IF_ERROR(CheckRelevance(call, queries));
  RETURN_IF_ERROR(CheckDeadline(call));

  ASSIGN_OR_RETURN(const std::vector<PreparedQuery> prepared, Prepare(call, queries, queue_));
  SearchAnswers answers{.release = call.release->id, .commit = call.snapshot->commit()};
  ReplyBytes reply_bytes(terms.max_reply_bytes);
  for (size_t i = 0; i < queries.size(); ++i) {
    RETURN_IF_ERROR(CheckDeadline(call));
    ASSIGN_OR_RETURN(const std::vector<FoundHit> found, FindHits(call, i, queries[i], prepared[i]));
    ASSIGN_OR_RETURN(answers.answers.emplace_back(), MakeAnswer(call, queries[i], prepared[i], found, &reply_bytes));
  }
  return answers;
}

}  // namespace tandem
