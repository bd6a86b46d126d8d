#!/usr/bin/env python3
"""How long searches take while tandemd is idle, trains, builds a release, indexes writes, and does several of these at
once; what serving costs the training; how long a rollback takes under load, and whether it loses a write.

  deploy/debian_pairs.py PAIRS
  TANDEM_BIN_DIR=<build>/bin TANDEM_PYTHON_PROTO=<build>/proto/python TANDEM_TEST_MODEL_DIR=<all-MiniLM-L6-v2> \\
      /usr/bin/python3 tests/bench/serving_under_load.py PAIRS [--json FILE] [--phase-seconds 40] [...]

The server, the trainer and this client share the machine. Each phase is measured twice, one after the other: by an
open loop (--rate searches a second on --connections connections, Poisson arrivals, counted from the time a search was
due) and by a closed loop of one client. Exits with 0 when p99 in training and in a build is at most 3 times the idle
p99, each rollback took less than a second, no write was lost and no search failed.
"""

import argparse
import json
import math
import os
import pathlib
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]
from rollback_load import measure_rollbacks  # noqa: E402
from search_load import ClosedLoop, OpenLoop, Samples, percentile, summary  # noqa: E402
from tandem_api import Tandem, TrainingSteps, read_jsonl, release_pb2, search_pb2  # noqa: E402
from tandem_server import MODEL_DIR, Server  # noqa: E402

MAX_RATIO = 3.0
MAX_ROLLBACK_S = 1.0
IDLE = "idle"


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Corpus:
    """The documents that are there from the start, those that are written later, and the queries."""

    def __init__(self, folder, documents):
        self.evaluation = [(q["text"], q["judgements"][0]["document"])
                           for q in read_jsonl(folder / "evaluation.jsonl")][:200]
        judged = {document for _, document in self.evaluation}
        everything = sorted(read_jsonl(folder / "documents.jsonl"), key=lambda d: d["id"] not in judged)
        assert len(everything) > documents, (
            f"--documents {documents}: must be less than the {len(everything)} in {folder}")
        self.documents, self.later = everything[:documents], everything[documents:]
        self.pairs = [(p["anchor"], p["positive"]) for p in read_jsonl(folder / "train.jsonl")]
        self.queries = [anchor for anchor, _ in self.pairs]


class Writer:
    """Upserts new documents one by one at a fixed rate until it is left."""

    def __init__(self, address, collection, documents, rate):
        self.tandem, self.collection, self.documents, self.rate = Tandem(address), collection, documents, rate
        self.written, self.commit = [], 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        due = time.monotonic()
        for document in self.documents:
            due += 1 / self.rate
            if self.stopping.wait(max(0.0, due - time.monotonic())):
                return
            self.commit = self.tandem.upsert(self.collection, [(document["id"], document["text"])])
            self.written.append(document["id"])

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()


