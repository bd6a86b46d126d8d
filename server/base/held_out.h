#pragma once
// Which examples are kept from training to validate on.

#include <string_view>

namespace tandem {

// Whether the hash of an example's first text falls into the lowest `fraction` of all hashes. Depends on that text
// alone: the same texts are held out whatever the seed, the order and the other examples are. Results reach reports: do
// not change the hash.
bool IsHeldOut(std::string_view first_text, double fraction);

}  // namespace tandem
