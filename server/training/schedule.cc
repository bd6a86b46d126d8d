#include "server/training/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tandem {

double LearningRateFactor(Schedule schedule, int64_t step, int64_t warmup_steps, int64_t total_steps) {
  if (step < warmup_steps) return static_cast<double>(step) / static_cast<double>(warmup_steps);
  const double after_warmup = static_cast<double>(std::max<int64_t>(1, total_steps - warmup_steps));
  switch (schedule) {
    case Schedule::kLinear:
      return std::max(0.0, static_cast<double>(total_steps - step) / after_warmup);
    case Schedule::kCosine: {
      const double progress = static_cast<double>(step - warmup_steps) / after_warmup;
      return std::max(0.0, 0.5 * (1.0 + std::cos(std::numbers::pi * progress)));
    }
    case Schedule::kConstant:
      return 1.0;
  }
  __builtin_unreachable();
}

}  // namespace tandem
