#include "server/rpc/convert.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "server/base/status.h"
#include "server/jobs/analysis_job.h"
#include "server/rpc/validate.h"
#include "tandem/v1/analysis.pb.h"
#include "tandem/v1/collection.pb.h"
#include "tandem/v1/dataset.pb.h"
#include "tandem/v1/job.pb.h"
#include "tandem/v1/loss.pb.h"
#include "tandem/v1/training.pb.h"

namespace tandem {
namespace {

template <class T>
T Parse(const std::string& text) {
  T message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

// Without fields whose message is an empty one.
v1::DatasetAnalysis WithoutEmpty(v1::DatasetAnalysis analysis) {
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  const auto* const reflection = analysis.GetReflection();
  reflection->ListFields(analysis, &fields);
  for (const auto* const field : fields) {
    if (field->is_repeated() || field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (reflection->GetMessage(analysis, field).ByteSizeLong() == 0) reflection->ClearField(&analysis, field);
  }
  return analysis;
}

TEST(ConvertTest, EveryKindOfExampleComesBack) {
  for (const char* text :
       {"pair { anchor: 'a' positives: 'p' positives: 'q' negatives: 'n' }",
        "scored_pair { first: 'a' second: 'b' score: 0.5 }", "labelled_pair { first: 'a' second: 'b' similar: false }",
        "labelled_pair { first: 'a' second: 'b' similar: true }", "labelled_text { text: 'a' label: 'l' }",
        "text { text: 'a' }"}) {
    const auto example = Parse<v1::Example>(text);
    EXPECT_TRUE(Validate(example).ok());
    v1::Example again;
    ToProto(FromProto(example), &again);
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(example, again)) << text;
  }
}

TEST(ConvertTest, AnAnalysisHasWhatItsReportHas) {
  AnalysisResult result{
      .plan = {.dataset = {"d", 9}, .base_model = "m", .base_revision = "r", .max_length = 64, .batch_size = 8}};
  result.plan.validation = DatasetCommit{"v", 2};
  DatasetReport& report = result.report;
  report.examples = 9;
  report.forms[static_cast<size_t>(ExampleKind::kLabelledText)] = 9;
  report.shared_texts.Add(5);
  report.first_lengths = TextLengths{.texts = 9, .percentile_99 = 80, .truncated = {1, {4}}, .histogram = {0, 9}};
  report.labels = LabelBalance{.classes = 2, .largest = "l"};
  report.findings = {{Severity::kError, "labels", 1, {4}, "Change it."}};
  v1::DatasetAnalysis analysis;
  ASSERT_TRUE(ToAnalysis(ToJson(result).dump(), &analysis).ok());
  const auto expected = Parse<v1::DatasetAnalysis>(R"(
      dataset: 'datasets/d' dataset_commit: 9 validation_dataset: 'datasets/v' validation_commit: 2
      base_revision: 'models/m/revisions/r' max_length: 64 batch_size: 8
      findings { severity: ERROR kind: 'labels' count: 1 commits: 4 advice: 'Change it.' }
      examples: 9 forms { labelled_texts: 9 } shared_texts { count: 1 commits: 5 }
      first_lengths { texts: 9 percentile_99: 80 truncated { count: 1 commits: 4 } histogram: 0 histogram: 9 }
      labels { classes: 2 largest: 'l' })");
  // Counts of nothing are there, and empty.
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equivalent(expected, WithoutEmpty(analysis)))
      << analysis.DebugString();
  EXPECT_FALSE(analysis.has_second_lengths() || analysis.has_scores());
  EXPECT_FALSE(ToAnalysis("{broken", &analysis).ok());
}

// Every count of a report reaches the field of its name.
TEST(ConvertTest, NoCountOfAnAnalysisIsMistakenForAnother) {
  const nlohmann::json empty = ToJson(AnalysisResult{});
  int counts = 0;
  for (const auto& [key, value] : empty["report"].items()) {
    if (!value.is_object()) continue;
    nlohmann::json json = empty;
    json["report"][key] = {{"count", 7}, {"commits", {3}}};
    v1::DatasetAnalysis analysis;
    ASSERT_TRUE(ToAnalysis(json.dump(), &analysis).ok()) << key;
    const auto* const field = v1::DatasetAnalysis::descriptor()->FindFieldByName(key);
    ASSERT_NE(field, nullptr) << key;
    const auto& counted =
        static_cast<const v1::DatasetAnalysis::Counted&>(analysis.GetReflection()->GetMessage(analysis, field));
    EXPECT_EQ(counted.count(), 7) << key;
    EXPECT_EQ(counted.commits(0), 3) << key;
    ++counts;
  }
  EXPECT_EQ(counts, 12);
}

TEST(ConvertTest, APayloadComesBackAndHasALimit) {
  auto document = Parse<v1::Document>(
      "id: 'd' text: 't' payload { fields { key: 'k' value { list_value { values { number_value: 1.5 } values { "
      "bool_value: true } values { null_value: NULL_VALUE } values { string_value: '\\303\\244\\000' } } } } }");
  const auto input = FromProto(document, std::nullopt);
  ASSERT_TRUE(input.ok());
  v1::Document again;
  ToProto(DocumentVersion{.id = input->id, .text = input->text, .payload_json = input->payload_json}, &again);
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(document, again)) << again.DebugString();
  (*document.mutable_payload()->mutable_fields())["big"].set_string_value(std::string(70'000, 'x'));
  EXPECT_EQ(FieldPath(FromProto(document, std::nullopt).status()), "payload");
}

TEST(ConvertTest, TrainingOptionsThatAreNotSetKeepTheirDefaults) {
  const TrainerOptions defaults;
  EXPECT_EQ(ToJson(ToTrainerOptions(v1::TrainRequest())), ToJson(defaults));
  const auto request = Parse<v1::TrainRequest>(
      "loss { info_nce { scale: 5 symmetric: true } } options { batch_size: 8 max_steps: 7 schedule: COSINE keep: LAST "
      "order: "
      "GIVEN }");
  const TrainerOptions options = ToTrainerOptions(request);
  const InfoNceOptions loss = std::get<InfoNceOptions>(options.objectives.at(0).loss.kind);
  EXPECT_EQ(loss.scale, 5);
  EXPECT_TRUE(loss.symmetric);
  EXPECT_EQ(options.batch_size, 8);
  EXPECT_EQ(options.max_steps, 7);
  EXPECT_EQ(options.schedule, Schedule::kCosine);
  EXPECT_EQ(options.keep, KeepRevision::kLast);
  EXPECT_EQ(options.order, ExampleOrder::kGiven);
}

// Field by field against the JSON of the options, whose keys are the names of the proto's fields.
TEST(ConvertTest, EveryOptionOfEveryLossComesOver) {
  const std::vector<std::pair<std::string, std::string>> losses = {
      {"info_nce { scale: 5 symmetric: true query_negatives: true document_negatives: true hardness: 2 "
       "hard_negatives: EXPLICIT false_negative_margin: -0.5 several_positives: true }",
       R"({"info_nce": {"scale": 5.0, "symmetric": true, "query_negatives": true, "document_negatives": true,
           "hardness": 2.0, "hard_negatives": 3, "false_negative_margin": -0.5, "several_positives": true}})"},
      {"nt_xent { temperature: 0.5 }", R"({"nt_xent": {"temperature": 0.5}})"},
      {"n_pair { regularization: 0.5 }", R"({"n_pair": {"regularization": 0.5}})"},
      {"triplet { mining: BATCH_SEMI_HARD distance: COSINE margin: 0.25 }",
       R"({"triplet": {"mining": 5, "distance": 2, "margin": 0.25}})"},
      {"sup_con { temperature: 0.5 }", R"({"sup_con": {"temperature": 0.5}})"},
      {"contrastive { distance: EUCLIDEAN margin: 0.25 squared: false only_hard: true }",
       R"({"contrastive": {"distance": 1, "margin": 0.25, "squared": false, "only_hard": true}})"},
      {"sim_cse { scale: 5 }", R"({"sim_cse": {"scale": 5.0}})"},
      {"cosent { scale: 5 }", R"({"cosent": {"scale": 5.0}})"},
      {"angle { scale: 5 }", R"({"angle": {"scale": 5.0}})"},
      {"cosine_mse { }", R"({"cosine_mse": {}})"},
      {"cosent { scale: 5 } matryoshka { dimensions: 64 dimensions: 32 weights: 1 weights: 0.5 }",
       R"({"cosent": {"scale": 5.0}, "matryoshka": {"dimensions": [64, 32], "weights": [1.0, 0.5]}})"}};
  for (const auto& [text, json] : losses) {
    EXPECT_EQ(ToJson(FromProto(Parse<v1::Loss>(text))), nlohmann::json::parse(json)) << text;
  }
  EXPECT_EQ(ToJson(FromProto(v1::Loss())), ToJson(LossOptions()));
}

TEST(ConvertTest, ObjectivesComeOverInTheirOrderWithTheirWeights) {
  const TrainerOptions options = ToTrainerOptions(Parse<v1::TrainRequest>(
      "objectives { dataset: 'datasets/a' loss { cosent { } } weight: 0.5 } objectives { dataset: 'datasets/b' }"));
  ASSERT_EQ(options.objectives.size(), 2u);
  EXPECT_EQ(NameOf(options.objectives[0].loss), "cosent");
  EXPECT_EQ(options.objectives[0].weight, 0.5);
  EXPECT_EQ(NameOf(options.objectives[1].loss), "info_nce");
  EXPECT_EQ(options.objectives[1].weight, 1);
}

TEST(ConvertTest, EveryTrainingOptionComesOver) {
  const auto request = Parse<v1::TrainRequest>(
      "options { batch_size: 64 micro_batch_size: 8 epochs: 3 max_steps: 77 learning_rate: 0.5 warmup_steps: 7 "
      "schedule: CONSTANT weight_decay: 0.25 max_gradient_norm: 2.5 max_length: 96 seed: 5 order: GIVEN "
      "batch_sampler: BALANCED texts_per_class: 6 mixing: SUM validation_fraction: 0.125 evaluation_steps: 11 "
      "early_stopping_patience: 4 keep: BEST checkpoint_steps: 13 freeze_embeddings: true freeze_layers: 2 "
      "layer_decay: 0.75 precision: BFLOAT16 lora { rank: 8 alpha: 4 dropout: 0.5 initialization: RANDOM } "
      "mining { options { negatives: 3 max_rank: 50 margin: 0.25 sampling: RANDOM } refresh_epochs: 2 } }");
  EXPECT_EQ(request.options().GetDescriptor()->field_count(), 26) << "a field that is new belongs into this test";
  const nlohmann::json json = ToJson(ToTrainerOptions(request));
  const nlohmann::json wanted = nlohmann::json::parse(
      R"({"batch_size": 64, "micro_batch_size": 8, "epochs": 3, "max_steps": 77, "learning_rate": 0.5,
          "warmup_steps": 7, "schedule": 3, "weight_decay": 0.25, "max_gradient_norm": 2.5, "max_length": 96, "seed": 5,
          "order": 2, "batch_sampler": 3, "texts_per_class": 6, "mixing": 2, "validation_fraction": 0.125,
          "evaluation_steps": 11, "early_stopping_patience": 4, "keep": 1, "checkpoint_steps": 13,
          "freeze_embeddings": true, "freeze_layers": 2, "layer_decay": 0.75, "precision": 2,
          "lora": {"rank": 8, "alpha": 4.0, "dropout": 0.5, "initialization": 1},
          "mining": {"options": {"negatives": 3, "min_rank": 1, "max_rank": 50, "margin": 0.25, "sampling": 2, "seed": 42},
                     "refresh_epochs": 2}})");
  for (const auto& [key, value] : wanted.items()) EXPECT_EQ(json.value(key, nlohmann::json()), value) << key;
}

