#include "server/training/validation.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <variant>

#include "server/base/status.h"
#include "server/training/embedding_metrics.h"
#include "server/training/losses/distances.h"
#include "server/training/text_embeddings.h"

namespace tandem {
namespace {

constexpr int64_t kDepth = 100;  // Of the hits that are looked at: MAP@100.
constexpr int64_t kUniformityTexts = 4096;

int64_t RowOf(TextId text, std::vector<TextId>& texts, std::vector<int64_t>& rows) {
  const size_t index = static_cast<size_t>(text);
  if (index >= rows.size()) rows.resize(index + 1, -1);
  if (rows[index] < 0) {
    rows[index] = static_cast<int64_t>(texts.size());
    texts.push_back(text);
  }
  return rows[index];
}

torch::Tensor Select(const torch::Tensor& vectors, const std::vector<int64_t>& rows) {
  return vectors.index_select(0, torch::tensor(rows, torch::kInt64));
}

// The training's batches, but the same each time. Labelled texts are shuffled: given in order of their classes they
// would make batches of one class, of which no loss is defined.
SamplerOptions BatchesFor(const TrainerOptions& options, ExampleForm form) {
  SamplerOptions batches = {.kind = BatchSampler::kNoDuplicates,
                            .order = ExampleOrder::kGiven,
                            .batch_size = options.batch_size,
                            .texts_per_class = std::min(options.texts_per_class, options.batch_size / 2),
                            .fewest = FewestExamples(options.objectives[0].loss)};
  if (options.batch_sampler == BatchSampler::kPlain) batches.kind = BatchSampler::kPlain;
  if (form == ExampleForm::kLabelledText) {
    batches.order = ExampleOrder::kShuffled;
    batches.kind = batches.texts_per_class >= 2 ? BatchSampler::kBalanced : BatchSampler::kPlain;
  }
  return batches;
}

}  // namespace

Validator::Validator(const ExampleSet& set, const TokenCache* tokens, const TrainerOptions& options)
    : set_(set), tokens_(tokens), loss_(options.objectives[0].loss), batches_(BatchesFor(options, set.form)) {
  for (const TrainingExample& example : set_.examples) {
    const int64_t anchor = RowOf(example.anchor, anchors_, anchor_row_);
    relevant_.resize(anchors_.size());
    std::vector<int64_t>& relevant = relevant_[static_cast<size_t>(anchor)];
    for (const TextId text : example.positives) relevant.push_back(RowOf(text, documents_, document_row_));
    for (const TextId text : example.negatives) RowOf(text, documents_, document_row_);
  }
  for (std::vector<int64_t>& rows : relevant_) {
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  }
}

absl::StatusOr<ValidationOutcomes> Validator::Run(TextModel& model,
                                                  const std::function<absl::Status(int64_t, int64_t)>& proceed) const {
  const torch::NoGradGuard no_grad;
  ASSIGN_OR_RETURN(const Embeddings embeddings, Embed(model, proceed));
  ValidationOutcomes outcomes;
  outcomes.result.loss = MeanLoss(embeddings);
  Measure(embeddings, {Unit(embeddings.anchors), Unit(embeddings.documents)}, model.contract().metric, outcomes);
  return outcomes;
}

absl::StatusOr<Validator::Embeddings> Validator::Embed(
    TextModel& model, const std::function<absl::Status(int64_t, int64_t)>& proceed) const {
  std::vector<const TokenizedText*> texts;
  for (const TextId text : anchors_) texts.push_back(&tokens_->anchor(text));
  for (const TextId text : documents_) texts.push_back(&tokens_->document(text));
  ASSIGN_OR_RETURN(const torch::Tensor all, EmbedWithoutDropout(model, texts, "validation", proceed));
  const int64_t anchors = static_cast<int64_t>(anchors_.size());
  return Embeddings{all.narrow(0, 0, anchors), all.narrow(0, anchors, all.size(0) - anchors)};
}

torch::Tensor Validator::AnchorsOf(const Embeddings& embeddings, std::span<const int32_t> examples) const {
  std::vector<int64_t> rows;
  for (const int32_t i : examples) {
    rows.push_back(anchor_row_[static_cast<size_t>(set_.examples[static_cast<size_t>(i)].anchor)]);
  }
  return Select(embeddings.anchors, rows);
}

LossBatch Validator::MakeBatch(const Embeddings& embeddings, std::span<const int32_t> examples) const {
  LossBatch batch;
  batch.anchors = AnchorsOf(embeddings, examples);
  batch.positive_offsets = batch.negative_offsets = {0};
  std::vector<int64_t> rows;
  const auto add = [&](const std::vector<TextId>& texts) {
    for (const TextId text : texts) rows.push_back(document_row_[static_cast<size_t>(text)]);
    return static_cast<int64_t>(rows.size());
  };
  if (std::holds_alternative<SimCseOptions>(loss_.kind)) {
    // Without dropout both views of a text are the same.
    batch.documents = batch.anchors;
    batch.positive_offsets.resize(examples.size() + 1);
    std::iota(batch.positive_offsets.begin(), batch.positive_offsets.end(), int64_t{0});
    batch.negative_offsets.assign(examples.size() + 1, batch.positive_offsets.back());
    return batch;
  }
  for (const int32_t i : examples) {
    const TrainingExample& example = set_.examples[static_cast<size_t>(i)];
    batch.positive_offsets.push_back(add(example.positives));
    if (set_.form == ExampleForm::kScoredPair) batch.scores.push_back(example.score);
    if (set_.form == ExampleForm::kLabelledPair) batch.similar.push_back(example.similar ? 1 : 0);
    if (set_.form == ExampleForm::kLabelledText) batch.labels.push_back(example.label);
  }
  batch.negative_offsets = {static_cast<int64_t>(rows.size())};
  for (const int32_t i : examples) {
    batch.negative_offsets.push_back(add(set_.examples[static_cast<size_t>(i)].negatives));
  }
  batch.documents = Select(embeddings.documents, rows);
  return batch;
}

std::optional<double> Validator::MeanLoss(const Embeddings& embeddings) const {
  if (!Takes(loss_, set_.form)) return std::nullopt;
  const EpochBatches batches = Sampler(set_, batches_).Epoch(0);
  if (batches.examples.empty()) return std::nullopt;
  double sum = 0;
  for (int64_t b = 0; b < batches.size(); ++b) {
    const std::span<const int32_t> examples = batches.batch(b);
    sum += ComputeLoss(loss_, MakeBatch(embeddings, examples)).item<double>() * static_cast<double>(examples.size());
  }
  return sum / static_cast<double>(batches.examples.size());
}

void Validator::Measure(const Embeddings& embeddings, const Embeddings& unit, MetricKind metric,
                        ValidationOutcomes& out) const {
  ValidationMetrics& metrics = out.result.metrics;
  metrics.alignment = MeasureAlignment(unit);
  metrics.uniformity = MeasureUniformity(unit);
  switch (set_.form) {
    case ExampleForm::kPair:
      MeasureRetrieval(metric == MetricKind::kCosine ? unit : embeddings, out);
      break;
    case ExampleForm::kScoredPair: {
      std::vector<double> scores;
      for (const TrainingExample& example : set_.examples) scores.push_back(example.score);
      const std::vector<double>& cosines = out.values["cosine"] = Cosines(unit);
      metrics.similarity = MeasureSimilarity(cosines, scores);
      break;
    }
    case ExampleForm::kLabelledPair: {
      std::vector<char> similar;
      for (const TrainingExample& example : set_.examples) similar.push_back(example.similar ? 1 : 0);
      const std::vector<double>& cosines = out.values["cosine"] = Cosines(unit);
      metrics.pairs = MeasurePairs(cosines, similar);
      break;
    }
    case ExampleForm::kLabelledText:
      if (set_.size() >= 2) MeasureClasses(unit, out);
      break;
    case ExampleForm::kText:
      break;
  }
}

void Validator::MeasureClasses(const Embeddings& unit, ValidationOutcomes& out) const {
  std::vector<int32_t> labels, all(static_cast<size_t>(set_.size()));
  for (const TrainingExample& example : set_.examples) labels.push_back(example.label);
  std::iota(all.begin(), all.end(), 0);
  const std::vector<int64_t> nearest = NearestNeighbours(AnchorsOf(unit, all));
  out.result.metrics.classes = tandem::MeasureClasses(labels, nearest);
  std::vector<double>& hits = out.values["knn_accuracy"];
  for (size_t i = 0; i < labels.size(); ++i) {
    hits.push_back(labels[i] == labels[static_cast<size_t>(nearest[i])] ? 1 : 0);
  }
}

void Validator::MeasureRetrieval(const Embeddings& embeddings, ValidationOutcomes& out) const {
  const int64_t depth = std::min(kDepth, embeddings.documents.size(0));
  std::vector<QueryMetrics> measured;
  std::vector<double>& precisions = out.values["map"];
  ForEachBlock(embeddings.anchors, embeddings.documents, [&](int64_t begin, const torch::Tensor& scores) {
    const torch::Tensor best = std::get<1>(torch::topk(scores, depth, 1)).contiguous();
    const int64_t* const rows = best.data_ptr<int64_t>();
    for (int64_t query = 0; query < scores.size(0); ++query) {
      const std::vector<int64_t>& relevant = relevant_[static_cast<size_t>(begin + query)];
      const std::vector<int> judged(relevant.size(), 1);
      std::vector<int> gains;
      for (int64_t rank = 0; rank < depth; ++rank) {
        gains.push_back(std::binary_search(relevant.begin(), relevant.end(), rows[query * depth + rank]) ? 1 : 0);
      }
      measured.push_back(MeasureQuery(gains, judged));
      precisions.push_back(AveragePrecisionAt(kDepth, gains, judged));
    }
  });
  for (const QueryMetrics& query : measured) {
    out.values["ndcg_at_10"].push_back(query.ndcg_at_10);
    out.values["recall_at_10"].push_back(query.recall_at_10);
    out.values["mrr_at_10"].push_back(query.mrr_at_10);
    out.values["recall_at_1"].push_back(query.recall_at_1);
  }
  const double sum = std::accumulate(precisions.begin(), precisions.end(), 0.0);
  RetrievalMetrics& metrics = out.result.metrics.retrieval.emplace(Average(measured));
  metrics.map = measured.empty() ? 0 : sum / static_cast<double>(measured.size());
}

std::vector<double> Validator::Cosines(const Embeddings& unit) const {
  std::vector<int64_t> first, second;
  for (const TrainingExample& example : set_.examples) {
    first.push_back(anchor_row_[static_cast<size_t>(example.anchor)]);
    second.push_back(document_row_[static_cast<size_t>(example.positives[0])]);
  }
  const torch::Tensor cosines =
      (Select(unit.anchors, first) * Select(unit.documents, second)).sum(1).to(torch::kFloat64).contiguous();
  return std::vector<double>(cosines.data_ptr<double>(), cosines.data_ptr<double>() + cosines.numel());
}

std::optional<double> Validator::MeasureAlignment(const Embeddings& unit) const {
  std::vector<int64_t> first, second;
  for (const TrainingExample& example : set_.examples) {
    if (set_.form == ExampleForm::kScoredPair || (set_.form == ExampleForm::kLabelledPair && !example.similar))
      continue;
    for (const TextId text : example.positives) {
      first.push_back(anchor_row_[static_cast<size_t>(example.anchor)]);
      second.push_back(document_row_[static_cast<size_t>(text)]);
    }
  }
  if (first.empty()) return std::nullopt;
  return Alignment(Select(unit.anchors, first), Select(unit.documents, second));
}

std::optional<double> Validator::MeasureUniformity(const Embeddings& unit) const {
  // A text that is both an anchor and a document counts as the anchor.
  std::vector<int64_t> rows;
  for (size_t i = 0; i < documents_.size(); ++i) {
    const size_t text = static_cast<size_t>(documents_[i]);
    if (text >= anchor_row_.size() || anchor_row_[text] < 0) rows.push_back(static_cast<int64_t>(i));
  }
  torch::Tensor vectors = torch::cat({unit.anchors, Select(unit.documents, rows)});
  const int64_t count = vectors.size(0);
  if (count < 2) return std::nullopt;
  if (count > kUniformityTexts) {
    std::vector<int64_t> evenly;
    for (int64_t i = 0; i < kUniformityTexts; ++i) evenly.push_back(i * count / kUniformityTexts);
    vectors = Select(vectors, evenly);
  }
  return Uniformity(vectors);
}

}  // namespace tandem
