#include "index/row_finder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexLSH.h>
#include <faiss/IndexScalarQuantizer.h>
#include <faiss/impl/AuxIndexStructures.h>
#include <faiss/impl/DistanceComputer.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/impl/ResultHandler.h>
#include <faiss/index_io.h>

#include "index/faiss_guard.h"
#include "index/index_kinds.h"
#include "index/kernels.h"
#include "index/row_storage.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

struct FindableSelector : faiss::IDSelector {
  explicit FindableSelector(const Findable& findable) : findable(findable) {}
  bool is_member(faiss::idx_t row) const override { return findable.Contains(row); }
  const Findable& findable;
};

bool AllAreFindable(const Findable& findable) { return findable.only == nullptr && findable.hidden.isEmpty(); }

// Marks of visited rows, one byte each. Kept per thread: clearing them anew would cost each search a pass over all
// rows.
faiss::VisitedTable& VisitedRows(size_t rows) {
  thread_local faiss::VisitedTable table(0);
  if (table.visited.size() < rows) table.visited.resize(rows);
  table.advance();
  return table;
}

bool IsGraph(const faiss::Index* index, const SealedManifest& manifest, std::string_view vectors) {
  const auto* hnsw = dynamic_cast<const faiss::IndexHNSW*>(index);
  const auto* storage = hnsw == nullptr ? nullptr : dynamic_cast<const faiss::IndexFlat*>(hnsw->storage);
  return storage != nullptr && storage->codes.byte_size() == vectors.size() &&
         hnsw->hnsw.nb_neighbors(0) == 2 * manifest.options.hnsw_m;
}

bool IsLists(const faiss::Index* index, const SealedManifest& manifest) {
  const auto* ivf = dynamic_cast<const faiss::IndexIVF*>(index);
  if (ivf == nullptr || static_cast<int64_t>(ivf->nlist) != IvfLists(manifest.options, manifest.count)) return false;
  const auto* pq = dynamic_cast<const faiss::IndexIVFPQ*>(index);
  if (manifest.options.kind == VectorIndexKind::kIvfPq) {
    return pq != nullptr && static_cast<int>(pq->pq.M) == PqSubquantizers(manifest.options);
  }
  return dynamic_cast<const faiss::IndexIVFFlat*>(index) != nullptr;
}

bool IsCodes(const faiss::Index* index, const SealedManifest& manifest, size_t code_bytes) {
  const auto* codes = dynamic_cast<const faiss::IndexFlatCodes*>(index);
  return codes != nullptr && codes->code_size == code_bytes &&
         codes->codes.size() == code_bytes * static_cast<size_t>(manifest.count);
}

// The file's checksum was right, so this only fails when another file was put there with its manifest.
bool IsIndexOf(const faiss::Index* index, const SealedManifest& manifest, std::string_view vectors) {
  const VectorIndexOptions& options = manifest.options;
  const auto dimensions = static_cast<size_t>(options.dimensions);
  if (index->ntotal != manifest.count || index->d != options.dimensions) return false;
  if (options.kind != VectorIndexKind::kBinary && index->metric_type != FaissMetric(options.metric)) return false;
  switch (options.kind) {
    case VectorIndexKind::kFlat:
      return true;
    case VectorIndexKind::kHnsw:
      return IsGraph(index, manifest, vectors);
    case VectorIndexKind::kIvfFlat:
    case VectorIndexKind::kIvfPq:
      return IsLists(index, manifest);
    case VectorIndexKind::kScalarQuantized:
      return dynamic_cast<const faiss::IndexScalarQuantizer*>(index) != nullptr &&
             IsCodes(index, manifest, options.scalar_code == ScalarCode::kInt8 ? dimensions : 2 * dimensions);
    case VectorIndexKind::kBinary:
      return dynamic_cast<const faiss::IndexLSH*>(index) != nullptr && IsCodes(index, manifest, (dimensions + 7) / 8);
  }
  return false;
}

// So many rows that a filter leaves are scored in less than 0.1 ms, and exactly: no kind is faster by much.
constexpr int64_t kFewRows = 1000;

// Rows that a search of lists looks at for each hit, at the least.
constexpr int64_t kLookedAtPerHit = 8;

