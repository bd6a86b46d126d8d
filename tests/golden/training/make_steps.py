#!/usr/bin/env python3
"""Writes steps.json beside itself: one step of transformers' AdamW for a model of each architecture.

Needs transformers (5.23 made the committed file), sentence-transformers (6.2) and torch (2.15). The models are those of
tests/golden/encoder/architectures and tiny_bert, the texts and the loss those of make_architectures.py, without dropout.
The step is torch.optim.AdamW after clip_grad_norm_, with Trainer's groups of weight decay and tandem's default options.

AdamW's first step moves each weight by about the learning rate in the direction of its gradient's sign, which is noise
where the gradient is 0 but for rounding (that of attention's key biases, for one). So for each parameter, by its name in
model.safetensors, there are sums over its elements in which such elements count for nothing, of change c, gradient g and
weight w before the step: sum(c g), which has the step in it, and sum(c |g| w), which has the decay in it, for along w the
signs cancel. Besides these: the loss, the norm of all gradients before clipping, and the embeddings after the step, which
do not depend on key biases and hardly on other weights without a gradient.
"""

import json
import pathlib
import sys

import torch
from sentence_transformers import SentenceTransformer
from transformers import Trainer

HERE = pathlib.Path(__file__).resolve().parent
ENCODER = HERE.parent / "encoder"
sys.path.insert(0, str(ENCODER))
import make_architectures  # noqa: E402

RATE, WEIGHT_DECAY, MAX_NORM = 1e-3, 0.01, 1.0


def rounded(number):
    return float(f"{number:.7g}")


def take_step(folder, prefix):
    model = SentenceTransformer(str(folder), device="cpu").float().eval()
    texts = make_architectures.texts()

    def embed():
        return torch.nn.functional.normalize(model(model.preprocess(texts))["sentence_embedding"], dim=1)

    vectors = embed()
    half = len(vectors) // 2
    loss = torch.nn.functional.cross_entropy(vectors[:half] @ vectors[half:].T * 20, torch.arange(half))
    loss.backward()
    transformer = model[0].auto_model
    parameters = {name: value for name, value in transformer.named_parameters() if value.grad is not None}
    decayed = set(Trainer.get_decay_parameter_names(None, transformer))
    groups = [{"params": [value for name, value in parameters.items() if (name in decayed) == decays],
               "weight_decay": WEIGHT_DECAY if decays else 0.0} for decays in (True, False)]
    before = {name: value.detach().double().clone() for name, value in parameters.items()}
    gradients = {name: value.grad.double().clone() for name, value in parameters.items()}
    norm = torch.nn.utils.clip_grad_norm_(parameters.values(), MAX_NORM).item()
    torch.optim.AdamW(groups, lr=RATE).step()
    sums = {}
    for name, value in parameters.items():
        change, gradient = value.detach().double() - before[name], gradients[name]
        sums[prefix + name] = [rounded((change * gradient).sum().item()), rounded((change * gradient.abs() * before[name]).sum().item())]
    with torch.no_grad():
        after = [[round(float(x), 6) for x in row] for row in embed()]
    return {"loss": rounded(loss.item()), "norm": rounded(norm), "sums": sums, "after": after}


def main():
    torch.set_num_threads(1)
    folders = {"tiny_bert": (HERE / "tiny_bert", "")}
    for name, (*_, prefix) in make_architectures.MODELS.items():
        folders[name] = (ENCODER / "architectures" / name, prefix)
    steps = {name: take_step(folder, prefix) for name, (folder, prefix) in folders.items()}
    golden = {"texts": make_architectures.texts(), "rate": RATE, "weight_decay": WEIGHT_DECAY, "max_norm": MAX_NORM, "models": steps}
    (HERE / "steps.json").write_text(json.dumps(golden, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
