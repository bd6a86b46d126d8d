#pragma once
// Low-rank adapters instead of all weights (Hu et al. 2022): of training jobs and of the model that they train.

namespace tandem {

struct LoraOptions {
  int rank = 0;      // 0: off, else 1 to 256.
  double alpha = 0;  // An adapter's share is alpha / rank; 0: alpha is 2 * rank.
  double dropout = 0;
};

}  // namespace tandem
