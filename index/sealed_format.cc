#include "index/sealed_format.h"

#include <string>

#include <nlohmann/json.hpp>

#include "index/checked_writer.h"
#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

constexpr int kFormat = 1;
constexpr char kOwnChecksum[] = "manifest_crc32c";

constexpr char kFlat[] = "flat", kHnsw[] = "hnsw", kCosine[] = "cosine", kInnerProduct[] = "inner_product";

nlohmann::json Encode(const SealedManifest& manifest) {
  const VectorIndexOptions& options = manifest.options;
  return {{"format", kFormat},
          {"commit", manifest.commit},
          {"count", manifest.count},
          {"dimensions", options.dimensions},
          {"metric", options.metric == VectorMetric::kCosine ? kCosine : kInnerProduct},
          {"kind", options.kind == VectorIndexKind::kFlat ? kFlat : kHnsw},
          {"hnsw_m", options.hnsw_m},
          {"hnsw_ef_construction", options.hnsw_ef_construction},
          {"hnsw_ef_search", options.hnsw_ef_search},
          {"crc32c",
           {{kSealedGraphFile, manifest.graph_checksum},
            {kSealedLabelsFile, manifest.labels_checksum},
            {kSealedVectorsFile, manifest.vectors_checksum}}}};
}

std::string Line(nlohmann::json json) {
  json[kOwnChecksum] = Crc32c(json.dump());
  return json.dump() + "\n";
}

// REQUIRES: the line's checksum is right, so the fields are those that Encode wrote.
SealedManifest Decode(const nlohmann::json& json) {
  SealedManifest manifest;
  manifest.commit = json["commit"].get<int64_t>();
  manifest.count = json["count"].get<int64_t>();
  VectorIndexOptions& options = manifest.options;
  options.dimensions = json["dimensions"].get<int>();
  options.metric = json["metric"].get<std::string>() == kCosine ? VectorMetric::kCosine : VectorMetric::kInnerProduct;
  options.kind = json["kind"].get<std::string>() == kFlat ? VectorIndexKind::kFlat : VectorIndexKind::kHnsw;
  options.hnsw_m = json["hnsw_m"].get<int>();
  options.hnsw_ef_construction = json["hnsw_ef_construction"].get<int>();
  options.hnsw_ef_search = json["hnsw_ef_search"].get<int>();
  const nlohmann::json& checksums = json["crc32c"];
  manifest.graph_checksum = checksums[kSealedGraphFile].get<uint32_t>();
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
  if (format == json.end() || *format != kFormat) {
    return absl::FailedPreconditionError(Concat(path.string(), ": format ",
                                                format == json.end() ? std::string("(none)") : format->dump(),
                                                " is not one that this version reads: ", kFormat));
  }
  return Decode(json);
}

}  // namespace tandem
