#include "server/snapshot/tar_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <fstream>
#include <system_error>
#include <utility>
#include <vector>

#include <archive.h>
#include <archive_entry.h>

#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {

struct TarWriter::Rep {
  static la_ssize_t OnWrite(archive*, void* self, const void* bytes, size_t size) {
    Rep* const rep = static_cast<Rep*>(self);
    const std::string_view all(static_cast<const char*>(bytes), size);
    for (size_t done = 0; done < size && rep->status.ok(); done += rep->piece_bytes) {
      rep->status = rep->write(all.substr(done, rep->piece_bytes));
    }
    return rep->status.ok() ? static_cast<la_ssize_t>(size) : -1;
  }

  // `code` is what a call of libarchive returned.
  absl::Status Check(int code) {
    if (code == ARCHIVE_OK) return absl::OkStatus();
    if (!status.ok()) return status;
    const char* const error = archive_error_string(tar);
    return absl::InternalError(Concat("tar: ", error == nullptr ? "out of memory" : error));
  }

  size_t piece_bytes;
  absl::Time time;
  Write write;
  archive* tar;
  absl::Status status;  // Of `write`, and of the beginning.
};

TarWriter::TarWriter(size_t piece_bytes, absl::Time time, Write write)
    : rep_(new Rep{.piece_bytes = piece_bytes, .time = time, .write = std::move(write), .tar = archive_write_new()}) {
  if (rep_->tar == nullptr) {
    rep_->status = absl::ResourceExhaustedError("tar: out of memory");
    return;
  }
  archive_write_set_format_pax_restricted(rep_->tar);
  archive_write_set_bytes_per_block(rep_->tar, static_cast<int>(piece_bytes));
  archive_write_set_bytes_in_last_block(rep_->tar, 1);  // Nothing is padded to a block.
  const int opened = archive_write_open(rep_->tar, rep_.get(), nullptr, &Rep::OnWrite, nullptr);
  if (opened != ARCHIVE_OK) rep_->status = rep_->Check(opened);
}

TarWriter::~TarWriter() {
  if (rep_->tar == nullptr) return;
  if (rep_->status.ok()) rep_->status = absl::CancelledError("the tar file was not finished");
  archive_write_free(rep_->tar);
}

absl::Status TarWriter::AddFile(const std::filesystem::path& from, const std::string& name) {
  RETURN_IF_ERROR(rep_->status);
  std::error_code error;
  const auto bytes = static_cast<int64_t>(std::filesystem::file_size(from, error));
  std::ifstream file(from, std::ios::binary);
  if (error || !file) return absl::AbortedError(Concat(name, ": cannot be opened: was it deleted?"));
  const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(), &archive_entry_free);
  archive_entry_set_pathname(entry.get(), name.c_str());
  archive_entry_set_size(entry.get(), bytes);
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  archive_entry_set_perm(entry.get(), 0644);
  archive_entry_set_mtime(entry.get(), absl::ToTimeT(rep_->time), 0);
  RETURN_IF_ERROR(rep_->Check(archive_write_header(rep_->tar, entry.get())));
  std::vector<char> block(rep_->piece_bytes);
  for (int64_t left = bytes; left > 0;) {
    file.read(block.data(), std::min<int64_t>(left, static_cast<int64_t>(block.size())));
    if (file.gcount() == 0) return absl::AbortedError(Concat(name, ": ends ", left, " bytes before its end"));
    if (archive_write_data(rep_->tar, block.data(), static_cast<size_t>(file.gcount())) < 0) {
      return rep_->Check(ARCHIVE_FATAL);
    }
    left -= file.gcount();
  }
  return absl::OkStatus();
}

absl::Status TarWriter::Finish() {
  RETURN_IF_ERROR(rep_->status);
  RETURN_IF_ERROR(rep_->Check(archive_write_close(rep_->tar)));
  archive_write_free(rep_->tar);
  rep_->tar = nullptr;
  return absl::OkStatus();
}

}  // namespace tandem
