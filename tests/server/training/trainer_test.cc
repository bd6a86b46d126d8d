#include "server/training/trainer.h"

#include <csignal>
#include <cstring>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "server/base/files.h"
#include "tests/server/training/every_loss.h"
#include "tests/server/training/golden.h"
#include "tests/server/training/job.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

TrainerOptions WithValidation() {
  TrainerOptions options = QuickOptions();
  options.validation_fraction = 0.3;
  options.evaluation_steps = 5;
  return options;
}

std::string Messages(const Job& job) {
  std::string all;
  for (const nlohmann::json& event : job.EventsOf("message")) all += event["text"].get<std::string>() + "\n";
  return all;
}

TEST(TrainerTest, LossFallsAndTheResultIsACompleteModel) {
  const Job job("falls", QuickOptions());
  ASSERT_EQ(job.Run(), kTrainerDone);
  const auto losses = job.Losses();
  ASSERT_EQ(losses.size(), 64u);  // 64 pairs, 8 a batch, 8 epochs.
  double first = 0, last = 0;
  for (int64_t i = 1; i <= 8; ++i) first += losses.at(i) / 8, last += losses.at(56 + i) / 8;
  EXPECT_LT(last, 0.5 * first);
  for (const char* file : {"config.json", "tokenizer.json", "modules.json", "1_Pooling/config.json"}) {
    EXPECT_TRUE(fs::exists(job.directory / kResultDirectory / file)) << file;
  }
  EXPECT_EQ(job.Result()["step"], 64);
  EXPECT_TRUE(job.Result()["metrics"].is_null());
  EXPECT_GT(job.Result()["parameters"].get<int64_t>(), 20'000);
}

TEST(TrainerTest, TheResultNamesItsWeightsFileAlsoBelowASubfolder) {
  const fs::path base = fs::path(testing::TempDir()) / "nested_bert";
  fs::remove_all(base);
  ASSERT_TRUE(CopyTree(GoldenPath("tiny_bert"), base).ok());
  fs::create_directory(base / "0_Transformer");
  for (const fs::directory_entry& entry : fs::directory_iterator(GoldenPath("tiny_bert"))) {
    const fs::path name = entry.path().filename();
    if (!entry.is_regular_file() || name == "modules.json" || name == "config_sentence_transformers.json") continue;
    fs::rename(base / name, base / "0_Transformer" / name);
  }
  nlohmann::json modules = nlohmann::json::parse(ReadFile(base / "modules.json").value());
  modules[0]["path"] = "0_Transformer";
  ASSERT_TRUE(WriteFileDurably(base / "modules.json", modules.dump()).ok());
  TrainerOptions options = QuickOptions();
  options.max_steps = 2;
  const Job flat("flat", options);
  options.base_directory = base.string();
  const Job nested("nested", options);
  ASSERT_EQ(flat.Run(), kTrainerDone);
  ASSERT_EQ(nested.Run(), kTrainerDone);
  EXPECT_EQ(flat.Result()["weights"], "model.safetensors");
  EXPECT_EQ(nested.Result()["weights"], "0_Transformer/model.safetensors");
  const auto weights = ReadFile(nested.directory / kResultDirectory / "0_Transformer/model.safetensors");
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ(*weights, flat.ResultWeights());
}

TEST(TrainerTest, ARelativeBaseLiesWhereTheJobsDirectoryLeads) {
  TrainerOptions options = QuickOptions();
  options.max_steps = 2;
  const Job absolute("absolute_base", options);
  const fs::path base = absolute.directory.parent_path() / "relative_bert";
  fs::remove_all(base);
  ASSERT_TRUE(CopyTree(GoldenPath("tiny_bert"), base).ok());
  options.base_directory = "../relative_bert";
  const Job relative("relative_base", options);
  ASSERT_EQ(absolute.Run(), kTrainerDone);
  ASSERT_EQ(relative.Run(), kTrainerDone);
  EXPECT_EQ(relative.ResultWeights(), absolute.ResultWeights());
}

TEST(TrainerTest, EventsAreWellFormedAndWithoutGaps) {
  const Job job("events", WithValidation());
  ASSERT_EQ(job.Run(), kTrainerDone);
  const auto events = job.Events();
  int64_t step = 0;
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i]["sequence"], i + 1);
    EXPECT_EQ(events[i]["attempt"], 1);
    if (events[i]["type"] != "step") continue;
    EXPECT_EQ(events[i]["step"], ++step);
    for (const char* key : {"loss", "learning_rate", "gradient_norm", "pairs_per_second", "seconds_left", "epoch"}) {
      ASSERT_TRUE(events[i][key].is_number()) << key;
      EXPECT_GE(events[i][key].get<double>(), 0) << key;
    }
    EXPECT_GT(events[i]["total_steps"].get<int64_t>(), step - 1);
  }
  const auto validations = job.EventsOf("validation");
  ASSERT_GE(validations.size(), 3u);
  for (const nlohmann::json& event : validations) {
    EXPECT_TRUE(event["step"].get<int64_t>() % 5 == 0 || event["step"] == step) << event;
    EXPECT_GT(event["queries"].get<int>(), 5);
    for (const char* key : {"ndcg_at_10", "recall_at_10", "mrr_at_10", "recall_at_1"}) {
      EXPECT_GE(event[key].get<double>(), 0);
      EXPECT_LE(event[key].get<double>(), 1);
    }
  }
  EXPECT_EQ(validations.back()["step"], step);
}

