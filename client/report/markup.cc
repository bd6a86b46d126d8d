#include "client/report/markup.h"

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "client/cli/display_width.h"

namespace tandem::report {

std::string Escape(absl::string_view text) {
  return absl::StrReplaceAll(cli::OneLine(text), {{"&", "&amp;"},
                                                  {"<", "&lt;"},
                                                  {">", "&gt;"},
                                                  {"\"", "&quot;"},
                                                  {"'", "&#39;"},
                                                  {"\u200E", ""},
                                                  {"\u200F", ""},
                                                  {"\u2066", ""},
                                                  {"\u2067", ""},
                                                  {"\u2068", ""},
                                                  {"\u2069", ""},
                                                  {"\uFFFE", "\uFFFD"},
                                                  {"\uFFFF", "\uFFFD"}});
}

std::string Shorten(absl::string_view text, int characters) {
  // Marks that take no column could otherwise go on for ever.
  size_t bytes = static_cast<size_t>(characters) * 4;
  if (text.size() <= bytes) return cli::FitWidth(text, characters);
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) --bytes;
  std::string beginning = cli::FitWidth(text.substr(0, bytes), characters);
  return absl::EndsWith(beginning, "…") ? beginning : beginning + "…";
}

std::string UserText(absl::string_view text, int characters) {
  return absl::StrCat("<bdi>", Escape(Shorten(text, characters)), "</bdi>");
}

std::string Coordinate(double value) {
  if (!std::isfinite(value)) return "0";
  std::string text = absl::StrFormat("%.2f", value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

}  // namespace tandem::report
