#include <functional>
#include <memory>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/cli/commands.h"
#include "client/cli/format.h"
#include "client/cli/job_view.h"
#include "client/names.h"

namespace tandem::cli {
namespace {

// An option that calls a setter of the request when it is given, so that "not given" stays "not set". The server checks
// ranges: its messages name the field and the limits.
template <class T>
void AddSetter(CLI::App* command, const std::string& name, const std::string& description,
               std::function<void(const T&)> set) {
  command->add_option_function<T>(name, std::move(set), description);
}

void AddChoice(CLI::App* command, const std::string& name, const std::string& description,
               const std::vector<std::string>& choices, std::function<void(const std::string&)> set) {
  command
      ->add_option_function<std::string>(
          name, [set = std::move(set)](const std::string& choice) { set(absl::AsciiStrToUpper(choice)); }, description)
      ->check(CLI::IsMember(choices));
}

using Request = std::shared_ptr<v1::TrainRequest>;

void AddLength(CLI::App* command, const Request& request) {
  AddSetter<int32_t>(command, "--batch-size", "Pairs in a batch, 2 to 4096 [32]",
                     [request](int32_t value) { request->mutable_options()->set_batch_size(value); });
  AddSetter<int32_t>(command, "--epochs", "1 to 1000 [1]",
                     [request](int32_t value) { request->mutable_options()->set_epochs(value); });
  AddSetter<int64_t>(command, "--max-steps", "End after so many steps, whatever --epochs says",
                     [request](int64_t value) { request->mutable_options()->set_max_steps(value); });
  AddSetter<int32_t>(command, "--max-length", "Tokens of a text, 4 up to the model's positions [the model's own]",
                     [request](int32_t value) { request->mutable_options()->set_max_length(value); });
  AddSetter<int64_t>(command, "--seed", "Of shuffling and dropout [42]",
                     [request](int64_t value) { request->mutable_options()->set_seed(value); });
  AddChoice(command, "--order", "shuffled or given [shuffled]", {"shuffled", "given"},
            [request](const std::string& value) {
              v1::TrainingOptions::Order order;
              if (v1::TrainingOptions::Order_Parse(value, &order)) request->mutable_options()->set_order(order);
            });
  AddChoice(command, "--batch-sampler", "no-duplicates or plain: may a text be twice in a batch [no-duplicates]",
            {"no-duplicates", "plain"}, [request](const std::string& value) {
              request->mutable_options()->set_batch_sampler(value == "PLAIN" ? v1::TrainingOptions::PLAIN
                                                                             : v1::TrainingOptions::NO_DUPLICATES);
            });
}

void AddOptimizer(CLI::App* command, const Request& request) {
  AddSetter<double>(command, "--learning-rate,--lr", "(0, 1] [5e-5]",
                    [request](double value) { request->mutable_options()->set_learning_rate(value); });
  AddSetter<int64_t>(command, "--warmup-steps", "Steps until the full learning rate [a tenth]",
                     [request](int64_t value) { request->mutable_options()->set_warmup_steps(value); });
  AddChoice(command, "--schedule", "linear, cosine or constant [linear]", {"linear", "cosine", "constant"},
            [request](const std::string& value) {
              v1::TrainingOptions::Schedule schedule;
              if (v1::TrainingOptions::Schedule_Parse(value, &schedule)) {
                request->mutable_options()->set_schedule(schedule);
              }
            });
  AddSetter<double>(command, "--weight-decay", "[0, 1] [0.01]",
                    [request](double value) { request->mutable_options()->set_weight_decay(value); });
  AddSetter<double>(command, "--max-gradient-norm", "Gradients are clipped to it [1]",
                    [request](double value) { request->mutable_options()->set_max_gradient_norm(value); });
  AddSetter<float>(command, "--scale", "The loss multiplies cosines by it, (0, 1000] [20]",
                   [request](float value) { request->mutable_info_nce()->set_scale(value); });
  command->add_flag_callback(
      "--symmetric", [request] { request->mutable_info_nce()->set_symmetric(true); },
      "Also ask from each positive which anchor it belongs to");
}

void AddValidation(CLI::App* command, const Request& request) {
  AddSetter<double>(command, "--validation-fraction", "Of the anchors, kept from training, [0, 0.5] [0.05]",
                    [request](double value) { request->mutable_options()->set_validation_fraction(value); });
  command->add_option("--validation-dataset", *request->mutable_validation_dataset(),
                      "Instead of a split of --dataset");
  AddSetter<int64_t>(command, "--evaluation-steps", "Validate every so many steps [a fifth of all]",
                     [request](int64_t value) { request->mutable_options()->set_evaluation_steps(value); });
  AddSetter<int64_t>(command, "--checkpoint-steps", "Save every so many steps [100]",
                     [request](int64_t value) { request->mutable_options()->set_checkpoint_steps(value); });
  AddChoice(command, "--keep", "best or last: which weights become the revision [best]", {"best", "last"},
            [request](const std::string& value) {
              v1::TrainingOptions::Keep keep;
              if (v1::TrainingOptions::Keep_Parse(value, &keep)) request->mutable_options()->set_keep(keep);
            });
}

absl::Status RunTrain(Client& client, Session& out, const v1::TrainRequest& request, bool watch) {
  absl::StatusOr<v1::Job> job = client.jobs.Train(request);
  if (!job.ok()) return job.status();
  if (!watch) {
    out.Print(*job, absl::StrCat(DescribeJob(*job), "follow it with: tandem job watch ", ShortName(job->name())));
    return absl::OkStatus();
  }
  out.Say(absl::StrCat("started ", job->name()));
  absl::StatusOr<v1::Job> finished = WatchWithBar(client, out, job->name(), 0, /*print_events=*/false);
  if (!finished.ok()) return finished.status();
  out.Print(*finished, DescribeJob(*finished));
  return OutcomeOf(*finished);
}

}  // namespace

void AddTrainCommand(CLI::App& app, Session& session) {
  auto request = std::make_shared<v1::TrainRequest>();
  auto watch = std::make_shared<bool>(false);
  auto detach = std::make_shared<bool>(false);
  CLI::App* command =
      session.Add(app, "train", "Fine-tunes a model revision on a dataset; the result is a new revision",
                  "tandem train --base mini --dataset pairs\n"
                  "tandem train --base mini/r1 --dataset pairs --epochs 2 --lr 2e-5 --symmetric --detach",
                  [request, watch, detach](Client& client, Session& out) {
                    return RunTrain(client, out, *request, *watch || (!*detach && out.interactive()));
                  });
  command
      ->add_option("--base", *request->mutable_base_revision(), "MODEL/REVISION to start from, or MODEL for its newest")
      ->required();
  command->add_option("--dataset", *request->mutable_dataset(), "Dataset to train on")->required();
  AddSetter<int64_t>(command, "--dataset-commit", "Only the examples up to this commit [the newest]",
                     [request](int64_t value) { request->set_dataset_commit(value); });
  command->add_option("--target-model", *request->mutable_target_model(), "Model that gets the revision [the base's]");
  AddLength(command, request);
  AddOptimizer(command, request);
  AddValidation(command, request);
  command->add_option("--request-id", *request->mutable_request_id(),
                      "The same id and options within a day start no second job");
  CLI::Option* watch_flag =
      command->add_flag("--watch", *watch, "Follow the job to its end; the default on a terminal");
  command->add_flag("--detach", *detach, "Only start it")->excludes(watch_flag);
}

}  // namespace tandem::cli
