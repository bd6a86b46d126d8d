#pragma once
// Rotary positions (Su et al. 2021, RoFormer) as transformers computes them: value j of the first half of a head and
// value j of its second half are a point that turns by position * theta^(-2j / head_size).

#include <cstdint>
#include <span>
#include <vector>

namespace tandem {

// Cosines and sines of all angles of positions 0 .. positions - 1. Immutable.
class RotaryTable {
 public:
  RotaryTable(int64_t positions, int64_t head_size, double theta);
  int64_t positions() const { return positions_; }

  // Turns the first `heads` heads of each row by the angles of its text's positions: rows[i] is `step` floats, text t
  // is rows offsets[t] .. offsets[t + 1), each no longer than `positions`.
  void Turn(std::span<const int64_t> offsets, int64_t heads, int64_t step, int threads, float* rows) const;
  // The inverse, which is also the gradient's way back.
  void TurnBack(std::span<const int64_t> offsets, int64_t heads, int64_t step, int threads, float* rows) const;

 private:
  void TurnBy(float sign, std::span<const int64_t> offsets, int64_t heads, int64_t step, int threads,
              float* rows) const;

  int64_t positions_;
  int64_t half_;                      // head_size / 2.
  std::vector<float> cosine_, sine_;  // [positions, half_]
};

}  // namespace tandem
