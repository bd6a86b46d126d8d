#include "server/search/searcher.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <utility>

#include "absl/time/clock.h"
#include "server/base/ids.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr size_t kTextsAtOnce = 32;  // Documents read at once: a text may have 1 MiB.
constexpr size_t kIdsAtOnce = 1024;

// What all queries of one call share. The snapshot is taken once, so that they see one commit.
struct Call {
  std::shared_ptr<const ActiveRelease> release;
  std::shared_ptr<const IndexSnapshot> snapshot;
  std::shared_ptr<DocumentStore> documents;
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

absl::Status CheckDeadline(const Call& call) {
  if (absl::Now() < call.deadline) return absl::OkStatus();
  return absl::DeadlineExceededError("search: the deadline passed before all queries were answered");
}

absl::Status EmbedTexts(const Call& call, const std::vector<SearchQuery>& queries, EmbeddingQueue* queue,
                        std::vector<PreparedQuery>* prepared) {
  std::vector<std::string> texts;
  std::vector<size_t> owners;
  for (size_t i = 0; i < queries.size(); ++i) {
    if (const auto* text = std::get_if<TextQuery>(&queries[i].query)) {
      texts.push_back(text->text);
      owners.push_back(i);
    }
  }
  if (texts.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const EmbeddedTexts embedded, queue->Embed(call.release->encoder, texts, InputRole::kQuery,
                                                              EmbeddingPriority::kInteractive, call.deadline));
  const size_t dimensions = static_cast<size_t>(call.snapshot->dimensions());
  for (size_t j = 0; j < owners.size(); ++j) {
    const auto first = embedded.vectors.begin() + j * dimensions;
    PreparedQuery& query = (*prepared)[owners[j]];
    query.vector.assign(first, first + dimensions);
    query.truncated = embedded.truncated[j];
  }
  return absl::OkStatus();
}

absl::Status PrepareVector(const Call& call, size_t i, const VectorQuery& query, PreparedQuery* prepared) {
  const ActiveRelease& release = *call.release;
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

absl::StatusOr<std::vector<PreparedQuery>> Prepare(const Call& call, const std::vector<SearchQuery>& queries,
                                                   EmbeddingQueue* queue) {
  std::vector<PreparedQuery> prepared(queries.size());
  // First what costs little and may be refused, then the encoder.
  for (size_t i = 0; i < queries.size(); ++i) {
    if (const auto* vector = std::get_if<VectorQuery>(&queries[i].query)) {
      RETURN_IF_ERROR(PrepareVector(call, i, *vector, &prepared[i]));
    } else if (const auto* documents = std::get_if<DocumentsQuery>(&queries[i].query)) {
      RETURN_IF_ERROR(PrepareDocuments(call, i, *documents, &prepared[i]));
    }
  }
  RETURN_IF_ERROR(EmbedTexts(call, queries, queue, &prepared));
  return prepared;
}

// Hits after the offset, best first.
absl::StatusOr<std::vector<ScoredLabel>> FindLabels(const Call& call, size_t i, const SearchQuery& query,
                                                    const PreparedQuery& prepared) {
  const VectorSearch search{.k = query.offset + query.top_k,
                            .min_score = query.min_score,
                            .ef_search = query.ef_search,
                            .nprobe = query.nprobe,
                            .rerank_factor = query.rerank_factor,
                            .exact = query.exact,
                            .exclude = prepared.exclude};
  absl::StatusOr<std::vector<ScoredLabel>> found = call.snapshot->Search(prepared.vector, search);
  if (!found.ok() && call.query_count > 1) return PrefixField(Concat("searches[", i, "]"), found.status());
  ASSIGN_OR_RETURN(std::vector<ScoredLabel> hits, std::move(found));
  hits.erase(hits.begin(), hits.begin() + std::min<size_t>(query.offset, hits.size()));
  return hits;
}

// What the documents that a call has read so far take in its reply, at the least.
class ReplyBytes {
 public:
  explicit ReplyBytes(int64_t limit) : limit_(limit) {}

  absl::Status Add(const DocumentVersion& version, bool with_document) {
    bytes_ += kHitBytes + version.id.size();
    // A payload's Struct takes more than half of its JSON.
    if (with_document) bytes_ += version.id.size() + version.text.size() + version.payload_json.size() / 2;
    if (bytes_ <= limit_) return absl::OkStatus();
    return absl::ResourceExhaustedError(Concat("the reply has more than ", limit_,
                                               " bytes, which is the limit of a unary reply: ask for fewer hits or "
                                               "searches at once, or for the view IDS"));
  }

 private:
  static constexpr int64_t kHitBytes = 4;  // Tags and lengths.

  const int64_t limit_;
  int64_t bytes_ = 0;
};

// The documents are read in slices, so that a call that asks for too much ends before it has filled the memory.
absl::StatusOr<SearchAnswer> MakeAnswer(const Call& call, const SearchQuery& query, const PreparedQuery& prepared,
                                        const std::vector<ScoredLabel>& found, ReplyBytes* reply_bytes) {
  SearchAnswer answer{.search_id = NewId(), .truncated = prepared.truncated};
  const size_t slice = query.with_documents ? kTextsAtOnce : kIdsAtOnce;
  for (size_t first = 0; first < found.size(); first += slice) {
    const std::span<const ScoredLabel> hits = std::span(found).subspan(first, std::min(slice, found.size() - first));
    std::vector<int64_t> labels;
    for (const ScoredLabel& hit : hits) labels.push_back(hit.label);
    ASSIGN_OR_RETURN(std::vector<DocumentVersion> versions, call.documents->ReadVersions(labels, query.with_documents));
    for (size_t i = 0; i < hits.size(); ++i) {
      RETURN_IF_ERROR(reply_bytes->Add(versions[i], query.with_documents));
      SearchHit& added = answer.hits.emplace_back(SearchHit{.id = versions[i].id, .score = hits[i].score});
      added.document = std::move(versions[i]);
    }
  }
  return answer;
}

}  // namespace

Searcher::Searcher(Collections* collections, EmbeddingQueue* queue) : collections_(collections), queue_(queue) {}

absl::StatusOr<SearchAnswers> Searcher::Search(std::string_view tenant, std::string_view collection,
                                               const std::vector<SearchQuery>& queries, const SearchTerms& terms) {
  Call call{.query_count = queries.size(), .deadline = terms.patience.deadline};
  ASSIGN_OR_RETURN(call.release, terms.min_commit.has_value()
                                     ? collections_->LiveAt(tenant, collection, *terms.min_commit, terms.patience)
                                     : collections_->Live(tenant, collection));
  ASSIGN_OR_RETURN(call.documents, collections_->Documents(tenant, collection));
  call.snapshot = call.release->index->snapshot();
  RETURN_IF_ERROR(CheckDeadline(call));

  ASSIGN_OR_RETURN(const std::vector<PreparedQuery> prepared, Prepare(call, queries, queue_));
  SearchAnswers answers{.release = call.release->id, .commit = call.snapshot->commit()};
  ReplyBytes reply_bytes(terms.max_reply_bytes);
  for (size_t i = 0; i < queries.size(); ++i) {
    RETURN_IF_ERROR(CheckDeadline(call));
    ASSIGN_OR_RETURN(const std::vector<ScoredLabel> found, FindLabels(call, i, queries[i], prepared[i]));
    ASSIGN_OR_RETURN(answers.answers.emplace_back(), MakeAnswer(call, queries[i], prepared[i], found, &reply_bytes));
  }
  return answers;
}

}  // namespace tandem
