#!/usr/bin/env python3
"""Makes wordnet_mined.json: the negatives that a MineNegatives job finds for the pairs of the setting wordnet.

  TANDEM_BIN_DIR=<build>/bin TANDEM_PYTHON_PROTO=<build>/proto/python TANDEM_TEST_MODEL_DIR=<all-MiniLM-L6-v2> \\
      /usr/bin/python3 tests/bench/quality/mine.py --data <folder>

A release of the base model over the glosses of the training file (but those that are documents of the test) searches
with a flat index, so what it finds depends on nothing but the model.
"""

import argparse
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent / "support")]
from settings import MINED, wordnet_glosses, wordnet_pairs  # noqa: E402
from tandem_api import Tandem, dataset_pb2, release_pb2, training_pb2  # noqa: E402
from tandem_server import MODEL_DIR, Server  # noqa: E402

MINING = {"negatives": 5, "min_rank": 1, "max_rank": 50, "margin": 0.05}


def mine(tandem, pairs, glosses):
    """The job's MiningResult and {anchor: places of its negatives in glosses}."""
    base = tandem.import_model(MODEL_DIR.name, "base")
    collection = tandem.create_collection("glosses", [{"id": str(i), "text": text} for i, text in enumerate(glosses)])
    live = tandem.releases.CreateRelease(release_pb2.CreateReleaseRequest(
        collection=collection, release_id="base", model_revision=base,
        index=release_pb2.IndexSpec(flat=release_pb2.FlatIndex())), timeout=60).name
    tandem.wait_release(live)
    tandem.promote(live)
    dataset = tandem.create_dataset("pairs", [(pair["anchor"], pair["positives"][0]) for pair in pairs])
    job = tandem.training.MineNegatives(training_pb2.MineNegativesRequest(
        dataset=dataset, collection=collection, mining=training_pb2.NegativeMining(**MINING)), timeout=60)
    result = tandem.wait_job(job.name).mining
    place = {gloss: i for i, gloss in enumerate(glosses)}
    mined, token = {}, ""
    while True:
        page = tandem.datasets.ListExamples(dataset_pb2.ListExamplesRequest(
            dataset=result.dataset, page_size=1000, page_token=token), timeout=60)
        for item in page.items:
            mined[item.example.pair.anchor] = [place[text] for text in item.example.pair.negatives]
        token = page.next_page_token
        if not token:
            return result, mined


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder with wordnet/train.jsonl and so on")
    parser.add_argument("--out", type=pathlib.Path, default=MINED)
    arguments = parser.parse_args()
    pairs, glosses = wordnet_pairs(arguments.data, 0), wordnet_glosses(arguments.data)
    with Server() as server:
        result, mined = mine(Tandem(server.address), pairs, glosses)
    assert mined.keys() == {pair["anchor"] for pair in pairs}, "not the pairs that were given"
    text = ",\n".join(f"  {json.dumps(anchor, ensure_ascii=False)}: {mined[anchor]}" for anchor in sorted(mined))
    arguments.out.write_text(f'{{"mining": {json.dumps(MINING)},\n "negatives": {{\n{text}}}}}\n', encoding="utf-8")
    print(f"{result.pairs} pairs, {result.negatives} negatives, {result.pairs_without_negatives} pairs without; mean "
          f"score of positives {result.mean_positive_score:.3f}, of negatives {result.mean_negative_score:.3f}")


if __name__ == "__main__":
    main()
