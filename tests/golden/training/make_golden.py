#!/usr/bin/env python3
"""Makes the reference numbers of the trainer with sentence-transformers 6.2.0 and transformers, and the small random
model that the tests train. Writes, beside itself:

  tiny_bert/     a BERT of 2 layers, hidden size 32, with random weights: a complete sentence-transformers directory
  schedule.json  factors of transformers' learning rate schedules
  adamw.json     a few steps of torch.optim.AdamW with clip_grad_norm_
  sampler.json   batches of NoDuplicatesBatchSampler over given orders
  balanced.json  batches of GroupByLabelBatchSampler over given orders

Usage: make_golden.py (with torch and sentence-transformers installed)
"""

import json
import pathlib
import random

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.sampler import GroupByLabelBatchSampler, NoDuplicatesBatchSampler
from sentence_transformers.sentence_transformer import modules
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (BertConfig, BertModel, BertTokenizerFast, get_constant_schedule_with_warmup,
                          get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup)

HERE = pathlib.Path(__file__).resolve().parent
TINY = HERE / "tiny_bert"

WORDS = """library for the files a of to and with in is python data this package test index search model text image
network server tool code fast small tree graph music video color fish bird water stone metal paper letter
number""".split()


def vocabulary():
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)] + list("0123456789,.'-")
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + WORDS + letters + ["##" + x for x in letters]


def make_tiny_bert():
    torch.manual_seed(20240101)
    unique = list(dict.fromkeys(vocabulary()))
    vocab = {word: i for i, word in enumerate(unique)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])])
    config = BertConfig(vocab_size=len(vocab), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=64, max_position_embeddings=64, hidden_dropout_prob=0.1,
                        attention_probs_dropout_prob=0.1, initializer_range=0.1)
    model = BertModel(config)
    with torch.no_grad():  # Biases and LayerNorm start at 0 and 1; other values test more.
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    bert = HERE / "bert.tmp"
    model.save_pretrained(bert)
    BertTokenizerFast(tokenizer_object=tokenizer, model_max_length=64).save_pretrained(bert)
    transformer = modules.Transformer(str(bert), max_seq_length=64)
    pooling = modules.Pooling(transformer.get_embedding_dimension(), pooling_mode="mean")
    SentenceTransformer(modules=[transformer, pooling, modules.Normalize()], device="cpu").save_pretrained(str(TINY))
    for path in bert.iterdir():
        path.unlink()
    bert.rmdir()
    (TINY / "README.md").unlink(missing_ok=True)


def make_schedules():
    makers = {
        "linear": lambda o, w, t: get_linear_schedule_with_warmup(o, w, t),
        "cosine": lambda o, w, t: get_cosine_schedule_with_warmup(o, w, t),
        "constant": lambda o, w, t: get_constant_schedule_with_warmup(o, w),
    }
    out = []
    for name, make in makers.items():
        for warmup, total in [(0, 7), (3, 10), (6, 63), (9, 10)]:
            optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
            schedule = make(optimizer, warmup, total)
            factors = []
            for _ in range(total):
                factors.append(schedule.get_last_lr()[0])
                optimizer.step()
                schedule.step()
            out.append({"schedule": name, "warmup_steps": warmup, "total_steps": total, "factors": factors})
    (HERE / "schedule.json").write_text(json.dumps(out) + "\n")


def make_adamw():
    torch.manual_seed(7)
    start = {"layer.weight": torch.randn(3, 4), "layer.bias": torch.randn(4), "LayerNorm.weight": torch.randn(4)}
    parameters = {name: torch.nn.Parameter(value.clone()) for name, value in start.items()}
    decayed = [parameters["layer.weight"]]
    plain = [parameters["layer.bias"], parameters["LayerNorm.weight"]]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}])
    steps = []
    for learning_rate, size in [(1e-2, 0.1), (5e-3, 3.0), (2e-3, 1.0)]:
        grads = {name: torch.randn_like(p) * size for name, p in parameters.items()}
        for name, p in parameters.items():
            p.grad = grads[name].clone()
        norm = torch.nn.utils.clip_grad_norm_(list(parameters.values()), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        optimizer.step()
        steps.append({"learning_rate": learning_rate, "norm": norm.item(),
                      "gradients": {n: g.flatten().tolist() for n, g in grads.items()},
                      "after": {n: p.detach().flatten().tolist() for n, p in parameters.items()}})
    out = {"weight_decay": 0.1, "max_norm": 1.0, "steps": steps,
           "start": {n: {"shape": list(v.shape), "values": v.flatten().tolist()} for n, v in start.items()}}
    (HERE / "adamw.json").write_text(json.dumps(out) + "\n")


class Rows:
    """A data set as NoDuplicatesBatchSampler takes it."""

    def __init__(self, rows):
        self.rows = rows
        self.column_names = list(rows[0])

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]


def make_sampler():
    """Texts are small numbers. The order is given: the permutation is made the identity; only the first pass counts."""
    randperm = torch.randperm
    torch.randperm = lambda n, generator=None, dtype=None: torch.arange(n, dtype=dtype)
    rng = random.Random(3)
    cases = []
    for pairs, texts, batch_size, negative in [(40, 1000, 8, False), (40, 12, 4, False), (60, 30, 8, True),
                                               (200, 90, 16, False), (300, 400, 32, True)]:
        rows = [{"anchor": rng.randrange(texts), "positive": rng.randrange(texts)} for _ in range(pairs)]
        if negative:
            rows = [{**row, "negative": rng.randrange(texts)} for row in rows]
        sampler = NoDuplicatesBatchSampler(Rows(rows), batch_size=batch_size, drop_last=False)
        values = lambda index: {str(v) for v in rows[index].values()}
        passes = sampler._iter_one_pass(values, lambda a, b: not a.isdisjoint(b))
        cases.append({"batch_size": batch_size, "pairs": [list(row.values()) for row in rows],
                      "batches": [[int(i) for i in batch] for batch in passes]})
    torch.randperm = randperm
    (HERE / "sampler.json").write_text(json.dumps(cases) + "\n")


class Labels:
    """What GroupByLabelBatchSampler asks of a data set."""
    column_names = ["label"]

    def __init__(self, labels):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, column):
        return self.labels


def make_balanced():
    """Classes are numbered by first appearance, as tandem does. All orders are given: permutations are the identity."""
    randperm = torch.randperm
    torch.randperm = lambda n, generator=None, dtype=None: torch.arange(n, dtype=dtype)
    rng = random.Random(4)
    cases = []
    for texts, classes, batch_size in [(60, 6, 8), (50, 20, 12), (80, 2, 16), (100, 3, 6), (200, 40, 32), (9, 3, 4)]:
        # Skewed: the first class is about as large as all others together.
        names = [0 if rng.random() < 0.3 else rng.randrange(classes) for _ in range(texts)]
        numbers = {name: i for i, name in enumerate(dict.fromkeys(names))}
        labels = [numbers[name] for name in names]
        sampler = GroupByLabelBatchSampler(Labels(labels), batch_size=batch_size, drop_last=False,
                                           valid_label_columns=["label"])
        cases.append({"batch_size": batch_size, "labels": labels, "batches": [list(batch) for batch in sampler]})
    torch.randperm = randperm
    (HERE / "balanced.json").write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    make_tiny_bert()
    make_schedules()
    make_adamw()
    make_sampler()
    make_balanced()