TEST(TrainerTest, KilledRunGoesOnAsIfNothingHadHappened) {
  const Job whole("undisturbed", WithValidation());
  ASSERT_EQ(whole.Run(), kTrainerDone);
  const Job killed("killed", WithValidation());
  for (const int64_t step : {4, 9, 16, 25}) {
    const pid_t pid = killed.Start();
    killed.WaitForStep(step);
    kill(pid, SIGKILL);
    Job::Wait(pid);
  }
  ASSERT_EQ(killed.Run(), kTrainerDone);
  EXPECT_EQ(killed.Losses(), whole.Losses());  // Bitwise, with one thread.
  EXPECT_EQ(killed.Result(), whole.Result());
  ASSERT_FALSE(whole.ResultWeights().empty());
  EXPECT_EQ(killed.ResultWeights(), whole.ResultWeights());
  EXPECT_GT(killed.Events().back()["attempt"].get<int>(), 1);
}

TEST(TrainerTest, SigtermSavesACheckpointAndGoesOnLater) {
  TrainerOptions options = QuickOptions();
  options.checkpoint_steps = 1000;
  const Job whole("whole", options);
  ASSERT_EQ(whole.Run(), kTrainerDone);
  const Job stopped("stopped", options);
  const pid_t pid = stopped.Start();
  stopped.WaitForStep(3);
  kill(pid, SIGTERM);
  ASSERT_EQ(Job::Wait(pid), kTrainerStopped);
  ASSERT_EQ(stopped.EventsOf("checkpoint").size(), 1u);
  const int64_t step = stopped.EventsOf("checkpoint")[0]["step"];
  EXPECT_EQ(step, stopped.Losses().rbegin()->first);
  EXPECT_FALSE(fs::exists(stopped.directory / kResultDirectory));
  ASSERT_EQ(stopped.Run(), kTrainerDone);
  EXPECT_EQ(stopped.EventsOf("step").size(), 64u);  // None was done twice.
  EXPECT_EQ(stopped.Losses(), whole.Losses());
  EXPECT_EQ(stopped.ResultWeights(), whole.ResultWeights());
}

TEST(TrainerTest, DamagedCheckpointFallsBackToTheOlderOne) {
  TrainerOptions options = QuickOptions();
  options.max_steps = 16;
  const Job job("damaged", options);
  ASSERT_EQ(job.Run(), kTrainerDone);
  const auto losses = job.Losses();
  const std::string weights = job.ResultWeights();
  fs::remove_all(job.directory / kResultDirectory);
  const fs::path file = job.directory / "checkpoint-14/model/model.safetensors";
  std::string bytes = ReadFile(file).value_or("");
  ASSERT_FALSE(bytes.empty());
  bytes[bytes.size() / 2] ^= 1;
  ASSERT_TRUE(WriteFileDurably(file, bytes).ok());
  ASSERT_EQ(job.Run(), kTrainerDone);
  EXPECT_NE(Messages(job).find("checkpoint-14 is damaged"), std::string::npos) << Messages(job);
  EXPECT_NE(Messages(job).find("going on from the checkpoint of step 7"), std::string::npos) << Messages(job);
  EXPECT_EQ(job.Losses(), losses);
  EXPECT_EQ(job.ResultWeights(), weights);
}

