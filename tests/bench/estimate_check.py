#!/usr/bin/env python3
"""What EstimateTraining says beside what the training then takes: memory, and the time of a step.

  deploy/debian_pairs.py PAIRS
  TANDEM_BIN_DIR=<build>/bin TANDEM_PYTHON_PROTO=<build>/proto/python TANDEM_TEST_MODEL_DIR=<all-MiniLM-L6-v2> \\
      /usr/bin/python3 tests/bench/estimate_check.py PAIRS [--steps 10] [--rounds 1] [--json FILE] [--only NAME ...]

Each setting is a job of --steps steps on its own tandemd. Memory is the largest resident memory of its tandem-trainer
(VmHWM). The server estimates each job just before it runs: the first one of a precision from floating-point operations,
the others from the speed of the job before. Times are seconds a step. With --rounds, settings take turns, and the table
has medians: on a machine that is not quiet, compare the speeds of settings in one run only.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]
from tandem_api import Tandem, TrainingSteps, job_pb2, read_jsonl, training_pb2  # noqa: E402
from tandem_server import MODEL_DIR, Server  # noqa: E402

BFLOAT16 = training_pb2.TrainingOptions.BFLOAT16
LORA = {"rank": 8}
SETTINGS = {
    "16 pairs, 128 tokens": dict(batch_size=16, max_length=128),
    "32 pairs, 128 tokens": dict(batch_size=32, max_length=128),
    "64 pairs, 64 tokens": dict(batch_size=64, max_length=64),
    "64 pairs, 128 tokens": dict(batch_size=64, max_length=128),
    "128 pairs in pieces of 64 texts": dict(batch_size=128, max_length=128, micro_batch_size=64),
    "3 of 6 layers frozen": dict(batch_size=32, max_length=128, freeze_layers=3),
    "LoRA": dict(batch_size=32, max_length=128, lora=LORA),
    "LoRA with dropout": dict(batch_size=32, max_length=128, lora=dict(LORA, dropout=0.1)),
    "bfloat16": dict(batch_size=32, max_length=128, precision=BFLOAT16),
    "LoRA, bfloat16": dict(batch_size=32, max_length=128, precision=BFLOAT16, lora=LORA),
}


def trainer_of(pid):
    """The process id of a running child tandem-trainer."""
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().partition("(")[2].rpartition(")")
            if int(rest.split()[1]) == pid and name.startswith("tandem-trainer"):
                return int(path.parent.name)
        except (OSError, IndexError):
            pass
    return None


def peak_memory(pid):
    """VmHWM in MiB; 0 when the process has ended."""
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0


class EstimateCheck:
    def __init__(self, server, pairs, steps):
        self.server, self.steps = server, steps
        self.tandem = Tandem(server.address)
        self.base = self.tandem.import_model(MODEL_DIR.name, "base")
        self.dataset = self.tandem.create_dataset("pairs", pairs)

    def request(self, options):
        return training_pb2.TrainRequest(
            base_revision=self.base, dataset=self.dataset, target_model="models/trained",
            options=training_pb2.TrainingOptions(max_steps=self.steps, validation_fraction=0.0, **options))

    def run(self, options):
        estimate = self.tandem.training.EstimateTraining(self.request(options), timeout=60)
        job = self.tandem.training.Train(self.request(options), timeout=60).name
        steps, peak = self.watch(job)
        # The first step also warms up; the time between two step events is a step's.
        times = [b - a for a, b in zip(steps, steps[1:])]
        return {"memory": peak, "memory_estimate": estimate.peak_memory_bytes / 2**20,
                "step": statistics.median(times), "step_estimate": estimate.time.ToNanoseconds() / 1e9 / self.steps,
                "basis": "job" if estimate.job else "operations", "tokens": estimate.tokens_per_step}

    def watch(self, job):
        """(times of its steps, largest memory of its trainer)."""
        steps, peak, pid = TrainingSteps(self.tandem, job), 0, None
        while True:
            pid = pid or trainer_of(self.server.process.pid)
            peak = max(peak, peak_memory(pid)) if pid else peak
            if not steps.thread.is_alive():
                break
            time.sleep(0.01)
        state = self.tandem.jobs.GetJob(job_pb2.GetJobRequest(name=job), timeout=30).state
        assert state == job_pb2.Job.SUCCEEDED, f"{job} did not succeed: {state}"
        return steps.times, peak


def show(name, runs):
    def median(key):
        return statistics.median(run[key] for run in runs)
    memory, estimate = median("memory"), median("memory_estimate")
    step, step_estimate = median("step"), median("step_estimate")
    print(f"| {name} | {memory:,.0f} | {estimate:,.0f} | {estimate / memory:.2f} | {step:.2f} | {step_estimate:.2f} | "
          f"{step_estimate / step:.2f} | {runs[-1]['basis']} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=pathlib.Path, help="folder that deploy/debian_pairs.py made")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--json", type=pathlib.Path, help="file for the result")
    arguments = parser.parse_args()
    pairs = [(p["anchor"], p["positive"]) for p in read_jsonl(arguments.pairs / "train.jsonl")]
    runs = {name: [] for name in arguments.only}
    with Server() as server:
        check = EstimateCheck(server, pairs, arguments.steps)
        for _ in range(arguments.rounds):
            for name in arguments.only:
                runs[name].append(check.run(SETTINGS[name]))
                print(f"# {name}: {json.dumps(runs[name][-1])}", flush=True)
        assert server.stop() == 0, "tandemd did not end well"
    print("| setting | memory, MiB | estimate | ratio | seconds a step | estimate | ratio | basis |")
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.only:
        show(name, runs[name])
    if arguments.json:
        arguments.json.write_text(json.dumps(runs, indent=1) + "\n")


if __name__ == "__main__":
    main()
