#pragma once
// Debian builds Abseil 20220623 with a string_view of its own, which does not convert to or from std::string_view.
// These are the bridges; the rest of the code uses std::string_view and Concat instead of absl::StrCat where one is
// involved.

#include <concepts>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace tandem {

inline absl::string_view AbslView(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view StdView(absl::string_view text) { return {text.data(), text.size()}; }

// absl::StrCat that takes std::string_view as well.
template <typename... Parts>
std::string Concat(const Parts&... parts) {
  const auto piece = []<typename Part>(const Part& part) -> decltype(auto) {
    if constexpr (std::same_as<Part, std::string_view>) {
      return AbslView(part);
    } else {
      return (part);
    }
  };
  return absl::StrCat(piece(parts)...);
}

}  // namespace tandem
