#pragma once
// A tar file (pax, which is ustar where that can say it) that is given away in pieces while it is written. Not
// thread-safe; blocks in `write`.

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tandem {

class TarWriter {
 public:
  using Write = std::function<absl::Status(std::string_view piece)>;

  // Pieces have at most `piece_bytes`; every file is of `time`.
  TarWriter(size_t piece_bytes, absl::Time time, Write write);
  ~TarWriter();

  // ABORTED when the file is not there, or ends before the size that it had at first.
  absl::Status AddFile(const std::filesystem::path& from, const std::string& name);
  absl::Status Finish();

 private:
  struct Rep;
  const std::unique_ptr<Rep> rep_;
};

}  // namespace tandem