int64_t RowsIn(const faiss::IndexIVF& index, std::span<const int64_t> cells) {
  int64_t rows = 0;
  for (int64_t cell : cells) {
    if (cell >= 0) rows += static_cast<int64_t>(index.get_list_size(cell));
  }
  return rows;
}

// The best `wanted` of the findable rows; `score(first, count, scores)` scores a few rows that follow each other.
template <typename Score>
std::vector<int64_t> BestRows(const Findable& findable, int64_t wanted, Score&& score) {
  constexpr int64_t kAtOnce = 256;
  TopHits top(static_cast<size_t>(wanted));
  float scores[kAtOnce];
  const auto offer = [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row += kAtOnce) {
      const int64_t count = std::min(kAtOnce, last - row);
      score(row, count, scores);
      for (int64_t i = 0; i < count; ++i) top.Offer(row + i, scores[i]);
    }
  };
  if (findable.only == nullptr) {
    VisitRuns(findable.rows, findable.hidden, offer);
  } else {
    for (int64_t row : RowsWithLabels(findable.rows, *findable.only, findable.hidden)) offer(row, row + 1);
  }
  std::vector<int64_t> rows;
  for (const ScoredLabel& hit : top.TakeBestFirst()) rows.push_back(hit.label);
  return rows;
}

std::vector<int64_t> BestOfBits(const faiss::IndexLSH& index, std::span<const float> query, int64_t candidates,
                                const Findable& findable) {
  const size_t size = index.code_size;
  std::vector<uint8_t> code(size);
  index.sa_encode(1, query.data(), code.data());
  int32_t distances[256];
  return BestRows(findable, candidates, [&](int64_t first, int64_t count, float* scores) {
    const size_t bytes = static_cast<size_t>(count) * size;
    Prefetch(index.codes.data() + static_cast<size_t>(first) * size + bytes, bytes);
    HammingDistances(code.data(), index.codes.data() + static_cast<size_t>(first) * size, size,
                     static_cast<size_t>(count), distances);
    for (int64_t i = 0; i < count; ++i) scores[i] = static_cast<float>(-distances[i]);
  });
}

// A code stands for lowest + step * (code + 1/2) in each dimension, so that up to a constant its inner product with the
// query is the sum of code * weight with weight = query * step. Weights of 15 bits do: their error is far below that of
// the codes. FAISS makes floats of the codes instead, which takes twice as long.
std::vector<int64_t> BestOfBytes(const faiss::IndexScalarQuantizer& index, std::span<const float> query,
                                 int64_t candidates, const Findable& findable) {
  const size_t dimensions = query.size();
  const float* const steps = index.sq.trained.data() + dimensions;  // Behind the lowest values.
  float largest = 0;
  for (size_t i = 0; i < dimensions; ++i) largest = std::max(largest, std::abs(query[i] * steps[i]));
  std::vector<int8_t> high((dimensions + 63) / 64 * 64), low(high.size());
  for (size_t i = 0; i < dimensions && largest > 0; ++i) {
    const auto weight = static_cast<int>(std::lrint(127.0 * 128 * (query[i] * steps[i] / largest)));
    high[i] = static_cast<int8_t>(std::lrint(weight / 128.0));
    low[i] = static_cast<int8_t>(weight - 128 * high[i]);
  }
  return BestRows(findable, candidates, [&](int64_t first, int64_t count, float* scores) {
    const uint8_t* code = index.codes.data() + static_cast<size_t>(first) * dimensions;
    for (int64_t i = 0; i < count; ++i, code += dimensions) {
      Prefetch(code + kPrefetchBytes, dimensions);
      scores[i] = static_cast<float>(WeightedSum(code, high.data(), low.data(), dimensions));
    }
  });
}

}  // namespace

bool Findable::Contains(int64_t row) const {
  return !hidden.contains(static_cast<uint32_t>(row)) &&
         (only == nullptr || only->contains(static_cast<uint64_t>(rows.labels[row])));
}

RowFinder::RowFinder(const VectorIndexOptions& options) : options_(options) {}
RowFinder::~RowFinder() = default;

