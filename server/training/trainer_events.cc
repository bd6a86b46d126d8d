#include "server/training/trainer_events.h"

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "server/base/job_directory.h"
#include "server/base/status.h"

namespace tandem {
namespace {

using nlohmann::json;

// Enough for the last few hundred events; earlier attempts have smaller numbers.
constexpr int64_t kTailBytes = 1 << 16;

// The attempt of a trainer that starts now. Damaged lines are passed over here: EventWriter::Open judges them.
int NextAttempt(const std::filesystem::path& events) {
  std::ifstream file(events, std::ios::binary | std::ios::ate);
  if (!file) return 1;
  const int64_t size = file.tellg();
  const bool cut = size > kTailBytes;
  file.seekg(cut ? size - kTailBytes : 0);
  std::string line;
  if (cut) std::getline(file, line);
  int attempt = 1;
  while (std::getline(file, line)) {
    const size_t space = line.find(' ');
    if (space == std::string::npos) continue;
    const json event = json::parse(line.substr(space + 1), nullptr, /*allow_exceptions=*/false);
    if (!event.is_object() || !event.contains("attempt") || !event["attempt"].is_number_integer()) continue;
    const bool by_tandemd = event.value("type", json()) == json("state");
    attempt = std::max(attempt, event["attempt"].get<int>() + (by_tandemd ? 0 : 1));
  }
  return attempt;
}

}  // namespace

absl::StatusOr<TrainerEvents> TrainerEvents::Open(const std::filesystem::path& job_directory) {
  const std::filesystem::path path = job_directory / kEventsFile;
  ASSIGN_OR_RETURN(std::unique_ptr<EventWriter> writer, EventWriter::Open(path, NextAttempt(path)));
  return TrainerEvents(std::move(writer));
}

absl::Status TrainerEvents::Step(const StepReport& report) {
  json event = {{"type", "step"},
                {"step", report.step},
                {"total_steps", report.total_steps},
                {"loss", report.loss},
                {"learning_rate", report.learning_rate},
                {"gradient_norm", report.gradient_norm},
                {"pairs_per_second", report.pairs_per_second},
                {"tokens_per_second", report.tokens_per_second},
                {"seconds_left", report.seconds_left},
                {"epoch", report.epoch}};
  if (report.objective) event["objective"] = *report.objective;
  return writer_->Append(std::move(event));
}

absl::Status TrainerEvents::Validation(int64_t step, const ValidationResult& result, bool best) {
  json event = ToJson(result);
  event["type"] = "validation";
  event["step"] = step;
  event["best"] = best;
  return writer_->Append(std::move(event), /*sync=*/true);
}

absl::Status TrainerEvents::Comparison(const TrainingComparison& comparison) {
  json event = ToJson(comparison);
  event["type"] = "comparison";
  return writer_->Append(std::move(event), /*sync=*/true);
}

absl::Status TrainerEvents::Checkpoint(int64_t step) {
  return writer_->Append({{"type", "checkpoint"}, {"step", step}}, /*sync=*/true);
}

absl::Status TrainerEvents::Message(std::string_view text) {
  return writer_->Append({{"type", "message"}, {"text", text}});
}

absl::Status TrainerEvents::Failed(const absl::Status& status) {
  return writer_->Append(
      {{"type", "failed"}, {"code", static_cast<int>(status.code())}, {"message", std::string(status.message())}},
      /*sync=*/true);
}

}  // namespace tandem