TEST(TrainerTest, KeepBestPublishesTheWeightsOfTheBestValidation) {
  TrainerOptions options = WithValidation();
  options.learning_rate = 0.02;  // High enough for the last step not to be the best.
  options.keep = KeepRevision::kBest;
  const Job job("best", options);
  ASSERT_EQ(job.Run(), kTrainerDone);
  double best = -1, best_loss = 0;
  int64_t best_step = 0, last_step = 0;
  for (const nlohmann::json& event : job.EventsOf("validation")) {
    if (event["step"] == 0) continue;  // The base is no candidate.
    const double ndcg = event["ndcg_at_10"], loss = event["loss"];
    const bool better = ndcg > best || (ndcg == best && loss < best_loss);
    EXPECT_EQ(event["best"].get<bool>(), better);
    if (better) best = ndcg, best_loss = loss, best_step = event["step"];
    last_step = event["step"];
  }
  EXPECT_EQ(job.Result()["step"], best_step);
  EXPECT_DOUBLE_EQ(job.Result()["metrics"]["ndcg_at_10"].get<double>(), best);
  options.keep = KeepRevision::kLast;
  const Job last("last", options);
  ASSERT_EQ(last.Run(), kTrainerDone);
  EXPECT_EQ(last.Result()["step"], last_step);
  EXPECT_EQ(last.ResultWeights() == job.ResultWeights(), best_step == last_step);
}

TEST(TrainerTest, PatienceEndsTrainingAsDoneWithTheBestWeightsAndTheLearningRatesOfTheWholePlan) {
  TrainerOptions options = WithValidation();
  options.learning_rate = 1e-12;  // No weight changes, so no validation is better than the first.
  options.early_stopping_patience = 2;
  const Job job("patience", options);
  ASSERT_EQ(job.Run(), kTrainerDone);
  EXPECT_EQ(job.EventsOf("validation").size(), 4u);  // The base's, which is no candidate, and three.
  EXPECT_EQ(job.EventsOf("step").size(), 15u);
  EXPECT_EQ(job.Result()["step"], 5);
  EXPECT_NE(Messages(job).find("stopped early, at step 15"), std::string::npos) << Messages(job);
  const auto steps = job.EventsOf("step");
  EXPECT_GT(steps.back()["total_steps"], 30);
  EXPECT_GT(steps.back()["learning_rate"].get<double>(), 0.5e-12);
}

TEST(TrainerTest, PatienceIsRememberedByACheckpoint) {
  TrainerOptions options = WithValidation();
  options.learning_rate = 1e-12;
  options.early_stopping_patience = 3;
  const Job whole("patience_whole", options), killed("patience_killed", options);
  ASSERT_EQ(whole.Run(), kTrainerDone);
  const pid_t pid = killed.Start();
  killed.WaitForStep(11);
  kill(pid, SIGKILL);
  Job::Wait(pid);
  ASSERT_EQ(killed.Run(), kTrainerDone);
  EXPECT_EQ(killed.Losses(), whole.Losses());
  EXPECT_EQ(killed.Losses().size(), 20u);
}

// The bytes of one tensor of a safetensors file.
std::string TensorBytes(const std::string& weights, const std::string& name) {
  uint64_t size = 0;
  if (weights.size() < 8) return "";
  std::memcpy(&size, weights.data(), 8);
  const nlohmann::json offsets = nlohmann::json::parse(weights.substr(8, size))[name]["data_offsets"];
  return weights.substr(8 + size + offsets[0].get<size_t>(), offsets[1].get<size_t>() - offsets[0].get<size_t>());
}

TEST(TrainerTest, FrozenEmbeddingsAndLayersStayAsTheyWere) {
  const std::string words = "embeddings.word_embeddings.weight", first = "encoder.layer.0.attention.self.query.weight",
                    second = "encoder.layer.1.attention.self.query.weight";
  TrainerOptions options = QuickOptions();
  options.max_steps = 3;
  options.warmup_steps = 0;
  options.freeze_embeddings = true;
  const Job embeddings("freeze_embeddings", options);
  options.freeze_layers = 1;
  const Job layer("freeze_layer", options);
  ASSERT_EQ(embeddings.Run(), kTrainerDone);
  ASSERT_EQ(layer.Run(), kTrainerDone);
  const std::string before = ReadFile(GoldenPath("tiny_bert") / "model.safetensors").value_or("");
  ASSERT_FALSE(TensorBytes(before, words).empty());
  const auto same = [&](const Job& job, const std::string& name) {
    return TensorBytes(job.ResultWeights(), name) == TensorBytes(before, name);
  };
  EXPECT_TRUE(same(embeddings, words));
  EXPECT_FALSE(same(embeddings, first));
  EXPECT_TRUE(same(layer, words));
  EXPECT_TRUE(same(layer, first));
  EXPECT_FALSE(same(layer, second));
}