class Benchmark:
    def __init__(self, server, corpus, arguments):
        self.server, self.corpus, self.arguments = server, corpus, arguments
        self.tandem = Tandem(server.address)
        self.phases = {}  # Name -> {"open": Samples, "closed": Samples}; phases of one name are pooled.
        self.training = {}  # Steps a second.
        self.notes = {}
        self.written = []  # Ids of acknowledged documents.
        self.seed = 0

    def prepare(self):
        say(f"{len(self.corpus.documents)} documents, first release")
        # A release takes over the vectors that another one of its revision has: each build has a revision of its own.
        self.revision, self.other, self.third = (self.tandem.import_model(MODEL_DIR.name, model)
                                                 for model in ("minilm", "copy", "again"))
        self.dataset = self.tandem.create_dataset("pairs", self.corpus.pairs)
        self.collection = self.tandem.create_collection("debian", self.corpus.documents)
        self.tandem.create_evaluation_set(self.collection, self.corpus.evaluation)
        begin = time.monotonic()
        first = self.tandem.start_release(self.collection, self.revision, "flat")
        self.tandem.wait_release(first)
        self.notes["build_seconds_without_load"] = round(time.monotonic() - begin, 1)
        self.tandem.promote(first)

    def next_seed(self):
        self.seed += 1
        return self.seed

    def open_loop(self):
        return OpenLoop(self.server.address, self.collection, self.corpus.queries, self.arguments.rate,
                        self.arguments.connections, seed=self.next_seed())

    def closed_loop(self):
        return ClosedLoop(self.server.address, self.collection, self.corpus.queries, 1, seed=self.next_seed())

    def note(self, phase, loop, samples):
        into = self.phases.setdefault(phase, {}).setdefault(loop, Samples())
        into.rows += samples.rows
        into.errors += samples.errors
        into.sending_delays += samples.sending_delays
        numbers = summary(samples)
        say(f"{phase}, {loop}: p50 {numbers['p50']} p99 {numbers['p99']} max {numbers['max']} ms of {numbers['count']}")

    def measure(self, phase):
        """Returns the (begin, end) of the open loop and of the closed one."""
        times = [time.time()]
        self.note(phase, "closed", self.closed_loop().run(self.arguments.closed_seconds))
        times.append(time.time())
        self.note(phase, "open", self.open_loop().run(self.arguments.phase_seconds))
        times.append(time.time())
        return (times[1], times[2]), (times[0], times[1])

    def start_training(self):
        job = self.tandem.train(self.revision, self.dataset, batch_size=16, max_length=128, epochs=1000,
                                validation_fraction=0.0, checkpoint_steps=50)
        steps = TrainingSteps(self.tandem, job)
        steps.wait_for(4)
        return job, steps

    def measure_training(self):
        job, steps = self.start_training()
        begin = time.time()
        time.sleep(self.arguments.alone_seconds)
        alone = (begin, time.time())
        open_times, closed_times = self.measure("training")
        self.training = {"alone": steps.rate(*alone), "open": steps.rate(*open_times),
                         "closed": steps.rate(*closed_times)}
        self.tandem.cancel_job(job)

    def measure_build(self):
        """A whole build: embedding, sealing (which makes the HNSW graph), evaluation."""
        name = self.tandem.start_release(self.collection, self.other, "hnsw", hnsw=True)
        embedded = []

        def watch():
            for release in self.tandem.releases.WatchRelease(release_pb2.WatchReleaseRequest(name=name)):
                if not embedded and release.documents_done >= release.documents_total > 0:
                    embedded.append(time.monotonic())
            loop.stop()

        loop = self.open_loop()
        watcher = threading.Thread(target=watch)
        begin = time.monotonic()
        self.note("release build", "closed", self.closed_loop().run(self.arguments.closed_seconds))
        watcher.start()
        samples = loop.run(1200)
        watcher.join()
        end = time.monotonic()
        self.note("release build", "open", samples)
        self.note("  its sealing and evaluation", "open", samples.between(embedded[0], end))
        self.notes["build_seconds_under_load"] = round(end - begin, 1)
        self.notes["of_it_sealing_and_evaluation"] = round(end - embedded[0], 1)
        self.tandem.wait_release(name)
        self.tandem.promote(name, "the benchmark goes on whatever the gate says")

    def measure_writes(self):
        """Two releases follow the writes from here on, the live one and the previous one."""
        with Writer(self.server.address, self.collection, self.corpus.later, self.arguments.write_rate) as writer:
            self.measure("writes")
        begin = time.monotonic()
        self.tandem.search.Search(_until(self.collection, writer.commit), timeout=120)
        self.notes["seconds_until_the_last_write_was_searchable"] = round(time.monotonic() - begin, 3)
        self.written += writer.written

    def measure_everything(self):
        job, _ = self.start_training()
        name = self.tandem.start_release(self.collection, self.third, "third", hnsw=True)
        with Writer(self.server.address, self.collection, self.corpus.later[len(self.written):],
                    self.arguments.write_rate) as writer:
            self.measure("training, build and writes")
        state = self.tandem.get_release(name).state
        self.notes["third_build_state_at_its_end"] = release_pb2.Release.State.Name(state)
        if state == release_pb2.Release.BUILDING:
            self.tandem.cancel_release(name)
        self.tandem.cancel_job(job)
        self.tandem.search.Search(_until(self.collection, writer.commit), timeout=120)
        self.written += writer.written

    def run(self):
        self.prepare()
        self.measure(IDLE)
        self.measure_training()
        self.measure_build()
        self.measure_writes()
        self.measure_everything()
        self.measure(IDLE)
        say("rollbacks")
        self.rollbacks = measure_rollbacks(self.server.address, self.collection, self.corpus, self.written,
                                           self.arguments)


def _until(collection, commit):
    return search_pb2.SearchRequest(collection=collection, text="anything", top_k=1, min_commit=commit)


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    autogroup = pathlib.Path("/proc/sys/kernel/sched_autogroup_enabled")
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "kernel": os.uname().release,
            "sched_autogroup": autogroup.read_text().strip() if autogroup.exists() else "none",
            "load_before": os.getloadavg()[0]}


