#include "server/training/embedding_metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tandem {

void ForEachBlock(const torch::Tensor& a, const torch::Tensor& b,
                  const std::function<void(int64_t, const torch::Tensor&)>& visit) {
  const torch::Tensor columns = b.t();
  const int64_t rows = std::max<int64_t>(1, kBlockProducts / std::max<int64_t>(1, b.size(0)));
  for (int64_t begin = 0; begin < a.size(0); begin += rows) {
    visit(begin, torch::matmul(a.narrow(0, begin, std::min(rows, a.size(0) - begin)), columns));
  }
}

std::vector<int64_t> NearestNeighbours(const torch::Tensor& vectors) {
  std::vector<int64_t> nearest;
  ForEachBlock(vectors, vectors, [&](int64_t begin, const torch::Tensor& products) {
    products.diagonal(begin).fill_(-std::numeric_limits<float>::infinity());
    const torch::Tensor best = products.argmax(1).contiguous();
    nearest.insert(nearest.end(), best.data_ptr<int64_t>(), best.data_ptr<int64_t>() + best.numel());
  });
  return nearest;
}

double Alignment(const torch::Tensor& a, const torch::Tensor& b) {
  return (a - b).square().sum(1).mean(torch::kFloat64).item<double>();
}

double Uniformity(const torch::Tensor& vectors) {
  double sum = 0;
  ForEachBlock(vectors, vectors, [&](int64_t begin, const torch::Tensor& products) {
    // Of unit vectors -2 ||x - y||^2 is 4 x.y - 4. Each pair counts twice, none with itself.
    const torch::Tensor potentials = (products * 4 - 4).exp_();
    potentials.diagonal(begin).zero_();
    sum += potentials.sum(torch::kFloat64).item<double>();
  });
  const double n = static_cast<double>(vectors.size(0));
  return std::log(sum / (n * (n - 1)));
}

}  // namespace tandem
