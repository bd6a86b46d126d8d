#include "server/training/validation.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <variant>

#include "server/base/status.h"
#include "server/training/embedding_metrics.h"

namespace tandem {
namespace {

namespace F = torch::nn::functional;

// Tokens of one forward pass: enough to keep the matrix products busy, small enough for caches and for quick stops.
constexpr int64_t kChunkTokens = 4096;
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

torch::Tensor Unit(const torch::Tensor& vectors) { return F::normalize(vectors, F::NormalizeFuncOptions().dim(1)); }

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

absl::StatusOr<ValidationResult> Validator::Run(TextModel& model,
                                                const std::function<absl::Status(int64_t, int64_t)>& proceed) const {
  const torch::NoGradGuard no_grad;
  ASSIGN_OR_RETURN(const Embeddings embeddings, Embed(model, proceed));
  ValidationResult result;
  result.loss = MeanLoss(embeddings);
  result.metrics = Measure(embeddings, {Unit(embeddings.anchors), Unit(embeddings.documents)}, model.contract().metric);
  return result;
}

absl::StatusOr<Validator::Embeddings> Validator::Embed(
    TextModel& model, const std::function<absl::Status(int64_t, int64_t)>& proceed) const {
  std::vector<const TokenizedText*> texts;
  for (const TextId text : anchors_) texts.push_back(&tokens_->anchor(text));
  for (const TextId text : documents_) texts.push_back(&tokens_->document(text));
  torch::Tensor all;
  for (size_t begin = 0; begin < texts.size();) {
    int64_t count_tokens = 0;
    size_t end = begin;
    while (end < texts.size() && (end == begin || count_tokens < kChunkTokens)) {
      count_tokens += static_cast<int64_t>(texts[end++]->ids.size());
    }
    const torch::Tensor chunk =
        model.Forward(Pack(std::span(texts).subspan(begin, end - begin)), nullptr).to(torch::kFloat32);
    if (!all.defined()) all = torch::empty({static_cast<int64_t>(texts.size()), chunk.size(1)}, torch::kFloat32);
    all.narrow(0, static_cast<int64_t>(begin), chunk.size(0)).copy_(chunk);
    begin = end;
    RETURN_IF_ERROR(proceed(static_cast<int64_t>(end), static_cast<int64_t>(texts.size())));
  }
  if (!all.isfinite().all().item<bool>()) {
    return absl::FailedPreconditionError(
        "an embedding of a validation text is not finite: a lower learning rate may help");
  }
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

ValidationMetrics Validator::Measure(const Embeddings& embeddings, const Embeddings& unit, MetricKind metric) const {
  ValidationMetrics metrics;
  metrics.alignment = MeasureAlignment(unit);
  metrics.uniformity = MeasureUniformity(unit);
  switch (set_.form) {
    case ExampleForm::kPair:
      metrics.retrieval = MeasureRetrieval(metric == MetricKind::kCosine ? unit : embeddings);
      break;
    case ExampleForm::kScoredPair: {
      std::vector<double> scores;
      for (const TrainingExample& example : set_.examples) scores.push_back(example.score);
      metrics.similarity = MeasureSimilarity(Cosines(unit), scores);
      break;
    }
    case ExampleForm::kLabelledPair: {
      std::vector<char> similar;
      for (const TrainingExample& example : set_.examples) similar.push_back(example.similar ? 1 : 0);
      metrics.pairs = MeasurePairs(Cosines(unit), similar);
      break;
    }
    case ExampleForm::kLabelledText: {
      if (set_.size() < 2) break;
      std::vector<int32_t> labels, all(static_cast<size_t>(set_.size()));
      for (const TrainingExample& example : set_.examples) labels.push_back(example.label);
      std::iota(all.begin(), all.end(), 0);
      metrics.classes = MeasureClasses(labels, NearestNeighbours(AnchorsOf(unit, all)));
      break;
    }
    case ExampleForm::kText:
      break;
  }
  return metrics;
}

RetrievalMetrics Validator::MeasureRetrieval(const Embeddings& embeddings) const {
  const int64_t depth = std::min(kDepth, embeddings.documents.size(0));
  std::vector<QueryMetrics> measured;
  double sum_precision = 0;
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
      sum_precision += AveragePrecisionAt(kDepth, gains, judged);
    }
  });
  RetrievalMetrics metrics = Average(measured);
  metrics.map = measured.empty() ? 0 : sum_precision / static_cast<double>(measured.size());
  return metrics;
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
