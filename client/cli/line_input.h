#pragma once
// A file or the standard input, read by lines, and what was wrong with some of them.

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <istream>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/progress.h"

namespace tandem::cli {

// Empty lines are skipped, a "\r" before the "\n" and a byte order mark at the beginning are dropped. Not thread-safe.
class LineInput {
 public:
  // `path` "-" is the standard input. NOT_FOUND for a file that cannot be opened.
  static absl::StatusOr<LineInput> Open(const std::string& path);

  // False at the end.
  bool Next(std::string* line);

  const std::string& name() const { return name_; }
  int64_t line_number() const { return line_number_; }  // Of the line that Next gave, from 1.
  // How much of the file was read, in [0, 1]; nullopt for a pipe.
  std::optional<double> fraction() const;

 private:
  LineInput() = default;

  std::string name_;
  std::unique_ptr<std::ifstream> file_;  // Null for the standard input.
  std::istream* stream_ = nullptr;
  int64_t total_bytes_ = 0;
  int64_t read_bytes_ = 0;
  int64_t line_number_ = 0;
};

// Says which lines were refused, the first twenty of them one by one. Not thread-safe.
class RefusedLines {
 public:
  using Say = std::function<void(const std::string&)>;

  RefusedLines(std::string name, Say say) : name_(std::move(name)), say_(std::move(say)) {}

  void Add(int64_t line_number, absl::string_view reason);
  int64_t count() const { return count_; }

  // OK when nothing was refused; otherwise the error that ends the command, after everything else was done.
  absl::Status Summary(int64_t taken) const;

 private:
  const std::string name_;
  const Say say_;
  int64_t count_ = 0;
};

// The records of `input`, one by one, with their line numbers; lines that `parse` (from string_view to StatusOr<Item>)
// refuses go to `refused`. Both must outlive the source.
template <class Item, class Parse>
ItemSource<Item> RecordsOf(LineInput* input, RefusedLines* refused, Parse parse) {
  return [input, refused, parse]() -> absl::StatusOr<std::optional<Numbered<Item>>> {
    for (std::string line; input->Next(&line);) {
      absl::StatusOr<Item> item = parse(absl::string_view(line));
      if (item.ok()) return Numbered<Item>{*std::move(item), input->line_number()};
      refused->Add(input->line_number(), item.status().message());
    }
    return std::nullopt;
  };
}

}  // namespace tandem::cli
