#pragma once
// Numbers from a seed that are the same on every machine and with every standard library (std::shuffle's are not).

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace tandem {

// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection in which each input bit moves half of the
// output.
constexpr uint64_t MixBits(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

class SplitMix64 {
 public:
  explicit constexpr SplitMix64(uint64_t state) : state_(state) {}
  constexpr uint64_t Next() {
    const uint64_t value = MixBits(state_);
    state_ += 0x9e3779b97f4a7c15;
    return value;
  }
  // In [0, bound). REQUIRES: bound > 0. The bias of the multiplication is below bound / 2^64.
  constexpr uint64_t Below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(Next()) * bound) >> 64);
  }

 private:
  uint64_t state_;
};

// Fisher-Yates.
template <typename T>
void Shuffle(std::vector<T>& values, SplitMix64& random) {
  for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[random.Below(i)]);
}

}  // namespace tandem
