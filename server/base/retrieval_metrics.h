#pragma once
// nDCG, recall, MRR and MAP of ranked lists, the same for the trainer's validation and for a release's evaluation.
// Definitions are those of sentence-transformers' InformationRetrievalEvaluator (6.2.0), and with grades those of
// trec_eval:
//   DCG@k = sum_i gain_i / log2(i + 1) with i from 1; nDCG@k = DCG@k / DCG@k of the ideal order
//   recall@k = relevant hits in the first k / all relevant
//   MRR@k = mean of 1 / rank of the first relevant hit within k, else 0
//   MAP@k = mean of (sum over the relevant hits in the first k of precision at their ranks) / min(k, all relevant);
//   trec_eval's map_cut divides by all relevant, which is the same while those are no more than k.

#include <cstddef>
#include <optional>
#include <span>

namespace tandem {

struct RetrievalMetrics {
  double ndcg_at_10 = 0, recall_at_10 = 0, mrr_at_10 = 0, recall_at_1 = 0;
  int queries = 0;
  std::optional<double> map;  // MAP@100; not set where fewer hits than 100 are looked at.
};

struct QueryMetrics {
  double ndcg_at_10 = 0, recall_at_10 = 0, mrr_at_10 = 0, recall_at_1 = 0;
};

// Of one query: `gains[i]` is the grade of the i-th hit (0: not relevant), `judged` are the grades of all relevant
// documents in any order. Fewer hits than k stand for misses at the end. Without a relevant document: 0.
double NdcgAt(size_t k, std::span<const int> gains, std::span<const int> judged);
double RecallAt(size_t k, std::span<const int> gains, std::span<const int> judged);
double ReciprocalRankAt(size_t k, std::span<const int> gains);
double AveragePrecisionAt(size_t k, std::span<const int> gains, std::span<const int> judged);

QueryMetrics MeasureQuery(std::span<const int> gains, std::span<const int> judged);

RetrievalMetrics Average(std::span<const QueryMetrics> queries);

}  // namespace tandem
