#include "index/index_kinds.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr int kMaxEf = 10000;
constexpr int kMaxLists = 65536;
constexpr int kMaxRerankFactor = 1000;
constexpr int64_t kMinVectorsPerList = 39;  // Below it FAISS warns that k-means has too little to go by.
constexpr int kPqCentroids = 256;

absl::Status InRange(const char* name, int value, int lowest, int highest) {
  if (value >= lowest && value <= highest) return absl::OkStatus();
  return absl::InvalidArgumentError(Concat(name, " ", value, ": must be in [", lowest, ", ", highest, "]"));
}

absl::Status CheckParameter(const char* name, std::optional<int> value, int highest, bool has_it,
                            VectorIndexKind kind) {
  if (!value.has_value()) return absl::OkStatus();
  if (!has_it) {
    return InvalidField(name, Concat(*value, ": an index of kind ", NameOf(kind), " has no such parameter"));
  }
  if (*value >= 1 && *value <= highest) return absl::OkStatus();
  return InvalidField(name, Concat(*value, ": must be in [1, ", highest, "]"));
}

bool HasCodes(VectorIndexKind kind) {
  switch (kind) {
    case VectorIndexKind::kFlat:
    case VectorIndexKind::kHnsw:
    case VectorIndexKind::kIvfFlat:
      return false;
    case VectorIndexKind::kIvfPq:
    case VectorIndexKind::kScalarQuantized:
    case VectorIndexKind::kBinary:
      return true;
  }
  return false;
}

// Without the label: what a search reads of each row, and what it reads once.
struct Bytes {
  double row = 0, once = 0;
};

Bytes BytesOf(const VectorIndexOptions& options, int64_t vectors) {
  const double dimensions = options.dimensions;
  const double centroids = 4 * dimensions * static_cast<double>(IvfLists(options, vectors));
  switch (options.kind) {
    case VectorIndexKind::kFlat:
      return {.row = 4 * dimensions};
    case VectorIndexKind::kHnsw: {
      // FAISS: a row is on level l or above with probability M^-l, so it is on 1 / (M - 1) upper levels on average.
      // Links are 4 bytes, 2 M of them on level 0 and M on each upper one; a row's level takes 4 bytes, the place of
      // its links 8.
      const double m = options.hnsw_m;
      return {.row = 4 * dimensions + 4 * (2 * m + m / (m - 1)) + 4 + 8};
    }
    case VectorIndexKind::kIvfFlat:  // A list has vectors and ids of 8 bytes.
      return {.row = 4 * dimensions + 8, .once = centroids};
    case VectorIndexKind::kIvfPq:
      return {.row = PqSubquantizers(options) + 8.0, .once = centroids + 4 * dimensions * kPqCentroids};
    case VectorIndexKind::kScalarQuantized:
      return {.row = options.scalar_code == ScalarCode::kInt8 ? dimensions : 2 * dimensions, .once = 8 * dimensions};
    case VectorIndexKind::kBinary:
      return {.row = std::ceil(dimensions / 8)};
  }
  return {};
}

}  // namespace

std::string_view NameOf(VectorIndexKind kind) {
  switch (kind) {
    case VectorIndexKind::kFlat:
      return "flat";
    case VectorIndexKind::kHnsw:
      return "hnsw";
    case VectorIndexKind::kIvfFlat:
      return "ivf_flat";
    case VectorIndexKind::kIvfPq:
      return "ivf_pq";
    case VectorIndexKind::kScalarQuantized:
      return "scalar_quantized";
    case VectorIndexKind::kBinary:
      return "binary";
  }
  return "";
}

bool HasLists(VectorIndexKind kind) { return kind == VectorIndexKind::kIvfFlat || kind == VectorIndexKind::kIvfPq; }

int64_t IvfLists(const VectorIndexOptions& options, int64_t vectors) {
  const int64_t wanted =
      options.ivf_lists > 0 ? options.ivf_lists : std::llround(4 * std::sqrt(static_cast<double>(vectors)));
  return std::clamp<int64_t>(wanted, 1, std::clamp<int64_t>(vectors / kMinVectorsPerList, 1, kMaxLists));
}

int64_t IvfNprobe(const VectorIndexOptions& options, int64_t lists) {
  const int64_t wanted = options.ivf_nprobe > 0 ? options.ivf_nprobe : std::max<int64_t>(8, lists / 16);
  return std::min(wanted, lists);
}

int PqSubquantizers(const VectorIndexOptions& options) {
  if (options.pq_subquantizers > 0) return options.pq_subquantizers;
  int best = 1;
  for (int divisor = 1; divisor <= options.dimensions; ++divisor) {
    if (options.dimensions % divisor != 0) continue;
    if (std::abs(4 * divisor - options.dimensions) < std::abs(4 * best - options.dimensions)) best = divisor;
  }
  return best;
}

int RerankFactor(const VectorIndexOptions& options) {
  if (options.rerank_factor > 0 && HasCodes(options.kind)) return options.rerank_factor;
  switch (options.kind) {
    case VectorIndexKind::kFlat:
    case VectorIndexKind::kHnsw:
    case VectorIndexKind::kIvfFlat:
      return 1;
    case VectorIndexKind::kIvfPq:
      return 10;
    case VectorIndexKind::kScalarQuantized:
      return 4;
    case VectorIndexKind::kBinary:
      return 20;
  }
  return 1;
}

absl::Status CheckParameters(const VectorSearch& search, VectorIndexKind kind) {
  RETURN_IF_ERROR(CheckParameter("ef_search", search.ef_search, kMaxEf, kind == VectorIndexKind::kHnsw, kind));
  RETURN_IF_ERROR(CheckParameter("nprobe", search.nprobe, kMaxLists, HasLists(kind), kind));
  return CheckParameter("rerank_factor", search.rerank_factor, kMaxRerankFactor, HasCodes(kind), kind);
}

absl::Status VectorIndexOptions::Validate() const {
  RETURN_IF_ERROR(InRange("dimensions", dimensions, 1, 65536));
  RETURN_IF_ERROR(InRange("hnsw_m", hnsw_m, 4, 128));
  RETURN_IF_ERROR(InRange("hnsw_ef_construction", hnsw_ef_construction, 8, 2000));
  RETURN_IF_ERROR(InRange("hnsw_ef_search", hnsw_ef_search, 1, kMaxEf));
  RETURN_IF_ERROR(InRange("ivf_lists", ivf_lists, 0, kMaxLists));
  RETURN_IF_ERROR(InRange("ivf_nprobe", ivf_nprobe, 0, ivf_lists > 0 ? ivf_lists : kMaxLists));
  RETURN_IF_ERROR(InRange("rerank_factor", rerank_factor, 0, kMaxRerankFactor));
  RETURN_IF_ERROR(InRange("pq_subquantizers", pq_subquantizers, 0, dimensions));
  if (pq_subquantizers > 0 && dimensions % pq_subquantizers != 0) {
    return absl::InvalidArgumentError(
        Concat("pq_subquantizers ", pq_subquantizers, ": must divide the ", dimensions, " dimensions"));
  }
  return absl::OkStatus();
}

int64_t EstimateIndexBytes(const VectorIndexOptions& options, int64_t vectors) {
  const Bytes bytes = BytesOf(options, vectors);
  return static_cast<int64_t>((bytes.row + 8) * static_cast<double>(vectors) + bytes.once);
}

}  // namespace tandem
