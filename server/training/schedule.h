#pragma once
// The learning rate of each step. The numbers are those of transformers' get_linear_schedule_with_warmup,
// get_cosine_schedule_with_warmup (half a wave) and get_constant_schedule_with_warmup: warm-up grows from 0, so that
// the first step of a run with warm-up changes nothing.

#include <cstdint>

#include "server/base/job_directory.h"

namespace tandem {

// Factor of the learning rate at `step`, counted from 0. REQUIRES: 0 <= warmup_steps < total_steps.
double LearningRateFactor(Schedule schedule, int64_t step, int64_t warmup_steps, int64_t total_steps);

}  // namespace tandem
