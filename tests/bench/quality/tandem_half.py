"""tandem's half: trains with tandem-trainer and fills a results file with what it lacks.

A job directory (server/base/job_directory.h) is written for each run and trained in the environment that tandemd gives
its trainer; the result is measured as a sentence-transformers directory, by the evaluation that measured the peer's.
"""

import hashlib
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import numpy
from evaluate import evaluate
from results import Results
from settings import MAX_GRADIENT_NORM, WEIGHT_DECAY, fingerprint, lines, runs

LINEAR, GIVEN, PLAIN = 1, 2, 2  # Schedule, ExampleOrder, BatchSampler


def options(setting, examples, seed, base, threads):
    return {"base_directory": str(base.resolve()), "objectives": [{"loss": setting.loss, "weight": 1.0}],
            "batch_size": setting.batch_size, "epochs": 1, "learning_rate": setting.learning_rate,
            "warmup_steps": setting.warmup_steps(examples), "schedule": LINEAR, "weight_decay": WEIGHT_DECAY,
            "max_gradient_norm": MAX_GRADIENT_NORM, "max_length": setting.max_length, "seed": seed, "order": GIVEN,
            "batch_sampler": PLAIN, "validation_fraction": 0.0, "checkpoint_steps": 10_000, "threads": threads} | setting.options


def train(trainer, setting, examples, seed, base, threads, job):
    """Leaves the trained model in job/result; returns the mean loss of the last ten steps, the examples a second and the
    share of the parameters that are trained."""
    job.mkdir(parents=True)
    (job / "options.json").write_text(json.dumps(options(setting, examples, seed, base, threads)))
    (job / "examples-0.jsonl").write_text(lines(examples), encoding="utf-8")
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(threads)}
    subprocess.run([str(trainer), str(job)], check=True, env=environment)
    events = [json.loads(line.split(" ", 1)[1]) for line in (job / "events").read_text().splitlines()]
    steps = [event for event in events if event["type"] == "step"]
    expected = -(-len(examples) // setting.batch_size)
    if len(steps) != expected:
        raise RuntimeError(f"{setting.name}: {len(steps)} steps, not {expected}: not the batches of the peer")
    seconds = (steps[-1]["time_us"] - steps[0]["time_us"]) / 1e6
    speed = len(examples) * (len(steps) - 1) / len(steps) / seconds
    told = [re.fullmatch(r"(\d+) parameters are trained; the model has (\d+)", event.get("text", "")) for event in events]
    trained = [int(match[1]) / int(match[2]) for match in told if match]
    return float(numpy.mean([step["loss"] for step in steps[-10:]])), speed, trained[0] if trained else 1.0


def run(arguments):
    """Trains and measures what arguments.results lacks."""
    results = Results(arguments.results)
    made_with = {"trainer_sha256": hashlib.sha256(arguments.trainer.read_bytes()).hexdigest()}
    if results.load().get("made_with", made_with) != made_with:
        raise SystemExit(f"{arguments.results} was made with another tandem-trainer; give another --results")
    results.put("made_with", value=made_with)
    for setting, seed in runs(arguments):
        examples = setting.examples(arguments.data, seed)
        mark = fingerprint(setting, examples)
        if (results.run(setting, seed) or {}).get("fingerprint") == mark:
            continue
        with tempfile.TemporaryDirectory() as temporary:
            job = (arguments.keep_jobs or Path(temporary)) / f"{setting.name}-{seed}"
            loss, speed, trained = train(arguments.trainer, setting, examples, seed, arguments.model, arguments.threads, job)
            measures = evaluate(setting.test, job / "result", arguments.data)
        results.put("runs", setting.name, str(seed), value={
            "fingerprint": mark, "examples": len(examples), "last_losses": round(loss, 5), "measures": measures,
            "trained": round(trained, 5)})
        print(f"{setting.name} seed {seed}: {measures}, {speed:.1f} examples/s", flush=True)
