#include "index/sealed_segment.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/impl/AuxIndexStructures.h>
#include <faiss/impl/DistanceComputer.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/impl/ResultHandler.h>
#include <faiss/index_io.h>

#include "index/faiss_guard.h"
#include "server/base/files.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

struct Findable : faiss::IDSelector {
  Findable(const int64_t* labels, const Roaring& hidden, const Roaring64Map* only)
      : labels(labels), hidden(hidden), only(only) {}
  bool is_member(faiss::idx_t row) const override {
    return !hidden.contains(static_cast<uint32_t>(row)) &&
           (only == nullptr || only->contains(static_cast<uint64_t>(labels[row])));
  }
  const int64_t* const labels;
  const Roaring& hidden;
  const Roaring64Map* const only;
};

// Marks of visited rows, one byte each. Kept per thread: clearing them anew would cost each search a pass over all
// rows.
faiss::VisitedTable& VisitedRows(size_t rows) {
  thread_local faiss::VisitedTable table(0);
  if (table.visited.size() < rows) table.visited.resize(rows);
  table.advance();
  return table;
}

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

// Reads the graph and puts the mmapped `vectors` in place of the copy that index.faiss brings.
absl::Status LoadGraph(const std::filesystem::path& path, const SealedManifest& manifest, std::string_view vectors,
                       std::unique_ptr<faiss::IndexHNSW>* graph) {
  bool matches = false;
  RETURN_IF_ERROR(FaissGuard(path.string(), [&] {
    std::unique_ptr<faiss::Index> index(faiss::read_index(path.c_str(), faiss::IO_FLAG_MMAP_IFC));
    auto* hnsw = dynamic_cast<faiss::IndexHNSW*>(index.get());
    auto* storage = hnsw == nullptr ? nullptr : dynamic_cast<faiss::IndexFlat*>(hnsw->storage);
    matches = storage != nullptr && hnsw->ntotal == manifest.count && hnsw->d == manifest.options.dimensions &&
              storage->codes.byte_size() == vectors.size() && hnsw->metric_type == faiss::METRIC_INNER_PRODUCT;
    if (!matches) return;
    storage->codes = faiss::MaybeOwnedVector<uint8_t>::create_view(const_cast<char*>(vectors.data()), vectors.size(),
                                                                   /*owner=*/nullptr);
    graph->reset(hnsw);
    index.release();
  }));
  return matches ? absl::OkStatus()
                 : absl::DataLossError(Concat(path.string(), ": is not the graph that the manifest describes"));
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
  const std::filesystem::path graph_path = directory / kSealedGraphFile;
  ASSIGN_OR_RETURN(const auto graph_file, OpenChecked(graph_path, /*size=*/-1, manifest.graph_checksum));
  if (manifest.options.kind == VectorIndexKind::kHnsw && manifest.count > 0) {
    RETURN_IF_ERROR(LoadGraph(graph_path, manifest, segment->vectors_->bytes(), &segment->graph_));
    segment->graph_bytes_ =
        static_cast<int64_t>(graph_file->bytes().size()) - static_cast<int64_t>(segment->vectors_->bytes().size());
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
  return static_cast<int64_t>(labels_->bytes().size() + vectors_->bytes().size()) + graph_bytes_;
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

absl::StatusOr<std::vector<int64_t>> SealedSegment::WalkGraph(std::span<const float> query, int k, int ef,
                                                              const Roaring& hidden, const Roaring64Map* only) const {
  std::vector<int64_t> rows(k, -1);
  if (graph_ == nullptr || k == 0) return std::vector<int64_t>();
  // Not IndexHNSW::search, which allocates and clears its marks for every call and looks for OpenMP threads.
  RETURN_IF_ERROR(FaissGuard("HNSW search", [&] {
    using Handler = faiss::HeapBlockResultHandler<faiss::HNSW::C>;
    std::vector<float> distances(k);
    Handler block(1, distances.data(), rows.data(), k);
    Handler::SingleResultHandler result(block);
    faiss::NegativeDistanceComputer distance(graph_->storage->get_distance_computer());
    const Findable selector(this->rows().labels, hidden, only);
    faiss::SearchParametersHNSW parameters;
    parameters.efSearch = ef;
    if (only != nullptr || !hidden.isEmpty()) parameters.sel = const_cast<Findable*>(&selector);
    distance.set_query(query.data());
    result.begin(0);
    graph_->hnsw.search(distance, result, VisitedRows(count()), &parameters);
    result.end();
  }));
  std::erase(rows, -1);
  return rows;
}

}  // namespace tandem
