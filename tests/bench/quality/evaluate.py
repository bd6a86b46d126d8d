"""What a model directory is worth on a test; one measure for the base model and for both sides' trained ones."""

import numpy
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer
from settings import DEBIAN_PAIRS, banking_classes, read, wordnet_others


def retrieval(embed, queries, documents, relevant):
    """With one relevant document a query, given by its place."""
    scores = embed(queries) @ embed(documents).T
    own = scores[numpy.arange(len(queries)), relevant]
    ranks = (scores > own[:, None]).sum(axis=1)  # From 0.
    return {"ndcg@10": numpy.where(ranks < 10, 1 / numpy.log2(ranks + 2), 0).mean(),
            "recall@1": (ranks < 1).mean(), "recall@10": (ranks < 10).mean()}


def debian_en(embed, data):
    """1,000 synopses among their packages' descriptions and those of 3,000 others, none of which was trained on."""
    test = read(data / "debian_en/test.jsonl")
    others = read(data / "debian_en/train.jsonl")[DEBIAN_PAIRS:DEBIAN_PAIRS + 3000]
    documents = [pair["positive"] for pair in test + others]
    return retrieval(embed, [pair["anchor"] for pair in test], documents, numpy.arange(len(test)))


def wordnet(embed, data):
    """The test's 2,000 lemmas among their glosses and 4,000 others, none of which was trained on."""
    test = read(data / "wordnet/test.jsonl")
    glosses = dict.fromkeys(row["positive"] for row in test)
    documents = [*glosses, *wordnet_others(data)]
    place = {gloss: i for i, gloss in enumerate(documents)}
    return retrieval(embed, [row["anchor"] for row in test], documents, [place[row["positive"]] for row in test])


def banking77(embed, data):
    """Whether the nearest of the texts that training draws from has the test text's label."""
    labelled = [(text, label) for label, texts in banking_classes(data).items() for text in texts]
    test = read(data / "banking77/test.jsonl")
    nearest = (embed([row["text"] for row in test]) @ embed([text for text, _ in labelled]).T).argmax(axis=1)
    return {"accuracy": numpy.mean([labelled[i][1] == row["label"] for i, row in zip(nearest, test)])}


def stsb_en(embed, data):
    """Rank correlation of the cosine with the score, on the 1,500 pairs of the development set."""
    rows = read(data / "stsb_en/dev.jsonl")
    cosines = (embed([row["anchor"] for row in rows]) * embed([row["positive"] for row in rows])).sum(axis=1)
    return {"spearman": spearmanr(cosines, [row["score"] for row in rows]).statistic}


def xquad_zh_en(embed, data):
    """1,190 Chinese questions among 240 English paragraphs."""
    folder = data / "xquad_en_zh"
    documents, queries = read(folder / "corpus.en.jsonl"), read(folder / "queries.zh.jsonl")
    place = {document["id"]: i for i, document in enumerate(documents)}
    judgements = [line.split("\t") for line in (folder / "qrels.tsv").read_text().splitlines()[1:]]
    relevant = {query: place[document] for query, document, _ in judgements}
    return retrieval(embed, [query["text"] for query in queries], [document["text"] for document in documents],
                     [relevant[query["id"]] for query in queries])


TESTS = {test.__name__: test for test in (debian_en, wordnet, banking77, stsb_en, xquad_zh_en)}


def evaluate(test, model, data):
    """The measures of a SentenceTransformer, or of the one in a directory."""
    if not isinstance(model, SentenceTransformer):
        model = SentenceTransformer(str(model), device="cpu")

    def embed(texts):
        return model.encode(texts, batch_size=64, normalize_embeddings=True, show_progress_bar=False)

    return {name: round(float(value), 6) for name, value in TESTS[test](embed, data).items()}
