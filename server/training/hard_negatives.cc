#include "server/training/hard_negatives.h"

#include <chrono>
#include <utility>
#include <variant>

#include "absl/strings/str_format.h"
#include "server/base/status.h"
#include "server/base/strings.h"

namespace tandem {
namespace {

// Of explicit triplets each is of one example's texts; all other losses hold an anchor against the whole batch.
bool ComparesTheWholeBatch(const LossOptions& loss) { return !std::holds_alternative<TripletOptions>(loss.kind); }

}  // namespace

HardNegatives::HardNegatives(std::filesystem::path job_directory, const TrainerOptions& options,
                             const std::vector<ExampleSet>& training, const TokenCache* tokens, uint32_t texts_checksum)
    : job_directory_(std::move(job_directory)),
      options_(options),
      training_(training),
      texts_checksum_(texts_checksum),
      objectives_(training.size()),
      mined_(training.size()) {
  for (size_t i = 0; i < training.size(); ++i) {
    if (!TakesNegatives(options.objectives[i].loss)) continue;
    objectives_[i].positives.emplace(training[i]);
    objectives_[i].miner.emplace(training[i], *objectives_[i].positives, tokens, options.mining->options);
  }
}

absl::Status HardNegatives::Enter(const NextStep& next, TextModel& model, TrainerEvents& events,
                                  const std::function<absl::Status(int64_t, int64_t)>& proceed) {
  const int64_t epoch = DueEpoch(next.epoch);
  if (epoch == epoch_) return absl::OkStatus();
  absl::StatusOr<MinedNegatives> published = Load(epoch);
  if (published.ok()) {
    mined_ = *std::move(published);
    epoch_ = epoch;
    return absl::OkStatus();
  }
  const bool first_step = next.epoch == epoch && next.position == 0;
  if (!absl::IsNotFound(published.status()) || !first_step) {
    RETURN_IF_ERROR(events.Message(Concat("hard negatives are mined again, with the weights after step ", next.step,
                                          ": ", StdView(published.status().message()))));
  }
  return Mine(epoch, model, events, proceed);
}

absl::StatusOr<MinedNegatives> HardNegatives::Load(int64_t epoch) const {
  const std::filesystem::path file = MinedNegativesFile(job_directory_, epoch);
  ASSIGN_OR_RETURN(MinedNegatives mined, LoadMinedNegatives(file, epoch, texts_checksum_));
  bool fit = mined.size() == objectives_.size();
  for (size_t i = 0; fit && i < mined.size(); ++i) {
    const std::optional<EpochMiner>& miner = objectives_[i].miner;
    fit = miner ? miner->Fits(mined[i]) : mined[i].size() == 0;
  }
  if (!fit) return absl::DataLossError(Concat(file.string(), ": not of the job's examples"));
  return mined;
}

absl::Status HardNegatives::Mine(int64_t epoch, TextModel& model, TrainerEvents& events,
                                 const std::function<absl::Status(int64_t, int64_t)>& proceed) {
  MinedNegatives mined(objectives_.size());
  std::string summary = Concat("hard negatives, mined before epoch ", epoch + 1, ": ");
  for (size_t i = 0; i < objectives_.size(); ++i) {
    if (!objectives_[i].miner) continue;
    const auto start = std::chrono::steady_clock::now();
    ASSIGN_OR_RETURN(EpochMiner::Found found, objectives_[i].miner->Mine(model, epoch, proceed));
    mined[i] = std::move(found.negatives);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    summary += Summary(i, found.figures, static_cast<int64_t>(mined[i].texts.size()), took.count());
  }
  RETURN_IF_ERROR(SaveMinedNegatives(MinedNegativesFile(job_directory_, epoch), epoch, texts_checksum_, mined));
  mined_ = std::move(mined);
  epoch_ = epoch;
  return events.Message(summary);
}

// "64 for 60 of 64 examples …"
std::string HardNegatives::Summary(size_t objective, const MiningFigures& figures, int64_t negatives,
                                   double seconds) const {
  std::string text = objective > 0 && training_.size() > 1 ? "; " : "";
  if (training_.size() > 1) text += Concat("objective ", objective, ": ");
  text += Concat(negatives, " for ", figures.examples, " of ", training_[objective].size(), " examples, in ");
  return text +
         absl::StrFormat("%.1f s (%d anchors, %d documents; mean cosine of the positives %.3f, of the negatives %.3f)",
                         seconds, figures.anchors, figures.documents, figures.mean_positive_score,
                         figures.mean_negative_score);
}

std::vector<std::vector<TextId>> HardNegatives::ForBatch(const ObjectiveBatch& batch) const {
  const auto i = static_cast<size_t>(batch.objective);
  if (!objectives_[i].miner) return {};
  if (ComparesTheWholeBatch(options_.objectives[i].loss)) {
    return NegativesForBatch(batch.examples, training_[i], *objectives_[i].positives, mined_[i]);
  }
  std::vector<std::vector<TextId>> negatives;
  for (const int32_t example : batch.examples) {
    const std::span<const TextId> own = mined_[i].of(example);
    negatives.emplace_back(own.begin(), own.end());
  }
  return negatives;
}

absl::Status HardNegatives::Checkpointed(int64_t epoch) {
  const absl::Status status = RemoveMinedNegativesBefore(job_directory_, DueEpoch(checkpointed_epoch_));
  checkpointed_epoch_ = epoch;
  return status;
}

}  // namespace tandem
