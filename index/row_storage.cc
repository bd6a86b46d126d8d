#include "index/row_storage.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#include <faiss/impl/DistanceComputer.h>

#include "index/kernels.h"

namespace tandem {
namespace {

constexpr size_t kLine = 64;  // Bytes the CPU reads at once.

class RowComputer : public faiss::DistanceComputer {
 public:
  RowComputer(const float* rows, size_t dimensions, bool euclidean)
      : rows_(rows), dimensions_(dimensions), euclidean_(euclidean) {}
  void set_query(const float* query) override { query_ = query; }
  float operator()(faiss::idx_t i) override { return Score(query_, Row(i)); }
  float symmetric_dis(faiss::idx_t i, faiss::idx_t j) override { return Score(Row(i), Row(j)); }
  void distances_batch_4(const faiss::idx_t i0, const faiss::idx_t i1, const faiss::idx_t i2, const faiss::idx_t i3,
                         float& d0, float& d1, float& d2, float& d3) override {
    // Two lines of each: the CPU follows by itself from there.
    for (const faiss::idx_t i : {i0, i1, i2, i3}) Prefetch(Row(i), std::min(2 * kLine, 4 * dimensions_));
    d0 = (*this)(i0);
    d1 = (*this)(i1);
    d2 = (*this)(i2);
    d3 = (*this)(i3);
  }

 private:
  const float* Row(faiss::idx_t i) const { return rows_ + static_cast<size_t>(i) * dimensions_; }
  float Score(const float* a, const float* b) const {
    return euclidean_ ? SquaredDistance(a, b, dimensions_) : InnerProduct(a, b, dimensions_);
  }

  const float* const rows_;
  const size_t dimensions_;
  const bool euclidean_;
  const float* query_ = nullptr;
};

}  // namespace

faiss::MetricType FaissMetric(VectorMetric metric) {
  return metric == VectorMetric::kEuclidean ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT;
}

RowStorage::RowStorage(int dimensions, VectorMetric metric, std::string_view vectors)
    : IndexFlat(dimensions, FaissMetric(metric)) {
  codes = faiss::MaybeOwnedVector<uint8_t>::create_view(const_cast<char*>(vectors.data()), vectors.size(),
                                                        /*owner=*/nullptr);
}

void RowStorage::add(faiss::idx_t n, const float*) { ntotal += n; }

faiss::DistanceComputer* RowStorage::get_distance_computer() const {
  return new RowComputer(get_xb(), static_cast<size_t>(d), metric_type == faiss::METRIC_L2);
}

class CodedRowStorage::Computer : public faiss::DistanceComputer {
 public:
  explicit Computer(const CodedRowStorage& storage) : storage_(storage) {}
  void set_query(const float* query) override {
    query_ = (query - storage_.get_xb()) / storage_.d;  // It is one of the rows.
  }
  float operator()(faiss::idx_t i) override { return symmetric_dis(query_, i); }
  float symmetric_dis(faiss::idx_t i, faiss::idx_t j) override {
    const float product = storage_.scales_[i] * storage_.scales_[j] *
                          static_cast<float>(InnerProductInt8(Code(i), Code(j), storage_.code_bytes_));
    if (storage_.metric_type == faiss::METRIC_INNER_PRODUCT) return product;
    return storage_.squares_[i] + storage_.squares_[j] - 2 * product;
  }
  void distances_batch_4(const faiss::idx_t i0, const faiss::idx_t i1, const faiss::idx_t i2, const faiss::idx_t i3,
                         float& d0, float& d1, float& d2, float& d3) override {
    for (const faiss::idx_t i : {i0, i1, i2, i3}) Prefetch(Code(i), std::min<size_t>(storage_.code_bytes_, 8 * kLine));
    d0 = (*this)(i0);
    d1 = (*this)(i1);
    d2 = (*this)(i2);
    d3 = (*this)(i3);
  }

 private:
  const int8_t* Code(faiss::idx_t i) const {
    return storage_.row_codes_.get() + static_cast<size_t>(i) * storage_.code_bytes_;
  }
  const CodedRowStorage& storage_;
  faiss::idx_t query_ = 0;
};

CodedRowStorage::CodedRowStorage(int dimensions, VectorMetric metric, std::string_view vectors)
    : RowStorage(dimensions, metric, vectors),
      code_bytes_((static_cast<size_t>(dimensions) + kLine - 1) / kLine * kLine),
      row_codes_(nullptr, std::free) {
  const size_t rows = vectors.size() / (sizeof(float) * d);
  row_codes_.reset(static_cast<int8_t*>(std::aligned_alloc(kLine, std::max(rows, size_t{1}) * code_bytes_)));
  if (row_codes_ == nullptr) throw std::bad_alloc();
  scales_.resize(rows);
  squares_.resize(rows);
  for (size_t i = 0; i < rows; ++i) {
    const float* const row = get_xb() + i * d;
    int8_t* const code = row_codes_.get() + i * code_bytes_;
    float largest = 0;
    for (int j = 0; j < d; ++j) largest = std::max(largest, std::abs(row[j]));
    const float step = largest / 127;
    // A row of zeros, or of numbers so small that their step is none, is a row of zeros.
    const bool zero = !std::isnormal(step);
    for (int j = 0; j < d; ++j) code[j] = zero ? 0 : static_cast<int8_t>(std::lrintf(row[j] / step));
    std::memset(code + d, 0, code_bytes_ - d);
    scales_[i] = zero ? 0 : step;
    squares_[i] = scales_[i] * scales_[i] * static_cast<float>(InnerProductInt8(code, code, code_bytes_));
  }
}

faiss::DistanceComputer* CodedRowStorage::get_distance_computer() const { return new Computer(*this); }

}  // namespace tandem
