#include "server/training/losses/info_nce.h"

#include <algorithm>
#include <vector>

#include "server/training/losses/distances.h"
#include "server/training/losses/row_blocks.h"

namespace tandem {
namespace {

// The logit of a text that does not count. Finite, so that a row without any text that counts has gradients of 0, not
// not-a-number; exp() of its difference from any real logit is 0.
constexpr float kNothing = -1e30f;

// A block of rows of the batch, of which each positive makes one: anchor and positive against everything.
struct Rows {
  torch::Tensor anchors, documents;  // Of length 1: all of the batch.
  torch::Tensor anchor, positive;    // Of length 1: [rows, dimensions].
  torch::Tensor owner;               // int64 [documents]: the example that each is of.
  torch::Tensor own, document;       // int64 [rows]: the example of a row; its positive's place in documents.
  int64_t positives = 0;             // Documents that are positives; negatives follow them.
  bool single = true;                // One positive an example.

  // bool [rows, documents]: documents of the row's own example.
  torch::Tensor OwnDocuments() const { return own.unsqueeze(1) == owner.unsqueeze(0); }
  // bool [rows, anchors]: the row's own anchor.
  torch::Tensor OwnAnchor() const { return own.unsqueeze(1) == torch::arange(anchors.size(0)).unsqueeze(0); }
  // bool [rows, documents]: the row's own positive.
  torch::Tensor Self() const { return document.unsqueeze(1) == torch::arange(documents.size(0)).unsqueeze(0); }
};

// int64 [documents]
torch::Tensor Owners(const LossBatch& batch) {
  std::vector<int64_t> owners(batch.documents.size(0));
  for (int64_t i = 0; i < batch.anchors.size(0); ++i) {
    for (const std::vector<int64_t>* const offsets : {&batch.positive_offsets, &batch.negative_offsets}) {
      std::fill(owners.begin() + (*offsets)[i], owners.begin() + (*offsets)[i + 1], i);
    }
  }
  return torch::tensor(owners);
}

// What the cosines of a block of texts add to the sum under the logarithm.
class Denominator {
 public:
  Denominator(const InfoNceOptions& options, const torch::Tensor& positive) : scale_(options.scale) {
    if (options.false_negative_margin) {
      threshold_ = (positive.detach() - *options.false_negative_margin).unsqueeze(1);
    }
  }

  // log sum exp of each row: [rows]. `excluded` never count, `kept` always do (either may be undefined); `bonus`, when
  // defined, is added to the logits.
  torch::Tensor LogSum(const torch::Tensor& cosines, torch::Tensor excluded, const torch::Tensor& kept,
                       const torch::Tensor& bonus) const {
    torch::Tensor logits = cosines * scale_;
    if (bonus.defined()) logits = logits + bonus;
    if (threshold_.defined()) {
      torch::Tensor similar = cosines.detach() > threshold_;
      if (kept.defined()) similar = similar & ~kept;
      excluded = excluded.defined() ? excluded | similar : similar;
    }
    if (excluded.defined()) logits = logits.masked_fill(excluded, kNothing);
    return torch::logsumexp(logits, 1);
  }

 private:
  const float scale_;
  torch::Tensor threshold_;  // [rows, 1]; undefined without a margin.
};

// What hardness adds to the logits of the anchors against the documents.
torch::Tensor Hardness(const InfoNceOptions& options, const Rows& rows, const torch::Tensor& cosines) {
  using HardNegatives = InfoNceOptions::HardNegatives;
  if (options.hardness == 0) return {};
  torch::Tensor exempt;
  switch (options.hard_negatives) {
    case HardNegatives::kAll:
      exempt = rows.Self();
      break;
    case HardNegatives::kInBatch:
      exempt = rows.OwnDocuments();
      break;
    case HardNegatives::kExplicit:
      exempt = ~rows.OwnDocuments();
      exempt.narrow(1, 0, rows.positives).fill_(true);
      break;
  }
  return (cosines.detach() * options.hardness).masked_fill(exempt, 0);
}

// log Q. `cosines` [rows, documents].
torch::Tensor AnchorToDocuments(const InfoNceOptions& options, const Rows& rows, const torch::Tensor& cosines,
                                const Denominator& denominator) {
  torch::Tensor excluded, kept;
  if (!rows.single || options.false_negative_margin) kept = rows.Self();
  if (!rows.single) {  // The example's other positives.
    excluded = rows.OwnDocuments() & ~kept;
    excluded.narrow(1, rows.positives, rows.documents.size(0) - rows.positives).fill_(false);
  }
  return denominator.LogSum(cosines, excluded, kept, Hardness(options, rows, cosines));
}

// The loss of each row: [rows].
torch::Tensor Values(const InfoNceOptions& options, const Rows& rows) {
  const torch::Tensor cosines = torch::matmul(rows.anchor, rows.documents.t());
  const torch::Tensor positive = cosines.gather(1, rows.document.unsqueeze(1)).squeeze(1);
  const Denominator denominator(options, positive);
  std::vector<torch::Tensor> parts = {AnchorToDocuments(options, rows, cosines, denominator)};
  if (options.symmetric) {
    const torch::Tensor kept = options.false_negative_margin ? rows.OwnAnchor() : torch::Tensor();
    parts.push_back(denominator.LogSum(torch::matmul(rows.positive, rows.anchors.t()), {}, kept, {}));
  }
  if (options.query_negatives) {
    parts.push_back(denominator.LogSum(torch::matmul(rows.anchor, rows.anchors.t()), rows.OwnAnchor(), {}, {}));
  }
  if (options.document_negatives) {
    parts.push_back(denominator.LogSum(torch::matmul(rows.positive, rows.documents.t()), rows.OwnDocuments(), {}, {}));
  }
  torch::Tensor log_sum = parts[0];
  if (parts.size() > 1) {
    const torch::Tensor all = torch::stack(parts);
    log_sum = options.query_negatives || options.document_negatives ? torch::logsumexp(all, 0) : all.mean(0);
  }
  return log_sum - positive * options.scale;
}

}  // namespace

torch::Tensor InfoNce(const InfoNceOptions& options, const LossBatch& batch, int64_t block_numbers) {
  const int64_t examples = batch.anchors.size(0), positives = batch.positive_offsets.back();
  const bool single = positives == examples;
  const torch::Tensor owner = Owners(batch);
  const torch::Tensor owners = owner.narrow(0, 0, positives);
  const torch::Tensor share = single ? torch::Tensor() : 1 / torch::bincount(owners).to(torch::kFloat32);
  const auto block = [&](const torch::Tensor& anchors, const torch::Tensor& documents, int64_t begin, int64_t count) {
    const torch::Tensor own = owners.narrow(0, begin, count);
    const Rows rows{.anchors = anchors,
                    .documents = documents,
                    .anchor = single ? anchors.narrow(0, begin, count) : anchors.index_select(0, own),
                    .positive = documents.narrow(0, begin, count),
                    .owner = owner,
                    .own = own,
                    .document = torch::arange(begin, begin + count),
                    .positives = positives,
                    .single = single};
    const torch::Tensor values = Values(options, rows);
    return single ? values.sum() : (values * share.index_select(0, own)).sum();
  };
  const torch::Tensor sum = SumOverRows(Unit(batch.anchors), Unit(batch.documents), positives,
                                        std::max(examples, batch.documents.size(0)), block_numbers, block);
  return sum / examples;
}

}  // namespace tandem
