// Searches and their answers.

#include <string_view>
#include <utility>
#include <vector>

#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/struct.pb.h>

#include "server/base/status.h"
#include "server/rpc/convert.h"
#include "server/rpc/encodings.h"
#include "server/rpc/names.h"
#include "tandem/v1/search.pb.h"

namespace tandem {
namespace {

using google::protobuf::Struct;

std::vector<RecommendExample> FromProto(const google::protobuf::RepeatedPtrField<v1::RecommendExample>& examples) {
  std::vector<RecommendExample> to;
  for (const v1::RecommendExample& example : examples) {
    to.push_back({.document = example.document(), .text = example.text()});
  }
  return to;
}

HybridOptions FromProto(const v1::HybridMode& hybrid) {
  HybridOptions options;
  if (hybrid.has_candidates()) options.candidates = hybrid.candidates();
  if (hybrid.has_reciprocal_rank()) {
    ReciprocalRankFusion fusion;
    const v1::ReciprocalRankFusion& from = hybrid.reciprocal_rank();
    if (from.has_constant()) fusion.constant = from.constant();
    if (from.has_vector_weight()) fusion.vector_weight = from.vector_weight();
    if (from.has_keyword_weight()) fusion.keyword_weight = from.keyword_weight();
    options.fusion = fusion;
  }
  if (hybrid.has_softmax()) {
    SoftmaxFusion fusion;
    const v1::SoftmaxFusion& from = hybrid.softmax();
    if (from.has_vector_weight()) fusion.vector_weight = from.vector_weight();
    if (from.has_vector_temperature()) fusion.vector_temperature = from.vector_temperature();
    if (from.has_keyword_temperature()) fusion.keyword_temperature = from.keyword_temperature();
    options.fusion = fusion;
  }
  if (hybrid.has_weighted()) {
    WeightedFusion fusion;
    if (hybrid.weighted().has_vector_weight()) fusion.vector_weight = hybrid.weighted().vector_weight();
    options.fusion = fusion;
  }
  return options;
}

// Copies what lies at `path`, keys joined by dots, from one object into another.
void CopyPath(const Struct& from, std::string_view path, Struct* to) {
  const size_t dot = path.find('.');
  const std::string key(path.substr(0, dot));
  const auto found = from.fields().find(key);
  if (found == from.fields().end()) return;
  if (dot == path.npos) {
    (*to->mutable_fields())[key] = found->second;
  } else if (found->second.has_struct_value()) {
    CopyPath(found->second.struct_value(), path.substr(dot + 1), (*to->mutable_fields())[key].mutable_struct_value());
  }
}

// Leaves of a document what the mask names, and its id and commit.
void KeepParts(const google::protobuf::FieldMask& mask, v1::Document* document) {
  static constexpr std::string_view kPayload = "payload.";
  bool text = false, all = false;
  Struct kept;
  for (const std::string& path : mask.paths()) {
    if (path == "text") {
      text = true;
    } else if (path == "payload") {
      all = true;
    } else {
      CopyPath(document->payload(), std::string_view(path).substr(kPayload.size()), &kept);
    }
  }
  if (!text) document->clear_text();
  if (all) return;
  if (kept.fields().empty()) {
    document->clear_payload();
  } else {
    *document->mutable_payload() = std::move(kept);
  }
}

}  // namespace

absl::StatusOr<SearchQuery> FromProto(const v1::SearchRequest& request) {
  SearchQuery query;
  if (request.has_vector()) {
    ASSIGN_OR_RETURN(std::vector<float> vector, DecodeVector("vector.vector", request.vector().vector()));
    RevisionName name;
    if (!request.vector().model_revision().empty()) {
      ASSIGN_OR_RETURN(name, ParseRevision("vector.model_revision", request.vector().model_revision()));
    }
    query.query = VectorQuery{std::move(vector), std::move(name.model), std::move(name.revision)};
  } else if (request.has_documents()) {
    query.query = DocumentsQuery{{request.documents().ids().begin(), request.documents().ids().end()}};
  } else if (request.has_recommend()) {
    query.query =
        RecommendQuery{FromProto(request.recommend().positives()), FromProto(request.recommend().negatives())};
  } else {
    query.query = TextQuery{request.text()};
  }
  if (request.has_by_keyword()) query.mode = SearchMode::kKeyword;
  if (request.has_hybrid()) {
    query.mode = SearchMode::kHybrid;
    query.hybrid = FromProto(request.hybrid());
  }
  if (request.has_filter()) query.filter = FromProto(request.filter());
  if (request.has_top_k()) query.top_k = request.top_k();
  query.offset = request.offset();
  if (request.has_min_score()) query.min_score = request.min_score();
  if (request.has_min_relevance()) query.min_relevance = request.min_relevance();
  if (request.has_ef_search()) query.ef_search = request.ef_search();
  if (request.has_nprobe()) query.nprobe = request.nprobe();
  if (request.has_rerank_factor()) query.rerank_factor = request.rerank_factor();
  query.exact = request.exact();
  if (request.has_group_by()) {
    query.group_by = GroupBy{.field = request.group_by().field()};
    if (request.group_by().has_size()) query.group_by->size = request.group_by().size();
  }
  if (request.has_diversity()) {
    query.diversity = Diversity();
    if (request.diversity().has_lambda()) query.diversity->lambda = request.diversity().lambda();
    if (request.diversity().has_candidates()) query.diversity->candidates = request.diversity().candidates();
  }
  query.with_documents = request.view() != v1::SearchRequest::IDS;
  if (request.has_read_mask()) {
    query.with_text = query.with_payload = false;
    for (const std::string& path : request.read_mask().paths()) {
      (path == "text" ? query.with_text : query.with_payload) = true;
    }
  }
  return query;
}

void ToProto(std::string_view collection, const SearchAnswers& answers, const SearchAnswer& answer,
             const v1::SearchRequest& request, v1::SearchResponse* out) {
  out->set_release(ReleaseNameOf(collection, answers.release));
  out->set_commit(answers.commit);
  out->set_search_id(answer.search_id);
  out->set_truncated(answer.truncated);
  for (const SearchHit& hit : answer.hits) {
    v1::Hit* to = out->add_hits();
    to->set_id(hit.id);
    to->set_score(hit.score);
    if (answer.calibration) to->set_relevance(answer.calibration->Probability(hit.score));
    if (hit.vector_score) to->set_vector_score(*hit.vector_score);
    if (hit.keyword_score) to->set_keyword_score(*hit.keyword_score);
    if (request.view() == v1::SearchRequest::IDS) continue;
    ToProto(hit.document, to->mutable_document());
    if (request.has_read_mask()) KeepParts(request.read_mask(), to->mutable_document());
  }
}

}  // namespace tandem
