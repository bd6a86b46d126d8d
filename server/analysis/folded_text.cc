#include "server/analysis/folded_text.h"

#include <cstdint>

namespace tandem {
namespace {

uint32_t LowerCase(uint32_t c) {
  if (c >= 'A' && c <= 'Z') return c + 0x20;
  if (c >= 0xC0 && c <= 0xDE && c != 0xD7) return c + 0x20;     // Latin-1; 0xD7 is the multiplication sign.
  if (c >= 0x391 && c <= 0x3A9 && c != 0x3A2) return c + 0x20;  // Greek; 0x3A2 is not assigned.
  if (c >= 0x410 && c <= 0x42F) return c + 0x20;                // Cyrillic.
  if (c >= 0x400 && c <= 0x40F) return c + 0x50;
  return c;
}

bool IsSpace(uint32_t c) {
  return c == ' ' || (c >= 0x09 && c <= 0x0D) || c == 0xA0 || (c >= 0x2000 && c <= 0x200A) || c == 0x3000;
}

// The character at the start of `text`, of up to three bytes: no other one is folded. `size` becomes its length.
uint32_t FirstCharacter(std::string_view text, size_t& size) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto continues = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  if ((byte(0) & 0xE0) == 0xC0 && continues(1)) {
    size = 2;
    return (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
  }
  if ((byte(0) & 0xF0) == 0xE0 && continues(1) && continues(2)) {
    size = 3;
    return (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
  }
  size = 1;
  return byte(0) < 0x80 ? byte(0) : UINT32_MAX;
}

}  // namespace

std::string FoldText(std::string_view text) {
  std::string folded;
  folded.reserve(text.size());
  bool space_before = false;
  for (size_t size = 0; !text.empty(); text.remove_prefix(size)) {
    const uint32_t c = FirstCharacter(text, size);
    if (IsSpace(c)) {
      space_before = !folded.empty();
      continue;
    }
    if (space_before) folded += ' ';
    space_before = false;
    const uint32_t lower = LowerCase(c);
    if (lower == c) {
      folded += text.substr(0, size);
    } else if (lower < 0x80) {
      folded += static_cast<char>(lower);
    } else {  // All letters that change lie below 0x800.
      folded += static_cast<char>(0xC0 | lower >> 6);
      folded += static_cast<char>(0x80 | (lower & 0x3F));
    }
  }
  return folded;
}

}  // namespace tandem
