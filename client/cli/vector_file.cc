#include "client/cli/vector_file.h"

#include <fstream>
#include <iterator>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "client/error.h"

namespace tandem::cli {

absl::StatusOr<v1::Vector> ReadVectorFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat(path, ": cannot be opened"));
  const std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  v1::Vector vector;
  for (absl::string_view word : absl::StrSplit(content, absl::ByAnyChar(" \t\r\n,[]"), absl::SkipEmpty())) {
    float value = 0;
    if (!absl::SimpleAtof(word, &value)) return BadInput(path, absl::StrCat("'", word, "' is no number"));
    vector.add_values(value);
  }
  if (vector.values().empty()) return BadInput(path, "has no numbers");
  return vector;
}

}  // namespace tandem::cli
