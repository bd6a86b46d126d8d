#include "client/model_upload.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/error.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;
using Stream = grpc::ClientReaderWriter<v1::ImportModelRequest, v1::ImportModelResponse>;

constexpr size_t kChunkBytes = 1 << 20;  // The most that FileChunk.data may hold.

bool IsHidden(const fs::path& path) { return absl::StartsWith(path.filename().string(), "."); }

// False when the stream takes no more: its status says why. An error of the file ends up in `file_error`.
bool SendFile(Stream* stream, const ModelFile& file, TransferProgress* progress, const OnTransfer& on_transfer,
              absl::Status* file_error) {
  std::ifstream input(file.path, std::ios::binary);
  int64_t sent = 0;
  std::string data(kChunkBytes, '\0');
  do {
    input.read(data.data(), kChunkBytes);
    const auto size = static_cast<size_t>(input.gcount());
    if (size == 0 && sent < file.bytes) {
      *file_error =
          absl::UnknownError(absl::StrCat(file.path, ": only ", sent, " of ", file.bytes, " bytes can be read"));
      return false;
    }
    v1::ImportModelRequest request;
    request.mutable_chunk()->set_path(file.relative_path);
    request.mutable_chunk()->set_data(data.data(), size);
    if (!stream->Write(request)) return false;
    sent += static_cast<int64_t>(size);
    progress->bytes += static_cast<int64_t>(size);
    if (on_transfer) on_transfer(*progress);
  } while (sent < file.bytes);
  return true;
}

}  // namespace

absl::StatusOr<std::vector<ModelFile>> ListModelFiles(const std::string& directory) {
  std::error_code error;
  std::vector<ModelFile> files;
  fs::recursive_directory_iterator it(directory, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (IsHidden(it->path())) {
      if (it->is_directory()) it.disable_recursion_pending();
    } else if (it->is_regular_file()) {
      files.push_back({.path = it->path().string(),
                       .relative_path = fs::relative(it->path(), directory).generic_string(),
                       .bytes = static_cast<int64_t>(it->file_size())});
    }
  }
  if (error) return absl::NotFoundError(absl::StrCat(directory, ": ", error.message()));
  std::sort(files.begin(), files.end(),
            [](const ModelFile& a, const ModelFile& b) { return a.relative_path < b.relative_path; });
  if (std::none_of(files.begin(), files.end(),
                   [](const ModelFile& file) { return absl::EndsWith(file.relative_path, "config.json"); })) {
    return absl::NotFoundError(absl::StrCat(directory,
                                            ": has no config.json; a Hugging Face or sentence-transformers "
                                            "directory is needed"));
  }
  return files;
}

absl::StatusOr<v1::ModelRevision> UploadModel(v1::ModelService::Stub& stub, const std::string& address,
                                              const v1::ImportModelRequest::Header& header,
                                              const std::vector<ModelFile>& files, const OnTransfer& on_transfer) {
  grpc::ClientContext context;
  std::unique_ptr<Stream> stream = stub.ImportModel(&context);
  // The server reports while we write; a stream whose answers nobody reads would come to a halt.
  v1::ImportModelResponse last;
  std::thread reader([&] {
    for (v1::ImportModelResponse response; stream->Read(&response);) last = response;
  });

  TransferProgress progress;
  for (const ModelFile& file : files) progress.total_bytes += file.bytes;
  absl::Status file_error;
  v1::ImportModelRequest first;
  *first.mutable_header() = header;
  bool writable = stream->Write(first);
  for (size_t i = 0; writable && i < files.size(); ++i) {
    writable = SendFile(stream.get(), files[i], &progress, on_transfer, &file_error);
  }
  if (!file_error.ok()) context.TryCancel();
  if (writable) stream->WritesDone();
  reader.join();
  absl::Status status = FromGrpc(stream->Finish(), address);
  if (!file_error.ok()) return file_error;
  if (!status.ok()) return status;
  if (!last.has_revision()) return absl::InternalError("the server ended the import without naming the revision");
  return last.revision();
}

}  // namespace tandem
