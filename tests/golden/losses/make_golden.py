#!/usr/bin/env python3
"""Makes the reference numbers of the losses: their values and gradients with sentence-transformers 6.2.0,
pytorch-metric-learning 2.9.0 and torch 2.15 (peers.py), or from the formula where none has the option (by_the_book.py).
Everything is computed in float64 from float32 inputs. Writes, beside itself:

  embeddings.json   "batches": small random embeddings; "cases": a loss (JSON of LossOptions) on a batch, its value, and
                    its gradients with respect to the anchors and the documents
  model.json        "batches": texts; "cases": a loss, its value through tests/golden/training/tiny_bert (no dropout);
                    "parameters": names and shapes
  <case>.gradient   the gradient of every parameter of the tiny model for a case of model.json, float32 little-endian,
                    end to end in the order of "parameters"

Usage: make_golden.py (with the libraries installed)
"""

import json
import logging
import pathlib

import numpy
import torch
from sentence_transformers import SentenceTransformer

from peers import peer

HERE = pathlib.Path(__file__).resolve().parent
TINY = HERE.parent / "training" / "tiny_bert"

ANCHORS = ["python library for fast search", "a tool to index text files", "water color paper",
           "music video server", "small test package", "graph of a network"]
POSITIVES = ["this package is a library with a search tree in python",
             "tool and index for the text of files",
             "paper for color and water", "server of music and video data in a network, with tools",
             "test of a small package", "this code is for the tree and graph of a network"]
NEGATIVES = [["bird and fish", "metal"], ["stone in water", "letter"], ["model of a bird"],
             ["number data", "image code"], ["fast fish tool", "the letter"], ["color image"]]


def offsets(counts, first=0):
    return [first + sum(counts[:i]) for i in range(len(counts) + 1)]


