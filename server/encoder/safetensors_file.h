#pragma once
// A safetensors file, memory-mapped and checked by Hugging Face's own crate; and writing one in float32. Immutable once
// open. The file must not be truncated while it is open: reading the map would then raise SIGBUS.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

struct StoredTensor {
  std::string name;
  std::string dtype;  // "F32", "F16", "BF16", "I64", ...
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;  // Into the map, of any alignment; shape x dtype many.
};

class SafetensorsFile {
 public:
  // DATA_LOSS when the file is damaged; messages name it by its file name.
  static absl::StatusOr<std::unique_ptr<const SafetensorsFile>> Open(const std::filesystem::path& path);
  ~SafetensorsFile();

  const std::vector<StoredTensor>& tensors() const { return tensors_; }  // By name.
  std::span<const std::byte> bytes() const { return {map_, size_}; }     // The whole file.

 private:
  SafetensorsFile() = default;
  absl::Status Map(const std::filesystem::path& path);
  absl::Status Parse(const std::string& file_name);

  std::byte* map_ = nullptr;
  size_t size_ = 0;
  std::vector<StoredTensor> tensors_;
};

struct FloatTensor {
  std::string name;
  std::vector<int64_t> shape;
  const float* values = nullptr;  // Row-major.
};

absl::Status WriteSafetensors(const std::filesystem::path& path, std::span<const FloatTensor> tensors);

// "[30522, 384]", for messages.
std::string ShapeText(std::span<const int64_t> shape);

}  // namespace tandem
