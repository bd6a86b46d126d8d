#include "server/jobs/negative_miner.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/hash/hash.h"
#include "absl/time/time.h"
#include "server/base/files.h"
#include "server/base/random.h"
#include "server/base/status.h"

namespace tandem {
namespace {

// About 50 MB; a larger collection has its texts read again now and then.
constexpr size_t kKnownDocuments = 1'000'000;
// Documents read at once: a text may have 1 MiB.
constexpr size_t kTextsAtOnce = 32;
// More hits are asked for than there are ranks, for documents of the same text.
constexpr int kSpareHits = 8;

uint64_t HashOf(std::string_view text) { return absl::HashOf(text); }

int64_t BytesOf(const Example& pair) {
  size_t bytes = pair.anchor.size();
  for (const auto* const texts : {&pair.positives, &pair.negatives}) {
    for (const std::string& text : *texts) bytes += text.size();
  }
  return static_cast<int64_t>(bytes);
}

double Dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
  return sum;
}

}  // namespace

NegativeMiner::NegativeMiner(std::shared_ptr<const ActiveRelease> release, std::shared_ptr<DocumentStore> documents,
                             EmbeddingQueue* queue, const NegativeMiningOptions& options)
    : release_(std::move(release)),
      documents_(std::move(documents)),
      pin_(documents_->PinVersions()),
      snapshot_(release_->index->snapshot()),
      queue_(queue),
      options_(options) {}

void NegativeMiner::Learn(const Example& pair) {
  const Hash anchor = HashOf(pair.anchor);
  for (const std::string& positive : pair.positives) positives_.emplace_back(anchor, HashOf(positive));
  sorted_ = false;
}

absl::StatusOr<std::vector<MinedPair>> NegativeMiner::Mine(std::vector<Example> pairs) {
  if (!sorted_) std::sort(positives_.begin(), positives_.end());
  sorted_ = true;
  std::vector<std::string> anchors;
  for (const Example& pair : pairs) anchors.push_back(pair.anchor);
  ASSIGN_OR_RETURN(const EmbeddedTexts embedded, queue_->Embed(release_->encoder, anchors, InputRole::kQuery,
                                                               EmbeddingPriority::kBulk, absl::InfiniteFuture()));
  const std::span<const float> vectors(embedded.vectors);
  std::vector<Ranking> rankings;
  for (size_t i = 0; i < pairs.size(); ++i) {
    ASSIGN_OR_RETURN(rankings.emplace_back(), Rank(pairs[i], vectors.subspan(i * dimensions(), dimensions())));
  }
  RETURN_IF_ERROR(ScoreOtherPositives(pairs, vectors, &rankings));
  std::vector<MinedPair> mined;
  for (size_t i = 0; i < pairs.size(); ++i) {
    mined.push_back({.pair = std::move(pairs[i])});
    RETURN_IF_ERROR(AddNegatives(rankings[i], &mined.back()));
  }
  return mined;
}

std::vector<NegativeMiner::Hash> NegativeMiner::WithoutRank(const Example& pair) {
  const Hash anchor = HashOf(pair.anchor);
  std::vector<Hash> hashes = {anchor};
  for (const std::string& negative : pair.negatives) hashes.push_back(HashOf(negative));
  const auto first = std::lower_bound(positives_.begin(), positives_.end(), std::pair<Hash, Hash>(anchor, 0));
  for (auto known = first; known != positives_.end() && known->first == anchor; ++known) {
    hashes.push_back(known->second);
  }
  std::sort(hashes.begin(), hashes.end());
  hashes.erase(std::unique(hashes.begin(), hashes.end()), hashes.end());
  return hashes;
}

absl::StatusOr<NegativeMiner::Ranking> NegativeMiner::Rank(const Example& pair, std::span<const float> anchor) {
  const std::vector<Hash> without_rank = WithoutRank(pair);
  const int64_t size = snapshot_->size();
  for (int64_t count = options_.max_rank + static_cast<int64_t>(without_rank.size()) + kSpareHits;; count *= 2) {
    bool all = count >= size;
    ASSIGN_OR_RETURN(Ranking ranking,
                     RankBest(pair, anchor, without_rank, static_cast<int>(std::min(count, size)), &all));
    if (all || ranking.documents.size() >= static_cast<size_t>(options_.max_rank)) return ranking;
  }
}

