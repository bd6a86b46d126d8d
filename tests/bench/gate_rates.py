#!/usr/bin/env python3
"""How often the gate refuses a revision that was trained on shuffled pairs, and accepts one trained on good pairs.

  deploy/debian_pairs.py PAIRS
  TANDEM_BIN_DIR=<build>/bin TANDEM_PYTHON_PROTO=<build>/proto/python TANDEM_TEST_MODEL_DIR=<all-MiniLM-L6-v2> \\
      /usr/bin/python3 tests/bench/gate_rates.py PAIRS [--json FILE] [--seeds 20] [...]

A seed draws the training pairs, the held-out queries of the evaluation set, the shuffle and the trainer's seed. Both
kinds of a seed are trained alike from the base model, once on the pairs and once on the same anchors with each other's
positives, and then asked to replace a live release of the base model. Only short texts take part, so that a run takes
less than a minute on two cores. The first refused release is then promoted with a reason, to show what is recorded of
it. Exits with 0 when each shuffled revision was refused, each good one accepted, and the override recorded with its
reason and its caller.
"""

import argparse
import json
import math
import pathlib
import random
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]
from tandem_api import (Tandem, collection_pb2, dataset_pb2, grpc, model_pb2, read_jsonl,  # noqa: E402
                        release_pb2)
from tandem_server import MODEL_DIR, Server  # noqa: E402

KINDS = ("good", "shuffled")
REASON = "rehearsal: does an override leave a trace?"


class Corpus:
    """Documents, pairs and queries whose description has at most --max-chars characters."""

    def __init__(self, folder, arguments):
        documents = [d for d in read_jsonl(folder / "documents.jsonl") if len(d["text"]) <= arguments.max_chars]
        ids = {d["id"] for d in documents}
        self.pairs = [(p["anchor"], p["positive"]) for p in read_jsonl(folder / "train.jsonl")
                      if len(p["positive"]) <= arguments.max_chars]
        self.queries = [(q["text"], q["judgements"][0]["document"]) for q in read_jsonl(folder / "evaluation.jsonl")
                        if q["judgements"][0]["document"] in ids]
        for name, wanted, there in (("queries", arguments.queries, self.queries),
                                    ("pairs-each", arguments.pairs_each, self.pairs),
                                    ("documents", arguments.documents, documents)):
            assert wanted <= len(there), (
                f"--{name} {wanted}: at most {len(there)} have texts of --max-chars {arguments.max_chars}")
        asked = {document for _, document in self.queries}
        self.documents = sorted(documents, key=lambda d: d["id"] not in asked)[:arguments.documents]

    def draw(self, seed, kind, arguments):
        """(pairs, queries). The two kinds of a seed share everything but who belongs to whom."""
        choose = random.Random(seed)
        queries, pairs = choose.sample(self.queries, arguments.queries), choose.sample(self.pairs, arguments.pairs_each)
        if kind == "shuffled":
            positives = [positive for _, positive in pairs]
            choose.shuffle(positives)
            pairs = [(anchor, positive) for (anchor, _), positive in zip(pairs, positives)]
        return pairs, queries


class GateRates:
    def __init__(self, server, corpus, arguments):
        self.server, self.corpus, self.arguments = server, corpus, arguments
        self.tandem = Tandem(server.address)
        self.runs, self.override = [], None

    def prepare(self):
        self.base = self.tandem.import_model(MODEL_DIR.name, "base")
        self.collection = self.tandem.create_collection("debian", self.corpus.documents)
        self.live = self.tandem.start_release(self.collection, self.base, "base")
        self.tandem.wait_release(self.live)
        self.tandem.promote(self.live)

    def train(self, name, pairs, seed):
        """Returns the new revision's name."""
        dataset = self.tandem.create_dataset(name, pairs)
        job = self.tandem.wait_job(self.tandem.train(
            self.base, dataset, target_model=f"models/{name}", batch_size=self.arguments.batch_size, epochs=1,
            learning_rate=self.arguments.learning_rate, max_length=self.arguments.max_length, seed=seed,
            validation_fraction=0.0))
        return job.model_revision

    def run(self, seed, kind):
        name = f"{kind}-{seed}"
        pairs, queries = self.corpus.draw(seed, kind, self.arguments)
        begin = time.monotonic()
        revision = self.train(name, pairs, seed)
        trained = time.monotonic()
        release = self.tandem.start_release(self.collection, revision, name)
        self.tandem.wait_release(release)
        self.tandem.create_evaluation_set(self.collection, queries)
        accepted = self.ask(release)
        report = self.tandem.get_release(release).gate
        assert report.passed == accepted, f"{release} went live: {accepted}, and its record says {report}"
        self.runs.append({
            "seed": seed, "kind": kind, "accepted": accepted, "live": report.live.metrics.ndcg_at_10,
            "candidate": report.candidate.metrics.ndcg_at_10, "difference": report.ndcg_difference,
            "lower": report.ndcg_difference_lower, "upper": report.ndcg_difference_upper,
            "training_s": round(trained - begin, 1), "release_s": round(time.monotonic() - trained, 1)})
        if not accepted and self.override is None:
            self.override = self.promote_against_the_gate(release)
        self.put_back(name, release)

    def ask(self, release):
        """Whether the gate lets it go live."""
        try:
            self.tandem.promote(release)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.FAILED_PRECONDITION or "the gate refuses" not in error.details():
                raise
            assert self.live_release() == self.live, "a refused release went live"
            return False
        assert self.live_release() == release, "an accepted release did not go live"
        return True

    def live_release(self):
        return self.tandem.collections.GetCollection(
            collection_pb2.GetCollectionRequest(name=self.collection), timeout=10).live_release

    def promote_against_the_gate(self, release):
        """What the release and the log say about it afterwards."""
        self.tandem.promote(release, override_reason=REASON)
        assert self.live_release() == release, "an overridden release did not go live"
        report = self.tandem.get_release(release).gate
        lines = [line for line in self.server.log_text().splitlines() if "was promoted against the gate" in line]
        return {"overridden": report.overridden, "reason": report.override_reason, "by": report.overridden_by,
                "time": report.time.ToJsonString(), "log": lines}

    def put_back(self, name, release):
        """The base's release answers again, and nothing is left of the run."""
        if self.live_release() == release:
            self.tandem.promote(self.live)
        self.tandem.releases.DeleteRelease(release_pb2.DeleteReleaseRequest(name=release), timeout=30)
        self.tandem.models.DeleteModel(model_pb2.DeleteModelRequest(name=f"models/{name}"), timeout=30)
        self.tandem.datasets.DeleteDataset(dataset_pb2.DeleteDatasetRequest(name=f"datasets/{name}"), timeout=30)


