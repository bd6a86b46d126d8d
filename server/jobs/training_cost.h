#pragma once
// What training costs, from the shape of a model and the tokens of a step: memory and floating-point operations. The
// constants are measured: tests/bench/estimate_check.py, results in tests/bench/RESULTS.md.

#include <cstdint>

#include <nlohmann/json.hpp>

#include "server/base/job_directory.h"

namespace tandem {

// The sizes of a transformer that count.
struct ModelShape {
  int64_t parameters = 0;
  int64_t hidden = 384, layers = 6, inner = 1536;
  int64_t query = 384, key_value = 384;  // Width of all heads together.
  bool gated = false;                    // The feed-forward layer has two maps up, one of which gates the other.

  int64_t LayerWeights() const;  // Of the linear maps of one layer.
};
// Of a model with so many parameters; keys of config.json of every architecture that tandem has.
ModelShape ShapeOf(int64_t parameters, const nlohmann::json& config);

// Parameters with a gradient and the optimizer's moments: adapters, or all that is not frozen.
int64_t TrainedParameters(const ModelShape& shape, const TrainerOptions& options);

// The largest resident memory of a trainer whose largest forward pass has so many tokens.
int64_t PeakMemoryBytes(const ModelShape& shape, const TrainerOptions& options, int64_t tokens);

// Floating-point operations of embedding, without gradients, one token of a text of `text_tokens`.
double ForwardOperationsPerToken(const ModelShape& shape, double text_tokens);

// Floating-point operations of training on one token of a text of `text_tokens`. `cached`: with gradient caching.
double OperationsPerToken(const ModelShape& shape, const TrainerOptions& options, double text_tokens, bool cached);

}  // namespace tandem
