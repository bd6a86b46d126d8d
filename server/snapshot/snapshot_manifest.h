#pragma once
// What a snapshot says of itself. A snapshot is a directory:
//   manifest.json   {"format", "crc32c" of the text of "snapshot", "snapshot": {..., "files": [{path, bytes, sha256}]}}
//   meta.db         the collection's rows (MetaStore::CopyCollection), of the tenant kSnapshotTenant
//   documents.db    its documents, and the vectors that no sealed index has
//   release/        the sealed index of the live release, as it lies in the release's directory
//   model/          the directory of its model revision
// Without live release there is no release/ and no model/; without encoder there is no model/. The names and the format
// reach other servers: do not change them, add a format.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tandem {

inline constexpr int kSnapshotFormat = 1;
inline constexpr char kSnapshotTenant[] = "snapshot";
inline constexpr char kSnapshotManifestFile[] = "manifest.json";
inline constexpr char kSnapshotMetaFile[] = "meta.db";
inline constexpr char kSnapshotDocumentsFile[] = "documents.db";
inline constexpr char kSnapshotReleaseFolder[] = "release";
inline constexpr char kSnapshotModelFolder[] = "model";

struct SnapshotFile {
  std::string path;  // Relative, of one of the names above.
  int64_t bytes = 0;
  std::string sha256;
};

struct SnapshotManifest {
  std::string id;       // The directory's name; not in the file, so that a snapshot may be unpacked under another.
  std::string made_by;  // The job that made it.
  absl::Time create_time;
  std::string collection, release, model, revision;  // Ids; empty where there is none.
  int64_t commit = 0, documents = 0;
  std::vector<SnapshotFile> files;

  int64_t bytes() const;
};

// What manifest.json holds.
std::string ManifestText(const SnapshotManifest& manifest);
// FAILED_PRECONDITION for a newer format, DATA_LOSS for what cannot be a manifest.
absl::StatusOr<SnapshotManifest> ManifestFromText(std::string_view text);

// The manifest of the snapshot in `directory`. NOT_FOUND when there is none.
absl::StatusOr<SnapshotManifest> ReadSnapshotManifest(const std::filesystem::path& directory);

}  // namespace tandem