def random_batch(seed, positives, negatives, dimensions=8, noise=1.0, size=1.0, **judged):
    """Documents are their anchors plus noise. Counts of positives and of negatives for each example."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda n: torch.randn(n, dimensions, generator=generator)
    n = len(positives)
    anchors = draw(n)
    owners = [i for i in range(n) for _ in range(positives[i])] + [i for i in range(n) for _ in range(negatives[i])]
    documents = anchors[owners] + draw(len(owners)) * noise if owners else torch.zeros(0, dimensions)
    first = offsets(positives)
    return {"anchors": anchors * size, "documents": documents * size, "positive_offsets": first,
            "negative_offsets": offsets(negatives, first[-1]), **judged}


def embedding_batches():
    one = lambda n: [1] * n
    none = lambda n: [0] * n
    return {
        "pairs": random_batch(1, one(6), none(6)),
        "two_pairs": random_batch(2, one(2), none(2), noise=3.0),
        "pairs_with_one_negative": random_batch(3, one(5), one(5)),
        "pairs_with_two_negatives": random_batch(4, one(4), [2] * 4),
        "pairs_with_ragged_negatives": random_batch(5, one(4), [0, 3, 1, 2]),
        "several_positives": random_batch(6, [1, 3, 2, 1], [2, 0, 1, 1]),
        "short_pairs": random_batch(7, one(5), none(5), size=0.4),
        "short_pairs_with_one_negative": random_batch(8, one(5), one(5), size=0.4),
        "scored": random_batch(9, one(8), none(8), scores=[0.5, 1.0, 0.25, 0.5, 0.0, 0.75, 1.0, 0.5]),
        "scored_odd": random_batch(10, one(6), none(6), dimensions=5, scores=[3.0, -1.0, 0.5, 2.0, 0.25, 0.0]),
        "labelled_pairs": random_batch(11, one(8), none(8), similar=[1, 0, 0, 1, 1, 0, 1, 0], noise=1.5),
        "short_labelled_pairs": random_batch(12, one(8), none(8), similar=[0, 1, 0, 1, 1, 0, 0, 0], size=0.1),
        "similar_pairs": random_batch(13, one(5), none(5), similar=[1, 1, 1, 1, 1]),
        "dissimilar_pairs": random_batch(14, one(5), none(5), similar=[0, 0, 0, 0, 0], size=0.1),
        "labelled_texts": random_batch(15, none(10), none(10), labels=[0, 0, 1, 2, 1, 0, 3, 2, 4, 0]),
        "short_labelled_texts": random_batch(16, none(9), none(9), size=0.3, labels=[0, 1, 1, 0, 2, 2, 1, 0, 2]),
    }


def info_nce(**options):
    return {"info_nce": options}


def embedding_cases():
    """Name of a case: the batch and the loss."""
    cases = []
    add = lambda batch, loss: cases.append((batch, loss))
    simple = [dict(), dict(scale=5.0), dict(symmetric=True), dict(query_negatives=True), dict(document_negatives=True),
              dict(symmetric=True, query_negatives=True, document_negatives=True),
              dict(scale=10.0, hardness=9.0), dict(false_negative_margin=0.0),
              dict(scale=10.0, false_negative_margin=0.3, query_negatives=True, document_negatives=True),
              dict(scale=10.0, false_negative_margin=-0.1, symmetric=True)]
    for batch in ["pairs", "two_pairs", "pairs_with_one_negative", "pairs_with_two_negatives",
                  "pairs_with_ragged_negatives"]:
        for options in simple:  # Two pairs at a scale where they do not satisfy the loss to the last digit.
            add(batch, info_nce(**{**options, **({"scale": 2.0} if batch == "two_pairs" else {})}))
    for hard in [1, 2, 3]:
        for batch in ["pairs_with_two_negatives", "pairs_with_ragged_negatives"]:
            add(batch, info_nce(scale=10.0, hardness=5.0, hard_negatives=hard, symmetric=hard == 1))
    for options in [*simple, dict(scale=10.0, hardness=4.0, hard_negatives=2),
                    dict(scale=10.0, hardness=4.0, hard_negatives=3, false_negative_margin=0.1)]:
        add("several_positives", info_nce(several_positives=True, **options))
    for batch in ["pairs", "two_pairs", "pairs_with_one_negative", "pairs_with_ragged_negatives"]:
        add(batch, {"nt_xent": {}})
        add(batch, {"nt_xent": {"temperature": 0.5}})
    for batch in ["short_pairs", "short_pairs_with_one_negative"]:
        add(batch, {"n_pair": {}})
        add(batch, {"n_pair": {"regularization": 0.02}})
    for distance in [1, 2]:
        for batch in ["pairs_with_one_negative", "pairs_with_ragged_negatives", "several_positives"]:
            add(batch, {"triplet": {"distance": distance, "margin": 5.0 if distance == 1 else 0.2}})
        for mining in [2, 3, 4, 5]:
            for batch in ["labelled_texts", "short_labelled_texts"]:
                for margin in [0.3, 5.0]:
                    if mining != 4 or margin == 5.0:
                        add(batch, {"triplet": {"mining": mining, "distance": distance, "margin": margin}})
        for batch in ["labelled_pairs", "short_labelled_pairs", "similar_pairs", "dissimilar_pairs"]:
            for margin in [0.5, 2.0]:
                for options in [dict(squared=True), dict(squared=False), dict(only_hard=True)]:
                    add(batch, {"contrastive": {"distance": distance, "margin": margin, **options}})
    for batch in ["labelled_texts", "short_labelled_texts"]:
        add(batch, {"sup_con": {}})
        add(batch, {"sup_con": {"temperature": 0.5}})
    add("pairs", {"sim_cse": {}})
    for name in ["cosent", "angle"]:
        for batch in ["scored", "scored_odd"]:
            add(batch, {name: {}})
            add(batch, {name: {"scale": 3.0}})
    add("scored", {"cosine_mse": {}})
    dimensions = {"dimensions": [4, 8, 3], "weights": [0.5, 1.0, 2.0]}
    plain = {"dimensions": [6, 2], "weights": []}
    for batch, loss in [("pairs_with_ragged_negatives", info_nce(symmetric=True)), ("scored", {"cosent": {}}),
                        ("labelled_texts", {"triplet": {"mining": 2, "margin": 0.3}}), ("labelled_texts", {"sup_con": {}}),
                        ("labelled_pairs", {"contrastive": {"distance": 1}}), ("pairs", {"n_pair": {}})]:
        add(batch, {**loss, "matryoshka": dimensions})
        add(batch, {**loss, "matryoshka": plain})
    return cases


def differentiate(batch, loss):
    """The value, and the gradients with respect to anchors and documents."""
    attached = {**batch, "anchors": batch["anchors"].double().requires_grad_(),
                "documents": batch["documents"].double().requires_grad_()}
    value = peer(attached, loss)
    value.backward()
    gradients = [x.grad if x.grad is not None else torch.zeros_like(x)
                 for x in (attached["anchors"], attached["documents"])]
    return value.item(), gradients


def flat(tensor):
    return [float(f"{x:.9g}") for x in tensor.flatten().tolist()]


def make_embeddings():
    batches, cases = embedding_batches(), []
    for name, loss in embedding_cases():
        value, (anchors, documents) = differentiate(batches[name], loss)
        assert numpy.isfinite(value) and anchors.isfinite().all() and documents.isfinite().all(), (name, loss)
        cases.append({"batch": name, "loss": loss, "value": value, "anchors": flat(anchors),
                      "documents": flat(documents)})
    written = {name: {**batch, "dimensions": batch["anchors"].shape[1], "anchors": flat(batch["anchors"]),
                      "documents": flat(batch["documents"])} for name, batch in batches.items()}
    lines = ",\n".join(json.dumps(case) for case in cases)
    (HERE / "embeddings.json").write_text(f'{{"batches": {json.dumps(written)},\n"cases": [\n{lines}\n]}}\n')
    print(f"embeddings.json: {len(cases)} cases")


def text_batch(anchors, positives, negatives=None, **judged):
    negatives = negatives or [[] for _ in anchors]
    counts = [len(p) for p in positives]
    return {"anchors": anchors, "documents": [t for p in positives for t in p] + [t for n in negatives for t in n],
            "positive_offsets": offsets(counts), "negative_offsets": offsets([len(n) for n in negatives], sum(counts)),
            **judged}


def text_batches():
    single = [[p] for p in POSITIVES]
    texts = [t for pair in zip(ANCHORS, POSITIVES) for t in pair]
    return {
        "pairs": text_batch(ANCHORS, single),
        "pairs_with_one_negative": text_batch(ANCHORS, single, [[n[0]] for n in NEGATIVES]),
        "pairs_with_ragged_negatives": text_batch(ANCHORS, single, NEGATIVES),
        "several_positives": text_batch(ANCHORS[:4], [POSITIVES[:1], POSITIVES[1:4], POSITIVES[4:5], POSITIVES[5:6]],
                                        NEGATIVES[:4]),
        "views": text_batch(ANCHORS, [[a] for a in ANCHORS]),
        "labelled_texts": text_batch(texts, [[] for _ in texts], labels=[0, 0, 1, 1, 2, 2, 0, 0, 1, 3, 2, 1]),
        "scored": text_batch(ANCHORS, single, scores=[0.75, 1.0, 0.25, 0.75, 0.0, 0.5]),
        "labelled_pairs": text_batch(ANCHORS, single, similar=[1, 0, 0, 1, 0, 1]),
    }


def model_cases():
    return {
        "info_nce": ("pairs", info_nce()),
        "info_nce_ragged": ("pairs_with_ragged_negatives", info_nce()),
        "info_nce_symmetric": ("pairs_with_one_negative", info_nce(scale=10.0, symmetric=True)),
        "info_nce_all": ("several_positives", info_nce(
            scale=10.0, symmetric=True, query_negatives=True, document_negatives=True, hardness=2.0,
            false_negative_margin=-0.05, several_positives=True)),
        "nt_xent": ("pairs", {"nt_xent": {}}),
        "n_pair": ("pairs_with_one_negative", {"n_pair": {"regularization": 0.02}}),
        "triplet": ("pairs_with_ragged_negatives", {"triplet": {}}),
        "triplet_batch_all": ("labelled_texts", {"triplet": {"mining": 2, "margin": 0.1}}),
        "triplet_batch_semi_hard": ("labelled_texts", {"triplet": {"mining": 5, "distance": 2}}),
        "sup_con": ("labelled_texts", {"sup_con": {}}),
        "contrastive": ("labelled_pairs", {"contrastive": {}}),
        "sim_cse": ("views", {"sim_cse": {}}),
        "cosent": ("scored", {"cosent": {}}),
        "angle": ("scored", {"angle": {}}),
        "cosine_mse": ("scored", {"cosine_mse": {}}),
        "matryoshka": ("pairs_with_one_negative",
                       {**info_nce(), "matryoshka": {"dimensions": [32, 8, 16], "weights": [1.0, 0.5, 2.0]}}),
    }


def model_gradients(model, batch, loss):
    """The value and the gradient of every parameter of a float64 model, by name."""
    model.eval()
    model.zero_grad()
    embed = lambda texts: model(model.preprocess(texts))["sentence_embedding"] if texts else torch.zeros(
        0, model.get_embedding_dimension(), dtype=torch.float64)
    value = peer({**batch, "anchors": embed(batch["anchors"]), "documents": embed(batch["documents"])}, loss)
    value.backward()
    bert = model[0].auto_model if hasattr(model[0], "auto_model") else model[0].model
    named = {name: parameter for name, parameter in bert.named_parameters() if not name.startswith("pooler.")}
    return value.item(), {name: (torch.zeros_like(p) if p.grad is None else p.grad) for name, p in named.items()}


def make_model():
    model = SentenceTransformer(str(TINY), device="cpu").double()
    batches, out = text_batches(), {"parameters": [], "cases": []}
    for name, (batch, loss) in model_cases().items():
        value, named = model_gradients(model, batches[batch], loss)
        out["parameters"] = [{"name": parameter, "shape": list(g.shape)} for parameter, g in named.items()]
        out["cases"].append({"name": name, "batch": batch, "loss": loss, "value": value})
        everything = numpy.concatenate([g.detach().numpy().astype("<f4").ravel() for g in named.values()])
        (HERE / f"{name}.gradient").write_bytes(everything.tobytes())
    (HERE / "model.json").write_text(json.dumps({**out, "batches": batches}, indent=1) + "\n")
    print(f"model.json: {len(out['cases'])} cases")


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # That not all dimensions are trained, which is meant.
    make_embeddings()
    make_model()
