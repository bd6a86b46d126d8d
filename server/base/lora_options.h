#pragma once
// Low-rank adapters instead of all weights (Hu et al. 2022): of training jobs and of the model that they train.

namespace tandem {

// What the factors begin with. Values reach disk: do not change.
enum class LoraInitialization {
  kRandom = 1,     // Random values and zeros: the adapters add nothing yet.
  kPrincipal = 2,  // The weight's largest singular values, which its rest then lacks (PiSSA, Meng et al. 2024).
};

struct LoraOptions {
  int rank = 0;        // 0: off, else 1 to 256.
  double alpha = 0;    // An adapter's share is alpha / rank; 0: alpha is 2 * rank.
  double dropout = 0;  // 0 with kPrincipal: it would drop what the model knows.
  LoraInitialization initialization = LoraInitialization::kRandom;
};

}  // namespace tandem
