#pragma once
// Speed of the last steps, for progress reports. Time spent between steps (validation, checkpoints) does not count.

#include <cstdint>
#include <deque>

namespace tandem {

class StepRate {
 public:
  void Add(int64_t pairs, double seconds) {
    steps_.push_back({pairs, seconds});
    pairs_ += pairs;
    seconds_ += seconds;
    if (steps_.size() <= kWindow) return;
    pairs_ -= steps_.front().pairs;
    seconds_ -= steps_.front().seconds;
    steps_.pop_front();
  }
  double PairsPerSecond() const { return seconds_ > 0 ? static_cast<double>(pairs_) / seconds_ : 0; }
  double SecondsPerStep() const { return steps_.empty() ? 0 : seconds_ / static_cast<double>(steps_.size()); }

 private:
  static constexpr size_t kWindow = 20;
  struct Step {
    int64_t pairs;
    double seconds;
  };
  std::deque<Step> steps_;
  int64_t pairs_ = 0;
  double seconds_ = 0;
};

}  // namespace tandem
