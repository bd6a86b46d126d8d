#include "server/training/validation.h"

#include <algorithm>

#include "server/base/status.h"
#include "server/training/loss.h"
#include "server/training/sampler.h"

namespace tandem {
namespace {

// Tokens of one forward pass: enough to keep the matrix products busy, small enough for caches and for quick stops.
constexpr int64_t kChunkTokens = 4096;
constexpr int64_t kQueriesPerProduct = 256;
constexpr int64_t kDepth = 10;  // All metrics look at the first ten.

int64_t RowOf(TextId text, std::vector<TextId>& texts, std::vector<int64_t>& rows) {
  if (static_cast<size_t>(text) >= rows.size()) rows.resize(text + 1, -1);
  if (rows[text] < 0) {
    rows[text] = static_cast<int64_t>(texts.size());
    texts.push_back(text);
  }
  return rows[text];
}

}  // namespace

Validator::Validator(std::span<const TrainingPair> pairs, const TokenCache* tokens, const TrainerOptions& options)
    : pairs_(pairs), tokens_(tokens), options_(options) {
  for (const TrainingPair& pair : pairs_) {
    const int64_t anchor = RowOf(pair.anchor, anchors_, anchor_row_);
    const int64_t positive = RowOf(pair.positive, documents_, document_row_);
    for (const TextId text : pair.negatives) RowOf(text, documents_, document_row_);
    relevant_.resize(anchors_.size());
    relevant_[anchor].push_back(positive);
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
  return ValidationResult{MeanLoss(embeddings), Measure(embeddings, model.contract().metric)};
}

absl::StatusOr<Validator::Embeddings> Validator::Embed(
    TextModel& model, const std::function<absl::Status(int64_t, int64_t)>& proceed) const {
  std::vector<const TokenizedText*> texts;
  for (const TextId text : anchors_) texts.push_back(&tokens_->anchor(text));
  for (const TextId text : documents_) texts.push_back(&tokens_->document(text));
  std::vector<torch::Tensor> chunks;
  for (size_t begin = 0; begin < texts.size();) {
    int64_t count_tokens = 0;
    size_t end = begin;
    while (end < texts.size() && (end == begin || count_tokens < kChunkTokens)) {
      count_tokens += static_cast<int64_t>(texts[end++]->ids.size());
    }
    chunks.push_back(model.Forward(Pack(std::span(texts).subspan(begin, end - begin)), nullptr));
    begin = end;
    RETURN_IF_ERROR(proceed(static_cast<int64_t>(end), static_cast<int64_t>(texts.size())));
  }
  const torch::Tensor all = torch::cat(chunks);
  const int64_t anchors = static_cast<int64_t>(anchors_.size());
  return Embeddings{all.narrow(0, 0, anchors), all.narrow(0, anchors, all.size(0) - anchors)};
}

double Validator::MeanLoss(const Embeddings& embeddings) const {
  TrainerOptions in_order = options_;
  in_order.order = ExampleOrder::kGiven;
  in_order.batch_sampler = BatchSampler::kNoDuplicates;
  const EpochBatches batches = Sampler(pairs_, in_order).Epoch(0);
  double sum = 0;
  for (int64_t b = 0; b < batches.size(); ++b) {
    std::vector<int64_t> anchor_rows, document_rows;
    for (const int32_t p : batches.batch(b)) {
      anchor_rows.push_back(anchor_row_[pairs_[p].anchor]);
      document_rows.push_back(document_row_[pairs_[p].positive]);
    }
    for (const int32_t p : batches.batch(b)) {
      for (const TextId text : pairs_[p].negatives) document_rows.push_back(document_row_[text]);
    }
    const torch::Tensor loss =
        InfoNce(embeddings.anchors.index_select(0, torch::tensor(anchor_rows)),
                embeddings.documents.index_select(0, torch::tensor(document_rows)), options_.scale, options_.symmetric);
    sum += loss.item<double>() * static_cast<double>(anchor_rows.size());
  }
  return batches.pairs.empty() ? 0 : sum / static_cast<double>(batches.pairs.size());
}

RetrievalMetrics Validator::Measure(const Embeddings& embeddings, MetricKind metric) const {
  namespace F = torch::nn::functional;
  torch::Tensor anchors = embeddings.anchors, documents = embeddings.documents;
  if (metric == MetricKind::kCosine) {
    anchors = F::normalize(anchors, F::NormalizeFuncOptions().dim(1));
    documents = F::normalize(documents, F::NormalizeFuncOptions().dim(1));
  }
  const torch::Tensor columns = documents.t();
  const int64_t depth = std::min(kDepth, documents.size(0));
  std::vector<QueryMetrics> measured;
  for (int64_t begin = 0; begin < anchors.size(0); begin += kQueriesPerProduct) {
    const int64_t count = std::min(kQueriesPerProduct, anchors.size(0) - begin);
    const torch::Tensor scores = torch::matmul(anchors.narrow(0, begin, count), columns);
    const torch::Tensor best = std::get<1>(torch::topk(scores, depth, 1)).contiguous();
    const int64_t* rows = best.data_ptr<int64_t>();
    for (int64_t query = 0; query < count; ++query) {
      const std::vector<int64_t>& relevant = relevant_[begin + query];
      std::vector<int> gains(depth), judged(relevant.size(), 1);
      for (int64_t rank = 0; rank < depth; ++rank) {
        gains[rank] = std::binary_search(relevant.begin(), relevant.end(), rows[query * depth + rank]) ? 1 : 0;
      }
      measured.push_back(MeasureQuery(gains, judged));
    }
  }
  return Average(measured);
}

}  // namespace tandem
