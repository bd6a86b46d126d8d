#include "server/snapshot/snapshot_manifest.h"

#include <nlohmann/json.hpp>

#include "server/base/files.h"
#include "server/base/object_reader.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

using nlohmann::json;

absl::Status Damaged(std::string_view what) { return absl::DataLossError(Concat("manifest.json: ", what)); }

// Below the directory, in one of the places that a snapshot has.
bool IsPlace(std::string_view path) {
  if (path == kSnapshotMetaFile || path == kSnapshotDocumentsFile) return true;
  const std::filesystem::path parsed(path);
  const std::string first = parsed.begin()->string();
  if (first != kSnapshotReleaseFolder && first != kSnapshotModelFolder) return false;
  for (const std::filesystem::path& part : parsed) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  // Two slashes are one to a path.
  return path.find("//") == path.npos && ++parsed.begin() != parsed.end();
}

absl::StatusOr<SnapshotFile> FileFromJson(const json& from) {
  SnapshotFile file;
  ObjectReader reader("file of a snapshot", from);
  reader.Read("path", file.path);
  reader.Read("bytes", file.bytes);
  reader.Read("sha256", file.sha256);
  if (const absl::Status read = reader.Finish(); !read.ok()) return Damaged(StdView(read.message()));
  if (file.path.empty() || !IsPlace(file.path)) return Damaged(Concat("\"", file.path, "\" is no file of a snapshot"));
  return file;
}

absl::StatusOr<SnapshotManifest> FromJson(const json& from) {
  SnapshotManifest manifest;
  int64_t create_us = 0;
  ObjectReader reader("snapshot", from);
  reader.Read("made_by", manifest.made_by);
  reader.Read("create_us", create_us);
  reader.Read("collection", manifest.collection);
  reader.Read("release", manifest.release);
  reader.Read("model", manifest.model);
  reader.Read("revision", manifest.revision);
  reader.Read("commit", manifest.commit);
  reader.Read("documents", manifest.documents);
  const json* const files = reader.Find("files");
  if (const absl::Status read = reader.Finish(); !read.ok()) return Damaged(StdView(read.message()));
  manifest.create_time = absl::FromUnixMicros(create_us);
  if (files == nullptr || !files->is_array()) return Damaged("no list \"files\"");
  for (const json& file : *files) {
    ASSIGN_OR_RETURN(manifest.files.emplace_back(), FileFromJson(file));
  }
  return manifest;
}

json ToJson(const SnapshotManifest& manifest) {
  json files = json::array();
  for (const SnapshotFile& file : manifest.files) {
    files.push_back({{"path", file.path}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  return {{"made_by", manifest.made_by},       {"create_us", absl::ToUnixMicros(manifest.create_time)},
          {"collection", manifest.collection}, {"release", manifest.release},
          {"model", manifest.model},           {"revision", manifest.revision},
          {"commit", manifest.commit},         {"documents", manifest.documents},
          {"files", std::move(files)}};
}

// Keys are sorted, so that the text is the same whoever writes it.
int64_t ChecksumOf(const json& snapshot) {
  return Crc32c(snapshot.dump(-1, ' ', false, json::error_handler_t::replace));
}

}  // namespace

int64_t SnapshotManifest::bytes() const {
  int64_t sum = 0;
  for (const SnapshotFile& file : files) sum += file.bytes;
  return sum;
}

std::string ManifestText(const SnapshotManifest& manifest) {
  const json snapshot = ToJson(manifest);
  return json{{"format", kSnapshotFormat}, {"crc32c", ChecksumOf(snapshot)}, {"snapshot", snapshot}}.dump(1) + "\n";
}

absl::StatusOr<SnapshotManifest> ManifestFromText(std::string_view text) {
  const json from = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!from.is_object()) return Damaged("is no JSON object");
  const auto format = from.find("format"), crc = from.find("crc32c"), snapshot = from.find("snapshot");
  if (format == from.end() || !format->is_number_integer()) return Damaged("no number \"format\"");
  if (format->get<int64_t>() > kSnapshotFormat) {
    return absl::FailedPreconditionError(
        Concat("manifest.json: format ", format->get<int64_t>(), " is newer than this server's ", kSnapshotFormat));
  }
  if (*format != kSnapshotFormat || snapshot == from.end()) return Damaged("is of no known format");
  if (crc == from.end() || *crc != ChecksumOf(*snapshot)) return Damaged("its checksum is not that of its text");
  return FromJson(*snapshot);
}

absl::StatusOr<SnapshotManifest> ReadSnapshotManifest(const std::filesystem::path& directory) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(directory / kSnapshotManifestFile));
  ASSIGN_OR_RETURN(SnapshotManifest manifest, ManifestFromText(text));
  manifest.id = directory.filename().string();
  return manifest;
}

}  // namespace tandem
