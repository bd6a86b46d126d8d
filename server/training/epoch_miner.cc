#include "server/training/epoch_miner.h"

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

#include "server/base/random.h"
#include "server/base/status.h"
#include "server/training/embedding_metrics.h"
#include "server/training/losses/distances.h"
#include "server/training/text_embeddings.h"

namespace tandem {
namespace {

constexpr float kNoRank = -std::numeric_limits<float>::infinity();

bool Has(const std::vector<TextId>& texts, int64_t text) { return std::ranges::find(texts, text) != texts.end(); }

}  // namespace

// One pass over the anchors, whose ranked documents come block by block.
class EpochMiner::Pass {
 public:
  Pass(const EpochMiner& miner, int64_t epoch) : miner_(miner), epoch_(epoch), chosen_(miner.set_.examples.size()) {}

  // `scores` of the anchors from `first` on with all documents; changes them. Blocks come in order.
  void Add(int64_t first, const torch::Tensor& scores) {
    const auto rows = scores.accessor<float, 2>();
    for (int64_t i = 0; i < scores.size(0); ++i) lowest_positive_.push_back(TakeOut(first + i, rows[i]));
    const auto [best, which] = scores.topk(miner_.depth_, 1);
    const auto values = best.accessor<float, 2>();
    const auto columns = which.accessor<int64_t, 2>();
    for (int64_t i = 0; i < scores.size(0); ++i) {
      std::vector<RankedDocument> ranked;
      for (int64_t rank = 0; rank < miner_.depth_ && values[i][rank] > kNoRank; ++rank) {
        ranked.push_back({miner_.documents_[static_cast<size_t>(columns[i][rank])], values[i][rank]});
      }
      for (const int32_t example : miner_.examples_of_[static_cast<size_t>(first + i)]) {
        Choose(example, ranked, lowest_positive_[static_cast<size_t>(first + i)]);
      }
    }
  }

  Found Finish() {
    Found found;
    for (const std::vector<TextId>& texts : chosen_) {
      found.negatives.Add(texts);
      if (!texts.empty()) ++found.figures.examples;
    }
    found.figures.anchors = static_cast<int64_t>(miner_.anchors_.size());
    found.figures.documents = static_cast<int64_t>(miner_.documents_.size());
    double sum = 0;
    for (const float score : lowest_positive_) sum += score;
    found.figures.mean_positive_score = sum / static_cast<double>(lowest_positive_.size());
    const size_t count = found.negatives.texts.size();
    found.figures.mean_negative_score = count == 0 ? 0 : negative_scores_ / static_cast<double>(count);
    return found;
  }

 private:
  // Takes the rank from the anchor's own text and its positives; their lowest score.
  template <typename Row>
  float TakeOut(int64_t anchor, Row scores) const {
    const TextId text = miner_.anchors_[static_cast<size_t>(anchor)];
    float lowest = std::numeric_limits<float>::infinity();
    for (const TextId positive : miner_.positives_.of(text)) {
      float& score = scores[miner_.document_row_[static_cast<size_t>(positive)]];
      lowest = std::min(lowest, score);
      score = kNoRank;
    }
    const int64_t own = miner_.document_row_[static_cast<size_t>(text)];
    if (own >= 0) scores[own] = kNoRank;
    return lowest;
  }

  void Choose(int32_t i, const std::vector<RankedDocument>& ranked, float lowest_positive) {
    const TrainingExample& example = miner_.set_.examples[static_cast<size_t>(i)];
    NegativeMiningOptions options = miner_.options_;
    const int room = kMostNegatives - static_cast<int>(example.negatives.size());
    options.negatives = std::min(options.negatives, room);
    if (options.negatives <= 0) return;
    std::vector<RankedDocument> others = ranked;
    std::erase_if(others, [&](const RankedDocument& document) { return Has(example.negatives, document.id); });
    const uint64_t key = MixBits(static_cast<uint64_t>(epoch_)) ^ static_cast<uint64_t>(example.anchor);
    auto next = others.begin();
    for (const int64_t id : ChooseNegatives(others, lowest_positive, options, key)) {
      next = std::find_if(next, others.end(), [id](const RankedDocument& document) { return document.id == id; });
      negative_scores_ += next->score;
      chosen_[static_cast<size_t>(i)].push_back(static_cast<TextId>(id));
    }
  }

  const EpochMiner& miner_;
  const int64_t epoch_;
  std::vector<std::vector<TextId>> chosen_;  // By example.
  std::vector<float> lowest_positive_;       // By anchor.
  double negative_scores_ = 0;               // Their sum.
};

EpochMiner::EpochMiner(const ExampleSet& set, const KnownPositives& positives, const TokenCache* tokens,
                       const NegativeMiningOptions& options)
    : set_(set), positives_(positives), tokens_(tokens), options_(options) {
  TextId most = 0;
  for (const TrainingExample& example : set.examples) {
    ForEachText(example, [&](TextId text) { most = std::max(most, text); });
  }
  std::vector<int64_t> anchor_row(static_cast<size_t>(most) + 1, -1);
  document_row_.assign(static_cast<size_t>(most) + 1, -1);
  const auto add = [](TextId text, std::vector<TextId>& texts, std::vector<int64_t>& rows) {
    int64_t& row = rows[static_cast<size_t>(text)];
    if (row >= 0) return row;
    row = static_cast<int64_t>(texts.size());
    texts.push_back(text);
    return row;
  };
  size_t most_own = 0;
  for (size_t i = 0; i < set.examples.size(); ++i) {
    const TrainingExample& example = set.examples[i];
    const auto row = static_cast<size_t>(add(example.anchor, anchors_, anchor_row));
    examples_of_.resize(anchors_.size());
    examples_of_[row].push_back(static_cast<int32_t>(i));
    for (const TextId text : example.positives) add(text, documents_, document_row_);
    for (const TextId text : example.negatives) add(text, documents_, document_row_);
    most_own = std::max(most_own, example.negatives.size());
  }
  depth_ = std::min(static_cast<int64_t>(documents_.size()), options.max_rank + static_cast<int64_t>(most_own));
}

absl::StatusOr<EpochMiner::Found> EpochMiner::Mine(TextModel& model, int64_t epoch,
                                                   const std::function<absl::Status(int64_t, int64_t)>& proceed) const {
  const torch::NoGradGuard no_grad;
  std::vector<const TokenizedText*> texts;
  for (const TextId text : anchors_) texts.push_back(&tokens_->anchor(text));
  for (const TextId text : documents_) texts.push_back(&tokens_->document(text));
  ASSIGN_OR_RETURN(torch::Tensor unit, EmbedWithoutDropout(model, texts, "training", proceed));
  unit = Unit(unit);
  const auto anchors = static_cast<int64_t>(anchors_.size());
  const torch::Tensor documents = unit.narrow(0, anchors, unit.size(0) - anchors);
  Pass pass(*this, epoch);
  absl::Status status;
  ForEachBlock(unit.narrow(0, 0, anchors), documents, [&](int64_t begin, const torch::Tensor& scores) {
    if (!status.ok()) return;
    pass.Add(begin, scores);
    status = proceed(begin + scores.size(0), anchors);
  });
  RETURN_IF_ERROR(status);
  return pass.Finish();
}

bool EpochMiner::Fits(const NegativeLists& lists) const {
  const auto is_document = [&](TextId text) {
    return static_cast<size_t>(text) < document_row_.size() && document_row_[static_cast<size_t>(text)] >= 0;
  };
  return lists.size() == set_.size() && std::ranges::all_of(lists.texts, is_document);
}

}  // namespace tandem
