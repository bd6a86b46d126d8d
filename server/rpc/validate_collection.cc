// Requests of CollectionService and SearchService.

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/rpc/checks.h"
#include "server/rpc/encodings.h"
#include "server/rpc/limits.h"
#include "server/rpc/names.h"
#include "server/rpc/validate.h"
#include "server/rpc/validate_filter.h"
#include "tandem/v1/collection.pb.h"
#include "tandem/v1/search.pb.h"

namespace tandem {
namespace {

absl::Status ValidateGate(const v1::GatePolicy& gate) {
  if (gate.has_margin()) RETURN_IF_ERROR(CheckFraction("gate.margin", gate.margin()));
  if (gate.has_min_index_recall()) RETURN_IF_ERROR(CheckFraction("gate.min_index_recall", gate.min_index_recall()));
  if (gate.has_min_ndcg()) RETURN_IF_ERROR(CheckFraction("gate.min_ndcg", gate.min_ndcg()));
  return absl::OkStatus();
}

absl::Status ValidateExternal(const v1::CreateCollectionRequest& request) {
  if (!request.has_external()) return absl::OkStatus();
  const v1::ExternalVectors& external = request.external();
  RETURN_IF_ERROR(CheckRange("external.dimensions", external.dimensions(), 1, kMaxDimensions));
  RETURN_IF_ERROR(CheckEnum("external.metric", external.metric(), v1::Metric_IsValid(external.metric()), "Metric"));
  if (request.gate().min_ndcg() > 0) return NoNdcgOfExternal();
  return absl::OkStatus();
}

// Whether `name` in the update mask is there; the field is refused when it is set without being named.
absl::Status CheckMasked(std::string_view field, bool set, const v1::UpdateCollectionRequest& request) {
  const auto& paths = request.update_mask().paths();
  if (!set || std::find(paths.begin(), paths.end(), field) != paths.end()) return absl::OkStatus();
  return InvalidField(field, "is set but not named in update_mask");
}

absl::Status ValidateQuery(const v1::EvaluationQuery& query, const std::string& path) {
  RETURN_IF_ERROR(CheckText(Path(path, "text"), query.text()));
  RETURN_IF_ERROR(CheckCount(Path(path, "judgements"), query.judgements_size(), 1, kMaxJudgements));
  std::set<std::string_view> seen;
  for (int i = 0; i < query.judgements_size(); ++i) {
    const std::string judgement = Path(Path(path, "judgements"), i);
    RETURN_IF_ERROR(CheckDocumentId(Path(judgement, "document"), query.judgements(i).document()));
    RETURN_IF_ERROR(CheckRange(Path(judgement, "grade"), query.judgements(i).grade(), 1, kMaxGrade));
    if (!seen.insert(query.judgements(i).document()).second) {
      return InvalidField(Path(judgement, "document"), "is judged twice in this query");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckRecommend(const v1::RecommendQuery& query) {
  RETURN_IF_ERROR(CheckCount("recommend.positives", query.positives_size(), 1, kMaxQueryDocuments));
  RETURN_IF_ERROR(CheckCount("recommend.negatives", query.negatives_size(), 0, kMaxQueryDocuments));
  for (const bool positive : {true, false}) {
    const auto& examples = positive ? query.positives() : query.negatives();
    for (int i = 0; i < examples.size(); ++i) {
      const std::string path = Path(positive ? "recommend.positives" : "recommend.negatives", i);
      switch (examples[i].example_case()) {
        case v1::RecommendExample::kDocument:
          RETURN_IF_ERROR(CheckDocumentId(Path(path, "document"), examples[i].document()));
          break;
        case v1::RecommendExample::kText:
          RETURN_IF_ERROR(CheckText(Path(path, "text"), examples[i].text()));
          break;
        case v1::RecommendExample::EXAMPLE_NOT_SET:
          return InvalidField(path, "one of document and text must be set");
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckHybrid(const v1::HybridMode& hybrid) {
  if (hybrid.has_candidates()) {
    RETURN_IF_ERROR(CheckRange("hybrid.candidates", hybrid.candidates(), 1, kMaxCandidates));
  }
  const v1::ReciprocalRankFusion& ranks = hybrid.reciprocal_rank();
  if (ranks.has_constant()) {
    RETURN_IF_ERROR(CheckRange("hybrid.reciprocal_rank.constant", ranks.constant(), 1, kMaxRankConstant));
  }
  if (ranks.has_vector_weight()) {
    RETURN_IF_ERROR(CheckPositive("hybrid.reciprocal_rank.vector_weight", ranks.vector_weight(), kMaxFusionWeight));
  }
  if (ranks.has_keyword_weight()) {
    RETURN_IF_ERROR(CheckPositive("hybrid.reciprocal_rank.keyword_weight", ranks.keyword_weight(), kMaxFusionWeight));
  }
  RETURN_IF_ERROR(CheckFraction("hybrid.weighted.vector_weight", hybrid.weighted().vector_weight()));
  const v1::SoftmaxFusion& softmax = hybrid.softmax();
  RETURN_IF_ERROR(CheckFraction("hybrid.softmax.vector_weight", softmax.vector_weight()));
  for (const auto& [name, set, temperature] :
       {std::tuple("hybrid.softmax.vector_temperature", softmax.has_vector_temperature(), softmax.vector_temperature()),
        std::tuple("hybrid.softmax.keyword_temperature", softmax.has_keyword_temperature(),
                   softmax.keyword_temperature())}) {
    if (set) RETURN_IF_ERROR(CheckBetween(name, temperature, kLeastTemperature, kMaxTemperature));
  }
  return absl::OkStatus();
}

absl::Status CheckMode(const v1::SearchRequest& request) {
  switch (request.mode_case()) {
    case v1::SearchRequest::kByVector:
    case v1::SearchRequest::MODE_NOT_SET:
      return absl::OkStatus();
    case v1::SearchRequest::kByKeyword:
      if (!request.has_text()) return InvalidField("by_keyword", "is for text queries");
      for (const auto& [name, set] :
           {std::pair("ef_search", request.has_ef_search()), std::pair("nprobe", request.has_nprobe()),
            std::pair("rerank_factor", request.has_rerank_factor()), std::pair("exact", request.has_exact())}) {
        if (set) return InvalidField(name, "is for searches of vectors, and by_keyword asks for none");
      }
      break;
    case v1::SearchRequest::kHybrid:
      if (!request.has_text()) return InvalidField("hybrid", "is for text queries");
      RETURN_IF_ERROR(CheckHybrid(request.hybrid()));
      break;
  }
  if (request.has_diversity()) return InvalidField("diversity", "is for searches by vector");
  return absl::OkStatus();
}

// How hits are chosen from those found, and what they carry.
absl::Status CheckChoice(const v1::SearchRequest& request) {
  if (request.has_group_by()) {
    RETURN_IF_ERROR(CheckBytes("group_by.field", request.group_by().field(), 1, kMaxFieldNameBytes));
    if (request.group_by().has_size()) {
      RETURN_IF_ERROR(CheckRange("group_by.size", request.group_by().size(), 1, kMaxGroupSize));
    }
    if (request.has_diversity()) return InvalidField("diversity", "cannot be had together with group_by");
  }
  if (request.diversity().has_lambda()) {
    RETURN_IF_ERROR(CheckFraction("diversity.lambda", request.diversity().lambda()));
  }
  if (request.diversity().has_candidates()) {
    RETURN_IF_ERROR(CheckRange("diversity.candidates", request.diversity().candidates(), 1, kMaxCandidates));
  }
  if (!request.has_read_mask()) return absl::OkStatus();
  if (request.view() == v1::SearchRequest::IDS) {
    return InvalidField("read_mask", "is for the view FULL: with IDS hits carry no document");
  }
  const auto& paths = request.read_mask().paths();
  RETURN_IF_ERROR(CheckCount("read_mask.paths", paths.size(), 1, kMaxMaskPaths));
  for (int i = 0; i < paths.size(); ++i) {
    const std::string framed = Concat(paths[i], ".");
    const bool known = paths[i] == "text" || paths[i] == "payload" || paths[i].rfind("payload.", 0) == 0;
    if (known && framed.find("..") == framed.npos) continue;
    return InvalidField(Path("read_mask.paths", i),
                        Concat(Quote(paths[i]), ": must be text, payload or keys of the payload, payload.author.name"));
  }
  return absl::OkStatus();
}

absl::Status ValidateSearchBody(const v1::SearchRequest& request) {
  switch (request.query_case()) {
    case v1::SearchRequest::kText:
      RETURN_IF_ERROR(CheckText("text", request.text()));
      break;
    case v1::SearchRequest::kVector:
      if (!request.vector().model_revision().empty()) {
        RETURN_IF_ERROR(ParseRevision("vector.model_revision", request.vector().model_revision()).status());
      }
      RETURN_IF_ERROR(DecodeVector("vector.vector", request.vector().vector()).status());
      break;
    case v1::SearchRequest::kDocuments:
      RETURN_IF_ERROR(CheckCount("documents.ids", request.documents().ids_size(), 1, kMaxQueryDocuments));
      for (int i = 0; i < request.documents().ids_size(); ++i) {
        RETURN_IF_ERROR(CheckDocumentId(Path("documents.ids", i), request.documents().ids(i)));
      }
      break;
    case v1::SearchRequest::kRecommend:
      RETURN_IF_ERROR(CheckRecommend(request.recommend()));
      break;
    case v1::SearchRequest::QUERY_NOT_SET:
      return InvalidField("query", "one of text, vector, documents and recommend must be set");
  }
  if (request.has_top_k()) RETURN_IF_ERROR(CheckRange("top_k", request.top_k(), 1, kMaxTopK));
  if (request.has_offset()) RETURN_IF_ERROR(CheckRange("offset", request.offset(), 0, kMaxOffset));
  if (request.has_min_score() && !std::isfinite(request.min_score())) {
    return InvalidField("min_score", Concat(request.min_score(), ": must be finite"));
  }
  RETURN_IF_ERROR(CheckFilterShape(request.filter()));
  RETURN_IF_ERROR(CheckMode(request));
  RETURN_IF_ERROR(CheckChoice(request));
  if (request.has_min_relevance()) {
    RETURN_IF_ERROR(CheckFraction("min_relevance", request.min_relevance()));
    if (!request.has_text() || request.has_by_keyword() || request.has_hybrid()) {
      return InvalidField("min_relevance", "is of a text query by vector: others are not calibrated");
    }
  }
  RETURN_IF_ERROR(
      CheckEnum("view", request.view(), v1::SearchRequest::View_IsValid(request.view()), "SearchRequest.View"));
  // Whether the live release's index has such a parameter, the search finds out.
  if (request.has_ef_search()) RETURN_IF_ERROR(CheckRange("ef_search", request.ef_search(), 1, kMaxEfSearch));
  if (request.has_nprobe()) RETURN_IF_ERROR(CheckRange("nprobe", request.nprobe(), 1, kMaxLists));
  return request.has_rerank_factor() ? CheckRange("rerank_factor", request.rerank_factor(), 1, kMaxRerankFactor)
                                     : absl::OkStatus();
}

}  // namespace

absl::Status NoNdcgOfExternal() {
  return InvalidField("gate.min_ndcg", "must be 0 in an EXTERNAL collection: nothing embeds queries for it");
}

// What text and vector must be is for the collection to say: FromProto in convert.h.
absl::Status Validate(const v1::Document& document) {
  RETURN_IF_ERROR(CheckDocumentId("id", document.id()));
  RETURN_IF_ERROR(CheckBytes("text", document.text(), 0, kMaxTextBytes));
  if (document.commit() != 0) return InvalidField("commit", "is given by the server: leave it empty");
  return CheckPayload("payload", document.payload());
}

absl::Status Validate(const v1::CreateCollectionRequest& request) {
  RETURN_IF_ERROR(CheckId("collection_id", request.collection_id(), /*optional=*/true));
  RETURN_IF_ERROR(CheckBytes("display_name", request.display_name(), 0, kMaxDisplayNameBytes));
  if (!request.gate().evaluation_set().empty()) {
    return InvalidField("gate.evaluation_set", "a new collection has none yet: set it with UpdateCollection");
  }
  RETURN_IF_ERROR(ValidateGate(request.gate()));
  RETURN_IF_ERROR(CheckDuration("rollback_window", request.rollback_window(), kMaxRollbackWindow));
  RETURN_IF_ERROR(CheckFields(request.fields()));
  RETURN_IF_ERROR(ValidateExternal(request));
  return CheckRequestId(request.request_id());
}

absl::Status Validate(const v1::GetCollectionRequest& request) {
  return ParseCollection("name", request.name()).status();
}

absl::Status Validate(const v1::ListCollectionsRequest& request) {
  return ParsePage("collections", request.page_size(), request.page_token()).status();
}

absl::Status Validate(const v1::UpdateCollectionRequest& request) {
  ASSIGN_OR_RETURN(const std::string collection, ParseCollection("name", request.name()));
  const auto& paths = request.update_mask().paths();
  if (paths.empty())
    return InvalidField("update_mask", "must name at least one of display_name, gate, rollback_window, feedback");
  for (int i = 0; i < paths.size(); ++i) {
    const std::string& path = paths[i];
    if (path == "display_name" || path == "gate" || path == "rollback_window" || path == "feedback") continue;
    return InvalidField(
        Path("update_mask.paths", i),
        Concat("\"", path.substr(0, 80), "\": must be display_name, gate, rollback_window or feedback"));
  }
  RETURN_IF_ERROR(CheckMasked("display_name", !request.display_name().empty(), request));
  RETURN_IF_ERROR(CheckMasked("gate", request.has_gate(), request));
  RETURN_IF_ERROR(CheckMasked("rollback_window", request.has_rollback_window(), request));
  RETURN_IF_ERROR(CheckMasked("feedback", request.has_feedback(), request));
  RETURN_IF_ERROR(PrefixField("feedback", Validate(request.feedback())));
  RETURN_IF_ERROR(CheckBytes("display_name", request.display_name(), 0, kMaxDisplayNameBytes));
  RETURN_IF_ERROR(ValidateGate(request.gate()));
  if (!request.gate().evaluation_set().empty()) {
    ASSIGN_OR_RETURN(const EvaluationSetName set,
                     ParseEvaluationSet("gate.evaluation_set", request.gate().evaluation_set()));
    if (set.collection != collection) return InvalidField("gate.evaluation_set", "is of another collection");
  }
  RETURN_IF_ERROR(CheckDuration("rollback_window", request.rollback_window(), kMaxRollbackWindow));
  return CheckEtag(request.etag());
}

absl::Status Validate(const v1::DeleteCollectionRequest& request) {
  return ParseCollection("name", request.name()).status();
}

absl::Status Validate(const v1::UpsertDocumentsRequest& request) {
  RETURN_IF_ERROR(ParseCollection("collection", request.collection()).status());
  RETURN_IF_ERROR(CheckCount("documents", request.documents_size(), 1, kMaxDocumentsPerMessage));
  std::set<std::string_view> seen;
  for (int i = 0; i < request.documents_size(); ++i) {
    const std::string path = Path("documents", i);
    RETURN_IF_ERROR(PrefixField(path, Validate(request.documents(i))));
    if (!seen.insert(request.documents(i).id()).second) {
      return InvalidField(Path(path, "id"), "stands twice in this request");
    }
  }
  return CheckRequestId(request.request_id());
}

absl::Status Validate(const v1::ImportDocumentsRequest& request, bool first) {
  if (first) {
    RETURN_IF_ERROR(ParseCollection("collection", request.collection()).status());
    RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  } else {
    if (!request.collection().empty()) return InvalidField("collection", "is for the stream's first message only");
    if (!request.request_id().empty()) return InvalidField("request_id", "is for the stream's first message only");
  }
  RETURN_IF_ERROR(CheckAtLeast("sequence", request.sequence(), 1));
  return CheckCount("documents", request.documents_size(), 1, kMaxDocumentsPerMessage);
}

absl::Status Validate(const v1::GetDocumentRequest& request) {
  RETURN_IF_ERROR(ParseCollection("collection", request.collection()).status());
  return CheckDocumentId("id", request.id());
}

absl::Status Validate(const v1::ListDocumentsRequest& request) {
  RETURN_IF_ERROR(ParseCollection("collection", request.collection()).status());
  RETURN_IF_ERROR(CheckFilterShape(request.filter()));
  return ParsePage(Concat(request.collection(), "/documents"), request.page_size(), request.page_token()).status();
}

absl::Status Validate(const v1::CountDocumentsRequest& request) {
  RETURN_IF_ERROR(ParseCollection("collection", request.collection()).status());
  return CheckFilterShape(request.filter());
}

absl::Status Validate(const v1::DeleteDocumentsRequest& request) {
  RETURN_IF_ERROR(ParseCollection("collection", request.collection()).status());
  if (request.has_filter()) {
    if (!request.ids().empty()) return InvalidField("filter", "is given beside ids: one of them must be empty");
    const v1::Filter& filter = request.filter();
    if (filter.must().empty() && filter.should().empty() && filter.must_not().empty()) {
      return InvalidField("filter", "has no condition, which would delete every document");
    }
    return CheckFilterShape(filter);
  }
  RETURN_IF_ERROR(CheckCount("ids", request.ids_size(), 1, kMaxDocumentsPerMessage));
  for (int i = 0; i < request.ids_size(); ++i) RETURN_IF_ERROR(CheckDocumentId(Path("ids", i), request.ids(i)));
  return absl::OkStatus();
}

absl::Status Validate(const v1::UpdatePayloadsRequest& request) {
  RETURN_IF_ERROR(ParseCollection("collection", request.collection()).status());
  RETURN_IF_ERROR(CheckCount("updates", request.updates_size(), 1, kMaxDocumentsPerMessage));
  RETURN_IF_ERROR(CheckEnum("mode", request.mode(), v1::UpdatePayloadsRequest::Mode_IsValid(request.mode()),
                            "UpdatePayloadsRequest.Mode", /*required=*/true));
  std::set<std::string_view> seen;
  for (int i = 0; i < request.updates_size(); ++i) {
    const std::string path = Path("updates", i);
    RETURN_IF_ERROR(CheckDocumentId(Path(path, "id"), request.updates(i).id()));
    RETURN_IF_ERROR(CheckPayload(Path(path, "payload"), request.updates(i).payload()));
    if (!seen.insert(request.updates(i).id()).second) {
      return InvalidField(Path(path, "id"), "stands twice in this request");
    }
  }
  return CheckRequestId(request.request_id());
}

absl::Status Validate(const v1::CreateEvaluationSetRequest& request) {
  RETURN_IF_ERROR(ParseCollection("collection", request.collection()).status());
  RETURN_IF_ERROR(CheckId("evaluation_set_id", request.evaluation_set_id(), /*optional=*/true));
  RETURN_IF_ERROR(CheckCount("queries", request.queries_size(), 1, kMaxEvaluationQueries));
  for (int i = 0; i < request.queries_size(); ++i) {
    RETURN_IF_ERROR(ValidateQuery(request.queries(i), Path("queries", i)));
  }
  return CheckRequestId(request.request_id());
}

absl::Status Validate(const v1::GetEvaluationSetRequest& request) {
  return ParseEvaluationSet("name", request.name()).status();
}

absl::Status Validate(const v1::ListEvaluationSetsRequest& request) {
  RETURN_IF_ERROR(ParseCollection("collection", request.collection()).status());
  return ParsePage(Concat(request.collection(), "/evaluationSets"), request.page_size(), request.page_token()).status();
}

absl::Status Validate(const v1::DeleteEvaluationSetRequest& request) {
  return ParseEvaluationSet("name", request.name()).status();
}

absl::Status Validate(const v1::SearchRequest& request) {
  RETURN_IF_ERROR(ParseCollection("collection", request.collection()).status());
  if (request.has_min_commit()) RETURN_IF_ERROR(CheckAtLeast("min_commit", request.min_commit(), 0));
  return ValidateSearchBody(request);
}

absl::Status Validate(const v1::BatchSearchRequest& request) {
  RETURN_IF_ERROR(ParseCollection("collection", request.collection()).status());
  RETURN_IF_ERROR(CheckCount("searches", request.searches_size(), 1, kMaxSearches));
  if (request.has_min_commit()) RETURN_IF_ERROR(CheckAtLeast("min_commit", request.min_commit(), 0));
  for (int i = 0; i < request.searches_size(); ++i) {
    const std::string path = Path("searches", i);
    const v1::SearchRequest& search = request.searches(i);
    if (!search.collection().empty()) return InvalidField(Path(path, "collection"), "is said once for the whole batch");
    if (search.has_min_commit()) return InvalidField(Path(path, "min_commit"), "is said once for the whole batch");
    RETURN_IF_ERROR(PrefixField(path, ValidateSearchBody(search)));
  }
  return absl::OkStatus();
}

}  // namespace tandem
