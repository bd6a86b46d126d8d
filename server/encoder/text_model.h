#pragma once
// [torch] The trainable model behind Encoder and tandem-trainer: packed tokens in, one vector a text out. There is no
// padding anywhere: the texts of a batch lie end to end, every linear layer sees [tokens, hidden], only attention sees
// rows.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "absl/status/statusor.h"
#include "server/base/embedding_contract.h"
#include "server/base/lora_options.h"
#include "server/encoder/encoder.h"
#include "server/encoder/tokenizer.h"

namespace tandem {

// Texts end to end. offsets has texts + 1 entries; text i is ids[offsets[i] .. offsets[i+1]).
struct PackedTokens {
  torch::Tensor ids;        // int64 [tokens]
  torch::Tensor positions;  // int64 [tokens], 0.. in each text
  std::vector<int64_t> offsets;
  int64_t texts() const { return static_cast<int64_t>(offsets.size()) - 1; }
};
PackedTokens Pack(std::span<const TokenizedText* const> texts);

// Dropout for training. The mask of a value comes from (seed, step, example key of its text, layer, place) alone, so
// that gradient caching in any chunks and a resumed run see the same masks.
struct DropoutSource {
  uint64_t seed = 0;
  int64_t step = 0;
  std::vector<uint64_t> examples;  // One key a text of the batch, unique in the step.
};

struct ModelParameter {
  std::string name;     // As in model.safetensors.
  torch::Tensor value;  // Shares the model's storage: change it in place only (`add_`, `copy_`).
  int64_t layer = 0;    // 0: the embeddings, 1 .. layers(): the layers, layers() too: what follows the last one.
};

class TextModel {
 public:
  // Weights as float32. Errors as Encoder::Load.
  static absl::StatusOr<std::unique_ptr<TextModel>> Load(const std::filesystem::path& directory);
  ~TextModel();

  const EmbeddingContract& contract() const;
  const Tokenizer& tokenizer() const;  // Thread-safe.
  int max_positions() const;           // Longest text in tokens that the weights allow.
  std::string_view architecture() const;
  std::filesystem::path weights_file() const;  // Where Save writes the weights, below its directory.

  // [texts, dimensions] float32, pooled and (contract.normalize) brought to length 1. With `dropout` the model's own
  // rates (config.json) are applied; without it none. `between_layers`, when not null, runs before each layer. Autograd
  // records unless the caller holds a NoGradGuard. Throws c10::Error.
  torch::Tensor Forward(const PackedTokens& tokens, const DropoutSource* dropout,
                        const std::function<void()>& between_layers = nullptr);

  std::vector<ModelParameter> Parameters() const;  // In a fixed order.
  int64_t layers() const;

  // Freezes all parameters and adds trainable adapters to the linear maps of the layers: query, key, value, output and
  // feed-forward. Parameters() lists their factors after the others, as the map's name + ".lora_A" and ".lora_B". With
  // kRandom the first begins with random values of `seed`, as peft's kaiming_uniform, the second as 0. With kPrincipal
  // they share the largest singular values of the map and their vectors, as peft's "pissa", and the map's own weight is
  // what is left; where rank is above the map's, the rest is as with kRandom. The outputs stay what they were.
  // REQUIRES: options.rank >= 1; no adapters were added before.
  absl::Status AddLora(const LoraOptions& options, uint64_t seed);
  bool has_lora() const;
  // The adapters' factors as a safetensors file by their names. LoadLora reads them into the same adapters: DATA_LOSS
  // when the file's do not fit.
  absl::Status SaveLora(const std::filesystem::path& file) const;
  absl::Status LoadLora(const std::filesystem::path& file);

  // Writes a complete sentence-transformers directory: this model's weights, adapters added to them, and copies of all
  // other files of `source_directory`, the directory that it was loaded from. `directory` exists and is empty; nothing
  // is fsynced.
  absl::Status Save(const std::filesystem::path& source_directory, const std::filesystem::path& directory) const;

 private:
  struct Rep;
  explicit TextModel(std::unique_ptr<Rep> rep);
  std::unique_ptr<Rep> rep_;
};

}  // namespace tandem
