#include "server/encoder/safetensors_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_join.h"
#include "server/base/status.h"
#include "server/base/strings.h"
#include "server/encoder/hf_error.h"

namespace tandem {
namespace {

absl::Status SystemError(std::string_view what, const std::filesystem::path& path) {
  const int error = errno;
  const std::string message = Concat(what, " ", path.string(), ": ", std::strerror(error));
  return error == ENOENT ? absl::NotFoundError(message) : absl::InternalError(message);
}

}  // namespace

std::string ShapeText(std::span<const int64_t> shape) { return Concat("[", absl::StrJoin(shape, ", "), "]"); }

absl::StatusOr<std::unique_ptr<const SafetensorsFile>> SafetensorsFile::Open(const std::filesystem::path& path) {
  std::unique_ptr<SafetensorsFile> file(new SafetensorsFile());
  RETURN_IF_ERROR(file->Map(path));
  RETURN_IF_ERROR(file->Parse(path.filename().string()));
  return std::unique_ptr<const SafetensorsFile>(std::move(file));
}

SafetensorsFile::~SafetensorsFile() {
  if (map_ != nullptr) munmap(map_, size_);
}

absl::Status SafetensorsFile::Map(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return SystemError("open", path);
  struct stat facts;
  if (fstat(fd, &facts) != 0) {
    absl::Status status = SystemError("stat", path);
    close(fd);
    return status;
  }
  if (facts.st_size == 0) {
    close(fd);
    return absl::DataLossError(Concat(path.filename().string(), ": is empty"));
  }
  size_ = static_cast<size_t>(facts.st_size);
  void* map = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
  absl::Status status = map == MAP_FAILED ? SystemError("mmap", path) : absl::OkStatus();
  close(fd);
  if (status.ok()) map_ = static_cast<std::byte*>(map);
  return status;
}

absl::Status SafetensorsFile::Parse(const std::string& file_name) {
  tandem_hf_safetensors* raw = nullptr;
  RETURN_IF_ERROR(HfStatus(absl::StatusCode::kDataLoss, Concat(file_name, ": damaged"),
                           tandem_hf_safetensors_parse(reinterpret_cast<const uint8_t*>(map_), size_, &raw)));
  const std::unique_ptr<tandem_hf_safetensors, void (*)(tandem_hf_safetensors*)> header(raw,
                                                                                        tandem_hf_safetensors_free);
  const size_t count = tandem_hf_safetensors_count(header.get());
  tensors_.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    tandem_hf_tensor tensor;
    RETURN_IF_ERROR(
        HfStatus(absl::StatusCode::kInternal, file_name, tandem_hf_safetensors_at(header.get(), i, &tensor)));
    tensors_.push_back({.name = tensor.name,
                        .dtype = tensor.dtype,
                        .shape = {tensor.shape, tensor.shape + tensor.rank},
                        .bytes = {map_ + tensor.begin, tensor.size}});
  }
  return absl::OkStatus();
}

absl::Status WriteSafetensors(const std::filesystem::path& path, std::span<const FloatTensor> tensors) {
  std::vector<std::vector<size_t>> shapes;
  std::vector<tandem_hf_float_tensor> views;
  shapes.reserve(tensors.size());
  for (const FloatTensor& tensor : tensors) {
    const std::vector<size_t>& shape = shapes.emplace_back(tensor.shape.begin(), tensor.shape.end());
    views.push_back({.name = tensor.name.data(),
                     .name_size = tensor.name.size(),
                     .shape = shape.data(),
                     .rank = shape.size(),
                     .values = tensor.values});
  }
  const std::string& name = path.native();
  return HfStatus(absl::StatusCode::kInternal, Concat("write ", name),
                  tandem_hf_safetensors_write(reinterpret_cast<const uint8_t*>(name.data()), name.size(), views.data(),
                                              views.size()));
}

}  // namespace tandem
