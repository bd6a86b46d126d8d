#pragma once
// [torch] AdamW (Loshchilov and Hutter 2019) with decoupled weight decay, as torch.optim.AdamW does it (betas 0.9 and
// 0.999, eps 1e-8), over a model's parameters; gradients are clipped by their global norm first, as clip_grad_norm_
// does. Weight decay leaves out biases and LayerNorm weights, as transformers' Trainer does. The learning rate of layer
// l of n is layer_decay^(n - l) times the step's, that of the embeddings with l = 0 (Howard and Ruder 2018; the factors
// are those of Sun et al. 2019, "How to Fine-Tune BERT for Text Classification?"). Parameters that require no gradient
// are left alone and have no state. All arithmetic of a step is one fused operator for each decay and learning rate.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <torch/torch.h>

#include "absl/status/status.h"
#include "server/encoder/text_model.h"

namespace tandem {

// Whether weight decay applies to the parameter of this name.
bool HasWeightDecay(std::string_view name);

struct AdamWOptions {
  double weight_decay = 0;
  double layer_decay = 1;
  int64_t layers = 0;  // n above.
};

class AdamW {
 public:
  // Parameters keep their storage for the life of the optimizer.
  AdamW(const std::vector<ModelParameter>& parameters, const AdamWOptions& options);

  // The 2-norm of all gradients together. Throws c10::Error.
  double GradientNorm() const;

  // One step; gradients are multiplied by min(1, max_norm / norm) and then dropped. Throws c10::Error.
  void Step(double learning_rate, double max_norm, double norm);

  // Both moments of each trained parameter in the order of construction, float32 little-endian, after a line that names
  // the format and the step. Do not change: checkpoints outlive binaries.
  absl::Status Save(const std::filesystem::path& file) const;
  absl::Status Load(const std::filesystem::path& file);  // DATA_LOSS when it does not fit the parameters.

 private:
  struct Group {  // Parameters of one decay and learning rate, in parallel lists as the operator takes them.
    std::vector<torch::Tensor> parameters, first_moments, second_moments, steps;
    double weight_decay = 0;
    double rate_factor = 1;
  };
  Group& GroupOf(double weight_decay, double rate_factor);
  std::vector<torch::Tensor> Moments() const;

  std::vector<torch::Tensor> parameters_, first_moments_, second_moments_;
  std::vector<Group> groups_;
  int64_t step_ = 0;
};

}  // namespace tandem
