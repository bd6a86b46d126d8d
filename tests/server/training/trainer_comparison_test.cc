// What a job says of its model before and after training, against the models themselves, embedded as in serving.

#include <signal.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "server/base/bootstrap.h"
#include "server/base/files.h"
#include "server/base/training_comparison.h"
#include "server/encoder/encoder.h"
#include "tests/server/training/every_loss.h"
#include "tests/server/training/golden.h"
#include "tests/server/training/job.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

TrainerOptions Options() {
  TrainerOptions options = QuickOptions();
  options.epochs = 4;
  options.evaluation_steps = 5;
  return options;
}

// 64 pairs to train on, and 24 others to validate on: the same words with other numbers.
class ComparedJob : public Job {
 public:
  ComparedJob(const std::string& name, const TrainerOptions& options, ExampleForm form = ExampleForm::kPair)
      : Job(name, options), validation_(ExampleLines(form, 88)) {
    WriteExamples(0, std::vector<std::string>(validation_.begin(), validation_.begin() + 64));
    validation_.erase(validation_.begin(), validation_.begin() + 64);
    std::ofstream out(directory / kValidationFile);
    for (const std::string& line : validation_) out << line << "\n";
  }

  std::vector<nlohmann::json> Validation() const {
    std::vector<nlohmann::json> examples;
    for (const std::string& line : validation_) examples.push_back(nlohmann::json::parse(line));
    return examples;
  }

  TrainingComparison Comparison() const {
    const std::vector<nlohmann::json> events = EventsOf("comparison");
    EXPECT_EQ(events.size(), 1u);
    const auto comparison = TrainingComparisonFromJson(events.empty() ? nlohmann::json() : events.back());
    EXPECT_TRUE(comparison.ok()) << comparison.status();
    return comparison.value_or(TrainingComparison());
  }

 private:
  std::vector<std::string> validation_;
};

using Vectors = std::vector<std::vector<double>>;

Vectors Embed(const fs::path& model, const std::vector<std::string>& texts, InputRole role) {
  const auto encoder = Encoder::Load(model);
  EXPECT_TRUE(encoder.ok()) << encoder.status();
  const auto tokens = (*encoder)->Tokenize(texts, role);
  EXPECT_TRUE(tokens.ok()) << tokens.status();
  Vectors vectors;
  for (const TokenizedText& text : *tokens) {
    const TokenizedText* const one[] = {&text};
    const std::vector<float> values = (*encoder)->Embed(one).value();
    double length = 0;
    for (const float value : values) length += static_cast<double>(value) * value;
    std::vector<double>& vector = vectors.emplace_back(values.begin(), values.end());
    for (double& value : vector) value /= std::sqrt(length);
  }
  return vectors;
}