absl::StatusOr<std::unique_ptr<const RowFinder>> RowFinder::Open(const std::filesystem::path& path,
                                                                 const SealedManifest& manifest,
                                                                 std::string_view vectors) {
  auto finder = std::unique_ptr<RowFinder>(new RowFinder(manifest.options));
  bool matches = false;
  RETURN_IF_ERROR(FaissGuard(path.string(), [&] {
    // Lists have a way of their own: the other would first allocate them all. Tables for kEuclidean lists would take a
    // byte of memory for every few of the codes that they speed up.
    const int mapping = HasLists(manifest.options.kind) ? faiss::IO_FLAG_MMAP : faiss::IO_FLAG_MMAP_IFC;
    finder->index_.reset(faiss::read_index(path.c_str(), mapping | faiss::IO_FLAG_SKIP_PRECOMPUTE_TABLE));
    matches = IsIndexOf(finder->index_.get(), manifest, vectors);
    if (!matches || manifest.options.kind != VectorIndexKind::kHnsw) return;
    auto* const graph = dynamic_cast<faiss::IndexHNSW*>(finder->index_.get());
    auto rows = std::make_unique<RowStorage>(manifest.options.dimensions, manifest.options.metric, vectors);
    rows->ntotal = manifest.count;
    delete std::exchange(graph->storage, rows.release());
  }));
  if (!matches) {
    return absl::DataLossError(Concat(path.string(), ": is not the index that the manifest describes"));
  }
  std::error_code error;
  finder->memory_bytes_ = static_cast<int64_t>(std::filesystem::file_size(path, error));
  if (error) return absl::InternalError(Concat(path.string(), ": ", error.message()));
  finder->graph_ = dynamic_cast<const faiss::IndexHNSW*>(finder->index_.get());
  finder->lists_ = dynamic_cast<const faiss::IndexIVF*>(finder->index_.get());
  if (finder->graph_ != nullptr) finder->memory_bytes_ -= static_cast<int64_t>(vectors.size());
  return finder;
}

absl::StatusOr<std::optional<std::vector<int64_t>>> RowFinder::Find(std::span<const float> query,
                                                                    const VectorSearch& search,
                                                                    const Findable& findable) const {
  Rows rows;
  const int64_t candidates = int64_t{search.k} * search.rerank_factor.value_or(RerankFactor(options_));
  if (candidates >= findable.count) return rows;
  if (findable.only != nullptr && findable.count <= kFewRows) return rows;
  RETURN_IF_ERROR(FaissGuard("index search", [&] {
    if (graph_ != nullptr) {
      rows = WalkGraph(query, search, findable);
    } else if (lists_ != nullptr) {
      rows = ProbeLists(query, candidates, search, findable);
    } else {
      rows = ScanCodes(query, candidates, findable);
    }
  }));
  return rows;
}

RowFinder::Rows RowFinder::WalkGraph(std::span<const float> query, const VectorSearch& search,
                                     const Findable& findable) const {
  // So many candidates that about ef of them may be found.
  const int64_t ef = std::max(search.ef_search.value_or(options_.hnsw_ef_search), search.k);
  const int64_t widened = (ef * findable.rows.count + findable.count - 1) / findable.count;
  // A walk of so many steps scores at most as many times the 2 M links of a row. Among 100,000 vectors of 384
  // dimensions that is where a scan became slower: with a filter that left a seventh of them.
  const int64_t scanned = findable.only == nullptr ? int64_t{findable.rows.count} : findable.count;
  if (widened * 2 * options_.hnsw_m >= scanned) return std::nullopt;

  // Not IndexHNSW::search, which allocates and clears its marks for every call and looks for OpenMP threads.
  using Handler = faiss::HeapBlockResultHandler<faiss::HNSW::C>;
  std::vector<int64_t> rows(search.k, -1);
  std::vector<float> distances(search.k);
  Handler block(1, distances.data(), rows.data(), search.k);
  Handler::SingleResultHandler result(block);
  std::unique_ptr<faiss::DistanceComputer> distance(graph_->storage->get_distance_computer());
  if (graph_->metric_type == faiss::METRIC_INNER_PRODUCT) {
    distance = std::make_unique<faiss::NegativeDistanceComputer>(distance.release());
  }
  FindableSelector selector(findable);
  faiss::SearchParametersHNSW parameters;
  parameters.efSearch = static_cast<int>(widened);
  if (!AllAreFindable(findable)) parameters.sel = &selector;
  distance->set_query(query.data());
  result.begin(0);
  graph_->hnsw.search(*distance, result, VisitedRows(findable.rows.count), &parameters);
  result.end();
  std::erase(rows, -1);
  return rows;
}

