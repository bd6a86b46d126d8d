#pragma once
// [torch] The hard negatives of one objective's examples by the weights as they are: all anchors (with the query
// prompt) and all documents, positives and negatives (with the document prompt), are embedded without dropout, and each
// anchor ranks all documents by cosine, exactly, in blocks of bounded size. What has no rank, and which ranks become
// negatives: server/base/negative_mining.h. Of an example with negatives of its own these have no rank either.
// Memory: one embedding for each text, besides blocks of a fixed size.

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/negative_mining.h"
#include "server/encoder/text_model.h"
#include "server/training/example_file.h"
#include "server/training/mined_negatives.h"
#include "server/training/token_cache.h"

namespace tandem {

struct MiningFigures {
  int64_t anchors = 0, documents = 0;  // Different texts.
  int64_t examples = 0;                // For which no negative was found, not counted.
  double mean_positive_score = 0;      // Of each anchor's lowest-scored positive.
  double mean_negative_score = 0;      // Over all that were found; 0 without any.
};

class EpochMiner {
 public:
  // The arguments outlive this; `set` is of pairs and has one.
  EpochMiner(const ExampleSet& set, const KnownPositives& positives, const TokenCache* tokens,
             const NegativeMiningOptions& options);

  struct Found {
    NegativeLists negatives;  // Best first; with an example's own they are kMostNegatives at most.
    MiningFigures figures;
  };
  // `epoch` makes a choice at random differ from that of other epochs. `proceed` is called between pieces of the work
  // with the counts of texts done and of all; a status that is not OK ends the work and is returned.
  // FAILED_PRECONDITION when an embedding is not finite. Throws c10::Error.
  absl::StatusOr<Found> Mine(TextModel& model, int64_t epoch,
                             const std::function<absl::Status(int64_t, int64_t)>& proceed) const;

  // Whether `lists` can be of this set: one list an example, of documents of the set.
  bool Fits(const NegativeLists& lists) const;

 private:
  class Pass;

  const ExampleSet& set_;
  const KnownPositives& positives_;
  const TokenCache* const tokens_;
  const NegativeMiningOptions options_;
  std::vector<TextId> anchors_, documents_;        // Each text once.
  std::vector<int64_t> document_row_;              // Of a text; -1 when it is no document.
  std::vector<std::vector<int32_t>> examples_of_;  // Of each anchor.
  int64_t depth_ = 0;                              // Of the documents that an anchor looks at.
};

}  // namespace tandem
