#include "server/jobs/training_cost.h"

#include <algorithm>
#include <initializer_list>

#include "server/jobs/checked_request.h"

namespace tandem {
namespace {

// LibTorch, the tokenizer and the runtime of a trainer.
constexpr int64_t kTrainerBytes = 170 << 20;
// What the allocator has at its largest over what is in use.
constexpr double kAllocatorFactor = 1.1;
// Of activations: what matrix products give has half the size, everything between them has not. The products have
// copies of their weights, besides.
constexpr double kBFloat16Factor = 0.85;

int64_t LearningLayers(const ModelShape& shape, const TrainerOptions& options) {
  return std::max<int64_t>(0, shape.layers - options.freeze_layers);
}

// Numbers that autograd keeps of one token in one layer. After the input, which is the output of the layer before:
// query, key and value, attention's result, the masks of two dropouts, the two sums that are normalised, and both
// normalised; the inner layer before and after its activation. A gated one has both maps, the activated gate and the
// product. Attention keeps no probabilities: they are computed again.
int64_t LayerNumbers(const ModelShape& shape) {
  return shape.query * 2 + shape.key_value * 2 + 6 * shape.hidden + (shape.gated ? 4 : 2) * shape.inner;
}

// What dropout of the adapters' inputs adds: a mask and a product for each linear map.
int64_t AdapterDropoutNumbers(const ModelShape& shape) {
  return 2 * (3 * shape.hidden + shape.query + (shape.gated ? 2 : 1) * shape.hidden + shape.inner);
}

// Forward, of one token in one layer: the products count twice a weight, and those with each key twice a number of
// query and value.
double LayerOperations(const ModelShape& shape, double text_tokens) {
  return 2 * (static_cast<double>(shape.LayerWeights()) + 2 * text_tokens * static_cast<double>(shape.query));
}

}  // namespace

int64_t ModelShape::LayerWeights() const {
  return hidden * (2 * query + 2 * key_value) + (gated ? 3 : 2) * hidden * inner;
}

ModelShape ShapeOf(int64_t parameters, const nlohmann::json& config) {
  ModelShape shape{.parameters = parameters};
  const auto take = [&](int64_t& out, std::initializer_list<const char*> keys) {
    out = NumberOf(config, keys).value_or(out);
  };
  take(shape.hidden, {"hidden_size", "dim"});
  take(shape.layers, {"num_hidden_layers", "n_layers"});
  take(shape.inner, {"intermediate_size", "hidden_dim"});
  int64_t heads = 12;
  take(heads, {"num_attention_heads", "n_heads"});
  const int64_t head_size = NumberOf(config, {"head_dim"}).value_or(shape.hidden / std::max<int64_t>(1, heads));
  shape.query = heads * head_size;
  shape.key_value = NumberOf(config, {"num_key_value_heads"}).value_or(heads) * head_size;
  const auto type = config.is_object() ? config.find("model_type") : config.end();
  shape.gated = type != config.end() && (*type == "modernbert" || *type == "qwen3");
  return shape;
}

int64_t TrainedParameters(const ModelShape& shape, const TrainerOptions& options) {
  const int64_t layers = LearningLayers(shape, options);
  if (options.lora.rank > 0) {
    // A factor on each side of every linear map: query, key, value, output, up (and gate), down.
    const int64_t sides =
        4 * shape.hidden + 2 * (shape.query + shape.key_value) + (shape.gated ? 3 : 2) * (shape.hidden + shape.inner);
    return options.lora.rank * sides * layers;
  }
  if (options.freeze_layers > 0 || options.freeze_embeddings) return shape.LayerWeights() * layers;
  return shape.parameters;
}

int64_t PeakMemoryBytes(const ModelShape& shape, const TrainerOptions& options, int64_t tokens) {
  const int64_t trained = TrainedParameters(shape, options);
  int64_t numbers = LearningLayers(shape, options) * LayerNumbers(shape);
  if (options.lora.dropout > 0) numbers += LearningLayers(shape, options) * AdapterDropoutNumbers(shape);
  // The embeddings' sums, and gradients on their way through one layer.
  numbers += 10 * shape.hidden + 3 * shape.inner;
  double activations = kAllocatorFactor * 4 * static_cast<double>(numbers) * static_cast<double>(tokens);
  if (options.precision == Precision::kBFloat16) {
    activations = activations * kBFloat16Factor + static_cast<double>(2 * shape.layers * shape.LayerWeights());
  }
  // Gradients and two moments; or, what the allocator keeps of it, the file and a second copy that loading takes.
  const int64_t weights = 4 * shape.parameters;
  return kTrainerBytes + weights + std::max(2 * weights, 12 * trained) + static_cast<int64_t>(activations);
}

double ForwardOperationsPerToken(const ModelShape& shape, double text_tokens) {
  return LayerOperations(shape, text_tokens) * static_cast<double>(shape.layers);
}

double OperationsPerToken(const ModelShape& shape, const TrainerOptions& options, double text_tokens, bool cached) {
  const double layer = LayerOperations(shape, text_tokens);
  const auto all = static_cast<double>(shape.layers), learning = static_cast<double>(LearningLayers(shape, options));
  // Backward, each product has one for the gradient of its input and one for that of its weight, but adapters leave
  // the weights out.
  const double backward = options.lora.rank > 0 ? 1 : 2;
  return layer * (all * (cached ? 2 : 1) + learning * backward);
}

}  // namespace tandem
