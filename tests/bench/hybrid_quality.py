r"""nDCG@10 of vector, keyword and hybrid search with default settings, and what the keyword index costs a write.

  TANDEM_PYTHON_PROTO=build/release/proto/python TANDEM_BIN_DIR=build/release/bin TANDEM_DATA=... \
  TANDEM_TEST_MODEL_DIR=.../all-MiniLM-L6-v2 python tests/bench/hybrid_quality.py [SET ...]

Starts a tandemd of its own with all-MiniLM-L6-v2. SETs: debian_en (the synopses of 1,000 packages, 4,000
descriptions), wordnet (500 lemmas, 5,000 glosses), xquad_en, xquad_zh, drcd. --fusion gives a HybridMode as JSON in
place of the default.
"""

import argparse
import math
import os
import pathlib
import sys
import time

from google.protobuf import json_format

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from tandem_api import Tandem, collection_pb2, read_jsonl, search_pb2  # noqa: E402
from tandem_server import Server  # noqa: E402

SEARCHES_AT_ONCE = 50
UPSERT_BATCH = 500


def beir(folder, corpus, queries):
    """Corpus, queries and {query: {document: grade}} of a set in BEIR's form."""
    grades = {}
    for line in (folder / "qrels.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        grades.setdefault(query, {})[document] = int(grade)
    documents = [(row["id"], f"{row.get('title') or ''} {row['text']}".strip()) for row in read_jsonl(folder / corpus)]
    return documents, [(row["text"], grades.get(row["id"], {})) for row in read_jsonl(folder / queries)]


def pairs(folder, queries, training_pairs):
    """Anchors of the test file as queries; the positives of both files as documents."""
    test = read_jsonl(folder / "test.jsonl")
    ids = {}
    for row in test + read_jsonl(folder / "train.jsonl", training_pairs):
        ids.setdefault(row["positive"], f"d{len(ids)}")
    grades = {}
    for row in test:
        grades.setdefault(row["anchor"], {})[ids[row["positive"]]] = 1
    return [(document, text) for text, document in ids.items()], list(grades.items())[:queries]


def load(name, data):
    if name == "debian_en":
        return pairs(data / name, 1000, 3000)
    if name == "wordnet":
        return pairs(data / name, 500, 3000)
    if name == "drcd":
        return beir(data / "drcd_zh_hant", "corpus.jsonl", "queries.jsonl")
    language = name.removeprefix("xquad_")
    return beir(data / "xquad_en_zh", f"corpus.{language}.jsonl", f"queries.{language}.jsonl")


def ndcg_at_10(hits, grades):
    def gain(found):
        return sum(grade / math.log2(place + 2) for place, grade in enumerate(found))
    best = gain(sorted(grades.values(), reverse=True)[:10])
    return gain([grades.get(hit.id, 0) for hit in hits[:10]]) / best if best else 0.0


def quality(tandem, collection, queries, mode):
    """Mean nDCG@10, and milliseconds a query, of searches whose `mode` fields are those given."""
    total, begin = 0.0, time.monotonic()
    for i in range(0, len(queries), SEARCHES_AT_ONCE):
        part = queries[i:i + SEARCHES_AT_ONCE]
        batch = search_pb2.BatchSearchRequest(collection=collection, searches=[
            search_pb2.SearchRequest(text=text, top_k=10, view=search_pb2.SearchRequest.IDS, **mode) for text, _ in part])
        for answer, (_, grades) in zip(tandem.search.BatchSearch(batch, timeout=600).responses, part):
            total += ndcg_at_10(answer.hits, grades)
    return total / len(queries), (time.monotonic() - begin) * 1000 / len(queries)


def upsert_seconds(tandem, name, documents, keyword_index):
    collection = tandem.collections.CreateCollection(collection_pb2.CreateCollectionRequest(
        collection_id=name, keyword_index=keyword_index), timeout=10).name
    begin = time.monotonic()
    for i in range(0, len(documents), UPSERT_BATCH):
        tandem.upsert(collection, documents[i:i + UPSERT_BATCH])
    seconds = time.monotonic() - begin
    tandem.collections.DeleteCollection(collection_pb2.DeleteCollectionRequest(name=collection), timeout=60)
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=["debian_en", "wordnet", "xquad_en", "xquad_zh", "drcd"])
    parser.add_argument("--fusion", help="a HybridMode as JSON")
    arguments = parser.parse_args()
    hybrid = search_pb2.HybridMode()
    if arguments.fusion:
        json_format.Parse(arguments.fusion, hybrid)
    modes = {"vector": {}, "keyword": {"by_keyword": search_pb2.KeywordMode()}, "hybrid": {"hybrid": hybrid}}
    data = pathlib.Path(os.environ["TANDEM_DATA"])
    with Server() as server:
        tandem = Tandem(server.address)
        revision = tandem.import_model("all-MiniLM-L6-v2", "minilm")
        print("| set | documents | queries | vector | keyword | hybrid | hybrid - better half | ms a query: vector, keyword, "
              "hybrid | upserts/s without and with the keyword index |\n|---|---|---|---|---|---|---|---|---|", flush=True)
        for name in arguments.sets:
            documents, queries = load(name, data)
            rates = [len(documents) / upsert_seconds(tandem, f"rate{i}", documents, bool(i)) for i in range(2)]
            collection = tandem.create_collection(name.replace("_", "-"), [{"id": i, "text": t} for i, t in documents])
            release = tandem.start_release(collection, revision, "base")
            tandem.wait_release(release)
            tandem.promote(release)
            found = {mode: quality(tandem, collection, queries, fields) for mode, fields in modes.items()}
            vector, keyword, both = (found[mode][0] for mode in modes)
            print(f"| {name} | {len(documents):,} | {len(queries):,} | {vector:.4f} | {keyword:.4f} | {both:.4f} | "
                  f"{both - max(vector, keyword):+.4f} | " + ", ".join(f"{found[mode][1]:.1f}" for mode in modes) +
                  f" | {rates[0]:,.0f}, {rates[1]:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