TEST(ConvertTest, AdaptersBeginAtRandomUnlessTheRequestSaysOtherwise) {
  const auto initialization = [](const std::string& lora) {
    return ToTrainerOptions(Parse<v1::TrainRequest>("options { lora { " + lora + " } }")).lora.initialization;
  };
  EXPECT_EQ(initialization("rank: 8"), LoraInitialization::kRandom);
  EXPECT_EQ(initialization("rank: 8 initialization: RANDOM"), LoraInitialization::kRandom);
  EXPECT_EQ(initialization("rank: 8 initialization: PRINCIPAL"), LoraInitialization::kPrincipal);
}

TEST(ConvertTest, MiningIsOnWhenItsMessageIsThere) {
  EXPECT_FALSE(ToTrainerOptions(Parse<v1::TrainRequest>("options { }")).mining.has_value());
  const auto options = ToTrainerOptions(Parse<v1::TrainRequest>("options { mining { } }"));
  ASSERT_TRUE(options.mining.has_value());
  EXPECT_EQ(options.mining->refresh_epochs, 1);
  EXPECT_EQ(ToJson(options.mining->options), ToJson(NegativeMiningOptions()));
}

TEST(ConvertTest, ASmallBatchHasFewerTextsPerClassUnlessToldOtherwise) {
  const auto texts_per_class = [](const std::string& options) {
    return ToTrainerOptions(Parse<v1::TrainRequest>("options { " + options + " }")).texts_per_class;
  };
  EXPECT_EQ(texts_per_class("batch_size: 32"), 4);
  EXPECT_EQ(texts_per_class("batch_size: 6"), 3);
  EXPECT_EQ(texts_per_class("batch_size: 2"), 2);
  EXPECT_EQ(texts_per_class("batch_size: 6 texts_per_class: 5"), 5);
}

