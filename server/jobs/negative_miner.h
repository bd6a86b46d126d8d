#pragma once
// Finds the hard negatives of pairs among the documents of one release, as they were at one commit. The documents are
// ranked by the release's own encoder and index, so that what is found is what the release confuses with an answer.
//
//   NegativeMiner miner(release, documents, queue, options);
//   for (const Example& pair : pairs) miner.Learn(pair);
//   ... miner.Mine(some of the pairs) ...
//
// Texts are compared by a 64-bit hash of their bytes: of 100 million texts some two are equal by chance with a
// probability of 3 in 10,000, and a document is then not found. Memory: 16 bytes for each positive, and at most
// kKnownDocuments hashes of documents. Not thread-safe; embeds at bulk priority.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/negative_mining.h"
#include "server/encoder/embedding_queue.h"
#include "server/release/collections.h"
#include "server/storage/document_store.h"
#include "server/storage/records.h"

namespace tandem {

// A pair with what was found for it.
struct MinedPair {
  Example pair;  // The found ones after its own negatives, best first; kMostNegatives in all.
  int found = 0;
  float positive_score = 0;    // Of its lowest-scored positive.
  double negative_scores = 0;  // Sum over what was found.
};

class NegativeMiner {
 public:
  NegativeMiner(std::shared_ptr<const ActiveRelease> release, std::shared_ptr<DocumentStore> documents,
                EmbeddingQueue* queue, const NegativeMiningOptions& options);

  // Of the collection: the documents that are searched.
  int64_t commit() const { return snapshot_->commit(); }

  // A document is no negative of an anchor text that it is a positive of in any pair. REQUIRES: before Mine.
  void Learn(const Example& pair);

  // In their order. One batch for the encoder: some tens of pairs at once.
  absl::StatusOr<std::vector<MinedPair>> Mine(std::vector<Example> pairs);

 private:
  using Hash = uint64_t;
  // What a search brought for one pair.
  struct Ranking {
    std::vector<RankedDocument> documents;  // Without those that have no rank.
    std::vector<float> positive_scores;     // Of the pair's positives; NaN for one that was not met.
  };

  absl::StatusOr<Ranking> Rank(const Example& pair, std::span<const float> anchor);
  absl::StatusOr<Ranking> RankBest(const Example& pair, std::span<const float> anchor,
                                   const std::vector<Hash>& without_rank, int count, bool* all);
  absl::Status ScoreOtherPositives(const std::vector<Example>& pairs, std::span<const float> anchors,
                                   std::vector<Ranking>* rankings);
  absl::Status AddNegatives(const Ranking& ranking, MinedPair* mined);
  // Hashes of the documents' texts.
  absl::StatusOr<std::vector<Hash>> TextsOf(std::span<const ScoredLabel> hits);
  // Of texts that are no negatives of the pair, sorted.
  std::vector<Hash> WithoutRank(const Example& pair);
  float Score(std::span<const float> anchor, std::span<const float> document) const;
  size_t dimensions() const { return static_cast<size_t>(snapshot_->dimensions()); }

  const std::shared_ptr<const ActiveRelease> release_;
  const std::shared_ptr<DocumentStore> documents_;
  const DocumentStore::Pin pin_;  // Of the versions that the snapshot shows, so taken before it.
  const std::shared_ptr<const IndexSnapshot> snapshot_;
  EmbeddingQueue* const queue_;
  const NegativeMiningOptions options_;
  std::vector<std::pair<Hash, Hash>> positives_;  // Anchor and positive; sorted by Mine.
  bool sorted_ = true;
  std::unordered_map<int64_t, Hash> known_texts_;  // By label.
};

}  // namespace tandem
