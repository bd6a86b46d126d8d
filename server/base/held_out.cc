#include "server/base/held_out.h"

#include "server/base/files.h"
#include "server/base/random.h"

namespace tandem {

bool IsHeldOut(std::string_view first_text, double fraction) {
  // CRC-32C is linear in its input; mixing it makes the high bits those of a hash.
  const uint64_t hash = MixBits(Crc32c(first_text));
  return static_cast<double>(hash >> 11) * 0x1p-53 < fraction;  // The left side is in [0, 1).
}

}  // namespace tandem