def wilson(hits, count, z=1.96):
    """95% interval of a rate (Wilson 1927)."""
    rate, spread = hits / count, z * z / count
    middle = (rate + spread / 2) / (1 + spread)
    half = z * math.sqrt(rate * (1 - rate) / count + spread / count / 4) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def show_run(run):
    print(f"{run['seed']:>4} {run['kind']:9}{run['live']:8.4f}{run['candidate']:11.4f}{run['difference']:+12.4f}"
          f"   [{run['lower']:+.4f}, {run['upper']:+.4f}]   {'accepted' if run['accepted'] else 'refused':10}"
          f"{run['training_s']:9}{run['release_s']:9}", flush=True)


def rates(runs):
    """{"good": accepted, "shuffled": refused}, each as hits, count and interval."""
    result = {}
    for kind in KINDS:
        right = [run["accepted"] == (kind == "good") for run in runs if run["kind"] == kind]
        lower, upper = wilson(sum(right), len(right))
        result[kind] = {"right": sum(right), "of": len(right), "lower": round(lower, 3), "upper": round(upper, 3)}
    return result


def recorded(override):
    """Whether release and log name the caller and the reason."""
    return bool(override and override["overridden"] and override["by"] and override["reason"] == REASON and
                len(override["log"]) == 1 and override["by"] in override["log"][0] and REASON in override["log"][0])


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=pathlib.Path, help="folder that deploy/debian_pairs.py made")
    parser.add_argument("--seeds", type=int, default=20, help="of each kind")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--max-chars", type=int, default=400, help="of a description that takes part")
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--queries", type=int, default=250, help="of an evaluation set")
    parser.add_argument("--pairs-each", type=int, default=768, help="that a revision is trained on, one epoch")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=64, help="tokens of a text in training")
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--flag", action="append", default=[], help="of tandemd, for example --flag=--threads=1")
    parser.add_argument("--json", type=pathlib.Path, help="file for the result")
    return parser.parse_args()


def main():
    arguments = parse()
    corpus = Corpus(arguments.pairs, arguments)
    with Server(*arguments.flag) as server:
        measured = GateRates(server, corpus, arguments)
        measured.prepare()
        print(f"{'seed':>4} {'pairs':9}{'live':>8}{'candidate':>11}{'difference':>12}   {'95% interval':20}{'gate':>6}"
              f"{'training s':>15}{'release s':>11}", flush=True)
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            for kind in KINDS:
                measured.run(seed, kind)
                show_run(measured.runs[-1])
        assert server.stop() == 0, "tandemd did not end well"
    found = rates(measured.runs)
    if arguments.json:
        arguments.json.write_text(json.dumps(
            {"arguments": {k: v for k, v in vars(arguments).items() if k not in ("pairs", "json")},
             "runs": measured.runs, "rates": found, "override": measured.override}, indent=1) + "\n")
    for kind, verb in (("good", "accepted"), ("shuffled", "refused")):
        rate = found[kind]
        print(f"{kind} pairs: {rate['right']} of {rate['of']} {verb} "
              f"(95% interval {rate['lower']:.0%} to {rate['upper']:.0%})")
    print("override:", json.dumps(measured.override, indent=1))
    right = all(rate["right"] == rate["of"] for rate in found.values())
    return 0 if right and recorded(measured.override) else 1


if __name__ == "__main__":
    sys.exit(main())