TEST(ConvertTest, TheFaultOfALoneListedObjectiveHasItsPlace) {
  const auto path = [](const std::string& request) {
    return FieldPath(Validate(Parse<v1::TrainRequest>("base_revision: 'models/m' " + request))).value_or("");
  };
  EXPECT_EQ(path("dataset: 'datasets/d' loss { info_nce { scale: 0 } }"), "loss.info_nce.scale");
  EXPECT_EQ(path("objectives { dataset: 'datasets/d' loss { info_nce { scale: 0 } } }"),
            "objectives[0].loss.info_nce.scale");
  EXPECT_EQ(path("objectives { dataset: 'datasets/d' weight: 0 }"), "objectives[0].weight");
  EXPECT_EQ(path("objectives { dataset: 'datasets/d' } objectives { dataset: 'datasets/d' weight: 0 }"),
            "objectives[1].weight");
  EXPECT_EQ(path("objectives { dataset: 'datasets/d' } options { epochs: 0 }"), "options.epochs");
}

TEST(ConvertTest, AValidationEventHasTheMetricsOfItsForm) {
  const auto validation = [](nlohmann::json event) {
    event["type"] = "validation";
    v1::JobEvent message;
    ToProto(event, 0, &message);
    return message.validation();
  };
  const v1::JobEvent::Validation pairs = validation({{"step", 4},
                                                     {"best", true},
                                                     {"loss", 0.5},
                                                     {"ndcg_at_10", 0.75},
                                                     {"recall_at_10", 0.9},
                                                     {"mrr_at_10", 0.7},
                                                     {"recall_at_1", 0.6},
                                                     {"queries", 12},
                                                     {"alignment", 0.25}});
  EXPECT_EQ(pairs.step(), 4);
  EXPECT_TRUE(pairs.best());
  EXPECT_EQ(pairs.metrics().loss(), 0.5);
  EXPECT_EQ(pairs.metrics().retrieval().ndcg_at_10(), 0.75);
  EXPECT_EQ(pairs.metrics().alignment(), 0.25);
  EXPECT_FALSE(pairs.metrics().has_uniformity());
  const v1::JobEvent::Validation scored = validation({{"spearman", 0.5}, {"pearson", 0.25}});
  EXPECT_EQ(scored.metrics().similarity().pearson(), 0.25);
  EXPECT_FALSE(scored.metrics().has_loss());
  EXPECT_EQ(validation({{"average_precision", 0.5},
                        {"best_accuracy", 0.25},
                        {"best_accuracy_threshold", 0.1},
                        {"best_f1", 0.2},
                        {"best_f1_threshold", 0.3}})
                .metrics()
                .labelled_pairs()
                .best_f1_threshold(),
            0.3);
  EXPECT_EQ(validation({{"knn_accuracy", 0.5}, {"texts", 9}}).metrics().classes().texts(), 9);
}

