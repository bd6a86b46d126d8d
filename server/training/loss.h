#pragma once
// [torch] InfoNCE (van den Oord et al. 2018, "Representation Learning with Contrastive Predictive Coding"; with
// in-batch negatives Henderson et al. 2017, "Efficient Natural Language Response Suggestion for Smart Reply"). For n
// anchors a_i, their positives p_i and a pool d of documents, which is p_1..p_n followed by all explicit negatives of
// the batch:
//
//   q_i  = -log( exp(s cos(a_i, p_i)) / sum_j exp(s cos(a_i, d_j)) )          anchor to documents
//   r_i  = -log( exp(s cos(a_i, p_i)) / sum_j exp(s cos(a_j, p_i)) )          positive to anchors
//   one-way:    mean_i q_i
//   symmetric:  mean_i (q_i + r_i) / 2                                         (Günther et al. 2024)
//
// Explicit negatives are documents for every anchor of the batch, and take no part in r. The numbers are those of
// sentence-transformers 6.2.0: MultipleNegativesRankingLoss, symmetric with directions=("query_to_doc", "doc_to_query")
// and partition_mode="per_direction". Pairs of one batch may have different counts of negatives.

#include <torch/torch.h>

namespace tandem {

// anchors [n, dimensions]; documents [m, dimensions], m >= n, document i < n being the positive of anchor i. Of any
// length: the cosine divides by it. Returns a scalar.
torch::Tensor InfoNce(const torch::Tensor& anchors, const torch::Tensor& documents, double scale, bool symmetric);

}  // namespace tandem
