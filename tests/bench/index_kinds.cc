// Every kind of index on the same vectors, sealed by tandem and opened again, and the same file searched by FAISS
// itself: one query at a time, one thread, top 10. Started by index_kinds.py, which makes the vectors and measures the
// peers.
//   index_kinds VECTORS.npy QUERIES.npy THREADS [--filters | --no-peers] KIND...
// Prints a line of JSON for each measurement. Times are of the processor, not of the clock, so that a busy machine
// changes them little; builds sum up their threads.
#include <omp.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexRefine.h>
#include <faiss/index_io.h>
#include <nlohmann/json.hpp>

#include "index/index_kinds.h"
#include "index/vector_index.h"
#include "tests/support/temporary_directory.h"

namespace tandem {
namespace {

constexpr int kTop = 10;
constexpr double kSearchSeconds = 2;

struct Matrix {
  int64_t rows = 0;
  int columns = 0;
  std::vector<float> values;
  std::span<const float> row(int64_t i) const { return std::span(values).subspan(i * columns, columns); }
};

[[noreturn]] void Fail(const std::string& what) {
  std::cerr << what << "\n";
  std::exit(1);
}

void Check(const absl::Status& status) {
  if (!status.ok()) Fail(status.ToString());
}

// Version 1 of the format, little-endian floats, row by row: what numpy.save writes of such an array.
Matrix ReadNpy(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char head[10];
  if (!file.read(head, 10)) Fail(path + ": cannot be read");
  std::string description(static_cast<unsigned char>(head[8]) + 256 * static_cast<unsigned char>(head[9]), ' ');
  file.read(description.data(), static_cast<std::streamsize>(description.size()));
  if (description.find("'<f4'") == std::string::npos || description.find("False") == std::string::npos) {
    Fail(path + ": must be float32, row-major");
  }
  Matrix matrix;
  const char* const shape = description.c_str() + description.find('(') + 1;
  matrix.rows = std::atoll(shape);
  matrix.columns = std::atoi(std::strchr(shape, ',') + 1);
  matrix.values.resize(matrix.rows * matrix.columns);
  file.read(reinterpret_cast<char*>(matrix.values.data()),
            static_cast<std::streamsize>(matrix.values.size() * sizeof(float)));
  if (!file) Fail(path + ": is too short");
  return matrix;
}

double ProcessorSeconds() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double Mebibytes(double bytes) { return std::round(bytes / 10485.76) / 100; }

// `search(query)` gives the labels found. Recall is counted in the first round over the queries.
template <typename Search>
nlohmann::json Measure(const Matrix& queries, const std::vector<std::vector<int64_t>>& exact, Search&& search) {
  int64_t found = 0, searches = 0;
  const double start = ProcessorSeconds();
  double seconds = 0;
  while (searches < queries.rows || seconds < kSearchSeconds) {
    const int64_t i = searches % queries.rows;
    const std::vector<int64_t> labels = search(queries.row(i));
    if (searches++ >= queries.rows) {
      seconds = ProcessorSeconds() - start;
      continue;
    }
    for (int64_t label : labels) found += std::count(exact[i].begin(), exact[i].end(), label);
    seconds = ProcessorSeconds() - start;
  }
  return {{"recall", static_cast<double>(found) / static_cast<double>(queries.rows * kTop)},
          {"qps", static_cast<double>(searches) / seconds}};
}

void Print(const char* engine, const std::string& kind, nlohmann::json line) {
  line["engine"] = engine;
  line["kind"] = kind;
  std::cout << line.dump() << std::endl;
}

VectorIndexOptions OptionsOf(const std::string& kind, int dimensions) {
  VectorIndexOptions options{.dimensions = dimensions};
  if (kind == "hnsw") options.kind = VectorIndexKind::kHnsw;
  if (kind == "ivf-flat") options.kind = VectorIndexKind::kIvfFlat;
  if (kind == "ivf-pq") options.kind = VectorIndexKind::kIvfPq;
  if (kind == "sq8" || kind == "sq16") options.kind = VectorIndexKind::kScalarQuantized;
  if (kind == "sq16") options.scalar_code = ScalarCode::kFloat16;
  if (kind == "binary") options.kind = VectorIndexKind::kBinary;
  return options;
}

class Bench {
 public:
  Bench(const Matrix& vectors, const Matrix& queries, int threads)
      : vectors_(vectors),
        queries_(queries),
        threads_(threads),
        fresh_(*VectorIndex::Create(OptionsOf("flat", vectors.columns))) {
    std::vector<int64_t> labels(vectors.rows);
    for (int64_t i = 0; i < vectors.rows; ++i) labels[i] = i + 1;
    Check(fresh_->Apply(vectors.rows, labels, vectors.values, {}));
    const auto snapshot = fresh_->snapshot();
    for (int64_t i = 0; i < queries.rows; ++i) {
      std::vector<int64_t>& hits = exact_.emplace_back();
      const auto best = *snapshot->Search(queries.row(i), {.k = kTop});
      for (const ScoredLabel& hit : best) hits.push_back(hit.label);
    }
  }

