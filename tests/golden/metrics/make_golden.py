#!/usr/bin/env python3
"""Makes the reference numbers of the validation metrics with scipy 1.17, scikit-learn 1.9, sentence-transformers 6.2.0
and torch. Writes metrics.json beside itself.

Usage: make_golden.py
"""

import json
import pathlib

import numpy
import torch
from scipy import stats
from sentence_transformers.sentence_transformer.evaluation import (BinaryClassificationEvaluator,
                                                                   InformationRetrievalEvaluator)
from sklearn.metrics import accuracy_score, average_precision_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

HERE = pathlib.Path(__file__).resolve().parent
RANDOM = numpy.random.default_rng(7)


def interval(result):
    return [float(result.confidence_interval.low), float(result.confidence_interval.high)]


def scored():
    cases = []
    for size, decimals in ((2, 3), (12, 1), (200, 6), (200, 1)):  # Few decimals make ties.
        x = RANDOM.uniform(-1, 1, size).round(decimals)
        y = (x + RANDOM.normal(0, 0.5, size)).round(decimals)
        cases.append({"x": x.tolist(), "y": y.tolist(), "ranks": stats.rankdata(x).tolist(),
                      "spearman": float(stats.spearmanr(x, y).statistic),
                      "pearson": float(stats.pearsonr(x, y).statistic)})
    return cases


def labelled():
    cases = []
    for size, decimals, share in ((1, 3, 1.0), (8, 1, 0.5), (150, 6, 0.3), (150, 1, 0.6), (40, 3, 0.0), (40, 3, 1.0)):
        labels = (RANDOM.uniform(size=size) < share).astype(int)
        scores = (labels * 0.3 + RANDOM.uniform(-1, 1, size)).round(decimals)
        accuracy, accuracy_threshold = BinaryClassificationEvaluator.find_best_acc_and_threshold(scores, labels, True)
        f1, _, _, f1_threshold = BinaryClassificationEvaluator.find_best_f1_and_threshold(scores, labels, True)
        cases.append({"similarities": scores.tolist(), "similar": labels.tolist(),
                      "average_precision": float(average_precision_score(labels, scores)) if labels.any() else 0.0,
                      "best_accuracy": float(accuracy), "best_accuracy_threshold": float(accuracy_threshold),
                      "best_f1": float(f1), "best_f1_threshold": float(f1_threshold)})
    return cases


def retrieval():
    """Rankings of 150 documents for 20 queries; `relevant` has up to 130 of them."""
    ks = [1, 5, 10, 100]
    evaluator = object.__new__(InformationRetrievalEvaluator)
    for name in ("accuracy_at_k", "precision_recall_at_k", "mrr_at_k", "ndcg_at_k", "map_at_k"):
        setattr(evaluator, name, ks)
    evaluator.queries_ids = list(range(20))
    evaluator.queries = ["query"] * 20
    evaluator.relevant_docs, rankings = {}, []
    for query in range(20):
        count = 130 if query == 0 else int(RANDOM.integers(1, 12))
        evaluator.relevant_docs[query] = set(RANDOM.choice(150, count, replace=False).tolist())
        rankings.append(RANDOM.permutation(150).tolist())
    results = [[{"corpus_id": document, "score": -rank} for rank, document in enumerate(ranking)]
               for ranking in rankings]
    metrics = evaluator.compute_metrics(results)
    gains = [[int(document in evaluator.relevant_docs[query]) for document in ranking]
             for query, ranking in enumerate(rankings)]
    return {"gains": gains, "relevant": [len(evaluator.relevant_docs[query]) for query in range(20)],
            "at": [{"k": k, "ndcg": float(metrics["ndcg@k"][k]), "mrr": float(metrics["mrr@k"][k]),
                    "recall": float(metrics["recall@k"][k]), "map": float(metrics["map@k"][k])} for k in ks]}


def vectors():
    classes = RANDOM.integers(0, 5, 60)
    centres = RANDOM.normal(size=(5, 16))
    x = torch.tensor(centres[classes] + RANDOM.normal(size=(60, 16)) * 1.3, dtype=torch.float32)
    x = torch.nn.functional.normalize(x, dim=1)
    y = torch.nn.functional.normalize(x + torch.tensor(RANDOM.normal(size=(60, 16)) * 0.1, dtype=torch.float32), dim=1)
    predicted = cross_val_predict(KNeighborsClassifier(1, metric="cosine", algorithm="brute"), x.numpy(), classes,
                                  cv=LeaveOneOut())
    # The two functions as the paper's authors publish them.
    alignment = (x.double() - y.double()).norm(p=2, dim=1).pow(2).mean()
    uniformity = torch.pdist(x.double(), p=2).pow(2).mul(-2).exp().mean().log()
    return {"x": x.flatten().tolist(), "y": y.flatten().tolist(), "rows": 60, "labels": classes.tolist(),
            "knn_accuracy": float(accuracy_score(classes, predicted)), "alignment": float(alignment),
            "uniformity": float(uniformity)}


def bootstrap():
    x = RANDOM.uniform(0, 1, 120)
    y = x + RANDOM.normal(0, 0.4, 120)
    options = {"n_resamples": 10000, "method": "percentile", "confidence_level": 0.9, "vectorized": False,
               "rng": numpy.random.default_rng(3)}
    return {"x": x.tolist(), "y": y.tolist(), "confidence": 0.9,
            "mean": interval(stats.bootstrap((x,), numpy.mean, **options)),
            "spearman": interval(stats.bootstrap((x, y), lambda a, b: stats.spearmanr(a, b).statistic, paired=True,
                                                 **options))}


def compared():
    """Two systems on the same 80 elements: intervals of a figure of each, and of the difference, paired."""
    labels = (RANDOM.uniform(size=80) < 0.4).astype(int)
    target = RANDOM.uniform(0, 1, 80).round(1)
    before = RANDOM.uniform(0, 1, 80).round(2) + 0.2 * target + 0.2 * labels
    after = 0.6 * before + 0.3 * target + 0.3 * labels + RANDOM.normal(0, 0.1, 80)

    def intervals(figure, *more):
        def of(statistic, *values):
            return interval(stats.bootstrap(values, statistic, paired=True, n_resamples=10000, method="percentile",
                                            vectorized=False, rng=numpy.random.default_rng(4)))
        return {"before": of(figure, before, *more), "after": of(figure, after, *more),
                "difference": of(lambda b, a, *rest: figure(a, *rest) - figure(b, *rest), before, after, *more),
                "values": [float(figure(before, *more)), float(figure(after, *more))]}

    return {"before": before.tolist(), "after": after.tolist(), "target": target.tolist(), "similar": labels.tolist(),
            "mean": intervals(numpy.mean), "spearman": intervals(lambda x, y: stats.spearmanr(x, y).statistic, target),
            "pearson": intervals(lambda x, y: stats.pearsonr(x, y).statistic, target),
            "average_precision": intervals(lambda x, y: average_precision_score(y, x), labels)}


if __name__ == "__main__":
    golden = {"scored": scored(), "labelled": labelled(), "retrieval": retrieval(), "vectors": vectors(),
              "bootstrap": bootstrap(), "compared": compared()}
    (HERE / "metrics.json").write_text(json.dumps(golden) + "\n")
