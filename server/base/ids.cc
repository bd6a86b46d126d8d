#include "server/base/ids.h"

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "absl/random/random.h"
#include "absl/time/clock.h"

namespace tandem {
namespace {

constexpr int kTimeCharacters = 11;
constexpr int kRandomCharacters = 8;
constexpr size_t kMaxLength = 63;

// Crockford's base 32 in lower case: ascending in ASCII, so that ids sort like their times.
constexpr char kAlphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

void AppendBase32(uint64_t value, int characters, std::string* out) {
  for (int shift = 5 * (characters - 1); shift >= 0; shift -= 5) out->push_back(kAlphabet[(value >> shift) & 31]);
}

// Microseconds since 1970, never the same value twice.
uint64_t NextTick() {
  static std::atomic<uint64_t> last{0};
  uint64_t before = last.load();
  uint64_t tick;
  do {
    tick = std::max(static_cast<uint64_t>(absl::GetCurrentTimeNanos() / 1000), before + 1);
  } while (!last.compare_exchange_weak(before, tick));
  return tick;
}

bool IsLowerOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

}  // namespace

std::string NewId() {
  thread_local absl::BitGen random;
  std::string id;
  id.reserve(kTimeCharacters + kRandomCharacters);
  AppendBase32(NextTick(), kTimeCharacters, &id);
  AppendBase32(absl::Uniform<uint64_t>(random), kRandomCharacters, &id);
  return id;
}

bool ValidId(std::string_view id) {
  if (id.empty() || id.size() > kMaxLength || !IsLowerOrDigit(id[0])) return false;
  return std::all_of(id.begin(), id.end(),
                     [](char c) { return IsLowerOrDigit(c) || c == '.' || c == '_' || c == '-'; });
}

}  // namespace tandem
