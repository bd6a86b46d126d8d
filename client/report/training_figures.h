#pragma once
// The pictures of a training's course.

#include <string>

#include "client/report/training_report.h"

namespace tandem::report {

// The last validation that was the best of those before it; nullptr when there is none.
const ValidationFigures* BestValidation(const TrainingReport& report);

std::string DrawCourse(
    const TrainingReport& report);  // Loss, learning rate, gradient norm, throughput. REQUIRES: steps.
std::string DrawValidations(const TrainingReport& report);  // REQUIRES: validations.

}  // namespace tandem::report