def result_of(benchmark):
    idle = {loop: summary(samples)["p99"] for loop, samples in benchmark.phases[IDLE].items()}
    phases = []
    for name, loops in benchmark.phases.items():
        for loop, samples in loops.items():
            row = {"phase": name, "loop": loop, **summary(samples)}
            row["p99_ratio"] = round(row["p99"] / idle[loop], 2)
            row["sending_delay_p99"] = round(percentile(sorted(samples.sending_delays), 0.99) * 1000, 2)
            phases.append(row)
    training = benchmark.training
    return {"arguments": {k: v for k, v in vars(benchmark.arguments).items() if k not in ("pairs", "json")},
            "phases": phases, "training_steps_per_second": {k: round(v, 3) for k, v in training.items()},
            "training_slowdown": {loop: round(training["alone"] / training[loop], 2) for loop in ("open", "closed")},
            "rollbacks": benchmark.rollbacks, "notes": benchmark.notes}


def verdicts(result):
    """(what, holds) for each promise."""
    ratios = {(row["phase"], row["loop"]): row["p99_ratio"] for row in result["phases"]}
    rollbacks = result["rollbacks"]
    checks = [(f"p99, {phase}, {loop} loop: {ratios[phase, loop]} times idle, at most {MAX_RATIO}",
               ratios[phase, loop] <= MAX_RATIO)
              for phase in ("training", "release build") for loop in ("open", "closed")]
    errors = sum(row["errors"] for row in result["phases"]) + rollbacks["failed_searches"]
    slowest = max(rollbacks["seconds"])
    return checks + [
        (f"slowest of {len(rollbacks['seconds'])} rollbacks: {slowest} s, less than {MAX_ROLLBACK_S}",
         slowest < MAX_ROLLBACK_S),
        (f"{rollbacks['lost_writes']} of {rollbacks['acknowledged_writes']} acknowledged writes lost",
         rollbacks["lost_writes"] == 0),
        (f"{errors} failed searches", errors == 0)]


def show(result):
    print(f"{json.dumps(result['machine'])}\n\nmilliseconds of a search; p99 as a multiple of the idle one")
    columns = ("count", "p50", "p90", "p99", "p99.9", "max", "p99_ratio", "sending_delay_p99", "errors")
    print(f"{'phase':32}{'loop':8}" + "".join(f"{c.removesuffix('_p99'):>14}" for c in columns))
    for row in result["phases"]:
        cells = ("-" if isinstance(row[c], float) and math.isnan(row[c]) else str(row[c]) for c in columns)
        print(f"{row['phase']:32}{row['loop']:8}" + "".join(f"{cell:>14}" for cell in cells))
    print("\ntraining, steps of 16 pairs a second:", json.dumps(result["training_steps_per_second"]))
    print("slowdown of training by serving:", json.dumps(result["training_slowdown"]))
    print("rollbacks under load:", json.dumps(result["rollbacks"]))
    print("also:", json.dumps(result["notes"]), "\n")
    for what, holds in verdicts(result):
        print("holds " if holds else "FAILS ", what)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=pathlib.Path, help="folder that deploy/debian_pairs.py made")
    parser.add_argument("--documents", type=int, default=5000)
    parser.add_argument("--phase-seconds", type=float, default=40, help="of the open loop")
    parser.add_argument("--closed-seconds", type=float, default=10)
    parser.add_argument("--alone-seconds", type=float, default=25, help="of training without searches")
    parser.add_argument("--rate", type=float, default=20, help="searches a second of the open loop")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--write-rate", type=float, default=10, help="documents a second")
    parser.add_argument("--rollbacks", type=int, default=10)
    parser.add_argument("--searchers", type=int, default=8, help="closed-loop clients during rollbacks")
    parser.add_argument("--writers", type=int, default=2, help="during rollbacks, at half of --write-rate each")
    parser.add_argument("--flag", action="append", default=[], help="of tandemd, for example --flag=--threads=1")
    parser.add_argument("--json", type=pathlib.Path, help="file for the result")
    return parser.parse_args()


def main():
    arguments = parse()
    corpus = Corpus(arguments.pairs, arguments.documents)
    before = machine()
    with Server(*arguments.flag) as server:
        benchmark = Benchmark(server, corpus, arguments)
        benchmark.run()
        result = {"machine": before, **result_of(benchmark)}
        assert server.stop() == 0, "tandemd did not end well"
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1, default=str) + "\n")
    show(result)
    return 0 if all(holds for _, holds in verdicts(result)) else 1


if __name__ == "__main__":
    sys.exit(main())
