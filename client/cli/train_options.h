#pragma once
// The options of `tandem train` that fill TrainingOptions.

#include <memory>

#include "CLI/CLI.hpp"
#include "tandem/v1/training.pb.h"

namespace tandem::cli {

// What is not given stays "not set". The server checks ranges: its messages name the field and the limits.
void AddTrainingOptions(CLI::App* command, const std::shared_ptr<v1::TrainRequest>& request);

}  // namespace tandem::cli
