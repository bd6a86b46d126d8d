#include "index/sealed_segment.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

absl::StatusOr<std::unique_ptr<const MappedFile>> OpenChecked(const std::filesystem::path& path, int64_t size,
                                                              uint32_t checksum) {
  absl::StatusOr<std::unique_ptr<const MappedFile>> file = MappedFile::Open(path);
  if (absl::IsNotFound(file.status())) return absl::DataLossError(Concat(path.string(), ": is missing"));
  if (!file.ok()) return file.status();
  const int64_t found = static_cast<int64_t>((*file)->bytes().size());
  if (size >= 0 && found != size) {
    return absl::DataLossError(Concat(path.string(), ": has ", found, " bytes, the manifest asks for ", size));
  }
  if (Crc32c((*file)->bytes()) != checksum) {
    return absl::DataLossError(Concat(path.string(), ": is damaged: its checksum is not the manifest's"));
  }
  return file;
}

absl::Status CheckLabels(const std::filesystem::path& path, std::span<const int64_t> labels, int64_t commit) {
  const bool ascending = std::adjacent_find(labels.begin(), labels.end(), std::greater_equal<>()) == labels.end();
  if (!ascending || (!labels.empty() && labels.back() > commit)) {
    return absl::DataLossError(Concat(path.string(), ": labels must ascend and be at most commit ", commit));
  }
  return absl::OkStatus();
}

}  // namespace

SealedSegment::SealedSegment(const SealedManifest& manifest) : manifest_(manifest) {}
SealedSegment::~SealedSegment() = default;

absl::StatusOr<std::shared_ptr<const SealedSegment>> SealedSegment::Open(const std::filesystem::path& directory) {
  ASSIGN_OR_RETURN(const SealedManifest manifest, ReadManifest(directory));
  const int64_t dimensions = manifest.options.dimensions;
  if (manifest.count < 0 || manifest.count > std::numeric_limits<int32_t>::max() || !manifest.options.Validate().ok()) {
    return absl::DataLossError(Concat((directory / kSealedManifestFile).string(), ": count or options out of range"));
  }
  auto segment = std::shared_ptr<SealedSegment>(new SealedSegment(manifest));
  const std::filesystem::path labels_path = directory / kSealedLabelsFile;
  ASSIGN_OR_RETURN(segment->labels_, OpenChecked(labels_path, manifest.count * 8, manifest.labels_checksum));
  ASSIGN_OR_RETURN(segment->vectors_, OpenChecked(directory / kSealedVectorsFile, manifest.count * dimensions * 4,
                                                  manifest.vectors_checksum));
  RETURN_IF_ERROR(CheckLabels(labels_path, {segment->rows().labels, segment->count()}, manifest.commit));
  const std::filesystem::path index_path = directory / kSealedIndexFile;
  RETURN_IF_ERROR(OpenChecked(index_path, /*size=*/-1, manifest.index_checksum).status());
  if (manifest.options.kind != VectorIndexKind::kFlat && manifest.count > 0) {
    ASSIGN_OR_RETURN(segment->finder_, RowFinder::Open(index_path, manifest, segment->vectors_->bytes()));
  }
  return segment;
}

RowRange SealedSegment::rows() const {
  return {.vectors = vectors_ == nullptr ? nullptr : reinterpret_cast<const float*>(vectors_->bytes().data()),
          .labels = reinterpret_cast<const int64_t*>(labels_->bytes().data()),
          .first_position = 0,
          .count = count()};
}

int64_t SealedSegment::memory_bytes() const {
  const VectorIndexKind kind = manifest_.options.kind;
  const bool reads_vectors = kind == VectorIndexKind::kFlat || kind == VectorIndexKind::kHnsw;
  return static_cast<int64_t>(labels_->bytes().size() + (reads_vectors ? vectors_->bytes().size() : 0)) +
         (finder_ == nullptr ? 0 : finder_->memory_bytes());
}

std::span<const float> SealedSegment::vector(uint32_t row) const {
  const size_t dimensions = static_cast<size_t>(manifest_.options.dimensions);
  return {rows().vectors + row * dimensions, dimensions};
}

std::optional<uint32_t> SealedSegment::RowOf(int64_t label) const {
  const int64_t* const first = rows().labels;
  const int64_t* const last = first + count();
  const int64_t* const found = std::lower_bound(first, last, label);
  if (found == last || *found != label) return std::nullopt;
  return static_cast<uint32_t>(found - first);
}

}  // namespace tandem