  void Run(const std::string& kind, bool build_by_faiss) {
    const test::TemporaryDirectory directory;
    const VectorIndexOptions options = OptionsOf(kind, vectors_.columns);
    double start = ProcessorSeconds();
    Check(VectorIndex::WriteSealed(*fresh_->snapshot(), options, directory.path(), threads_));
    const double build = ProcessorSeconds() - start;
    omp_set_num_threads(1);
    const auto index = *VectorIndex::Open(directory.path());
    const auto snapshot = index->snapshot();
    nlohmann::json line = Measure(queries_, exact_, [&](std::span<const float> query) {
      const auto hits = *snapshot->Search(query, {.k = kTop});
      std::vector<int64_t> labels;
      for (const ScoredLabel& hit : hits) labels.push_back(hit.label);
      return labels;
    });
    const auto file = directory.path() / "index.faiss";
    line["build_s"] = build;
    line["file_mib"] = Mebibytes(static_cast<double>(std::filesystem::file_size(file)));
    line["memory_mib"] = Mebibytes(static_cast<double>(snapshot->memory_bytes()));
    line["estimate_mib"] = Mebibytes(static_cast<double>(EstimateIndexBytes(options, vectors_.rows)));
    Print("tandem", kind, line);
    SearchByFaiss(kind, options, file.string());
    if (kind == "hnsw" && build_by_faiss) BuildByFaiss(options);
  }

  // Searches that may find a share of the vectors only, chosen at random, beside the exact scan of that share.
  void RunFilters(const std::string& kind) {
    const test::TemporaryDirectory directory;
    Check(VectorIndex::WriteSealed(*fresh_->snapshot(), OptionsOf(kind, vectors_.columns), directory.path(), threads_));
    omp_set_num_threads(1);
    const auto index = *VectorIndex::Open(directory.path());
    const auto snapshot = index->snapshot();
    for (const double share : {0.001, 0.01, 0.05, 0.1, 0.2, 0.5}) {
      std::mt19937 random(5);
      Roaring64Map only;
      for (int64_t label = 1; label <= vectors_.rows; ++label) {
        if (std::uniform_real_distribution<>()(random) < share) only.add(static_cast<uint64_t>(label));
      }
      std::vector<std::vector<int64_t>> exact;
      const auto search = [&](std::span<const float> query, bool scan) {
        const auto hits = *snapshot->Search(query, {.k = kTop, .exact = scan, .only = &only});
        std::vector<int64_t> labels;
        for (const ScoredLabel& hit : hits) labels.push_back(hit.label);
        return labels;
      };
      for (int64_t i = 0; i < queries_.rows; ++i) exact.push_back(search(queries_.row(i), true));
      for (const bool scan : {false, true}) {
        nlohmann::json line =
            Measure(queries_, exact, [&](std::span<const float> query) { return search(query, scan); });
        line["share"] = share;
        Print(scan ? "tandem, exact" : "tandem", kind, line);
      }
    }
  }

 private:
  // The file as FAISS reads it, candidates scored again as tandem does.
  void SearchByFaiss(const std::string& kind, const VectorIndexOptions& options, const std::string& file) {
    const std::unique_ptr<faiss::Index> index(faiss::read_index(file.c_str()));
    if (auto* hnsw = dynamic_cast<faiss::IndexHNSW*>(index.get())) hnsw->hnsw.efSearch = options.hnsw_ef_search;
    std::unique_ptr<faiss::IndexRefineFlat> refined;
    if (RerankFactor(options) > 1) {
      refined = std::make_unique<faiss::IndexRefineFlat>(index.get(), vectors_.values.data());
      refined->k_factor = static_cast<float>(RerankFactor(options));
    }
    const faiss::Index& searched = refined == nullptr ? *index : *refined;
    Print("faiss c++", kind, Measure(queries_, exact_, [&](std::span<const float> query) {
            float distances[kTop];
            std::vector<int64_t> rows(kTop);
            searched.search(1, query.data(), kTop, distances, rows.data());
            for (int64_t& row : rows) ++row;
            return rows;
          }));
  }

  void BuildByFaiss(const VectorIndexOptions& options) {
    omp_set_num_threads(threads_);
    faiss::IndexHNSWFlat index(options.dimensions, options.hnsw_m, faiss::METRIC_INNER_PRODUCT);
    index.hnsw.efConstruction = options.hnsw_ef_construction;
    const double start = ProcessorSeconds();
    index.add(vectors_.rows, vectors_.values.data());
    const double build = ProcessorSeconds() - start;
    omp_set_num_threads(1);
    index.hnsw.efSearch = options.hnsw_ef_search;
    nlohmann::json line = Measure(queries_, exact_, [&](std::span<const float> query) {
      float distances[kTop];
      std::vector<int64_t> rows(kTop);
      index.search(1, query.data(), kTop, distances, rows.data());
      for (int64_t& row : rows) ++row;
      return rows;
    });
    line["build_s"] = build;
    Print("faiss c++, built", "hnsw", line);
  }

  const Matrix& vectors_;
  const Matrix& queries_;
  const int threads_;
  const std::unique_ptr<VectorIndex> fresh_;
  std::vector<std::vector<int64_t>> exact_;
};

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  using namespace tandem;
  if (argc < 5) Fail("usage: index_kinds VECTORS.npy QUERIES.npy THREADS KIND...");
  const Matrix vectors = ReadNpy(argv[1]), queries = ReadNpy(argv[2]);
  Bench bench(vectors, queries, std::max(1, std::atoi(argv[3])));
  const std::string mode = argv[4];
  for (int i = mode.starts_with("--") ? 5 : 4; i < argc; ++i) {
    if (mode == "--filters") {
      bench.RunFilters(argv[i]);
    } else {
      bench.Run(argv[i], /*build_by_faiss=*/mode != "--no-peers");
    }
  }
}
