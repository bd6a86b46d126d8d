#!/usr/bin/env python3
"""sentence-transformers' half, made once: fills peer_results.json with what it lacks.

SentenceTransformerTrainer in float32 on the CPU with batches in given order, dropout and torch's AdamW; its own losses,
and for SupCon the one of pytorch-metric-learning.

  peer.py --data <folder> --model <all-MiniLM-L6-v2> [--settings ...] [--seeds ...] [--threads N]
"""

import argparse
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy
import pytorch_metric_learning.losses
import torch
from datasets import Dataset
from evaluate import evaluate
from results import Results
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.sentence_transformer import losses
from settings import MAX_GRADIENT_NORM, WEIGHT_DECAY, add_arguments, fingerprint, runs
from torch.utils.data import SequentialSampler

RESULTS = Path(__file__).with_name("peer_results.json")
PACKAGES = ("torch", "sentence-transformers", "transformers", "accelerate", "datasets", "pytorch-metric-learning",
            "numpy")


class SupConLoss(torch.nn.Module):
    def __init__(self, model, temperature):
        super().__init__()
        self.model = model
        self.loss = pytorch_metric_learning.losses.SupConLoss(temperature=temperature)

    def forward(self, features, labels):
        return self.loss(self.model(features[0])["sentence_embedding"], labels)


def batch_hard(model, mining, distance, margin):
    assert (mining, distance) == (3, 2), "only batch-hard with 1 - cosine is compared"
    cosine = losses.BatchHardTripletLossDistanceFunction.cosine_distance
    return losses.BatchHardTripletLoss(model, distance_metric=cosine, margin=margin)


LOSSES = {"info_nce": losses.MultipleNegativesRankingLoss, "sim_cse": losses.MultipleNegativesRankingLoss,
          "cosent": losses.CoSENTLoss, "sup_con": SupConLoss, "triplet": batch_hard}


def columns(examples):
    """The dataset of these examples, by what their keys say."""
    first = examples[0]
    if "label" in first:
        numbers = {label: i for i, label in enumerate(sorted({example["label"] for example in examples}))}
        return Dataset.from_dict({"text": [example["text"] for example in examples],
                                  "label": [numbers[example["label"]] for example in examples]})
    if "text" in first:  # Two views of each: the dropout masks differ.
        return Dataset.from_dict({side: [example["text"] for example in examples] for side in ("anchor", "positive")})
    if "score" in first:
        return Dataset.from_dict({key: [example[key] for example in examples] for key in ("first", "second", "score")})
    table = {"anchor": [example["anchor"] for example in examples],
             "positive": [example["positives"][0] for example in examples]}
    for i in range(len(first.get("negatives", []))):
        table["negative" if i == 0 else f"negative_{i + 1}"] = [example["negatives"][i] for example in examples]
    return Dataset.from_dict(table)


def given_order(dataset, **options):
    return DefaultBatchSampler(SequentialSampler(dataset), **options)


def train(setting, examples, seed, base):
    """The trained model, as long as the base model, and the mean loss of the last ten steps."""
    model = SentenceTransformer(str(base), device="cpu")
    own_length, model.max_seq_length = model.max_seq_length, setting.max_length
    [(kind, options)] = setting.loss.items()
    with tempfile.TemporaryDirectory() as folder:
        arguments = SentenceTransformerTrainingArguments(
            folder, num_train_epochs=1, per_device_train_batch_size=setting.batch_size, batch_sampler=given_order,
            learning_rate=setting.learning_rate, lr_scheduler_type="linear",
            warmup_steps=setting.warmup_steps(examples), optim="adamw_torch", weight_decay=WEIGHT_DECAY,
            max_grad_norm=MAX_GRADIENT_NORM, seed=seed, use_cpu=True, save_strategy="no", report_to="none",
            logging_steps=1, disable_tqdm=True)
        trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=columns(examples),
                                             loss=LOSSES[kind](model, **options))
        trainer.log = lambda entry, *_, **__: trainer.state.log_history.append(entry)  # Not printed.
        trainer.train()
        steps = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    model.max_seq_length = own_length
    return model, float(numpy.mean(steps[-10:]))


def run(setting, examples, seed, arguments):
    start = time.monotonic()
    model, loss = train(setting, examples, seed, arguments.model)
    seconds = time.monotonic() - start
    measures = evaluate(setting.test, model, arguments.data)
    print(f"{setting.name} seed {seed}: {measures}, {seconds:.0f} s of training", flush=True)
    return {"fingerprint": fingerprint(setting, examples), "examples": len(examples), "recipe": setting.recipe(),
            "last_losses": round(loss, 5), "measures": measures}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    results = Results(arguments.results)
    made_with = {package: version(package) for package in PACKAGES}
    made_with |= {"python": platform.python_version(), "device": "cpu", "precision": "float32"}
    if results.load().get("made_with", made_with) != made_with:
        parser.error(f"{arguments.results} was made with other versions; give another --results")
    results.put("made_with", value=made_with)
    for setting, seed in runs(arguments):
        examples = setting.examples(arguments.data, seed)
        if (results.run(setting, seed) or {}).get("fingerprint") != fingerprint(setting, examples):
            results.put("runs", setting.name, str(seed), value=run(setting, examples, seed, arguments))
        if setting.test not in results.load().get("base", {}):
            results.put("base", setting.test, value=evaluate(setting.test, arguments.model, arguments.data))


if __name__ == "__main__":
    main()
