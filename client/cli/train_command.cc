#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/job_view.h"
#include "client/cli/loss_text.h"
#include "client/cli/mining_text.h"
#include "client/cli/train_options.h"
#include "client/error.h"
#include "client/names.h"

namespace tandem::cli {
namespace {

// What the command line says, beside what went into the request at once.
struct Arguments {
  std::string loss, matryoshka;
  std::optional<std::string> mining;
  std::vector<std::string> objectives;
  bool estimate = false, watch = false, detach = false;
};

absl::StatusOr<v1::TrainRequest> MakeRequest(v1::TrainRequest request, const Arguments& arguments) {
  if (arguments.objectives.empty() && request.dataset().empty()) {
    return BadInput("--dataset", "is missing; or give --objective once or more");
  }
  for (const std::string& text : arguments.objectives) {
    absl::StatusOr<v1::Objective> objective = ParseObjective(text);
    if (!objective.ok()) return objective.status();
    *request.add_objectives() = *std::move(objective);
  }
  if (!arguments.loss.empty()) {
    absl::StatusOr<v1::Loss> loss = ParseLoss(arguments.loss);
    if (!loss.ok()) return loss.status();
    *request.mutable_loss() = *std::move(loss);
  }
  if (arguments.mining) {
    absl::StatusOr<v1::MiningDuringTraining> mining = ParseMining(*arguments.mining);
    if (!mining.ok()) return mining.status();
    *request.mutable_options()->mutable_mining() = *std::move(mining);
  }
  if (arguments.matryoshka.empty()) return request;
  absl::StatusOr<v1::Matryoshka> matryoshka = ParseMatryoshka(arguments.matryoshka);
  if (!matryoshka.ok()) return matryoshka.status();
  for (v1::Objective& objective : *request.mutable_objectives()) {
    *objective.mutable_loss()->mutable_matryoshka() = *matryoshka;
  }
  if (request.objectives().empty()) *request.mutable_loss()->mutable_matryoshka() = *matryoshka;
  return request;
}

std::string DescribeEstimate(const v1::TrainingEstimate& estimate) {
  std::vector<std::pair<std::string, std::string>> fields;
  for (const auto& objective : estimate.objectives()) {
    fields.push_back(
        {ShortName(objective.dataset()),
         absl::StrCat(FormatCount(objective.examples()), " examples up to commit ", objective.dataset_commit(),
                      ", at least ", FormatCount(objective.batches_per_epoch()), " batches an epoch")});
  }
  const std::string basis = estimate.basis() == v1::TrainingEstimate::FINISHED_JOB
                                ? absl::StrCat("at the rate of ", ShortName(estimate.job()))
                                : "from the operations that it takes; the first job will show the real rate";
  fields.push_back({"validation", absl::StrCat(FormatCount(estimate.validation_examples()), " examples")});
  fields.push_back({"steps", absl::StrCat(FormatCount(estimate.total_steps()), ", ",
                                          FormatCount(estimate.steps_per_epoch()), " an epoch")});
  fields.push_back({"tokens", absl::StrCat("about ", FormatCount(estimate.tokens_per_step()), " a step")});
  fields.push_back({"memory", absl::StrCat("about ", FormatBytes(estimate.peak_memory_bytes()))});
  fields.push_back({"time", absl::StrCat("about ", FormatClock(ToDuration(estimate.time())), ", ", basis)});
  return RenderFields(fields);
}

absl::Status RunEstimate(Client& client, Session& out, const v1::TrainRequest& request) {
  absl::StatusOr<v1::TrainingEstimate> estimate = client.jobs.EstimateTraining(request);
  if (!estimate.ok()) return estimate.status();
  out.Print(*estimate, DescribeEstimate(*estimate));
  return absl::OkStatus();
}

absl::Status RunTrain(Client& client, Session& out, const v1::TrainRequest& request, bool watch) {
  absl::StatusOr<v1::Job> job = client.jobs.Train(request);
  return job.ok() ? FollowJob(client, out, *job, watch) : job.status();
}

void AddWhatToTrainOn(CLI::App* command, const std::shared_ptr<v1::TrainRequest>& request,
                      const std::shared_ptr<Arguments>& arguments) {
  CLI::Option* dataset = command->add_option("--dataset", *request->mutable_dataset(), "Dataset to train on");
  CLI::Option* commit = command->add_option_function<int64_t>(
      "--dataset-commit", [request](int64_t value) { request->set_dataset_commit(value); },
      "Only the examples up to this commit [the newest]");
  CLI::Option* loss = command->add_option("--loss", arguments->loss, "NAME[:OPTION=VALUE,...], see below [info_nce]");
  command
      ->add_option("--objective", arguments->objectives,
                   "DATASET[@COMMIT]:LOSS[:OPTIONS][:WEIGHT]; once or more, instead of --dataset and --loss")
      ->excludes(dataset, commit, loss)
      ->allow_extra_args(false);
  command->add_option("--matryoshka", arguments->matryoshka,
                      "Dimensions at which vectors may be cut short, as 256,128,64; with weights 256=1,128=0.5");
  command
      ->add_option_function<std::string>(
          "--mine", [arguments](const std::string& text) { arguments->mining = text; },
          "Mine hard negatives anew while training: [OPTION=VALUE,...], see below; alone: the defaults")
      ->expected(0, 1);
}

}  // namespace

void AddTrainCommand(CLI::App& app, Session& session) {
  auto request = std::make_shared<v1::TrainRequest>();
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = session.Add(
      app, "train", "Fine-tunes a model revision on datasets; the result is a new revision",
      "tandem train --base mini --dataset pairs\n"
      "tandem train --base mini/r1 --dataset pairs --epochs 2 --lr 2e-5 --loss info_nce:symmetric,scale=30 --detach\n"
      "tandem train --base mini --dataset tickets --loss triplet:mining=batch-hard,margin=0.3,distance=cosine\n"
      "tandem train --base mini --dataset pairs --epochs 4 --mine negatives=5,ranks=1-100,margin=0.05,refresh=2\n"
      "tandem train --base mini --objective pairs:info_nce --objective graded:cosent:0.5 --estimate",
      [request, arguments](Client& client, Session& out) {
        const absl::StatusOr<v1::TrainRequest> made = MakeRequest(*request, *arguments);
        if (!made.ok()) return made.status();
        if (arguments->estimate) return RunEstimate(client, out, *made);
        return RunTrain(client, out, *made, arguments->watch || (!arguments->detach && out.interactive()));
      });
  command->footer(absl::StrCat("Losses:\n", DescribeLosses(),
                               "Which of them takes which examples, and when to use it: ", "README.md.\n\n",
                               "Mining:\n  ", DescribeMining(), "\n\n", command->get_footer()));
  command
      ->add_option("--base", *request->mutable_base_revision(), "MODEL/REVISION to start from, or MODEL for its newest")
      ->required();
  AddWhatToTrainOn(command, request, arguments);
  command->add_option("--target-model", *request->mutable_target_model(), "Model that gets the revision [the base's]");
  AddTrainingOptions(command, request);
  command->add_option("--request-id", *request->mutable_request_id(),
                      "The same id and options within a day start no second job");
  CLI::Option* estimate =
      command->add_flag("--estimate", arguments->estimate, "Only check, and say what it would take; start nothing");
  CLI::Option* watch =
      command->add_flag("--watch", arguments->watch, "Follow the job to its end; the default on a terminal");
  watch->excludes(estimate);
  command->add_flag("--detach", arguments->detach, "Only start it")->excludes(watch, estimate);
}

}  // namespace tandem::cli
