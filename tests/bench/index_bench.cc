// Searches of a sealed VectorIndex beside the same search by FAISS itself on the same vectors: one query at a time, one
// thread, 384 dimensions, top 10.
//   index_bench --benchmark_filter=Flat
#include <omp.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include <benchmark/benchmark.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/index_io.h>

#include "index/vector_index.h"
#include "tests/support/temporary_directory.h"

namespace tandem {
namespace {

constexpr int kDimensions = 384;
constexpr int kQueries = 64;
constexpr int kTop = 10;

// Random vectors around a thousand centres, of length 1.
std::vector<float> Vectors(int64_t count, uint32_t seed) {
  std::mt19937 random(seed), centre_random(1);
  std::normal_distribution<float> normal;
  std::vector<float> centres(1000 * kDimensions), vectors(count * kDimensions);
  for (float& value : centres) value = normal(centre_random);
  for (int64_t i = 0; i < count; ++i) {
    const float* centre = &centres[random() % 1000 * kDimensions];
    double squares = 0;
    float* row = &vectors[i * kDimensions];
    for (int j = 0; j < kDimensions; ++j) row[j] = centre[j] + normal(random);
    for (int j = 0; j < kDimensions; ++j) squares += row[j] * row[j];
    for (int j = 0; j < kDimensions; ++j) row[j] /= std::sqrt(squares);
  }
  return vectors;
}

// An index with labels 1..count, sealed and opened again, and FAISS's own file of it.
struct Fixture {
  Fixture(VectorIndexKind kind, int64_t count) : queries(Vectors(kQueries, 3)) {
    const VectorIndexOptions options{.dimensions = kDimensions, .kind = kind};
    const std::vector<float> vectors = Vectors(count, 2);
    std::vector<int64_t> labels(count);
    for (int64_t i = 0; i < count; ++i) labels[i] = i + 1;
    auto fresh = *VectorIndex::Create(options);
    Check(fresh->Apply(count, labels, vectors, {}));
    Check(VectorIndex::WriteSealed(*fresh->snapshot(), options, directory.path(), 2));
    index = *VectorIndex::Open(directory.path());
    faiss_index.reset(faiss::read_index((directory.path() / "index.faiss").c_str()));
    omp_set_num_threads(1);
  }
  static void Check(const absl::Status& status) {
    if (!status.ok()) std::abort();
  }
  const float* query(int64_t i) const { return &queries[i % kQueries * kDimensions]; }

  const test::TemporaryDirectory directory;
  const std::vector<float> queries;
  std::unique_ptr<VectorIndex> index;
  std::unique_ptr<faiss::Index> faiss_index;
};

// Built once per kind and size: an HNSW graph takes seconds.
const Fixture& FixtureOf(VectorIndexKind kind, int64_t count) {
  static std::map<std::pair<VectorIndexKind, int64_t>, std::unique_ptr<Fixture>> fixtures;
  std::unique_ptr<Fixture>& fixture = fixtures[{kind, count}];
  if (fixture == nullptr) fixture = std::make_unique<Fixture>(kind, count);
  return *fixture;
}

void BM_Tandem(benchmark::State& state, VectorIndexKind kind) {
  const Fixture& fixture = FixtureOf(kind, state.range(0));
  const auto snapshot = fixture.index->snapshot();
  int64_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(snapshot->Search({fixture.query(i++), kDimensions}, {.k = kTop}));
  }
  if (kind == VectorIndexKind::kFlat) {
    state.SetBytesProcessed(state.iterations() * state.range(0) * kDimensions * sizeof(float));
  } else {
    state.counters["recall_at_10"] = *MeasureRecall(*snapshot, fixture.queries, kTop);
  }
}

void BM_Faiss(benchmark::State& state, VectorIndexKind kind) {
  const Fixture& fixture = FixtureOf(kind, state.range(0));
  faiss::SearchParametersHNSW hnsw;
  hnsw.efSearch = fixture.index->options().hnsw_ef_search;
  const faiss::SearchParameters* parameters = kind == VectorIndexKind::kHnsw ? &hnsw : nullptr;
  float distances[kTop];
  faiss::idx_t labels[kTop];
  int64_t i = 0;
  for (auto _ : state) {
    fixture.faiss_index->search(1, fixture.query(i++), kTop, distances, labels, parameters);
    benchmark::DoNotOptimize(labels);
  }
  if (kind == VectorIndexKind::kFlat) {
    state.SetBytesProcessed(state.iterations() * state.range(0) * kDimensions * sizeof(float));
  }
}

BENCHMARK_CAPTURE(BM_Tandem, Flat, VectorIndexKind::kFlat)->Arg(1000)->Arg(20000)->Arg(100000)->UseRealTime();
BENCHMARK_CAPTURE(BM_Faiss, Flat, VectorIndexKind::kFlat)->Arg(1000)->Arg(20000)->Arg(100000)->UseRealTime();
BENCHMARK_CAPTURE(BM_Tandem, Hnsw, VectorIndexKind::kHnsw)->Arg(20000)->UseRealTime();
BENCHMARK_CAPTURE(BM_Faiss, Hnsw, VectorIndexKind::kHnsw)->Arg(20000)->UseRealTime();

}  // namespace
}  // namespace tandem

BENCHMARK_MAIN();
