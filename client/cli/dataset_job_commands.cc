#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/job_view.h"
#include "client/cli/mining_text.h"

namespace tandem::cli {
namespace {

void AddDetach(CLI::App* command, bool* detach) {
  command->add_flag("--detach", *detach, "Only start the job, do not wait for it");
}

void AddAnalyze(CLI::App& parent, Session& session) {
  auto request = std::make_shared<v1::AnalyzeDatasetRequest>();
  auto detach = std::make_shared<bool>(false);
  CLI::App* command = session.Add(
      parent, "analyze", "Looks for what is wrong with a dataset, and says what to change",
      "tandem dataset analyze pairs --base mini\n"
      "tandem dataset analyze pairs --validation-dataset held-out --base mini --max-length 128 --batch-size 64",
      [request, detach](Client& client, Session& out) {
        absl::StatusOr<v1::Job> job = client.datasets.Analyze(*request);
        return job.ok() ? FollowJob(client, out, *job, !*detach) : job.status();
      });
  command->footer(absl::StrCat(
      "Looks for duplicates, several positives of one anchor (false negatives of a batch), contradictions, texts that\n"
      "training and validation share, texts that are cut, and classes or scores out of balance. The result stays with\n"
      "the job: tandem job show JOB.\n\n",
      command->get_footer()));
  command->add_option("DATASET", *request->mutable_dataset(), "Dataset")->required();
  command->add_option_function<int64_t>(
      "--dataset-commit", [request](int64_t value) { request->set_dataset_commit(value); },
      "Only the examples up to this commit [the newest]");
  command->add_option("--validation-dataset", *request->mutable_validation_dataset(),
                      "What training would be validated on: what both share is found");
  command->add_option("--base", *request->mutable_base_revision(),
                      "MODEL/REVISION, or MODEL for its newest, whose tokens are counted [lengths are left out]");
  command->add_option_function<int32_t>(
      "--max-length", [request](int32_t value) { request->set_max_length(value); },
      "Tokens at which training would cut a text, 4 to 131072 [the model's own]");
  command->add_option_function<int32_t>(
      "--batch-size", [request](int32_t value) { request->set_batch_size(value); },
      "Of the training, 2 to 65536: how many false negatives to expect [32]");
  command->add_option("--request-id", *request->mutable_request_id(),
                      "The same id and options within a day start no second job");
  AddDetach(command, detach.get());
}

void AddMiningOptions(CLI::App* command, const std::shared_ptr<v1::MineNegativesRequest>& request) {
  command->add_option_function<int32_t>(
      "--negatives", [request](int32_t value) { request->mutable_mining()->set_negatives(value); },
      "Of a pair, at most, 1 to 64 [5]");
  command->add_option_function<double>(
      "--margin", [request](double value) { request->mutable_mining()->set_margin(value); },
      "Only documents that score so much lower than the pair's positive, [0, 2]");
  command->add_option_function<double>(
      "--relative-margin", [request](double value) { request->mutable_mining()->set_relative_margin(value); },
      "The same as a share of the positive's score, [0, 1]");
  command->add_option_function<double>(
      "--min-score", [request](double value) { request->mutable_mining()->set_min_score(value); },
      "Only documents that score at least so much, [-1, 1]");
  command->add_option_function<double>(
      "--max-score", [request](double value) { request->mutable_mining()->set_max_score(value); },
      "Only documents that score at most so much, [-1, 1]");
  command
      ->add_option_function<std::string>(
          "--sampling",
          [request](const std::string& value) {
            request->mutable_mining()->set_sampling(value == "random" ? v1::NegativeMining::RANDOM
                                                                      : v1::NegativeMining::TOP);
          },
          "top or random: the best of the ranks, or any of them [top]")
      ->check(CLI::IsMember({"top", "random"}));
  command->add_option_function<int64_t>(
      "--seed", [request](int64_t value) { request->mutable_mining()->set_seed(value); }, "Of random sampling [42]");
}

void AddMine(CLI::App& parent, Session& session) {
  struct Arguments {
    std::string ranks;
    bool detach = false;
  };
  auto request = std::make_shared<v1::MineNegativesRequest>();
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = session.Add(
      parent, "mine", "Searches hard negatives for pairs with a collection's live release",
      "tandem dataset mine pairs --collection docs --into pairs-hard\n"
      "tandem dataset mine pairs --collection docs --into pairs-hard --negatives 7 --ranks 10-100 --margin 0.05",
      [request, arguments](Client& client, Session& out) -> absl::Status {
        if (!arguments->ranks.empty()) {
          const absl::Status parsed = SetRanks(arguments->ranks, request->mutable_mining());
          if (!parsed.ok()) return parsed;
        }
        absl::StatusOr<v1::Job> job = client.jobs.MineNegatives(*request);
        return job.ok() ? FollowJob(client, out, *job, !arguments->detach) : job.status();
      });
  command->footer(absl::StrCat(
      "Documents that the release finds for an anchor and that are no positive of it become its negatives. Near the\n"
      "top stand documents that answer as well and that nobody labelled: --ranks 10-100 or --margin leaves them out.\n"
      "The pairs with their negatives go into another dataset, to train on with info_nce or triplet.\n\n",
      command->get_footer()));
  command->add_option("DATASET", *request->mutable_dataset(), "Dataset of pairs")->required();
  command->add_option_function<int64_t>(
      "--dataset-commit", [request](int64_t value) { request->set_dataset_commit(value); },
      "Only the pairs up to this commit [the newest]");
  command->add_option("--collection", *request->mutable_collection(), "Collection whose live release searches")
      ->required();
  command->add_option("--into", *request->mutable_target_dataset(),
                      "Dataset that gets the pairs, made when it is not there [a new one]");
  command->add_option("--ranks", arguments->ranks,
                      "FIRST-LAST: only documents that stand there, from 1, the best, to 1000 [1-100]");
  AddMiningOptions(command, request);
  command->add_flag_callback(
      "--only-with-negatives", [request] { request->set_only_with_negatives(true); },
      "Leave out pairs that have no negative in the end");
  command->add_option("--request-id", *request->mutable_request_id(),
                      "The same id and options within a day start no second job");
  AddDetach(command, &arguments->detach);
}

}  // namespace

void AddDatasetJobCommands(CLI::App& dataset, Session& session) {
  AddAnalyze(dataset, session);
  AddMine(dataset, session);
}

}  // namespace tandem::cli
