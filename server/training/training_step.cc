#include "server/training/training_step.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include <ATen/autocast_mode.h>

#include "server/base/status.h"

namespace tandem {
namespace {

// Linear maps of this thread in bfloat16 for as long as it lives; then the casts of the weights, which a step of the
// optimizer makes stale, are forgotten.
class Autocast {
 public:
  Autocast() {
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::set_autocast_enabled(at::kCPU, true);
  }
  ~Autocast() {
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::clear_cache();
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;
};

}  // namespace

TrainingStep::TrainingStep(const TokenCache* tokens, uint64_t seed, int64_t step, Precision precision)
    : tokens_(tokens), seed_(seed), step_(step), precision_(precision) {}

void TrainingStep::AddText(const TokenizedText& text, int objective, int32_t example, int64_t place) {
  texts_.push_back(&text);
  token_count_ += static_cast<int64_t>(text.ids.size());
  keys_.push_back(static_cast<uint64_t>(objective) << 56 | static_cast<uint64_t>(example) << 24 |
                  static_cast<uint64_t>(place));
}

void TrainingStep::Add(const ObjectiveBatch& batch, const ExampleSet& set, const LossOptions& loss, double weight,
                       std::span<const std::vector<TextId>> mined) {
  Part part{.loss = &loss, .weight = weight, .first = texts(), .anchors = static_cast<int64_t>(batch.examples.size())};
  LossBatch& labels = part.batch;
  for (const int32_t i : batch.examples) {
    const TrainingExample& example = set.examples[static_cast<size_t>(i)];
    AddText(tokens_->anchor(example.anchor), batch.objective, i, 0);
    if (set.form == ExampleForm::kScoredPair) labels.scores.push_back(example.score);
    if (set.form == ExampleForm::kLabelledPair) labels.similar.push_back(example.similar ? 1 : 0);
    if (set.form == ExampleForm::kLabelledText) labels.labels.push_back(example.label);
  }
  labels.positive_offsets.push_back(0);
  for (const int32_t i : batch.examples) {
    const std::vector<TextId>& texts = set.examples[static_cast<size_t>(i)].positives;
    int64_t place = 1;
    for (const TextId text : texts) AddText(tokens_->document(text), batch.objective, i, place++);
    labels.positive_offsets.push_back(labels.positive_offsets.back() + static_cast<int64_t>(texts.size()));
  }
  labels.negative_offsets.push_back(labels.positive_offsets.back());
  for (size_t row = 0; row < batch.examples.size(); ++row) {
    const int32_t i = batch.examples[row];
    const TrainingExample& example = set.examples[static_cast<size_t>(i)];
    const int64_t first = 1 + static_cast<int64_t>(example.positives.size());
    int64_t place = first;
    for (const TextId text : example.negatives) AddText(tokens_->document(text), batch.objective, i, place++);
    if (!mined.empty()) {
      for (const TextId text : mined[row]) AddText(tokens_->document(text), batch.objective, i, place++);
    }
    labels.negative_offsets.push_back(labels.negative_offsets.back() + place - first);
  }
  part.documents = labels.negative_offsets.back();
  examples_ += part.anchors;
  parts_.push_back(std::move(part));
}

torch::Tensor TrainingStep::Loss(const torch::Tensor& embeddings) const {
  torch::Tensor sum;
  for (const Part& part : parts_) {
    LossBatch batch = part.batch;
    batch.anchors = embeddings.narrow(0, part.first, part.anchors);
    batch.documents = embeddings.narrow(0, part.first + part.anchors, part.documents);
    torch::Tensor loss = ComputeLoss(*part.loss, batch);
    if (part.weight != 1) loss = loss * part.weight;
    sum = sum.defined() ? sum + loss : loss;
  }
  return sum;
}

torch::Tensor TrainingStep::Forward(const EmbedTexts& embed, std::span<const int64_t> rows) const {
  std::vector<const TokenizedText*> texts;
  DropoutSource dropout{seed_, step_, {}};
  for (const int64_t row : rows) {
    texts.push_back(texts_[static_cast<size_t>(row)]);
    dropout.examples.push_back(keys_[static_cast<size_t>(row)]);
  }
  const std::optional<Autocast> autocast =
      precision_ == Precision::kBFloat16 ? std::make_optional<Autocast>() : std::nullopt;
  const torch::Tensor embeddings = embed(Pack(texts), dropout);
  return autocast.has_value() ? embeddings.to(torch::kFloat32) : embeddings;
}

absl::StatusOr<double> TrainingStep::Backward(const EmbedTexts& embed, std::optional<int> micro_batch_size,
                                              const std::function<absl::Status(int64_t, int64_t)>& proceed) const {
  if (micro_batch_size && texts() > *micro_batch_size) return BackwardInPieces(embed, *micro_batch_size, proceed);
  std::vector<int64_t> rows(texts_.size());
  std::iota(rows.begin(), rows.end(), 0);
  const torch::Tensor loss = Loss(Forward(embed, rows));
  const double value = loss.item<double>();
  if (std::isfinite(value)) loss.backward();
  return value;
}

absl::StatusOr<double> TrainingStep::BackwardInPieces(
    const EmbedTexts& embed, int micro_batch_size, const std::function<absl::Status(int64_t, int64_t)>& proceed) const {
  const std::vector<std::vector<int64_t>> pieces = Pieces(micro_batch_size);
  int64_t done = 0;
  const auto go_on = [&](const std::vector<int64_t>& piece) {
    done += static_cast<int64_t>(piece.size());
    return proceed(done, 2 * texts());
  };
  torch::Tensor embeddings;
  for (const std::vector<int64_t>& piece : pieces) {
    const torch::NoGradGuard no_grad;
    const torch::Tensor values = Forward(embed, piece);
    if (!embeddings.defined()) embeddings = torch::empty({texts(), values.size(1)}, values.options());
    embeddings.index_copy_(0, torch::tensor(piece), values);
    RETURN_IF_ERROR(go_on(piece));
  }
  embeddings.set_requires_grad(true);
  double value = NAN;
  {
    const torch::Tensor loss = Loss(embeddings);
    value = loss.item<double>();
    if (!std::isfinite(value)) return value;
    loss.backward();
  }
  const torch::Tensor gradients = embeddings.grad();
  for (const std::vector<int64_t>& piece : pieces) {
    Forward(embed, piece).backward(gradients.index_select(0, torch::tensor(piece)));
    RETURN_IF_ERROR(go_on(piece));
  }
  return value;
}

// As few pieces as there can be, with about equally many tokens, so that the largest one, which memory is needed for,
// is no larger than it must be: the longest texts are dealt out first, one to each piece in turn. No two pieces differ
// by more tokens than the longest text has.
std::vector<std::vector<int64_t>> TrainingStep::Pieces(int micro_batch_size) const {
  std::vector<int64_t> by_length(texts_.size());
  std::iota(by_length.begin(), by_length.end(), 0);
  std::ranges::stable_sort(by_length, std::greater(),
                           [&](int64_t row) { return texts_[static_cast<size_t>(row)]->ids.size(); });
  std::vector<std::vector<int64_t>> pieces(static_cast<size_t>((texts() + micro_batch_size - 1) / micro_batch_size));
  for (size_t i = 0; i < by_length.size(); ++i) pieces[i % pieces.size()].push_back(by_length[i]);
  return pieces;
}

}  // namespace tandem
