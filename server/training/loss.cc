#include "server/training/loss.h"

namespace tandem {

torch::Tensor InfoNce(const torch::Tensor& anchors, const torch::Tensor& documents, double scale, bool symmetric) {
  namespace F = torch::nn::functional;
  const int64_t n = anchors.size(0);
  const F::NormalizeFuncOptions unit = F::NormalizeFuncOptions().p(2).dim(1);
  const torch::Tensor scores = torch::matmul(F::normalize(anchors, unit), F::normalize(documents, unit).t()) * scale;
  const torch::Tensor positive = scores.narrow(1, 0, n).diagonal();
  torch::Tensor log_sum = torch::logsumexp(scores, 1);
  if (symmetric) log_sum = (log_sum + torch::logsumexp(scores.narrow(1, 0, n), 0)) / 2;
  return (log_sum - positive).mean();
}

}  // namespace tandem
