#pragma once
// The client's side of ExportModel and ExportIndex: a stream of file parts, written into a directory that appears under
// its name only when complete.

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "client/connection.h"
#include "client/progress.h"

namespace tandem {

struct FilePart {
  std::string path;  // Relative; parts of one file follow each other.
  std::string data;
  int64_t total_bytes = 0;  // Of all files; 0 when the server does not say.
};

// A directory under construction, "<final>.partial". Not thread-safe.
class DirectoryWriter {
 public:
  // ALREADY_EXISTS when `directory` is there.
  static absl::StatusOr<DirectoryWriter> Create(const std::string& directory);

  // INVALID_ARGUMENT for a path that would leave the directory.
  absl::Status Write(const FilePart& part);

  // Renames it to its final name.
  absl::Status Publish();

 private:
  explicit DirectoryWriter(std::filesystem::path final_path);
  absl::Status CloseFile();

  std::filesystem::path final_;
  std::filesystem::path staging_;
  std::string open_path_;
  std::ofstream file_;
};

// Runs the stream that `open` begins, again from the start when it breaks. `part` turns a Response into a FilePart.
template <class Response, class Open, class Part>
absl::Status DownloadDirectory(const Connection& connection, const std::string& directory,
                               const OnTransfer& on_transfer, Open open, Part part) {
  Backoff backoff(connection.options().retry, connection.options().retry.stream_patience);
  while (true) {
    absl::StatusOr<DirectoryWriter> writer = DirectoryWriter::Create(directory);
    if (!writer.ok()) return writer.status();
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<Response>> stream = open(&context);
    TransferProgress progress;
    absl::Status written;
    for (Response response; written.ok() && stream->Read(&response);) {
      const FilePart file_part = part(response);
      written = writer->Write(file_part);
      progress.bytes += static_cast<int64_t>(file_part.data.size());
      if (file_part.total_bytes > 0) progress.total_bytes = file_part.total_bytes;
      if (on_transfer) on_transfer(progress);
    }
    if (!written.ok()) context.TryCancel();
    absl::Status status = FromGrpc(stream->Finish(), connection.address());
    if (!written.ok()) return written;
    if (status.ok()) return writer->Publish();
    if (!backoff.WaitAfter(status)) return status;
  }
}

}  // namespace tandem