TEST(TrainerTest, OptionsThatTheModelOrTheExamplesCannotMeetAreNamed) {
  const auto failure = [](const std::string& name, const TrainerOptions& options, ExampleForm form) {
    const Job job(name, options);
    job.WriteExamples(0, ExampleLines(form, 64));
    EXPECT_EQ(job.Run(), kTrainerFailed) << name;
    const auto failed = job.EventsOf("failed");
    return failed.size() == 1 ? failed[0]["message"].get<std::string>() : "";
  };
  TrainerOptions options = QuickOptions();
  options.freeze_layers = 2;
  EXPECT_EQ(failure("all_frozen", options, ExampleForm::kPair),
            "options.freeze_layers: 2: must be less than 2, the layers of the model, or nothing would be trained");
  options = QuickOptions();
  options.early_stopping_patience = 2;
  EXPECT_TRUE(failure("patience_alone", options, ExampleForm::kPair)
                  .starts_with("options.early_stopping_patience: 2: there are no validation examples"));
  options = QuickOptions();
  options.batch_sampler = BatchSampler::kBalanced;
  EXPECT_TRUE(failure("balanced_pairs", options, ExampleForm::kPair).starts_with("options.batch_sampler: BALANCED"));
  options = QuickOptions();
  options.objectives = {{.loss = {InfoNceOptions(), {.dimensions = {32, 64}}}}};
  EXPECT_NE(failure("too_many_dimensions", options, ExampleForm::kPair).find("64"), std::string::npos);
}

TEST(TrainerTest, AdaptersAreMergedIntoTheResultAndLeaveTheRestAsItWas) {
  const std::string words = "embeddings.word_embeddings.weight", query = "encoder.layer.0.attention.self.query.weight",
                    norm = "encoder.layer.1.output.LayerNorm.weight";
  TrainerOptions options = QuickOptions();
  options.learning_rate = 1e-2;
  options.lora = {.rank = 2, .alpha = 4, .dropout = 0.1};
  const Job job("adapters", options);
  ASSERT_EQ(job.Run(), kTrainerDone);
  const std::string before = ReadFile(GoldenPath("tiny_bert") / "model.safetensors").value_or("");
  EXPECT_TRUE(TensorBytes(job.ResultWeights(), words) == TensorBytes(before, words));
  EXPECT_TRUE(TensorBytes(job.ResultWeights(), norm) == TensorBytes(before, norm));
  EXPECT_FALSE(TensorBytes(job.ResultWeights(), query) == TensorBytes(before, query));
  const auto losses = job.Losses();
  EXPECT_LT(losses.rbegin()->second, 0.9 * losses.begin()->second);
  const Job full("all_weights", QuickOptions());
  ASSERT_EQ(full.Run(), kTrainerDone);
  EXPECT_EQ(job.Result()["parameters"], full.Result()["parameters"]);
}

TEST(TrainerTest, BFloat16TrainsNearlyLikeFloat32) {
  TrainerOptions options = QuickOptions();
  options.max_steps = 10;
  const Job whole("float32", options);
  options.precision = Precision::kBFloat16;
  const Job half("bfloat16", options);
  options.micro_batch_size = 5;
  const Job pieces("bfloat16_in_pieces", options);
  for (const Job* job : {&whole, &half, &pieces}) ASSERT_EQ(job->Run(), kTrainerDone);
  const auto expected = whole.Losses(), found = half.Losses(), in_pieces = pieces.Losses();
  ASSERT_EQ(found.size(), 10u);
  EXPECT_NE(found, expected);
  for (const auto& [step, loss] : expected) {
    EXPECT_NEAR(found.at(step), loss, 2e-2 * loss) << step;
    EXPECT_NEAR(in_pieces.at(step), loss, 2e-2 * loss) << step;
  }
}