TEST(ConvertTest, AComparisonHasItsMetricsWithIntervalsAndTheQueriesThatChanged) {
  TrainingComparison comparison{.step = 40, .before = {}, .after = {}};
  comparison.before.loss = 2;
  comparison.after.metrics.retrieval = RetrievalMetrics{.ndcg_at_10 = 0.75, .queries = 3};
  comparison.metrics = {{"ndcg_at_10", {{0.5, 0.4, 0.6}, {0.75, 0.7, 0.8}, {0.25, 0.2, 0.3}}}, {"map", {}}};
  comparison.changes.fell = {{"lost", 1, 0.5}};
  comparison.changes.rose = {{"gained", 0, 1}, {"too", 0, 0.5}};
  nlohmann::json event = ToJson(comparison);
  event["type"] = "comparison";
  event["sequence"] = 9;
  v1::JobEvent message;
  ToProto(event, 0, &message);
  EXPECT_EQ(message.sequence(), 9);
  const v1::TrainingComparison& out = message.comparison();
  EXPECT_EQ(out.step(), 40);
  EXPECT_EQ(out.before().loss(), 2);
  EXPECT_EQ(out.after().retrieval().ndcg_at_10(), 0.75);
  ASSERT_EQ(out.metrics_size(), 2);
  EXPECT_EQ(out.metrics(0).name(), "ndcg_at_10");
  EXPECT_EQ(out.metrics(0).before().lower(), 0.4);
  EXPECT_EQ(out.metrics(0).after().value(), 0.75);
  EXPECT_EQ(out.metrics(0).difference().upper(), 0.3);
  ASSERT_EQ(out.fell_size(), 1);
  EXPECT_EQ(out.fell(0).text(), "lost");
  EXPECT_EQ(out.fell(0).after(), 0.5);
  EXPECT_EQ(out.rose_size(), 2);
  event.erase("metrics");
  ToProto(event, 0, &message);
  EXPECT_TRUE(message.has_comparison()) << "a damaged one is still an event";
}

