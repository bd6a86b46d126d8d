#pragma once
// What is known of a training job, and the page that shows it. Strings are as users and the server wrote them; drawing
// escapes and shortens them.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/report/comparison_figures.h"
#include "client/report/embedding_sample.h"
#include "client/report/page.h"
#include "client/report/training_data.h"

namespace tandem::report {

struct StepFigures {
  int64_t step = 0;  // From 1.
  double loss = 0, learning_rate = 0, gradient_norm = 0, examples_per_second = 0;
  int objective = -1;  // Whose batch it was, from 0, when several take turns.
};

struct ValidationMetric {
  enum Place {
    kScores,  // In [-1, 1], higher is better: one picture for all of them.
    kAlone,   // A picture of its own.
    kTableOnly,
    kCount,  // A whole number, in the table only.
  };
  std::string name;
  double value = 0;
  Place place = kScores;
};

struct ValidationFigures {
  int64_t step = 0;                       // 0: of the base model.
  bool best = false;                      // The best up to then.
  std::vector<ValidationMetric> metrics;  // The first decides which is best. All validations of a job have the same.
};

struct Restart {
  int attempt = 0;   // From 2.
  int64_t step = 0;  // The last that its checkpoint had.
};

struct LogLine {
  std::string time, text;
};

struct TrainingReport {
  std::string name;                // "j1".
  std::string state;               // "succeeded".
  std::string error;               // Of a failed job.
  std::string base, result, data;  // Short names, for the sentence at the top; `result` may be empty.
  int64_t step = 0, total_steps = 0;
  std::string duration;  // "1:45"; empty when it never ran.
  std::vector<Fact> facts, options;
  std::vector<StepFigures> steps;       // By step, each once: where an attempt repeated steps, as it had them.
  std::vector<std::string> objectives;  // What they are called, by number; may be shorter than they are many.
  std::vector<ValidationFigures> validations;
  std::optional<Comparison> comparison;  // With metrics.
  std::vector<int64_t> checkpoints;
  std::vector<Restart> restarts;
  std::vector<LogLine> log;
  std::vector<TrainingData> training_data;  // Of each dataset that was trained on.
  std::string no_training_data;             // Why one is missing, as a sentence.
  std::optional<EmbeddingSample> sample;
  std::string no_sample;  // Why there is none, as a sentence.
};

std::string Draw(const TrainingReport& report);

}  // namespace tandem::report
