#pragma once
// The manifest of a sealed directory (index/vector_index.h): manifest.json, one line of JSON with sorted keys and a LF.
// Its own checksum is the key "manifest_crc32c": the CRC-32C of the same line without that key and without the LF.
// Names and meanings reach disk: do not change. Format 1, which is still read, knew the kinds flat and hnsw and the
// metrics cosine and inner_product only, and none of the options of the others.

#include <cstdint>
#include <filesystem>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "index/vector_index.h"

namespace tandem {

inline constexpr char kSealedIndexFile[] = "index.faiss";
inline constexpr char kSealedLabelsFile[] = "labels.i64";
inline constexpr char kSealedVectorsFile[] = "vectors.f32";
inline constexpr char kSealedManifestFile[] = "manifest.json";

struct SealedManifest {
  int64_t commit = 0;
  int64_t count = 0;
  VectorIndexOptions options;
  uint32_t index_checksum = 0, labels_checksum = 0, vectors_checksum = 0;  // CRC-32C of the three files.
};

absl::Status WriteManifest(const std::filesystem::path& directory, const SealedManifest& manifest);

// DATA_LOSS when the file is missing or damaged, FAILED_PRECONDITION when its format is newer than this program.
absl::StatusOr<SealedManifest> ReadManifest(const std::filesystem::path& directory);

}  // namespace tandem