// Sets *all when a larger count would bring no more.
absl::StatusOr<NegativeMiner::Ranking> NegativeMiner::RankBest(const Example& pair, std::span<const float> anchor,
                                                               const std::vector<Hash>& without_rank, int count,
                                                               bool* all) {
  Ranking ranking;
  ranking.positive_scores.assign(pair.positives.size(), std::numeric_limits<float>::quiet_NaN());
  if (count == 0) return ranking;
  ASSIGN_OR_RETURN(const std::vector<ScoredLabel> hits, snapshot_->Search(anchor, VectorSearch{.k = count}));
  *all |= hits.size() < static_cast<size_t>(count);
  ASSIGN_OR_RETURN(const std::vector<Hash> texts, TextsOf(hits));
  std::vector<Hash> positives, ranked;  // `ranked` is sorted.
  for (const std::string& positive : pair.positives) positives.push_back(HashOf(positive));
  for (size_t i = 0; i < hits.size(); ++i) {
    for (size_t j = 0; j < positives.size(); ++j) {
      if (positives[j] == texts[i]) ranking.positive_scores[j] = hits[i].score;
    }
    if (std::binary_search(without_rank.begin(), without_rank.end(), texts[i])) continue;
    const auto place = std::lower_bound(ranked.begin(), ranked.end(), texts[i]);
    if (place != ranked.end() && *place == texts[i]) continue;  // Another document of the same text, with a rank.
    ranked.insert(place, texts[i]);
    ranking.documents.push_back({.id = hits[i].label, .score = hits[i].score});
  }
  return ranking;
}

absl::StatusOr<std::vector<NegativeMiner::Hash>> NegativeMiner::TextsOf(std::span<const ScoredLabel> hits) {
  if (known_texts_.size() > kKnownDocuments) known_texts_.clear();
  std::vector<int64_t> unknown;
  for (const ScoredLabel& hit : hits) {
    if (!known_texts_.contains(hit.label)) unknown.push_back(hit.label);
  }
  for (size_t first = 0; first < unknown.size(); first += kTextsAtOnce) {
    const std::span<const int64_t> labels =
        std::span(unknown).subspan(first, std::min(kTextsAtOnce, unknown.size() - first));
    ASSIGN_OR_RETURN(const std::vector<DocumentVersion> versions, documents_->ReadVersions(labels, /*with_text=*/true));
    for (size_t i = 0; i < labels.size(); ++i) known_texts_[labels[i]] = HashOf(versions[i].text);
  }
  std::vector<Hash> texts;
  for (const ScoredLabel& hit : hits) texts.push_back(known_texts_[hit.label]);
  return texts;
}

// Most positives of real pairs are documents near their anchor; only the others are embedded.
absl::Status NegativeMiner::ScoreOtherPositives(const std::vector<Example>& pairs, std::span<const float> anchors,
                                                std::vector<Ranking>* rankings) {
  std::vector<std::string> texts;
  std::vector<std::pair<size_t, size_t>> owners;  // Pair and positive.
  for (size_t i = 0; i < pairs.size(); ++i) {
    for (size_t j = 0; j < pairs[i].positives.size(); ++j) {
      if (!std::isnan((*rankings)[i].positive_scores[j])) continue;
      texts.push_back(pairs[i].positives[j]);
      owners.emplace_back(i, j);
    }
  }
  if (texts.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const EmbeddedTexts embedded, queue_->Embed(release_->encoder, texts, InputRole::kDocument,
                                                               EmbeddingPriority::kBulk, absl::InfiniteFuture()));
  const std::span<const float> vectors(embedded.vectors);
  for (size_t k = 0; k < owners.size(); ++k) {
    const auto [i, j] = owners[k];
    (*rankings)[i].positive_scores[j] =
        Score(anchors.subspan(i * dimensions(), dimensions()), vectors.subspan(k * dimensions(), dimensions()));
  }
  return absl::OkStatus();
}

float NegativeMiner::Score(std::span<const float> anchor, std::span<const float> document) const {
  const double product = Dot(anchor, document);
  if (release_->index->options().metric == VectorMetric::kInnerProduct) return static_cast<float>(product);
  const double lengths = std::sqrt(Dot(anchor, anchor) * Dot(document, document));
  return lengths > 0 ? static_cast<float>(product / lengths) : 0;
}

absl::Status NegativeMiner::AddNegatives(const Ranking& ranking, MinedPair* mined) {
  Example& pair = mined->pair;
  mined->positive_score = *std::min_element(ranking.positive_scores.begin(), ranking.positive_scores.end());
  NegativeMiningOptions options = options_;
  options.negatives = std::min(options.negatives, kMostNegatives - static_cast<int>(pair.negatives.size()));
  if (options.negatives <= 0) return absl::OkStatus();
  const std::vector<int64_t> chosen =
      ChooseNegatives(ranking.documents, mined->positive_score, options, MixBits(Crc32c(pair.anchor)));
  if (chosen.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(std::vector<DocumentVersion> versions, documents_->ReadVersions(chosen, /*with_text=*/true));
  int64_t bytes = BytesOf(pair);
  auto document = ranking.documents.begin();
  for (size_t i = 0; i < chosen.size(); ++i) {
    document =
        std::find_if(document, ranking.documents.end(), [&](const auto& ranked) { return ranked.id == chosen[i]; });
    bytes += static_cast<int64_t>(versions[i].text.size());
    if (bytes > kMostExampleBytes) break;
    pair.negatives.push_back(std::move(versions[i].text));
    mined->negative_scores += document->score;
    ++mined->found;
  }
  return absl::OkStatus();
}

}  // namespace tandem
