#!/usr/bin/env python3
"""Compares the trainer's gradients on a full-size model with those of sentence-transformers, parameter by parameter.

  TANDEM_GRADIENT_MODEL=<model directory> TANDEM_GRADIENT_OUT=<folder> \\
      build/release/bin/losses_test --gtest_filter=ModelGradientsTest.GradientsOfAnotherModelAreFinite
  compare_gradients.py <model directory> <folder>

Criterion, for each case of model.json and each parameter: ||ours - ref|| <= 1e-4 * max(||ref||, 1e-3 * ||all ref||).
The reference is computed in float64. Prints the worst ratio of the left side to the right one for each case; exit
status 1 when one is over 1.
"""

import json
import pathlib
import sys

import numpy
from sentence_transformers import SentenceTransformer

from make_golden import model_cases, model_gradients, text_batches


def main(model_directory, folder):
    model = SentenceTransformer(model_directory, device="cpu").double()
    ours_values = json.loads((folder / "values.json").read_text())
    failed = False
    for name, (batch, loss) in model_cases().items():
        value, reference = model_gradients(model, text_batches()[batch], loss)
        reference = {k: g.detach().numpy() for k, g in reference.items()}
        whole = numpy.sqrt(sum((g ** 2).sum() for g in reference.values()))
        worst, where = 0.0, ""
        for parameter, expected in reference.items():
            path = folder / f"{name}.{parameter}"
            ours = numpy.fromfile(path, "<f4").reshape(expected.shape).astype(numpy.float64)
            limit = 1e-4 * max(numpy.linalg.norm(expected), 1e-3 * whole)
            ratio = numpy.linalg.norm(ours - expected) / limit
            if ratio > worst:
                worst, where = ratio, parameter
        print(f"{name}: value {ours_values[name]:.7f} / {value:.7f}, {len(reference)} parameters, "
              f"worst ratio {worst:.3f} ({where})")
        failed |= worst > 1 or abs(ours_values[name] - value) > 2e-5
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], pathlib.Path(sys.argv[2])))
