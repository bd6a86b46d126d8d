#pragma once
// Speed of the last steps, for progress reports. Time spent between steps (validation, checkpoints) does not count.

#include <cstdint>
#include <deque>

namespace tandem {

class StepRate {
 public:
  void Add(int64_t pairs, int64_t tokens, double seconds) {
    steps_.push_back({pairs, tokens, seconds});
    pairs_ += pairs;
    tokens_ += tokens;
    seconds_ += seconds;
    if (steps_.size() <= kWindow) return;
    pairs_ -= steps_.front().pairs;
    tokens_ -= steps_.front().tokens;
    seconds_ -= steps_.front().seconds;
    steps_.pop_front();
  }
  double PairsPerSecond() const { return seconds_ > 0 ? static_cast<double>(pairs_) / seconds_ : 0; }
  double TokensPerSecond() const { return seconds_ > 0 ? static_cast<double>(tokens_) / seconds_ : 0; }
  double SecondsPerStep() const { return steps_.empty() ? 0 : seconds_ / static_cast<double>(steps_.size()); }

 private:
  static constexpr size_t kWindow = 20;
  struct Step {
    int64_t pairs, tokens;
    double seconds;
  };
  std::deque<Step> steps_;
  int64_t pairs_ = 0, tokens_ = 0;
  double seconds_ = 0;
};

}  // namespace tandem
