#pragma once
// nDCG, recall and MRR of ranked lists, the same for the trainer's validation and for a release's evaluation; and the
// paired bootstrap that the gate uses. Definitions are those of trec_eval / pytrec_eval and of sentence-transformers'
// InformationRetrievalEvaluator:
//   DCG@k = sum_i gain_i / log2(i + 1) with i from 1; nDCG = DCG / DCG of the ideal order (0 judged: 0)
//   recall@k = relevant hits in the first k / all relevant; MRR@k = 1 / rank of the first relevant hit within k, else
//   0.

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace tandem {

struct RetrievalMetrics {
  double ndcg_at_10 = 0, recall_at_10 = 0, mrr_at_10 = 0, recall_at_1 = 0;
  int queries = 0;
};

struct QueryMetrics {
  double ndcg_at_10 = 0, recall_at_10 = 0, mrr_at_10 = 0, recall_at_1 = 0;
};

// `gains[i]` is the grade of the i-th hit (0: not relevant); `judged` are the grades of all relevant documents.
QueryMetrics MeasureQuery(std::span<const int> gains, std::span<const int> judged);

RetrievalMetrics Average(std::span<const QueryMetrics> queries);

// Mean of a[i] - b[i] with the 2.5% and 97.5% quantiles of `resamples` bootstrap means over i (Efron and Tibshirani
// 1993; paired as in Sakai 2006). Deterministic for a seed. Sizes must be equal and not zero.
struct PairedDifference {
  double mean = 0, lower = 0, upper = 0;
};
PairedDifference PairedBootstrap(std::span<const double> a, std::span<const double> b, int resamples = 10000,
                                 uint64_t seed = 1);

}  // namespace tandem
