#include "server/training/job_examples.h"

#include <utility>
#include <variant>

#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

const char* PluralOf(ExampleForm form) {
  switch (form) {
    case ExampleForm::kPair:
      return "pairs";
    case ExampleForm::kScoredPair:
      return "scored pairs";
    case ExampleForm::kLabelledPair:
      return "labelled pairs";
    case ExampleForm::kLabelledText:
      return "labelled texts";
    case ExampleForm::kText:
      return "texts";
  }
  __builtin_unreachable();
}

absl::Status CheckForm(const TrainerOptions& options, int objective, const ExampleSet& set) {
  const LossOptions& loss = options.objectives[static_cast<size_t>(objective)].loss;
  if (!Takes(loss, set.form)) {
    return absl::FailedPreconditionError(
        Concat(ExamplesFile(objective), ": the loss ", NameOf(loss), " does not take ", PluralOf(set.form)));
  }
  const TripletOptions* const triplet = std::get_if<TripletOptions>(&loss.kind);
  if (triplet == nullptr || triplet->mining != TripletOptions::Mining::kExplicit || options.mining) {
    return absl::OkStatus();
  }
  for (size_t i = 0; i < set.examples.size(); ++i) {
    if (!set.examples[i].negatives.empty()) continue;
    return absl::FailedPreconditionError(Concat(ExamplesFile(objective), ": example ", i + 1,
                                                " has no negative, and triplets that are not mined need one"));
  }
  return absl::OkStatus();
}

bool KeepsPositivesTogether(const LossOptions& loss) {
  const InfoNceOptions* const info_nce = std::get_if<InfoNceOptions>(&loss.kind);
  return info_nce != nullptr && info_nce->several_positives;
}

ExampleSet AsTheLossTakesThem(const LossOptions& loss, ExampleSet set) {
  if (std::holds_alternative<SimCseOptions>(loss.kind)) return TwoViewsEach(std::move(set));
  return KeepsPositivesTogether(loss) ? std::move(set) : OnePositiveEach(std::move(set));
}

}  // namespace

absl::StatusOr<JobExamples> ReadJobExamples(const std::filesystem::path& job_directory, const TrainerOptions& options) {
  JobExamples job;
  for (size_t i = 0; i < options.objectives.size(); ++i) {
    const int objective = static_cast<int>(i);
    ASSIGN_OR_RETURN(ExampleSet set, ReadExampleFile(job_directory / ExamplesFile(objective), job.texts));
    RETURN_IF_ERROR(CheckForm(options, objective, set));
    job.training.push_back(std::move(set));
  }
  if (std::filesystem::exists(job_directory / kValidationFile)) {
    ASSIGN_OR_RETURN(job.validation, ReadExampleFile(job_directory / kValidationFile, job.texts));
  } else {
    ExampleSplit split = SplitByAnchor(std::move(job.training[0]), job.texts, options.validation_fraction);
    job.training[0] = std::move(split.training);
    job.validation = std::move(split.validation);
  }
  for (size_t i = 0; i < options.objectives.size(); ++i) {
    const LossOptions& loss = options.objectives[i].loss;
    const int64_t removed = RemoveSharedAnchors(job.validation, job.training[i]);
    if (options.objectives.size() > 1) job.summary += Concat("objective ", i, ", ", NameOf(loss), ": ");
    const char* const plural = PluralOf(job.training[i].form);
    job.training[i] = AsTheLossTakesThem(loss, std::move(job.training[i]));
    job.summary += Concat(job.training[i].size(), " training ", plural, "; ");
    if (removed > 0) job.summary += Concat(removed, " left out because their first texts are validated on; ");
  }
  if (!KeepsPositivesTogether(options.objectives[0].loss)) job.validation = OnePositiveEach(std::move(job.validation));
  job.summary += Concat(job.validation.size(), " validation ", PluralOf(job.validation.form));
  return job;
}

}  // namespace tandem
