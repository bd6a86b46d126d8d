#!/usr/bin/env python3
"""Makes the reference of which negatives are chosen, with mine_hard_negatives of sentence-transformers 6.2.0 on fixed
embeddings. Writes mining.json beside itself.

Usage: make_golden.py
"""

import json
import pathlib

import datasets
import numpy
import sentence_transformers
import torch
from sentence_transformers.util import cos_sim, mine_hard_negatives, pairwise_cos_sim

HERE = pathlib.Path(__file__).resolve().parent
RANDOM = numpy.random.default_rng(11)
ANCHORS, DOCUMENTS, DIMENSIONS = 12, 48, 6
# No score is nearer to a limit than this, so that no rounding decides.
NEAREST = 1e-5


class FixedModel:
    """What mine_hard_negatives asks of a model; a text is "a<number>" or "d<number>"."""
    device = torch.device("cpu")
    similarity = staticmethod(cos_sim)
    similarity_pairwise = staticmethod(pairwise_cos_sim)

    def __init__(self, anchors, documents):
        self.anchors, self.documents = anchors, documents

    def encode_query(self, texts, **_):
        return self.anchors[[int(text[1:]) for text in texts]]

    def encode_document(self, texts, **_):
        return self.documents[[int(text[1:]) for text in texts]]


def unit(vectors):
    vectors = vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.round(4).astype(numpy.float32)


def mine(model, pairs, options):
    rows = mine_hard_negatives(
        datasets.Dataset.from_dict({"anchor": [f"a{anchor}" for anchor, _ in pairs],
                                    "positive": [f"d{document}" for _, document in pairs]}),
        model, corpus=[f"d{i}" for i in range(DOCUMENTS)], output_format="labeled-pair", verbose=False, **options)
    chosen = [[] for _ in range(ANCHORS)]
    for row in rows:
        if row["label"] == 0:
            chosen[int(row["anchor"][1:])].append(int(row["positive"][1:]))
    return chosen


def check_gaps(scores, positives, options):
    for anchor in range(ANCHORS):
        positive = min(scores[anchor][document] for document in positives[anchor])
        limits = [options[key] for key in ("min_score", "max_score") if key in options]
        limits += [positive - options["absolute_margin"]] if "absolute_margin" in options else []
        limits += [positive - abs(positive) * options["relative_margin"]] if "relative_margin" in options else []
        others = [score for document, score in enumerate(scores[anchor]) if document not in positives[anchor]]
        assert numpy.diff(sorted(scores[anchor])).min() > NEAREST
        assert all(abs(score - limit) > NEAREST for score in others for limit in limits)


def main():
    anchors = unit(RANDOM.normal(size=(ANCHORS, DIMENSIONS)))
    documents = unit(RANDOM.normal(size=(DOCUMENTS, DIMENSIONS)))
    # Anchors 0 to 8 are near their first positive; 9 to 11 are not, so that some positives have scores below 0.
    documents[:9] = unit(anchors[:9] + RANDOM.normal(scale=0.25, size=(9, DIMENSIONS)))
    documents[9] = unit(-anchors[9:10] + RANDOM.normal(scale=0.8, size=(1, DIMENSIONS)))[0]
    positives = [[i] for i in range(ANCHORS)]
    positives[2].append(20)
    positives[5] += [21, 22]
    pairs = [(anchor, document) for anchor in range(ANCHORS) for document in positives[anchor]]
    pairs.append((3, 3))  # A repeated pair is one.
    scores = cos_sim(torch.from_numpy(anchors), torch.from_numpy(documents)).numpy()
    model = FixedModel(anchors, documents)
    cases = []
    for options in (
        {"num_negatives": 3},
        {"num_negatives": 5, "range_max": 48},
        {"num_negatives": 4, "range_min": 3, "range_max": 20},
        {"num_negatives": 64, "range_min": 10, "range_max": 100},
        {"num_negatives": 5, "range_max": 100, "absolute_margin": 0.0},
        {"num_negatives": 5, "range_max": 100, "absolute_margin": 0.15},
        {"num_negatives": 5, "range_max": 100, "relative_margin": 0.05},
        {"num_negatives": 5, "range_max": 100, "relative_margin": 0.4},
        {"num_negatives": 5, "range_max": 100, "max_score": 0.55},
        {"num_negatives": 40, "range_max": 100, "min_score": 0.2},
        {"num_negatives": 6, "range_max": 100, "min_score": -0.1, "max_score": 0.6, "absolute_margin": 0.05,
         "relative_margin": 0.1},
        {"num_negatives": 5, "range_min": 4, "range_max": 16, "absolute_margin": 0.2},
        {"num_negatives": 5, "range_min": 2, "range_max": 12, "relative_margin": 0.1, "max_score": 0.7},
        {"num_negatives": 5, "range_max": 5, "max_score": 0.5},
    ):
        check_gaps(scores, positives, options)
        cases.append({"options": options, "chosen": mine(model, pairs, options)})
    golden = {"sentence_transformers": sentence_transformers.__version__, "torch": torch.__version__,
              "anchors": [[round(float(x), 4) for x in row] for row in anchors],
              "documents": [[round(float(x), 4) for x in row] for row in documents],
              "positives": positives, "cases": cases}
    (HERE / "mining.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


main()