RowFinder::Rows RowFinder::ProbeLists(std::span<const float> query, int64_t candidates, const VectorSearch& search,
                                      const Findable& findable) const {
  const auto lists = static_cast<int64_t>(lists_->nlist);
  int64_t nprobe = std::min<int64_t>(search.nprobe.value_or(IvfNprobe(options_, lists)), lists);
  const bool filtered = findable.only != nullptr;
  if (filtered) {
    // The nearest of fewer rows lie farther away, so more lists are looked at: recall@10 of 100,000 vectors fell from
    // 0.87 to 0.78 where a filter left a tenth of them. And when it leaves no more rows than those lists have, their
    // vectors are scored at once, and exactly.
    if (!search.nprobe.has_value()) {
      const double left = static_cast<double>(findable.count) / findable.rows.count;
      nprobe = std::min<int64_t>(lists, std::llround(static_cast<double>(nprobe) / std::sqrt(left)));
    }
    if (findable.count <= nprobe * findable.rows.count / lists) return std::nullopt;
  }
  // What a filter leaves may lie in other lists than those nearest to the query, and many hits want more lists than a
  // few: either way several times the hits must have been looked at.
  const int64_t wide = std::min<int64_t>(kLookedAtPerHit * search.k, findable.count);
  const int64_t enough = filtered ? wide : std::min<int64_t>(search.k, findable.count);
  candidates = std::max(candidates, enough);
  for (;; nprobe = std::min(2 * nprobe, lists)) {
    std::vector<float> distances(nprobe);
    std::vector<int64_t> cells(nprobe);
    lists_->quantizer->search(1, query.data(), nprobe, distances.data(), cells.data());
    // Lists that were asked for are taken as they are, if they have enough.
    const bool wide_enough = filtered || search.nprobe.has_value() || RowsIn(*lists_, cells) >= wide;
    if (!wide_enough && nprobe < lists) continue;
    std::vector<int64_t> rows = SearchLists(query, cells, distances, candidates, findable);
    if (static_cast<int64_t>(rows.size()) >= enough || nprobe == lists) return rows;
  }
}

std::vector<int64_t> RowFinder::SearchLists(std::span<const float> query, std::span<const int64_t> cells,
                                            std::span<const float> cell_distances, int64_t candidates,
                                            const Findable& findable) const {
  std::vector<float> distances(candidates);
  std::vector<int64_t> rows(candidates);
  FindableSelector selector(findable);
  faiss::SearchParametersIVF parameters;
  parameters.nprobe = cells.size();
  if (!AllAreFindable(findable)) parameters.sel = &selector;
  faiss::IndexIVFStats stats;  // FAISS's own are global and not guarded.
  lists_->search_preassigned(1, query.data(), candidates, cells.data(), cell_distances.data(), distances.data(),
                             rows.data(), /*store_pairs=*/false, &parameters, &stats);
  std::erase(rows, -1);
  return rows;
}

RowFinder::Rows RowFinder::ScanCodes(std::span<const float> query, int64_t candidates, const Findable& findable) const {
  if (const auto* bits = dynamic_cast<const faiss::IndexLSH*>(index_.get()); bits != nullptr) {
    return BestOfBits(*bits, query, candidates, findable);
  }
  const bool similarity = index_->metric_type == faiss::METRIC_INNER_PRODUCT;
  if (similarity && options_.scalar_code == ScalarCode::kInt8) {
    return BestOfBytes(dynamic_cast<const faiss::IndexScalarQuantizer&>(*index_), query, candidates, findable);
  }
  const auto& codes = dynamic_cast<const faiss::IndexFlatCodes&>(*index_);
  const std::unique_ptr<faiss::DistanceComputer> distance(codes.get_distance_computer());
  distance->set_query(query.data());
  const float sign = similarity ? 1 : -1;
  return BestRows(findable, candidates, [&](int64_t first, int64_t count, float* scores) {
    for (int64_t i = 0; i < count; ++i) {
      Prefetch(codes.codes.data() + static_cast<size_t>(first + i) * codes.code_size + kPrefetchBytes, codes.code_size);
      scores[i] = sign * (*distance)(first + i);
    }
  });
}

}  // namespace tandem
