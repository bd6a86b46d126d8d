#pragma once
// A text without the differences that rarely mean one: upper and lower case, and how much white space stands where.

#include <string>
#include <string_view>

namespace tandem {

// Lower case of ASCII, Latin-1, Greek and Cyrillic letters; a run of white space is one space, none at the ends. Bytes
// that are not UTF-8 stay as they are.
std::string FoldText(std::string_view text);

}  // namespace tandem
