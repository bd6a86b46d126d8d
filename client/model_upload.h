#pragma once
// One ImportModel stream: the files of a directory, one after another, in chunks.

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/progress.h"
#include "tandem/v1/model.grpc.pb.h"

namespace tandem {

struct ModelFile {
  std::string path;           // On this machine.
  std::string relative_path;  // In the stream, with '/'.
  int64_t bytes = 0;
};

// What of `directory` belongs to the model: every regular file, except hidden ones and those in hidden directories
// (".git", ".cache"), by path. NOT_FOUND when `directory` is none or has no config.json.
absl::StatusOr<std::vector<ModelFile>> ListModelFiles(const std::string& directory);

// Sends `header` and `files` over one stream and waits for the revision. `address` is for error messages.
absl::StatusOr<v1::ModelRevision> UploadModel(v1::ModelService::Stub& stub, const std::string& address,
                                              const v1::ImportModelRequest::Header& header,
                                              const std::vector<ModelFile>& files, const OnTransfer& on_transfer);

}  // namespace tandem
