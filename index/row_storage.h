#pragma once
// Storage of FAISS's HNSW graph over rows of floats that lie elsewhere, scored with index/kernels.h. Immutable once
// filled; each DistanceComputer is for one thread.

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include <faiss/IndexFlat.h>

#include "index/vector_index.h"

namespace tandem {

faiss::MetricType FaissMetric(VectorMetric metric);

class RowStorage : public faiss::IndexFlat {
 public:
  // `vectors`: row-major floats that outlive this.
  RowStorage(int dimensions, VectorMetric metric, std::string_view vectors);
  // Only counts: IndexHNSW adds to its storage what is already there.
  void add(faiss::idx_t n, const float* vectors) override;
  faiss::DistanceComputer* get_distance_computer() const override;
};

// The same rows for building: each row as bytes with a scale of its own (its largest value is 127), so that the links
// of a node, whose distances to each other decide which stay, are read in a quarter of the memory traffic. The links
// that come out are as good: an error of half a step in each dimension moves a cosine by about 0.0003 at 384
// dimensions. The only queries are rows themselves.
class CodedRowStorage : public RowStorage {
 public:
  CodedRowStorage(int dimensions, VectorMetric metric, std::string_view vectors);
  faiss::DistanceComputer* get_distance_computer() const override;

 private:
  class Computer;
  const size_t code_bytes_;  // A row's, with zeros up to a multiple of 64.
  std::vector<float> scales_, squares_;
  std::unique_ptr<int8_t[], void (*)(void*)> row_codes_;
};

}  // namespace tandem