TEST(TrainerTest, ABatchInPiecesTrainsLikeOneAtOnce) {
  TrainerOptions options = QuickOptions();
  options.max_steps = 10;
  const Job whole("at_once", options);
  options.micro_batch_size = 5;
  const Job pieces("in_pieces", options);
  ASSERT_EQ(whole.Run(), kTrainerDone);
  ASSERT_EQ(pieces.Run(), kTrainerDone);
  const auto expected = whole.Losses(), found = pieces.Losses();
  ASSERT_EQ(found.size(), 10u);
  for (const auto& [step, loss] : expected) EXPECT_NEAR(found.at(step), loss, 1e-3 * loss) << step;
}

TEST(TrainerTest, FinishedJobStaysAsItIs) {
  TrainerOptions options = QuickOptions();
  options.max_steps = 2;
  const Job job("finished", options);
  ASSERT_EQ(job.Run(), kTrainerDone);
  const size_t events = job.Events().size();
  ASSERT_EQ(job.Run(), kTrainerDone);
  EXPECT_EQ(job.Events().size(), events);
}

TEST(TrainerTest, LossThatIsNotFiniteFailsWithTheStep) {
  const fs::path base = fs::path(testing::TempDir()) / "nan_bert";
  fs::remove_all(base);
  ASSERT_TRUE(CopyTree(GoldenPath("tiny_bert"), base).ok());
  std::string weights = ReadFile(base / "model.safetensors").value_or("");
  uint64_t header = 0;
  ASSERT_GT(weights.size(), 8u);
  std::memcpy(&header, weights.data(), 8);
  for (size_t i = 8 + header; i + 4 <= weights.size(); i += 4) std::memcpy(&weights[i], "\0\0\xc0\x7f", 4);
  ASSERT_TRUE(WriteFileDurably(base / "model.safetensors", weights).ok());
  TrainerOptions options = QuickOptions();
  options.base_directory = base.string();
  const Job job("nan", options);
  ASSERT_EQ(job.Run(), kTrainerFailed);
  ASSERT_EQ(job.EventsOf("failed").size(), 1u);
  const nlohmann::json event = job.EventsOf("failed")[0];
  EXPECT_EQ(event["code"], static_cast<int>(absl::StatusCode::kFailedPrecondition));
  EXPECT_NE(event["message"].get<std::string>().find("not finite at step 1 of 64"), std::string::npos) << event;
}

TEST(TrainerTest, FaultOfTheRequestFailsWithItsFieldPath) {
  TrainerOptions options = QuickOptions();
  options.warmup_steps = 64;
  const Job warmup("warmup", options);
  EXPECT_EQ(warmup.Run(), kTrainerFailed);
  EXPECT_EQ(warmup.EventsOf("failed").at(0)["message"],
            "options.warmup_steps: 64: must be less than all steps, which are 64");

  options = QuickOptions();
  options.max_length = 65;
  const Job length("length", options);
  EXPECT_EQ(length.Run(), kTrainerFailed);
  EXPECT_EQ(length.EventsOf("failed").at(0)["message"], "options.max_length: 65: the model has 64 positions");

  options = QuickOptions();
  options.keep = KeepRevision::kBest;
  const Job keep("keep", options);
  EXPECT_EQ(keep.Run(), kTrainerFailed);
  EXPECT_EQ(keep.EventsOf("failed").at(0)["code"], static_cast<int>(absl::StatusCode::kInvalidArgument));
}

TEST(TrainerTest, AnchorsOfTheValidationFileAreNotTrainedOn) {
  TrainerOptions options = QuickOptions();
  options.max_steps = 2;
  const Job job("validation_file", options);
  std::ifstream examples(job.directory / ExamplesFile(0));
  std::ofstream validation(job.directory / kValidationFile);
  std::string line;
  for (int i = 0; i < 5 && std::getline(examples, line); ++i) validation << line << "\n";
  validation.close();
  ASSERT_EQ(job.Run(), kTrainerDone);
  EXPECT_NE(Messages(job).find("59 training pairs; 5 left out"), std::string::npos) << Messages(job);
  EXPECT_EQ(job.EventsOf("validation").at(0)["queries"], 5);
}

}  // namespace
}  // namespace tandem
