#include "index/sealed_format.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "index/checked_writer.h"
#include "index/index_kinds.h"
#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr int kFormat = 2, kOldestFormat = 1;
constexpr char kOwnChecksum[] = "manifest_crc32c";

constexpr std::pair<VectorMetric, const char*> kMetrics[] = {{VectorMetric::kCosine, "cosine"},
                                                             {VectorMetric::kInnerProduct, "inner_product"},
                                                             {VectorMetric::kEuclidean, "euclidean"}};
constexpr std::pair<ScalarCode, const char*> kScalarCodes[] = {{ScalarCode::kInt8, "int8"},
                                                               {ScalarCode::kFloat16, "float16"}};
constexpr VectorIndexKind kKinds[] = {VectorIndexKind::kFlat,
                                      VectorIndexKind::kHnsw,
                                      VectorIndexKind::kIvfFlat,
                                      VectorIndexKind::kIvfPq,
                                      VectorIndexKind::kScalarQuantized,
                                      VectorIndexKind::kBinary};

template <typename Value, size_t n>
const char* NameIn(const std::pair<Value, const char*> (&names)[n], Value value) {
  return std::find_if(names, names + n, [&](const auto& entry) { return entry.first == value; })->second;
}

template <typename Value, size_t n>
bool FromName(const std::pair<Value, const char*> (&names)[n], std::string_view name, Value* value) {
  const auto* const found = std::find_if(names, names + n, [&](const auto& entry) { return entry.second == name; });
  if (found == names + n) return false;
  *value = found->first;
  return true;
}

nlohmann::json Encode(const SealedManifest& manifest) {
  const VectorIndexOptions& options = manifest.options;
  return {{"format", kFormat},
          {"commit", manifest.commit},
          {"count", manifest.count},
          {"dimensions", options.dimensions},
          {"metric", NameIn(kMetrics, options.metric)},
          {"kind", NameOf(options.kind)},
          {"hnsw_m", options.hnsw_m},
          {"hnsw_ef_construction", options.hnsw_ef_construction},
          {"hnsw_ef_search", options.hnsw_ef_search},
          {"ivf_lists", options.ivf_lists},
          {"ivf_nprobe", options.ivf_nprobe},
          {"pq_subquantizers", options.pq_subquantizers},
          {"scalar_code", NameIn(kScalarCodes, options.scalar_code)},
          {"rerank_factor", options.rerank_factor},
          {"crc32c",
           {{kSealedIndexFile, manifest.index_checksum},
            {kSealedLabelsFile, manifest.labels_checksum},
            {kSealedVectorsFile, manifest.vectors_checksum}}}};
}

std::string Line(nlohmann::json json) {
  json[kOwnChecksum] = Crc32c(json.dump());
  return json.dump() + "\n";
}

// nullopt when a name means nothing. REQUIRES: the line's checksum is right, so the fields are those that Encode wrote.
std::optional<SealedManifest> Decode(const nlohmann::json& json) {
  SealedManifest manifest;
  manifest.commit = json["commit"].get<int64_t>();
  manifest.count = json["count"].get<int64_t>();
  VectorIndexOptions& options = manifest.options;
  options.dimensions = json["dimensions"].get<int>();
  const auto kind = std::find_if(std::begin(kKinds), std::end(kKinds), [&](VectorIndexKind value) {
    return NameOf(value) == json["kind"].get<std::string>();
  });
  if (!FromName(kMetrics, json["metric"].get<std::string>(), &options.metric)) return std::nullopt;
  if (kind == std::end(kKinds)) return std::nullopt;
  options.kind = *kind;
  options.hnsw_m = json["hnsw_m"].get<int>();
  options.hnsw_ef_construction = json["hnsw_ef_construction"].get<int>();
  options.hnsw_ef_search = json["hnsw_ef_search"].get<int>();
  if (json["format"].get<int>() > 1) {
    options.ivf_lists = json["ivf_lists"].get<int>();
    options.ivf_nprobe = json["ivf_nprobe"].get<int>();
    options.pq_subquantizers = json["pq_subquantizers"].get<int>();
    options.rerank_factor = json["rerank_factor"].get<int>();
    if (!FromName(kScalarCodes, json["scalar_code"].get<std::string>(), &options.scalar_code)) return std::nullopt;
  }
  const nlohmann::json& checksums = json["crc32c"];
  manifest.index_checksum = checksums[kSealedIndexFile].get<uint32_t>();
  manifest.labels_checksum = checksums[kSealedLabelsFile].get<uint32_t>();
  manifest.vectors_checksum = checksums[kSealedVectorsFile].get<uint32_t>();
  return manifest;
}

}  // namespace

absl::Status WriteManifest(const std::filesystem::path& directory, const SealedManifest& manifest) {
  ASSIGN_OR_RETURN(const std::unique_ptr<CheckedWriter> writer, CheckedWriter::Create(directory / kSealedManifestFile));
  RETURN_IF_ERROR(writer->Append(Line(Encode(manifest))));
  return writer->Close().status();
}

absl::StatusOr<SealedManifest> ReadManifest(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / kSealedManifestFile;
  const absl::StatusOr<std::string> bytes = ReadFile(path);
  if (absl::IsNotFound(bytes.status())) return absl::DataLossError(Concat(path.string(), ": is missing"));
  if (!bytes.ok()) return bytes.status();
  const nlohmann::json json = nlohmann::json::parse(*bytes, nullptr, /*allow_exceptions=*/false);
  nlohmann::json unchecked = json;
  // The bytes must be exactly what this program would write, so that no damage hides in white space or spelling.
  if (!json.is_object() || unchecked.erase(kOwnChecksum) != 1 || Line(unchecked) != *bytes) {
    return absl::DataLossError(Concat(path.string(), ": is damaged"));
  }
  const auto format = json.find("format");
  if (format == json.end() || !format->is_number_integer() || *format < kOldestFormat || *format > kFormat) {
    return absl::FailedPreconditionError(
        Concat(path.string(), ": format ", format == json.end() ? std::string("(none)") : format->dump(),
               " is not one that this version reads: ", kOldestFormat, " to ", kFormat));
  }
  const std::optional<SealedManifest> manifest = Decode(json);
  if (!manifest.has_value()) return absl::DataLossError(Concat(path.string(), ": names an unknown metric or kind"));
  return *manifest;
}

}  // namespace tandem
