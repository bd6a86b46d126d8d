#include "client/download.h"

#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/error.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

bool StaysInside(const std::string& path) {
  const fs::path relative(path);
  if (path.empty() || relative.is_absolute()) return false;
  for (const fs::path& element : relative) {
    if (element == ".." || element == ".") return false;
  }
  return true;
}

absl::Status FileError(const fs::path& path, const std::string& what) {
  return absl::UnknownError(absl::StrCat(path.string(), ": ", what));
}

}  // namespace

DirectoryWriter::DirectoryWriter(fs::path final_path)
    : final_(std::move(final_path)), staging_(absl::StrCat(final_.string(), ".partial")) {}

absl::StatusOr<DirectoryWriter> DirectoryWriter::Create(const std::string& directory) {
  fs::path final_path = fs::path(directory).lexically_normal();
  if (!final_path.has_filename()) final_path = final_path.parent_path();
  std::error_code error;
  if (fs::exists(final_path, error)) {
    return absl::AlreadyExistsError(absl::StrCat(directory, " is there already; name a directory that is not"));
  }
  DirectoryWriter writer(final_path);
  fs::remove_all(writer.staging_, error);
  fs::create_directories(writer.staging_, error);
  if (error) return FileError(writer.staging_, error.message());
  return writer;
}

absl::Status DirectoryWriter::Write(const FilePart& part) {
  if (!StaysInside(part.path)) return BadInput("path", absl::StrCat("'", part.path, "' would leave the directory"));
  if (part.path != open_path_) {
    if (absl::Status status = CloseFile(); !status.ok()) return status;
    const fs::path path = staging_ / part.path;
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    if (error) return FileError(path.parent_path(), error.message());
    file_.open(path, std::ios::binary | std::ios::trunc);
    open_path_ = part.path;
  }
  file_.write(part.data.data(), static_cast<std::streamsize>(part.data.size()));
  if (!file_) return FileError(staging_ / open_path_, "cannot be written; is the disk full?");
  return absl::OkStatus();
}

absl::Status DirectoryWriter::CloseFile() {
  if (!file_.is_open()) return absl::OkStatus();
  file_.close();
  if (!file_) return FileError(staging_ / open_path_, "cannot be written; is the disk full?");
  return absl::OkStatus();
}

absl::Status DirectoryWriter::Publish() {
  if (absl::Status status = CloseFile(); !status.ok()) return status;
  std::error_code error;
  fs::rename(staging_, final_, error);
  if (error) return FileError(final_, error.message());
  return absl::OkStatus();
}

}  // namespace tandem
