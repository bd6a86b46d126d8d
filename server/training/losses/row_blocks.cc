#include "server/training/losses/row_blocks.h"

#include <algorithm>

namespace tandem {
namespace {

using torch::autograd::variable_list;

struct Blocks {
  int64_t rows, rows_of_block;
  const BlockLoss& loss;
  bool differentiate;
};

// The sum with its gradients, which forward computes and backward hands on times the gradient of the sum.
class BlockwiseSum : public torch::autograd::Function<BlockwiseSum> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& anchors,
                               const torch::Tensor& documents, const Blocks* blocks) {
    const torch::AutoGradMode record(blocks->differentiate);
    const variable_list inputs = {anchors.detach().requires_grad_(blocks->differentiate),
                                  documents.detach().requires_grad_(blocks->differentiate)};
    const variable_list gradients = {torch::zeros_like(anchors), torch::zeros_like(documents)};
    torch::Tensor sum = torch::zeros({});
    for (int64_t begin = 0; begin < blocks->rows; begin += blocks->rows_of_block) {
      const int64_t count = std::min(blocks->rows_of_block, blocks->rows - begin);
      const torch::Tensor value = blocks->loss(inputs[0], inputs[1], begin, count);
      sum = sum + value.detach();
      if (!blocks->differentiate) continue;
      const variable_list parts = torch::autograd::grad({value}, inputs, /*grad_outputs=*/{}, /*retain_graph=*/false,
                                                        /*create_graph=*/false, /*allow_unused=*/true);
      const torch::NoGradGuard accumulate;
      for (size_t i = 0; i < parts.size(); ++i) {
        if (parts[i].defined()) gradients[i].add_(parts[i]);
      }
    }
    context->save_for_backward(gradients);
    return sum;
  }

  static variable_list backward(torch::autograd::AutogradContext* context, const variable_list& outputs) {
    const variable_list gradients = context->get_saved_variables();
    return {gradients[0] * outputs[0], gradients[1] * outputs[0], torch::Tensor()};
  }
};

}  // namespace

torch::Tensor SumOverRows(const torch::Tensor& anchors, const torch::Tensor& documents, int64_t rows, int64_t columns,
                          int64_t block_numbers, const BlockLoss& block) {
  if (rows * columns <= block_numbers) return block(anchors, documents, 0, rows);
  const Blocks blocks{rows, std::max<int64_t>(block_numbers / columns, 1), block,
                      torch::GradMode::is_enabled() && (anchors.requires_grad() || documents.requires_grad())};
  return BlockwiseSum::apply(anchors, documents, &blocks);
}

}  // namespace tandem
