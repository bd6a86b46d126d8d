#include "index/index_builder.h"

#include <algorithm>
#include <vector>

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexLSH.h>
#include <faiss/IndexScalarQuantizer.h>

#include "index/index_kinds.h"
#include "index/row_storage.h"

namespace tandem {
namespace {

// k-means over at most so many vectors a list and so many rounds: a million vectors of 384 dimensions take 4,000 lists,
// which 256,000 vectors teach in about 8 TFLOP.
constexpr int kVectorsPerList = 64;
constexpr int kKMeansRounds = 10;
constexpr int kPqBits = 8;
constexpr int kPqCentroids = 1 << kPqBits;
constexpr int kSeed = 1234;

std::unique_ptr<faiss::Index> BuildHnsw(const VectorIndexOptions& options, int64_t count, const float* rows,
                                        std::string_view vectors) {
  auto graph = std::make_unique<faiss::IndexHNSWFlat>(options.dimensions, options.hnsw_m, FaissMetric(options.metric));
  graph->hnsw.efConstruction = options.hnsw_ef_construction;
  graph->hnsw.efSearch = options.hnsw_ef_search;
  const auto replace_storage = [&](std::unique_ptr<faiss::Index> storage) {
    delete graph->storage;
    graph->storage = storage.release();
  };
  replace_storage(std::make_unique<CodedRowStorage>(options.dimensions, options.metric, vectors));
  graph->add(count, rows);
  auto plain = std::make_unique<RowStorage>(options.dimensions, options.metric, vectors);
  plain->ntotal = count;
  replace_storage(std::move(plain));
  return graph;
}

void SetClustering(faiss::ClusteringParameters* parameters) {
  parameters->niter = kKMeansRounds;
  parameters->max_points_per_centroid = kVectorsPerList;
  parameters->min_points_per_centroid = 1;  // IvfLists sees to it; FAISS would print a warning.
  parameters->seed = kSeed;
}

std::unique_ptr<faiss::Index> BuildIvf(const VectorIndexOptions& options, int64_t count, const float* rows) {
  const int64_t lists = IvfLists(options, count);
  const int dimensions = options.dimensions;
  auto cells = std::make_unique<faiss::IndexFlat>(dimensions, FaissMetric(options.metric));
  std::unique_ptr<faiss::IndexIVF> index;
  std::vector<float> repeated;
  int64_t taught = count;
  if (options.kind == VectorIndexKind::kIvfFlat) {
    index = std::make_unique<faiss::IndexIVFFlat>(cells.get(), dimensions, lists, FaissMetric(options.metric));
  } else {
    auto pq = std::make_unique<faiss::IndexIVFPQ>(cells.get(), dimensions, lists, PqSubquantizers(options), kPqBits,
                                                  FaissMetric(options.metric));
    pq->use_precomputed_table = -1;  // Up to 2 GB for kEuclidean, which readers would make again.
    SetClustering(&pq->pq.cp);
    pq->pq.cp.niter = 2 * kKMeansRounds;
    // 256 centroids want as many vectors: fewer come again, and each becomes a centroid.
    for (int64_t i = 0; count < kPqCentroids && i < kPqCentroids; ++i) {
      const float* const row = rows + i % count * dimensions;
      repeated.insert(repeated.end(), row, row + dimensions);
    }
    taught = std::max<int64_t>(count, kPqCentroids);
    index = std::move(pq);
  }
  index->own_fields = true;
  cells.release();
  SetClustering(&index->cp);
  index->train(taught, repeated.empty() ? rows : repeated.data());
  index->add(count, rows);
  index->nprobe = static_cast<size_t>(IvfNprobe(options, lists));
  return index;
}

}  // namespace

std::unique_ptr<faiss::Index> BuildFaissIndex(const VectorIndexOptions& options, int64_t count,
                                              std::string_view vectors) {
  const auto* const rows = reinterpret_cast<const float*>(vectors.data());
  std::unique_ptr<faiss::Index> index;
  switch (options.kind) {
    case VectorIndexKind::kHnsw:
      return BuildHnsw(options, count, rows, vectors);
    case VectorIndexKind::kIvfFlat:
    case VectorIndexKind::kIvfPq:
      if (count > 0) return BuildIvf(options, count, rows);
      [[fallthrough]];  // Nothing to learn cells from: an empty flat index.
    case VectorIndexKind::kFlat: {
      auto flat = std::make_unique<RowStorage>(options.dimensions, options.metric, vectors);
      flat->ntotal = count;
      return flat;
    }
    case VectorIndexKind::kScalarQuantized: {
      const auto type =
          options.scalar_code == ScalarCode::kInt8 ? faiss::ScalarQuantizer::QT_8bit : faiss::ScalarQuantizer::QT_fp16;
      index = std::make_unique<faiss::IndexScalarQuantizer>(options.dimensions, type, FaissMetric(options.metric));
      break;
    }
    case VectorIndexKind::kBinary:
      index = std::make_unique<faiss::IndexLSH>(options.dimensions, options.dimensions, /*rotate_data=*/false,
                                                /*train_thresholds=*/false);
      break;
  }
  if (count > 0) {
    index->train(count, rows);
    index->add(count, rows);
  }
  return index;
}

}  // namespace tandem
