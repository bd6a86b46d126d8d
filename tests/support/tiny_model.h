#pragma once
// A BERT of a few thousand random weights in a plain Hugging Face directory, made where a test needs an encoder that is
// fast and whose texts are told apart by their words ("w0" to "w199"). The same seed gives the same files.

#include <cstdint>
#include <filesystem>

namespace tandem::test {

struct TinyModelOptions {
  uint64_t seed = 1;
  int hidden = 16;
  // Every word has the same embedding: a model that finds nothing.
  bool blind = false;
};

// `directory` is made. Dies on an error of the file system.
void WriteTinyModel(const std::filesystem::path& directory, const TinyModelOptions& options);

}  // namespace tandem::test
