#include "server/encoder/rotary_positions.h"

#include <cmath>

#include "server/encoder/vector_clones.h"

namespace tandem {
namespace {

TANDEM_VECTOR_CLONES
void TurnHead(const float* cosine, const float* sine, float sign, int64_t half, float* head) {
  float* const first = head;
  float* const second = head + half;
#pragma omp simd
  for (int64_t j = 0; j < half; ++j) {
    const float x = first[j], y = second[j], s = sign * sine[j];
    first[j] = x * cosine[j] - y * s;
    second[j] = y * cosine[j] + x * s;
  }
}

}  // namespace

RotaryTable::RotaryTable(int64_t positions, int64_t head_size, double theta)
    : positions_(positions), half_(head_size / 2) {
  cosine_.reserve(static_cast<size_t>(positions * half_));
  sine_.reserve(static_cast<size_t>(positions * half_));
  std::vector<float> frequencies;  // In float32, as transformers has them: angles of late positions are large.
  for (int64_t j = 0; j < half_; ++j) {
    const float exponent = static_cast<float>(2 * j) / static_cast<float>(head_size);
    frequencies.push_back(1.0f / static_cast<float>(std::pow(theta, exponent)));
  }
  for (int64_t position = 0; position < positions; ++position) {
    for (const float frequency : frequencies) {
      const float angle = static_cast<float>(position) * frequency;
      cosine_.push_back(std::cos(angle));
      sine_.push_back(std::sin(angle));
    }
  }
}

void RotaryTable::Turn(std::span<const int64_t> offsets, int64_t heads, int64_t step, int threads, float* rows) const {
  TurnBy(1, offsets, heads, step, threads, rows);
}

void RotaryTable::TurnBack(std::span<const int64_t> offsets, int64_t heads, int64_t step, int threads,
                           float* rows) const {
  TurnBy(-1, offsets, heads, step, threads, rows);
}

void RotaryTable::TurnBy(float sign, std::span<const int64_t> offsets, int64_t heads, int64_t step, int threads,
                         float* rows) const {
  const auto texts = static_cast<int64_t>(offsets.size()) - 1;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 4)
  for (int64_t text = 0; text < texts; ++text) {
    const int64_t begin = offsets[static_cast<size_t>(text)], end = offsets[static_cast<size_t>(text) + 1];
    for (int64_t row = begin; row < end; ++row) {
      const int64_t angles = (row - begin) * half_;
      for (int64_t head = 0; head < heads; ++head) {
        TurnHead(cosine_.data() + angles, sine_.data() + angles, sign, half_, rows + row * step + head * 2 * half_);
      }
    }
  }
}

}  // namespace tandem
