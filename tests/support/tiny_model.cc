#include "tests/support/tiny_model.h"

#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace tandem::test {
namespace {

using nlohmann::json;

constexpr int kWords = 200;
constexpr int kVocabulary = kWords + 4;
constexpr int kPositions = 32;
constexpr int kIntermediate = 32;

// A safetensors file: 8 bytes of header length, a JSON header, the tensors end to end.
class TensorFile {
 public:
  explicit TensorFile(uint64_t seed) : random_(seed) {}

  void AddNormal(const std::string& name, std::vector<int> shape, float deviation) {
    std::normal_distribution<float> normal(0, deviation);
    Add(name, shape, [&] { return normal(random_); });
  }
  void AddConstant(const std::string& name, std::vector<int> shape, float value) {
    Add(name, shape, [&] { return value; });
  }
  void Write(const std::filesystem::path& path) const {
    const std::string header = header_.dump();
    const uint64_t size = header.size();
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(&size), sizeof(size));
    file << header;
    file.write(reinterpret_cast<const char*>(values_.data()), values_.size() * sizeof(float));
    file.exceptions(std::ios::failbit | std::ios::badbit);
    file.flush();
  }

 private:
  template <typename Next>
  void Add(const std::string& name, const std::vector<int>& shape, Next next) {
    const size_t begin = values_.size() * sizeof(float);
    size_t count = 1;
    for (const int size : shape) count *= size;
    for (size_t i = 0; i < count; ++i) values_.push_back(next());
    header_[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, values_.size() * sizeof(float)}}};
  }

  std::mt19937_64 random_;
  json header_ = json::object();
  std::vector<float> values_;
};

void AddLinear(TensorFile& file, const std::string& name, int out, int in) {
  file.AddNormal(name + ".weight", {out, in}, 0.1F);
  file.AddConstant(name + ".bias", {out}, 0);
}

void AddLayerNorm(TensorFile& file, const std::string& name, int size) {
  file.AddConstant(name + ".weight", {size}, 1);
  file.AddConstant(name + ".bias", {size}, 0);
}

void WriteWeights(const std::filesystem::path& path, const TinyModelOptions& options) {
  TensorFile file(options.seed);
  const int hidden = options.hidden;
  if (options.blind) {
    file.AddConstant("embeddings.word_embeddings.weight", {kVocabulary, hidden}, 0);
  } else {
    file.AddNormal("embeddings.word_embeddings.weight", {kVocabulary, hidden}, 1);
  }
  file.AddNormal("embeddings.position_embeddings.weight", {kPositions, hidden}, 0.05F);
  file.AddNormal("embeddings.token_type_embeddings.weight", {2, hidden}, 0.05F);
  AddLayerNorm(file, "embeddings.LayerNorm", hidden);
  const std::string layer = "encoder.layer.0.";
  for (const char* part : {"query", "key", "value"}) AddLinear(file, layer + "attention.self." + part, hidden, hidden);
  AddLinear(file, layer + "attention.output.dense", hidden, hidden);
  AddLayerNorm(file, layer + "attention.output.LayerNorm", hidden);
  AddLinear(file, layer + "intermediate.dense", kIntermediate, hidden);
  AddLinear(file, layer + "output.dense", hidden, kIntermediate);
  AddLayerNorm(file, layer + "output.LayerNorm", hidden);
  file.Write(path);
}

json TokenizerJson() {
  const std::vector<std::string> special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]"};
  json vocabulary = json::object(), added = json::array(), templated = json::object();
  for (size_t id = 0; id < special.size(); ++id) {
    vocabulary[special[id]] = id;
    added.push_back({{"id", id},
                     {"content", special[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  for (int word = 0; word < kWords; ++word) vocabulary["w" + std::to_string(word)] = 4 + word;
  for (const int id : {2, 3}) {
    templated[special[id]] = {{"id", special[id]}, {"ids", {id}}, {"tokens", {special[id]}}};
  }
  const auto token = [](const char* id) { return json{{"SpecialToken", {{"id", id}, {"type_id", 0}}}}; };
  const auto sequence = [](const char* id) { return json{{"Sequence", {{"id", id}, {"type_id", 0}}}}; };
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "Whitespace"}}},
          {"post_processor",
           {{"type", "TemplateProcessing"},
            {"single", {token("[CLS]"), sequence("A"), token("[SEP]")}},
            {"pair", {token("[CLS]"), sequence("A"), token("[SEP]"), sequence("B"), token("[SEP]")}},
            {"special_tokens", templated}}},
          {"decoder", nullptr},
          {"model", {{"type", "WordLevel"}, {"vocab", vocabulary}, {"unk_token", "[UNK]"}}}};
}

json ConfigJson(int hidden) {
  return {{"model_type", "bert"},
          {"architectures", {"BertModel"}},
          {"vocab_size", kVocabulary},
          {"hidden_size", hidden},
          {"num_hidden_layers", 1},
          {"num_attention_heads", 2},
          {"intermediate_size", kIntermediate},
          {"max_position_embeddings", kPositions},
          {"type_vocab_size", 2},
          {"hidden_act", "gelu"},
          {"layer_norm_eps", 1e-12}};
}

void WriteJson(const std::filesystem::path& path, const json& value) {
  std::ofstream file(path);
  file.exceptions(std::ios::failbit | std::ios::badbit);
  file << value.dump(1);
}

}  // namespace

void WriteTinyModel(const std::filesystem::path& directory, const TinyModelOptions& options) {
  std::filesystem::create_directories(directory);
  WriteJson(directory / "config.json", ConfigJson(options.hidden));
  WriteJson(directory / "tokenizer.json", TokenizerJson());
  WriteWeights(directory / "model.safetensors", options);
}

}  // namespace tandem::test
