// Requests of ModelService, EmbeddingService, ReleaseService and AdminService.

#include <filesystem>
#include <string>

#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/rpc/checks.h"
#include "server/rpc/limits.h"
#include "server/rpc/names.h"
#include "server/rpc/validate.h"
#include "tandem/v1/admin.pb.h"
#include "tandem/v1/embedding.pb.h"
#include "tandem/v1/model.pb.h"
#include "tandem/v1/release.pb.h"

namespace tandem {
namespace {

// A path below some directory: relative, no component empty, "." or "..".
absl::Status CheckRelativePath(std::string_view path, std::string_view value) {
  RETURN_IF_ERROR(CheckBytes(path, value, 1, kMaxModelPathBytes));
  const auto refusal = [&] {
    return InvalidField(path, "must be a relative path without \"..\", \".\", empty components, backslashes and NUL");
  };
  if (value.find('\0') != value.npos || value.find('\\') != value.npos) return refusal();
  for (std::string_view rest = value;;) {
    const size_t slash = rest.find('/');
    const std::string_view component = rest.substr(0, slash);
    if (component.empty() || component == "." || component == "..") return refusal();
    if (slash == rest.npos) return absl::OkStatus();
    rest.remove_prefix(slash + 1);
  }
}

absl::Status CheckTexts(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  RETURN_IF_ERROR(CheckCount("texts", texts.size(), 1, kMaxTexts));
  for (int i = 0; i < texts.size(); ++i) RETURN_IF_ERROR(CheckBytes(Path("texts", i), texts[i], 0, kMaxTextBytes));
  return absl::OkStatus();
}

absl::Status CheckRole(v1::InputRole role) {
  return CheckEnum("role", role, v1::InputRole_IsValid(role), "InputRole", /*required=*/true);
}

absl::Status ValidateHnsw(const v1::HnswIndex& hnsw) {
  if (hnsw.has_m()) RETURN_IF_ERROR(CheckRange("index.hnsw.m", hnsw.m(), 4, 128));
  if (hnsw.has_ef_construction()) {
    RETURN_IF_ERROR(CheckRange("index.hnsw.ef_construction", hnsw.ef_construction(), 8, 2000));
  }
  return hnsw.has_ef_search() ? CheckRange("index.hnsw.ef_search", hnsw.ef_search(), 1, kMaxEfSearch)
                              : absl::OkStatus();
}

// Of IvfFlatIndex and IvfPqIndex.
template <class Index>
absl::Status ValidateLists(std::string_view path, const Index& index) {
  if (index.has_lists()) RETURN_IF_ERROR(CheckRange(Concat(path, ".lists"), index.lists(), 1, kMaxLists));
  const int most = index.has_lists() ? index.lists() : kMaxLists;
  return index.has_nprobe() ? CheckRange(Concat(path, ".nprobe"), index.nprobe(), 1, most) : absl::OkStatus();
}

template <class Index>
absl::Status ValidateRerankFactor(std::string_view path, const Index& index) {
  if (!index.has_rerank_factor()) return absl::OkStatus();
  return CheckRange(Concat(path, ".rerank_factor"), index.rerank_factor(), 1, kMaxRerankFactor);
}

absl::Status ValidateIndex(const v1::IndexSpec& index) {
  switch (index.kind_case()) {
    case v1::IndexSpec::kFlat:
    case v1::IndexSpec::KIND_NOT_SET:
      return absl::OkStatus();
    case v1::IndexSpec::kHnsw:
      return ValidateHnsw(index.hnsw());
    case v1::IndexSpec::kIvfFlat:
      return ValidateLists("index.ivf_flat", index.ivf_flat());
    case v1::IndexSpec::kIvfPq:
      RETURN_IF_ERROR(ValidateLists("index.ivf_pq", index.ivf_pq()));
      // Whether it divides the dimensions only the release knows.
      if (index.ivf_pq().has_subquantizers()) {
        RETURN_IF_ERROR(CheckRange("index.ivf_pq.subquantizers", index.ivf_pq().subquantizers(), 1, kMaxDimensions));
      }
      return ValidateRerankFactor("index.ivf_pq", index.ivf_pq());
    case v1::IndexSpec::kScalarQuantized: {
      const v1::VectorStorage storage = index.scalar_quantized().storage();
      constexpr char kPath[] = "index.scalar_quantized.storage";
      RETURN_IF_ERROR(CheckEnum(kPath, storage, v1::VectorStorage_IsValid(storage), "VectorStorage"));
      if (storage == v1::STORE_FLOAT32) {
        return InvalidField(kPath, "STORE_FLOAT32: must be STORE_FLOAT16 or STORE_INT8; flat is the index of floats");
      }
      return ValidateRerankFactor("index.scalar_quantized", index.scalar_quantized());
    }
    case v1::IndexSpec::kBinary:
      return ValidateRerankFactor("index.binary", index.binary());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Validate(const v1::ImportModelRequest& request, bool first) {
  if (first != (request.part_case() == v1::ImportModelRequest::kHeader)) {
    return first ? InvalidField("header", "must be the stream's first message")
                 : InvalidField("chunk", "every message after the first must be one");
  }
  if (first) {
    RETURN_IF_ERROR(CheckId("header.model_id", request.header().model_id()));
    RETURN_IF_ERROR(CheckId("header.revision_id", request.header().revision_id(), /*optional=*/true));
    const std::string& directory = request.header().directory();
    return directory.empty() ? absl::OkStatus() : CheckRelativePath("header.directory", directory);
  }
  RETURN_IF_ERROR(CheckRelativePath("chunk.path", request.chunk().path()));
  return CheckBytes("chunk.data", request.chunk().data(), 0, kMaxChunkBytes);
}

absl::Status Validate(const v1::ExportModelRequest& request) { return ParseRevision("name", request.name()).status(); }

absl::Status Validate(const v1::GetModelRequest& request) { return ParseModel("name", request.name()).status(); }

absl::Status Validate(const v1::ListModelsRequest& request) {
  return ParsePage("models", request.page_size(), request.page_token()).status();
}

absl::Status Validate(const v1::DeleteModelRequest& request) { return ParseModel("name", request.name()).status(); }

absl::Status Validate(const v1::GetModelRevisionRequest& request) {
  return ParseRevision("name", request.name()).status();
}

absl::Status Validate(const v1::ListModelRevisionsRequest& request) {
  RETURN_IF_ERROR(ParseModel("model", request.model()).status());
  return ParsePage(Concat(request.model(), "/revisions"), request.page_size(), request.page_token()).status();
}

absl::Status Validate(const v1::DeleteModelRevisionRequest& request) {
  return ParseRevision("name", request.name()).status();
}

absl::Status Validate(const v1::EmbedRequest& request) {
  RETURN_IF_ERROR(ParseModelOrRevision("model", request.model()).status());
  RETURN_IF_ERROR(CheckTexts(request.texts()));
  RETURN_IF_ERROR(CheckRole(request.role()));
  return CheckEnum("encoding", request.encoding(), v1::VectorEncoding_IsValid(request.encoding()), "VectorEncoding");
}

absl::Status Validate(const v1::TokenizeRequest& request) {
  RETURN_IF_ERROR(ParseModelOrRevision("model", request.model()).status());
  RETURN_IF_ERROR(CheckTexts(request.texts()));
  return CheckRole(request.role());
}

absl::Status Validate(const v1::CreateReleaseRequest& request) {
  RETURN_IF_ERROR(ParseCollection("collection", request.collection()).status());
  RETURN_IF_ERROR(CheckId("release_id", request.release_id(), /*optional=*/true));
  if (!request.model_revision().empty()) {
    RETURN_IF_ERROR(ParseModelOrRevision("model_revision", request.model_revision()).status());
  }
  RETURN_IF_ERROR(ValidateIndex(request.index()));
  return CheckRequestId(request.request_id());
}

absl::Status Validate(const v1::GetReleaseRequest& request) { return ParseRelease("name", request.name()).status(); }

absl::Status Validate(const v1::ListReleasesRequest& request) {
  RETURN_IF_ERROR(ParseCollection("collection", request.collection()).status());
  return ParsePage(Concat(request.collection(), "/releases"), request.page_size(), request.page_token()).status();
}

absl::Status Validate(const v1::CancelReleaseRequest& request) { return ParseRelease("name", request.name()).status(); }

absl::Status Validate(const v1::DeleteReleaseRequest& request) { return ParseRelease("name", request.name()).status(); }

absl::Status Validate(const v1::WatchReleaseRequest& request) { return ParseRelease("name", request.name()).status(); }

absl::Status Validate(const v1::PromoteReleaseRequest& request) {
  RETURN_IF_ERROR(ParseRelease("name", request.name()).status());
  RETURN_IF_ERROR(CheckEtag(request.etag()));
  RETURN_IF_ERROR(CheckBytes("override_reason", request.override_reason(), 0, kMaxReasonBytes));
  return CheckRequestId(request.request_id());
}

absl::Status Validate(const v1::CompareReleasesRequest& request) {
  ASSIGN_OR_RETURN(const ReleaseName first, ParseRelease("first", request.first()));
  ASSIGN_OR_RETURN(const ReleaseName second, ParseRelease("second", request.second()));
  if (request.first() == request.second()) return InvalidField("second", "is the first release");
  if (second.collection != first.collection) return InvalidField("second", "is of another collection than first");
  if (request.has_top_k()) RETURN_IF_ERROR(CheckRange("top_k", request.top_k(), 1, kMaxComparedHits));
  RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  if (!request.evaluation_set().empty()) {
    if (!request.queries().empty()) return InvalidField("queries", "are given beside an evaluation set: leave one out");
    ASSIGN_OR_RETURN(const EvaluationSetName set, ParseEvaluationSet("evaluation_set", request.evaluation_set()));
    if (set.collection == first.collection) return absl::OkStatus();
    return InvalidField("evaluation_set", "is of another collection than the releases");
  }
  if (request.queries().empty()) return InvalidField("evaluation_set", "is empty, and there are no queries");
  RETURN_IF_ERROR(CheckCount("queries", request.queries_size(), 1, kMaxComparedQueries));
  for (int i = 0; i < request.queries_size(); ++i) {
    RETURN_IF_ERROR(CheckText(Path("queries", i), request.queries(i)));
  }
  return absl::OkStatus();
}

absl::Status Validate(const v1::ExportIndexRequest& request) { return ParseRelease("name", request.name()).status(); }

absl::Status Validate(const v1::GetServerInfoRequest&) { return absl::OkStatus(); }

absl::Status Validate(const v1::CreateApiKeyRequest& request) {
  RETURN_IF_ERROR(CheckId("api_key_id", request.api_key_id(), /*optional=*/true));
  RETURN_IF_ERROR(CheckEnum("role", request.role(), v1::ApiKey::Role_IsValid(request.role()), "ApiKey.Role",
                            /*required=*/true));
  return CheckId("tenant", request.tenant());
}

absl::Status Validate(const v1::ListApiKeysRequest& request) {
  return ParsePage("apiKeys", request.page_size(), request.page_token()).status();
}

absl::Status Validate(const v1::DeleteApiKeyRequest& request) { return ParseApiKey("name", request.name()).status(); }

}  // namespace tandem