TEST(ConvertTest, AStepHasItsObjectiveWhereSeveralTakeTurns) {
  v1::JobEvent event;
  ToProto({{"type", "step"}, {"step", 2}, {"objective", 0}}, 0, &event);
  EXPECT_TRUE(event.step().has_objective());
  EXPECT_EQ(event.step().objective(), 0);
  event.Clear();
  ToProto({{"type", "step"}, {"step", 2}}, 0, &event);
  EXPECT_FALSE(event.step().has_objective());
}

TEST(ConvertTest, AHeartbeatRepeatsTheLastSequence) {
  v1::JobEvent event;
  ToProto({{"type", "heartbeat"}}, 41, &event);
  EXPECT_EQ(event.sequence(), 41);
  EXPECT_TRUE(event.has_heartbeat());
}

TEST(ConvertTest, AnEventWithoutFiniteNumbersIsStillAnEvent) {
  v1::JobEvent event;
  ToProto({{"type", "step"}, {"sequence", 3}, {"step", 2}, {"loss", nullptr}}, 0, &event);
  EXPECT_EQ(event.sequence(), 3);
  EXPECT_EQ(event.step().step(), 2);
  EXPECT_EQ(event.step().loss(), 0);
}

TEST(ConvertTest, ARefusedElementComesBackAsItWasStored) {
  v1::ItemError error;
  FromItemErrorJson(ItemErrorJson(4, InvalidField("pair.anchor", "is empty")), &error);
  EXPECT_EQ(error.index(), 4);
  EXPECT_EQ(error.code(), 3);
  EXPECT_EQ(error.field(), "pair.anchor");
  EXPECT_EQ(error.message(), "pair.anchor: is empty");
}

}  // namespace
}  // namespace tandem
