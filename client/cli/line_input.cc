#include "client/cli/line_input.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/cli/format.h"

namespace tandem::cli {
namespace {

constexpr int64_t kSaidOneByOne = 20;

}  // namespace

absl::StatusOr<LineInput> LineInput::Open(const std::string& path) {
  LineInput input;
  if (path == "-") {
    input.name_ = "stdin";
    input.stream_ = &std::cin;
    return input;
  }
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return absl::NotFoundError(absl::StrCat(path, ": is a directory, not a file"));
  }
  input.name_ = path;
  input.file_ = std::make_unique<std::ifstream>(path, std::ios::binary);
  if (!*input.file_) return absl::NotFoundError(absl::StrCat(path, ": ", std::strerror(errno)));
  input.stream_ = input.file_.get();
  const auto size = std::filesystem::file_size(path, error);
  if (!error) input.total_bytes_ = static_cast<int64_t>(size);
  return input;
}

bool LineInput::Next(std::string* line) {
  while (std::getline(*stream_, *line)) {
    ++line_number_;
    read_bytes_ += static_cast<int64_t>(line->size()) + 1;
    if (line_number_ == 1 && absl::StartsWith(*line, "\xEF\xBB\xBF")) line->erase(0, 3);
    if (!line->empty() && line->back() == '\r') line->pop_back();
    if (!line->empty()) return true;
  }
  return false;
}

std::optional<double> LineInput::fraction() const {
  if (total_bytes_ <= 0) return std::nullopt;
  return std::min(1.0, static_cast<double>(read_bytes_) / static_cast<double>(total_bytes_));
}

void RefusedLines::Add(int64_t line_number, absl::string_view reason) {
  ++count_;
  if (count_ <= kSaidOneByOne) say_(absl::StrCat(name_, ":", line_number, ": ", reason));
  if (count_ == kSaidOneByOne) say_("further refused lines are only counted");
}

absl::Status RefusedLines::Summary(int64_t taken) const {
  if (count_ == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name_, ": ", FormatCount(count_), " of ", FormatCount(count_ + taken),
                                                 " lines were refused; the others were taken"));
}

}  // namespace tandem::cli