double Cosine(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// nDCG@10 of each anchor by its one positive, among all positives and negatives.
std::map<std::string, double> NdcgOfQueries(const fs::path& model, const std::vector<nlohmann::json>& pairs) {
  std::vector<std::string> anchors, documents;
  for (const nlohmann::json& pair : pairs) {
    anchors.push_back(pair["anchor"]);
    documents.push_back(pair["positives"][0]);
  }
  for (const nlohmann::json& pair : pairs) {
    for (const nlohmann::json& text : pair.value("negatives", nlohmann::json::array())) documents.push_back(text);
  }
  const Vectors queries = Embed(model, anchors, InputRole::kQuery), all = Embed(model, documents, InputRole::kDocument);
  std::map<std::string, double> ndcg;
  for (size_t i = 0; i < anchors.size(); ++i) {
    int rank = 1;
    for (size_t k = 0; k < all.size(); ++k) rank += k != i && Cosine(queries[i], all[k]) > Cosine(queries[i], all[i]);
    ndcg[anchors[i]] = rank <= 10 ? 1 / std::log2(rank + 1) : 0;
  }
  return ndcg;
}

std::vector<double> ValuesOf(const std::map<std::string, double>& of_queries,
                             const std::vector<nlohmann::json>& pairs) {
  std::vector<double> values;
  for (const nlohmann::json& pair : pairs) values.push_back(of_queries.at(pair["anchor"]));
  return values;
}

TEST(TrainerComparisonTest, FiguresAndQueriesAreThoseOfTheModelsThemselves) {
  for (const KeepRevision keep : {KeepRevision::kBest, KeepRevision::kLast}) {
    TrainerOptions options = Options();
    options.keep = keep;
    options.learning_rate = 0.01;
    const ComparedJob job("compared", options);
    ASSERT_EQ(job.Run(), kTrainerDone);
    const TrainingComparison comparison = job.Comparison();
    EXPECT_EQ(comparison.step, job.Result()["step"]);
    EXPECT_EQ(job.Result()["comparison"], ToJson(comparison));
    const auto pairs = job.Validation();
    const auto before = NdcgOfQueries(GoldenPath("tiny_bert"), pairs),
               after = NdcgOfQueries(job.directory / kResultDirectory, pairs);
    const ComparedFigure expected = CompareMeans(ValuesOf(before, pairs), ValuesOf(after, pairs));
    ASSERT_EQ(comparison.metrics.size(), 5u);
    EXPECT_EQ(comparison.metrics[0].name, "ndcg_at_10");
    const ComparedFigure& figure = comparison.metrics[0].figure;
    const auto same = [](const Interval& a, const Interval& b) {
      EXPECT_NEAR(a.value, b.value, 1e-9);
      EXPECT_NEAR(a.lower, b.lower, 1e-9);
      EXPECT_NEAR(a.upper, b.upper, 1e-9);
    };
    same(figure.before, expected.before);
    same(figure.after, expected.after);
    same(figure.difference, expected.difference);
    EXPECT_NEAR(comparison.before.metrics.retrieval->ndcg_at_10, figure.before.value, 1e-9);
    EXPECT_NEAR(comparison.after.metrics.retrieval->ndcg_at_10, figure.after.value, 1e-9);
    int fell = 0, rose = 0;
    for (const auto& [query, value] : before) (after.at(query) < value ? fell : rose) += after.at(query) != value;
    EXPECT_EQ(comparison.changes.fell.size(), static_cast<size_t>(std::min(fell, 10)));
    EXPECT_EQ(comparison.changes.rose.size(), static_cast<size_t>(std::min(rose, 10)));
    EXPECT_GT(rose, 0);
    for (const auto* list : {&comparison.changes.fell, &comparison.changes.rose}) {
      for (const QueryChange& change : *list) {
        EXPECT_NEAR(change.before, before.at(change.text), 1e-9) << change.text;
        EXPECT_NEAR(change.after, after.at(change.text), 1e-9) << change.text;
      }
    }
  }
}

TEST(TrainerComparisonTest, TheBaseIsValidatedBeforeTheFirstStepAndIsNoCandidate) {
  TrainerOptions options = Options();
  options.max_steps = 5;
  const ComparedJob job("base_first", options);
  ASSERT_EQ(job.Run(), kTrainerDone);
  const auto events = job.Events();
  std::vector<std::string> types;
  for (const nlohmann::json& event : events) {
    if (event["type"] != "message" && (types.empty() || types.back() != event["type"])) types.push_back(event["type"]);
  }
  EXPECT_EQ(types, (std::vector<std::string>{"validation", "step", "validation", "comparison"}));
  const auto validations = job.EventsOf("validation");
  ASSERT_EQ(validations.size(), 2u);
  EXPECT_EQ(validations[0]["step"], 0);
  EXPECT_EQ(validations[0]["best"], false);
  EXPECT_EQ(validations[1]["best"], true);
  const TrainingComparison comparison = job.Comparison();
  const nlohmann::json before = ToJson(comparison.before), after = ToJson(comparison.after);
  for (const auto& [key, value] : before.items()) EXPECT_EQ(validations[0][key], value) << key;
  for (const auto& [key, value] : after.items()) EXPECT_EQ(validations[1][key], value) << key;
}

TEST(TrainerComparisonTest, AKilledJobComparesWithTheNumbersOfItsFirstAttempt) {
  TrainerOptions options = Options();
  options.learning_rate = 0.02;  // The best validation is not the last.
  const ComparedJob whole("compared_whole", options), killed("compared_killed", options);
  ASSERT_EQ(whole.Run(), kTrainerDone);
  for (const int64_t step : {3, 12, 24}) {
    const pid_t pid = killed.Start();
    killed.WaitForStep(step);
    kill(pid, SIGKILL);
    Job::Wait(pid);
  }
  ASSERT_EQ(killed.Run(), kTrainerDone);
  EXPECT_EQ(ToJson(killed.Comparison()), ToJson(whole.Comparison()));
  int base_validations = 0;
  for (const nlohmann::json& event : killed.EventsOf("validation")) base_validations += event["step"] == 0;
  EXPECT_EQ(base_validations, 1);
}

TEST(TrainerComparisonTest, ABaselineThatIsDamagedOrGoneIsMeasuredAgainWithTheBaseNotTheCheckpoint) {
  TrainerOptions options = Options();
  const ComparedJob whole("baseline_whole", options), damaged("baseline_damaged", options);
  ASSERT_EQ(whole.Run(), kTrainerDone);
  for (const bool removed : {false, true}) {
    const pid_t pid = damaged.Start();
    damaged.WaitForStep(removed ? 20 : 10);
    kill(pid, SIGKILL);
    Job::Wait(pid);
    const fs::path file = damaged.directory / kBaselineFile;
    std::string bytes = ReadFile(file).value_or("");
    ASSERT_GT(bytes.size(), 100u);
    if (removed) {
      fs::remove(file);
    } else {
      bytes[bytes.size() / 2] ^= 1;
      ASSERT_TRUE(WriteFileDurably(file, bytes).ok());
    }
  }
  ASSERT_EQ(damaged.Run(), kTrainerDone);
  EXPECT_EQ(ToJson(damaged.Comparison()), ToJson(whole.Comparison()));
  bool said = false;
  for (const nlohmann::json& event : damaged.EventsOf("message")) {
    said |= event["text"] == "the base model is validated again: baseline.json: its checksum is wrong";
  }
  EXPECT_TRUE(said);
}

TEST(TrainerComparisonTest, TrainingOnWrongAnswersIsSeenToHarmAndTheQueriesAreNamed) {
  TrainerOptions options = Options();
  options.epochs = 8;
  const ComparedJob good("right_answers", options);
  ASSERT_EQ(good.Run(), kTrainerDone);
  // The model that has learned, trained on with positives that belong to others.
  options.base_directory = (good.directory / kResultDirectory).string();
  options.learning_rate = 1e-2;
  options.keep = KeepRevision::kLast;
  const ComparedJob bad("wrong_answers", options);
  std::vector<std::string> lines;
  const std::vector<std::string> right = ExampleLines(ExampleForm::kPair, 64);
  for (size_t i = 0; i < right.size(); ++i) {
    nlohmann::json example = nlohmann::json::parse(right[i]);
    example["positives"] = nlohmann::json::parse(right[(i + 27) % right.size()])["positives"];
    example["negatives"] = nlohmann::json::parse(right[i])["positives"];
    lines.push_back(example.dump());
  }
  bad.WriteExamples(0, lines);
  ASSERT_EQ(bad.Run(), kTrainerDone);
  const ComparedFigure helped = good.Comparison().metrics.at(0).figure, harmed = bad.Comparison().metrics.at(0).figure;
  EXPECT_GT(helped.difference.lower, 0);
  EXPECT_LT(harmed.difference.upper, 0);
  EXPECT_NEAR(harmed.before.value, helped.after.value, 1e-9);
  const QueryChanges changes = bad.Comparison().changes;
  ASSERT_FALSE(changes.fell.empty());
  EXPECT_LT(changes.fell[0].after, changes.fell[0].before);
  bool known = false;
  for (const nlohmann::json& pair : bad.Validation()) known |= pair["anchor"] == changes.fell[0].text;
  EXPECT_TRUE(known) << changes.fell[0].text;
}

TEST(TrainerComparisonTest, EveryFormOfValidationIsComparedByItsOwnMetrics) {
  const std::map<ExampleForm, std::vector<std::string>> names = {{ExampleForm::kScoredPair, {"spearman", "pearson"}},
                                                                 {ExampleForm::kLabelledPair, {"average_precision"}},
                                                                 {ExampleForm::kLabelledText, {"knn_accuracy"}},
                                                                 {ExampleForm::kText, {}}};
  for (const auto& [form, metrics] : names) {
    TrainerOptions options = Options();
    options.max_steps = 6;
    options.keep = KeepRevision::kLast;
    const ComparedJob job("compared_form", options);
    const std::vector<std::string> lines = ExampleLines(form, 30);
    std::ofstream out(job.directory / kValidationFile, std::ios::trunc);
    for (const std::string& line : lines) out << line << "\n";
    out.close();
    ASSERT_EQ(job.Run(), kTrainerDone);
    const TrainingComparison comparison = job.Comparison();
    std::vector<std::string> found;
    const nlohmann::json before = ToJson(comparison.before), after = ToJson(comparison.after);
    for (const ComparedMetric& metric : comparison.metrics) {
      found.push_back(metric.name);
      EXPECT_NEAR(metric.figure.before.value, before[metric.name].get<double>(), 1e-9) << metric.name;
      EXPECT_NEAR(metric.figure.after.value, after[metric.name].get<double>(), 1e-9) << metric.name;
      EXPECT_LE(metric.figure.after.lower, metric.figure.after.value + 1e-12);
      EXPECT_GE(metric.figure.after.upper, metric.figure.after.value - 1e-12);
    }
    EXPECT_EQ(found, metrics);
    EXPECT_TRUE(before.contains("uniformity") && after.contains("uniformity"));
  }
}

TEST(TrainerComparisonTest, WithoutValidationThereIsNoComparison) {
  TrainerOptions options = QuickOptions();
  options.max_steps = 2;
  const Job job("not_compared", options);
  ASSERT_EQ(job.Run(), kTrainerDone);
  EXPECT_TRUE(job.EventsOf("comparison").empty());
  EXPECT_TRUE(job.EventsOf("validation").empty());
  EXPECT_FALSE(job.Result().contains("comparison"));
  EXPECT_FALSE(fs::exists(job.directory / kBaselineFile));
}

}  // namespace
}  // namespace tandem
