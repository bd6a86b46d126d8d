#include "client/cli/display_width.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include "absl/strings/string_view.h"

namespace tandem::cli {
namespace {

struct Range {
  char32_t first, last;
};

// After Unicode's EastAsianWidth.txt (W and F), neighbouring blocks joined.
constexpr Range kWide[] = {
    {0x1100, 0x115F},   {0x231A, 0x231B},   {0x2329, 0x232A},   {0x23E9, 0x23EC},   {0x25FD, 0x25FE},
    {0x2614, 0x2615},   {0x2648, 0x2653},   {0x26AA, 0x26AB},   {0x26BD, 0x26BE},   {0x2705, 0x2705},
    {0x270A, 0x270B},   {0x2728, 0x2728},   {0x274C, 0x274C},   {0x2753, 0x2755},   {0x2795, 0x2797},
    {0x2E80, 0x303E},   {0x3041, 0x33FF},   {0x3400, 0x4DBF},   {0x4E00, 0xA4CF},   {0xA960, 0xA97F},
    {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE10, 0xFE19},   {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},
    {0xFFE0, 0xFFE6},   {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F7E0, 0x1F7EB}, {0x1F900, 0x1F9FF},
    {0x1FA70, 0x1FAFF}, {0x20000, 0x3FFFD},
};
// Combining marks and invisible characters.
constexpr Range kZero[] = {
    {0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A}, {0x064B, 0x065F}, {0x0E31, 0x0E31},
    {0x0E34, 0x0E3A}, {0x0E47, 0x0E4E}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200F}, {0x202A, 0x202E},
    {0x2060, 0x2064}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xFEFF, 0xFEFF},
};

template <size_t n>
bool Contains(const Range (&ranges)[n], char32_t c) {
  const Range* range = std::lower_bound(std::begin(ranges), std::end(ranges), c,
                                        [](const Range& r, char32_t value) { return r.last < value; });
  return range != std::end(ranges) && range->first <= c;
}

struct Decoded {
  char32_t c = 0;
  size_t bytes = 1;
  bool valid = false;
};

// The character at the front of `text`, which is not empty.
Decoded Decode(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  size_t length = 0;
  char32_t c = 0;
  if (lead >= 0xC2 && lead <= 0xDF) length = 2, c = lead & 0x1F;
  if (lead >= 0xE0 && lead <= 0xEF) length = 3, c = lead & 0x0F;
  if (lead >= 0xF0 && lead <= 0xF4) length = 4, c = lead & 0x07;
  if (length == 0 || text.size() < length) return {};
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    c = (c << 6) | (byte(i) & 0x3F);
  }
  const bool overlong = (length == 3 && c < 0x800) || (length == 4 && c < 0x10000);
  if (overlong || (c >= 0xD800 && c <= 0xDFFF) || c > 0x10FFFF) return {};
  return {c, length, true};
}

int Width(const Decoded& decoded) {
  if (!decoded.valid) return 1;
  if (Contains(kZero, decoded.c)) return 0;
  return Contains(kWide, decoded.c) ? 2 : 1;
}

}  // namespace

int DisplayWidth(absl::string_view text) {
  int width = 0;
  while (!text.empty()) {
    const Decoded decoded = Decode(text);
    width += Width(decoded);
    text.remove_prefix(decoded.bytes);
  }
  return width;
}

std::string FitWidth(absl::string_view text, int columns) {
  if (DisplayWidth(text) <= columns) return std::string(text);
  int width = 0;
  size_t end = 0;
  while (end < text.size()) {
    const Decoded decoded = Decode(text.substr(end));
    if (width + Width(decoded) > columns - 1) break;
    width += Width(decoded);
    end += decoded.bytes;
  }
  return columns < 1 ? "" : std::string(text.substr(0, end)) + "…";
}

std::string OneLine(absl::string_view text) {
  std::string result;
  while (!text.empty()) {
    const Decoded decoded = Decode(text);
    const bool control = decoded.c < 0x20 || (decoded.c >= 0x7F && decoded.c < 0xA0);
    const bool redirects = decoded.c >= 0x202A && decoded.c <= 0x202E;  // Right-to-left overrides.
    if (!decoded.valid) {
      result += "\uFFFD";
    } else if (control || redirects) {
      result += ' ';
    } else {
      result.append(text.data(), decoded.bytes);
    }
    text.remove_prefix(decoded.bytes);
  }
  return result;
}

bool IsUtf8(absl::string_view text) {
  while (!text.empty()) {
    const Decoded decoded = Decode(text);
    if (!decoded.valid) return false;
    text.remove_prefix(decoded.bytes);
  }
  return true;
}

}  // namespace tandem::cli
