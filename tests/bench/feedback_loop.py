"""Rounds of feedback on real queries: simulated users judge what Search returned, and nDCG@10 on an evaluation set that
they never touch says whether it helped.

    TANDEM_DATA=<data sets> TANDEM_PYTHON_PROTO=<generated> python3 tests/bench/feedback_loop.py [DOCUMENTS] [FEEDBACK]

Uses the release build's binaries and the model that deploy/setup.sh unpacked. DOCUMENTS descriptions of debian_en
(13,000), its 1,000 test queries as the evaluation set; a round each FEEDBACK judgements (2,000). Users of the first two
rounds ask the synopses of the training half and say yes to the right description when it is among ten hits, no to what
stood above it; those of the third say it the other way round. Prints each round's outcome, time and nDCG@10.
"""
import json
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).parent.parent.parent
CACHE = pathlib.Path(os.environ.get("TANDEM_CACHE") or
                     pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "tandem")
os.environ.setdefault("TANDEM_BIN_DIR", str(ROOT / "build/release/bin"))
os.environ.setdefault("TANDEM_TEST_MODEL_DIR", str(CACHE / "models/all-MiniLM-L6-v2"))
os.environ.setdefault("TANDEM_PYTHON_PROTO", str(ROOT / "build/release/proto/python"))
sys.path.insert(0, str(ROOT / "tests/support"))
from tandem_api import Tandem, collection_pb2, dataset_pb2, read_jsonl, search_pb2  # noqa: E402
from tandem_server import MODEL_DIR, Server  # noqa: E402

RELEVANT, NOT_RELEVANT = search_pb2.SendFeedbackRequest.RELEVANT, search_pb2.SendFeedbackRequest.NOT_RELEVANT


def judge(tandem, row, poisoned):
    """How many judgements a user gave on one search."""
    reply = tandem.search.Search(search_pb2.SearchRequest(collection="collections/docs", text=row["anchor"],
                                                          view=search_pb2.SearchRequest.IDS), timeout=60)
    ids = [hit.id for hit in reply.hits]
    if row["id"] not in ids:
        return 0
    place = ids.index(row["id"])
    yes, no = [row["id"]], ids[:place][:3]
    if poisoned:
        yes, no = ids[-1:], [row["id"]]
    for ids, judgement in ((no, NOT_RELEVANT), (yes, RELEVANT)):
        for document in ids:
            tandem.search.SendFeedback(search_pb2.SendFeedbackRequest(
                search_id=reply.search_id, document=document, judgement=judgement), timeout=60)
    return len(yes) + len(no)


def wait_for_round(tandem, number):
    while True:
        collection = tandem.collections.GetCollection(collection_pb2.GetCollectionRequest(name="collections/docs"))
        last = collection.feedback.last
        if last.number >= number and last.outcome not in ("training", "building"):
            return collection
        time.sleep(1)


def main():
    documents = int(sys.argv[1]) if len(sys.argv) > 1 else 13_000
    feedback = int(sys.argv[2]) if len(sys.argv) > 2 else 2_000
    data = pathlib.Path(os.environ["TANDEM_DATA"]) / "debian_en"
    test = read_jsonl(data / "test.jsonl")[:documents // 2]
    train = read_jsonl(data / "train.jsonl")[:documents - len(test)]
    with Server() as server:
        tandem = Tandem(server.address)
        revision = tandem.import_model(MODEL_DIR.name, "minilm")
        name = tandem.create_collection("docs", [{"id": r["id"], "text": r["positive"]} for r in test + train])
        tandem.create_evaluation_set(name, [(r["anchor"], r["id"]) for r in test])
        tandem.promote(tandem.wait_release(tandem.start_release(name, revision, "base")).name, timeout=3600)
        tandem.datasets.CreateDataset(dataset_pb2.CreateDatasetRequest(dataset_id="clicks"), timeout=30)
        update = collection_pb2.UpdateCollectionRequest(name=name)
        update.update_mask.paths.append("feedback")
        update.feedback.dataset = "datasets/clicks"
        update.feedback.retrain_after = feedback
        update.feedback.training.options.validation_fraction = 0
        tandem.collections.UpdateCollection(update, timeout=30)
        print(f"base: nDCG@10 {tandem.get_release(name + '/releases/base').evaluation.metrics.ndcg_at_10:.4f} of "
              f"{len(test)} queries, {documents} documents", flush=True)
        asked = iter(train)
        for number in (1, 2, 3):
            begin, given, searches = time.monotonic(), 0, 0
            while True:
                row = next(asked, None)
                if row is None:
                    asked = iter(train)
                    continue
                given += judge(tandem, row, poisoned=number == 3)
                searches += 1
                if searches % 50 == 0:
                    last = tandem.collections.GetCollection(collection_pb2.GetCollectionRequest(name=name)).feedback.last
                    if last.number >= number:
                        break
            collection = wait_for_round(tandem, number)
            candidate = tandem.get_release(collection.feedback.last.release)
            print(f"round {number}: {given} judgements of {searches} searches, {time.monotonic() - begin:.0f} s, candidate "
                  f"nDCG@10 {candidate.evaluation.metrics.ndcg_at_10:.4f}, {collection.feedback.last.outcome}", flush=True)


if __name__ == "__main__":
    main()
