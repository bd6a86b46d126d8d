#include "server/base/job_directory.h"

#include <cmath>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "server/base/status.h"

namespace tandem {
namespace {

TrainerOptions Changed(const std::function<void(TrainerOptions&)>& change) {
  TrainerOptions options;
  options.base_directory = "/models/base";
  change(options);
  return options;
}

struct Fault {
  std::string path;
  std::function<void(TrainerOptions&)> change;
};

TEST(TrainerOptionsTest, ARelativeBaseIsFoundFromTheJobsDirectory) {
  TrainerOptions options = {.base_directory = "../../../models/t/m/r"};
  EXPECT_EQ(BaseDirectory(options, "/data/jobs/t/j"), "/data/models/t/m/r");
  EXPECT_EQ(BaseDirectory(options, "data/jobs/t/j"), "data/models/t/m/r");
  options.base_directory = "/elsewhere/r";
  EXPECT_EQ(BaseDirectory(options, "/data/jobs/t/j"), "/elsewhere/r");
}

TEST(TrainerOptionsTest, DefaultsAreValid) {
  EXPECT_TRUE(Changed([](TrainerOptions&) {}).Validate().ok());
}

TEST(TrainerOptionsTest, ValuesAtTheLimitsAreValid) {
  for (const auto& change : std::vector<std::function<void(TrainerOptions&)>>{
           [](TrainerOptions& o) { o.batch_size = 2; }, [](TrainerOptions& o) { o.batch_size = 4096; },
           [](TrainerOptions& o) { o.epochs = 1000; }, [](TrainerOptions& o) { o.max_steps = 10'000'000; },
           [](TrainerOptions& o) { o.learning_rate = 1; }, [](TrainerOptions& o) { o.warmup_steps = 0; },
           [](TrainerOptions& o) { o.weight_decay = 0; }, [](TrainerOptions& o) { o.max_gradient_norm = 1e6; },
           [](TrainerOptions& o) { o.max_length = 4; }, [](TrainerOptions& o) { o.seed = 0; },
           [](TrainerOptions& o) { o.validation_fraction = 0.5; },
           [](TrainerOptions& o) { o.objectives[0].loss.kind = InfoNceOptions{.scale = 1000}; },
           [](TrainerOptions& o) { o.objectives.resize(8), o.objectives[7].weight = 1000; },
           [](TrainerOptions& o) { o.batch_size = 65'536, o.micro_batch_size = 1; },
           [](TrainerOptions& o) { o.micro_batch_size = 4096; }, [](TrainerOptions& o) { o.texts_per_class = 2; },
           [](TrainerOptions& o) { o.early_stopping_patience = 1000; },
           [](TrainerOptions& o) { o.layer_decay = 1, o.freeze_layers = 1000; }}) {
    EXPECT_TRUE(Changed(change).Validate().ok()) << Changed(change).Validate();
  }
}

TEST(TrainerOptionsTest, ValueOutOfRangeIsRefusedWithItsFieldPath) {
  const std::vector<Fault> faults = {
      {"loss.info_nce.scale", [](TrainerOptions& o) { o.objectives[0].loss.kind = InfoNceOptions{.scale = 0}; }},
      {"loss.info_nce.symmetric",
       [](TrainerOptions& o) {
         o.objectives[0].loss.kind = InfoNceOptions{.symmetric = true};
         o.batch_sampler = BatchSampler::kPlain;
       }},
      {"objectives[1].loss.triplet.margin",
       [](TrainerOptions& o) {
         o.objectives.resize(2);
         o.objectives[1].loss.kind = TripletOptions{.margin = 0};
       }},
      {"objectives[2].weight", [](TrainerOptions& o) { o.objectives.resize(3), o.objectives[2].weight = 0; }},
      {"objectives[0].weight", [](TrainerOptions& o) { o.objectives.resize(2), o.objectives[0].weight = 1000.5; }},
      {"objectives", [](TrainerOptions& o) { o.objectives.resize(9); }},
      {"objectives", [](TrainerOptions& o) { o.objectives.clear(); }},
      {"options.batch_size", [](TrainerOptions& o) { o.batch_size = 65'537, o.micro_batch_size = 8; }},
      {"options.micro_batch_size", [](TrainerOptions& o) { o.micro_batch_size = 0; }},
      {"options.micro_batch_size", [](TrainerOptions& o) { o.micro_batch_size = 4097; }},
      {"options.texts_per_class", [](TrainerOptions& o) { o.texts_per_class = 1; }},
      {"options.early_stopping_patience", [](TrainerOptions& o) { o.early_stopping_patience = 0; }},
      {"options.freeze_layers", [](TrainerOptions& o) { o.freeze_layers = -1; }},
      {"options.layer_decay", [](TrainerOptions& o) { o.layer_decay = 0; }},
      {"options.layer_decay", [](TrainerOptions& o) { o.layer_decay = 1.01; }},
      {"options.lora.rank", [](TrainerOptions& o) { o.lora.rank = 257; }},
      {"options.lora.alpha", [](TrainerOptions& o) { o.lora.alpha = -1; }},
      {"options.lora.dropout", [](TrainerOptions& o) { o.lora.dropout = 1; }},
      {"options.lora.dropout",
       [](TrainerOptions& o) {
         o.lora = {.rank = 8, .dropout = 0.1, .initialization = LoraInitialization::kPrincipal};
       }},
      {"options.mining.options.negatives", [](TrainerOptions& o) { o.mining.emplace().options.negatives = 65; }},
      {"options.mining.refresh_epochs", [](TrainerOptions& o) { o.mining.emplace().refresh_epochs = 0; }},
      {"options.mining.refresh_epochs", [](TrainerOptions& o) { o.mining.emplace().refresh_epochs = 1001; }},
      {"options.mining",
       [](TrainerOptions& o) {
         o.mining.emplace();
         o.objectives[0].loss.kind = TripletOptions{.mining = TripletOptions::Mining::kBatchAll};
       }},
      {"options.batch_size", [](TrainerOptions& o) { o.batch_size = 1; }},
      {"options.batch_size", [](TrainerOptions& o) { o.batch_size = 4097; }},
      {"options.epochs", [](TrainerOptions& o) { o.epochs = 0; }},
      {"options.epochs", [](TrainerOptions& o) { o.epochs = 1001; }},
      {"options.max_steps", [](TrainerOptions& o) { o.max_steps = 0; }},
      {"options.max_steps", [](TrainerOptions& o) { o.max_steps = 10'000'001; }},
      {"options.learning_rate", [](TrainerOptions& o) { o.learning_rate = 0; }},
      {"options.learning_rate", [](TrainerOptions& o) { o.learning_rate = std::nan(""); }},
      {"options.warmup_steps", [](TrainerOptions& o) { o.warmup_steps = -1; }},
      {"options.warmup_steps", [](TrainerOptions& o) { o.warmup_steps = 5, o.max_steps = 5; }},
      {"options.weight_decay", [](TrainerOptions& o) { o.weight_decay = 1.01; }},
      {"options.max_gradient_norm", [](TrainerOptions& o) { o.max_gradient_norm = 0; }},
      {"options.max_length", [](TrainerOptions& o) { o.max_length = 3; }},
      {"options.seed", [](TrainerOptions& o) { o.seed = -1; }},
      {"options.validation_fraction", [](TrainerOptions& o) { o.validation_fraction = 0.51; }},
      {"options.evaluation_steps", [](TrainerOptions& o) { o.evaluation_steps = 0; }},
      {"options.checkpoint_steps", [](TrainerOptions& o) { o.checkpoint_steps = 0; }},
      {"threads", [](TrainerOptions& o) { o.threads = 0; }},
  };
  for (const Fault& fault : faults) {
    const absl::Status status = Changed(fault.change).Validate();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << fault.path;
    EXPECT_EQ(FieldPath(status).value_or("none"), fault.path) << status;
  }
}

TEST(TrainerOptionsTest, ABatchOverTheLimitOfOnePassNeedsMicroBatches) {
  EXPECT_EQ(Changed([](TrainerOptions& o) { o.batch_size = 4097; }).Validate().message(),
            "options.batch_size: 4097: must be at most 4096 unless options.micro_batch_size is set");
}

TEST(TrainerOptionsTest, LabelledTextsAreBalancedUnlessToldOtherwise) {
  TrainerOptions options;
  EXPECT_EQ(options.SamplerFor(ExampleForm::kLabelledText), BatchSampler::kBalanced);
  EXPECT_EQ(options.SamplerFor(ExampleForm::kPair), BatchSampler::kNoDuplicates);
  options.batch_sampler = BatchSampler::kPlain;
  EXPECT_EQ(options.SamplerFor(ExampleForm::kLabelledText), BatchSampler::kPlain);
}

TEST(TrainerOptionsTest, BalancedBatchesNeedClassesAndRoomForTwo) {
  TrainerOptions options = {.batch_size = 8};
  EXPECT_TRUE(options.ValidateFor(ExampleForm::kLabelledText).ok());
  EXPECT_TRUE(options.ValidateFor(ExampleForm::kPair).ok());
  options.texts_per_class = 5;
  EXPECT_EQ(FieldPath(options.ValidateFor(ExampleForm::kLabelledText)), "options.texts_per_class");
  EXPECT_TRUE(options.ValidateFor(ExampleForm::kPair).ok());
  options.batch_sampler = BatchSampler::kBalanced;
  EXPECT_EQ(FieldPath(options.ValidateFor(ExampleForm::kPair)), "options.batch_sampler");
}

TEST(TrainerOptionsTest, MessageNamesTheValueAndTheLimit) {
  const absl::Status status = Changed([](TrainerOptions& o) { o.batch_size = 1; }).Validate();
  EXPECT_EQ(status.message(), "options.batch_size: 1: must be in [2, 65536]");
}

TEST(TrainerOptionsTest, JsonRoundTripKeepsEveryField) {
  const TrainerOptions options = {.base_directory = "/models/base",
                                  .objectives = {{.loss = {.kind = TripletOptions{.margin = 2}}, .weight = 0.5}, {}},
                                  .mixing = Mixing::kSum,
                                  .batch_size = 64,
                                  .micro_batch_size = 16,
                                  .epochs = 3,
                                  .max_steps = 77,
                                  .learning_rate = 3e-5,
                                  .warmup_steps = 7,
                                  .schedule = Schedule::kCosine,
                                  .weight_decay = 0.1,
                                  .max_gradient_norm = 2.5,
                                  .max_length = 96,
                                  .seed = 4'000'000'000'000,
                                  .order = ExampleOrder::kGiven,
                                  .batch_sampler = BatchSampler::kPlain,
                                  .texts_per_class = 5,
                                  .validation_fraction = 0.25,
                                  .evaluation_steps = 11,
                                  .early_stopping_patience = 6,
                                  .keep = KeepRevision::kLast,
                                  .checkpoint_steps = 13,
                                  .freeze_embeddings = true,
                                  .freeze_layers = 2,
                                  .layer_decay = 0.9,
                                  .precision = Precision::kBFloat16,
                                  .lora = {.rank = 8, .alpha = 16, .dropout = 0.1},
                                  .mining = MiningDuringTraining{{.negatives = 3, .margin = 0.05}, 2},
                                  .threads = 4};
  const auto read = TrainerOptionsFromJson(nlohmann::json::parse(ToJson(options).dump()));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(ToJson(*read), ToJson(options));
  EXPECT_EQ(ToJson(*read).size(), 29u);
  EXPECT_EQ(read->objectives.size(), 2u);
  EXPECT_EQ(std::get<TripletOptions>(read->objectives[0].loss.kind).margin, 2);
  EXPECT_EQ(read->objectives[0].weight, 0.5);
  EXPECT_EQ(read->lora.rank, 8);
  EXPECT_EQ(read->mining->refresh_epochs, 2);
  EXPECT_EQ(read->mining->options.margin, 0.05);
  EXPECT_EQ(read->seed, options.seed);
  EXPECT_EQ(read->keep, options.keep);
  EXPECT_EQ(read->max_length, options.max_length);
}

TEST(TrainerOptionsTest, OptionalFieldsThatAreNotSetStayNotSet) {
  const auto read = TrainerOptionsFromJson(ToJson(Changed([](TrainerOptions&) {})));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_FALSE(read->max_steps || read->warmup_steps || read->max_length || read->evaluation_steps || read->keep);
  EXPECT_FALSE(read->micro_batch_size || read->batch_sampler || read->early_stopping_patience || read->mining);
}

TEST(TrainerOptionsTest, MiningNeedsOneLossThatTakesNegatives) {
  const TrainerOptions options = Changed([](TrainerOptions& o) {
    o.mining.emplace();
    o.objectives.resize(2);
    o.objectives[0].loss.kind = CosentOptions();
  });
  EXPECT_TRUE(options.Validate().ok()) << options.Validate();
}

TEST(TrainerOptionsTest, UnknownKeyIsRefused) {
  nlohmann::json json = ToJson(Changed([](TrainerOptions&) {}));
  json["batch_sise"] = 3;
  const auto read = TrainerOptionsFromJson(json);
  EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(read.status().message().find("batch_sise"), std::string_view::npos) << read.status();
}

TEST(TrainerOptionsTest, WrongTypeIsRefused) {
  const nlohmann::json good = ToJson(Changed([](TrainerOptions&) {}));
  for (const auto& [key, value] : std::vector<std::pair<std::string, nlohmann::json>>{{"batch_size", "32"},
                                                                                      {"batch_size", 32.5},
                                                                                      {"batch_size", 5'000'000'000},
                                                                                      {"freeze_embeddings", 1},
                                                                                      {"learning_rate", nullptr},
                                                                                      {"schedule", 9},
                                                                                      {"schedule", 0},
                                                                                      {"batch_sampler", 4},
                                                                                      {"mixing", 3},
                                                                                      {"precision", 0},
                                                                                      {"objectives", 1},
                                                                                      {"seed", 18446744073709551615u},
                                                                                      {"base_directory", 3}}) {
    nlohmann::json json = good;
    json[key] = value;
    const auto read = TrainerOptionsFromJson(json);
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << key << " " << value;
    EXPECT_NE(read.status().message().find(key), std::string_view::npos) << read.status();
  }
  EXPECT_FALSE(TrainerOptionsFromJson(nlohmann::json::array()).ok());
}

}  // namespace
}  // namespace tandem
