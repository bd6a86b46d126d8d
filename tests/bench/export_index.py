"""Exports a release's index, opens it with Python's faiss and compares its answers with those of Search.

    TANDEM_DATA=<data sets> python tests/bench/export_index.py      (Python with tests/bench/requirements.txt)

Uses the release build's binaries and the model that deploy/setup.sh unpacked. 2,000 documents and 100 queries of
debian_en, as FLAT and as HNSW index; exits 1 unless every query has the same ids in the same order, and scores that
differ by 0.00001 at most.
"""
import os
import pathlib
import sys

from export_parity import MODEL_DIR, Server, tandem  # noqa: F401  Sets the environment for tandem_server.

import json

TOLERANCE = 1e-5


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def same(ours, ids, scores):
    """Whether two rankings are one, but for the order of equal scores."""
    by_id = dict(zip(ids, scores))
    return all(abs(hit["score"] - by_id.get(hit["id"], 9)) < TOLERANCE for hit in ours)


def main():
    import faiss
    import numpy
    data = pathlib.Path(os.environ["TANDEM_DATA"])
    rows = [json.loads(line) for line in open(data / "debian_en/train.jsonl")][:2000]
    queries = [row["anchor"] for row in rows[:100]]
    different = 0
    with Server() as server:
        tandem(server, "model", "import", MODEL_DIR, "--model", "minilm", "--revision", "base")
        tandem(server, "collection", "create", "docs")
        tandem(server, "document", "import", "docs", "-",
               stdin=lines({"id": f"d{i}", "text": row["positive"]} for i, row in enumerate(rows)))
        vectors = [e["vector"]["values"] for e in tandem(server, "embed", "--model", "minilm", "--role", "query", *queries)]
        vectors = numpy.array(vectors, dtype=numpy.float32)
        faiss.normalize_L2(vectors)
        for kind in ("flat", "hnsw"):
            tandem(server, "release", "create", "docs", "--model", "minilm", "--id", kind, "--index", kind)
            tandem(server, "release", "promote", f"docs/{kind}", "--override", "a benchmark")
            exported = server.folder / kind
            tandem(server, "release", "export-index", f"docs/{kind}", exported)
            index = faiss.read_index(str(exported / "index.faiss"))
            ids = (exported / "ids.txt").read_text().splitlines()
            if kind == "hnsw":
                index.hnsw.efSearch = 64
            scores, found = index.search(vectors, 10)
            wrong = 0
            for query, row, score in zip(queries, found, scores):
                [answer] = tandem(server, "search", "docs", query, "--ids-only")
                wrong += not same(answer["hits"], [ids[i] for i in row], score)
            print(f"{kind}: {index.ntotal} vectors, {wrong} of {len(queries)} queries differ")
            different += wrong
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
