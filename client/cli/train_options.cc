#include "client/cli/train_options.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"

namespace tandem::cli {
namespace {

using Request = std::shared_ptr<v1::TrainRequest>;
using Options = v1::TrainingOptions;

// An option that calls a setter when it is given.
template <class T>
void AddSetter(CLI::App* command, const std::string& name, const std::string& description,
               std::function<void(const T&)> set) {
  command->add_option_function<T>(name, std::move(set), description);
}

// One of an enum's values, in lower case and with "-" for "_".
template <class Enum>
void AddChoice(CLI::App* command, const std::string& name, const std::string& description,
               const std::vector<std::string>& choices, bool (*parse)(google::protobuf::ConstStringParam, Enum*),
               std::function<void(Enum)> set) {
  command
      ->add_option_function<std::string>(
          name,
          [parse, set = std::move(set)](const std::string& choice) {
            Enum value;
            if (parse(absl::StrReplaceAll(absl::AsciiStrToUpper(choice), {{"-", "_"}}), &value)) set(value);
          },
          description)
      ->check(CLI::IsMember(choices));
}

void AddBatches(CLI::App* command, const Request& request) {
  AddSetter<int32_t>(command, "--batch-size", "Examples in a batch, 2 to 4096, with --micro-batch-size to 65536 [32]",
                     [request](int32_t value) { request->mutable_options()->set_batch_size(value); });
  AddSetter<int32_t>(command, "--micro-batch-size",
                     "Texts of a forward pass: a larger batch needs the memory of so many [the whole batch]",
                     [request](int32_t value) { request->mutable_options()->set_micro_batch_size(value); });
  AddChoice<Options::BatchSampler>(
      command, "--batch-sampler",
      "no-duplicates: no text twice in a batch; balanced: --texts-per-class of each class in it; plain "
      "[balanced for labelled texts, else no-duplicates]",
      {"no-duplicates", "plain", "balanced"}, &Options::BatchSampler_Parse,
      [request](Options::BatchSampler value) { request->mutable_options()->set_batch_sampler(value); });
  AddSetter<int32_t>(command, "--texts-per-class", "Of a balanced batch, 2 to half of it [4]",
                     [request](int32_t value) { request->mutable_options()->set_texts_per_class(value); });
  AddChoice<Options::Mixing>(command, "--mixing",
                             "Several objectives: proportional (one a step) or sum (all in each step) [proportional]",
                             {"proportional", "sum"}, &Options::Mixing_Parse,
                             [request](Options::Mixing value) { request->mutable_options()->set_mixing(value); });
  AddChoice<Options::Order>(command, "--order", "shuffled or given [shuffled]", {"shuffled", "given"},
                            &Options::Order_Parse,
                            [request](Options::Order value) { request->mutable_options()->set_order(value); });
  AddSetter<int32_t>(command, "--max-length", "Tokens of a text, 4 up to the model's positions [the model's own]",
                     [request](int32_t value) { request->mutable_options()->set_max_length(value); });
  AddSetter<int64_t>(command, "--seed", "Of shuffling and dropout [42]",
                     [request](int64_t value) { request->mutable_options()->set_seed(value); });
}

void AddSteps(CLI::App* command, const Request& request) {
  AddSetter<int32_t>(command, "--epochs", "1 to 1000 [1]",
                     [request](int32_t value) { request->mutable_options()->set_epochs(value); });
  AddSetter<int64_t>(command, "--max-steps", "End after so many steps, whatever --epochs says",
                     [request](int64_t value) { request->mutable_options()->set_max_steps(value); });
  AddSetter<double>(command, "--learning-rate,--lr", "(0, 1] [5e-5]",
                    [request](double value) { request->mutable_options()->set_learning_rate(value); });
  AddSetter<int64_t>(command, "--warmup-steps", "Steps until the full learning rate [a tenth]",
                     [request](int64_t value) { request->mutable_options()->set_warmup_steps(value); });
  AddChoice<Options::Schedule>(command, "--schedule", "linear, cosine or constant [linear]",
                               {"linear", "cosine", "constant"}, &Options::Schedule_Parse,
                               [request](Options::Schedule value) { request->mutable_options()->set_schedule(value); });
  AddSetter<double>(command, "--weight-decay", "[0, 1] [0.01]",
                    [request](double value) { request->mutable_options()->set_weight_decay(value); });
  AddSetter<double>(command, "--max-gradient-norm", "Gradients are clipped to it [1]",
                    [request](double value) { request->mutable_options()->set_max_gradient_norm(value); });
}

void AddWeights(CLI::App* command, const Request& request) {
  command->add_flag_callback(
      "--freeze-embeddings", [request] { request->mutable_options()->set_freeze_embeddings(true); },
      "Leave the embeddings as they are");
  AddSetter<int32_t>(command, "--freeze-layers", "Leave the embeddings and the first so many layers as they are [0]",
                     [request](int32_t value) { request->mutable_options()->set_freeze_layers(value); });
  AddSetter<double>(command, "--layer-decay", "Each layer learns so much slower than the next one, (0, 1] [1]",
                    [request](double value) { request->mutable_options()->set_layer_decay(value); });
  AddChoice<Options::Precision>(
      command, "--precision", "float32 or bfloat16 [float32]", {"float32", "bfloat16"}, &Options::Precision_Parse,
      [request](Options::Precision value) { request->mutable_options()->set_precision(value); });
  AddSetter<int32_t>(command, "--lora-rank", "Train low-rank adapters of this rank instead of all weights, 1 to 256",
                     [request](int32_t value) { request->mutable_options()->mutable_lora()->set_rank(value); });
  AddSetter<double>(command, "--lora-alpha", "An adapter's share is alpha / rank [twice the rank]",
                    [request](double value) { request->mutable_options()->mutable_lora()->set_alpha(value); });
  AddSetter<double>(command, "--lora-dropout", "Of the adapters' input, [0, 0.9] [0]",
                    [request](double value) { request->mutable_options()->mutable_lora()->set_dropout(value); });
  AddChoice<Options::Lora::Initialization>(
      command, "--lora-init", "random, or principal: the weights' largest singular values [random]",
      {"random", "principal"}, &Options::Lora::Initialization_Parse, [request](Options::Lora::Initialization value) {
        request->mutable_options()->mutable_lora()->set_initialization(value);
      });
}

void AddValidation(CLI::App* command, const Request& request) {
  AddSetter<double>(command, "--validation-fraction", "Of the first texts, kept from training, [0, 0.5] [0.05]",
                    [request](double value) { request->mutable_options()->set_validation_fraction(value); });
  command->add_option("--validation-dataset", *request->mutable_validation_dataset(),
                      "Examples of any one form, instead of a split of the (first) dataset");
  AddSetter<int64_t>(command, "--evaluation-steps", "Validate every so many steps [a fifth of all]",
                     [request](int64_t value) { request->mutable_options()->set_evaluation_steps(value); });
  AddSetter<int32_t>(command, "--early-stopping-patience", "End after so many validations without a better one",
                     [request](int32_t value) { request->mutable_options()->set_early_stopping_patience(value); });
  AddSetter<int64_t>(command, "--checkpoint-steps", "Save every so many steps [100]",
                     [request](int64_t value) { request->mutable_options()->set_checkpoint_steps(value); });
  AddChoice<Options::Keep>(command, "--keep", "best or last: which weights become the revision [best]",
                           {"best", "last"}, &Options::Keep_Parse,
                           [request](Options::Keep value) { request->mutable_options()->set_keep(value); });
}

}  // namespace

void AddTrainingOptions(CLI::App* command, const Request& request) {
  AddBatches(command, request);
  AddSteps(command, request);
  AddWeights(command, request);
  AddValidation(command, request);
}

}  // namespace tandem::cli
