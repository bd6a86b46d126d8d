#pragma once
// How wide a text is on a terminal: Chinese, Japanese, Korean and most emoji take two columns, combining marks none.

#include <string>

#include "absl/strings/string_view.h"

namespace tandem::cli {

// In columns. Bytes that are not UTF-8 count as one each.
int DisplayWidth(absl::string_view text);

// The longest beginning of `text` that fits into `columns`, with "…" at its end when something is left out.
std::string FitWidth(absl::string_view text, int columns);

// `text` without what could move the cursor or change a terminal's state: control characters become spaces, and bytes
// that are not UTF-8 become U+FFFD.
std::string OneLine(absl::string_view text);

// True for well-formed UTF-8: no overlong forms, no surrogates.
bool IsUtf8(absl::string_view text);

}  // namespace tandem::cli
