#!/usr/bin/env python3
"""What tandem's own features are worth: trains what the results lack, prints the gains, fails when one falls short.

  gains.py --trainer <tandem-trainer> --data <folder> --model <all-MiniLM-L6-v2> --results <file.json>
           [--against <file.json>] [--settings ...] [--seeds ...]

LoRA has to reach 98% of what full fine-tuning gains over the base model, in the mean over seeds, and to train less than
3% of the parameters. Mined negatives have to beat in-batch negatives alone with the worst of their seeds against the best.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy
import tandem_half
from compare import PEER, spread
from results import Results
from settings import OWN_SETTINGS, SETTINGS, SEEDS

ALL = SETTINGS | OWN_SETTINGS
AGAINST = {"debian_en_lora": "debian_en", "wordnet_mined_all": "wordnet"}
LEAST_SHARE, MOST_TRAINED = 0.98, 0.03


def measures(results, name, seeds):
    return numpy.array([results.run(ALL[name], seed)["measures"][ALL[name].metric] for seed in seeds])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", type=Path, required=True, help="the binary tandem-trainer")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="directory of all-MiniLM-L6-v2")
    parser.add_argument("--results", type=Path, required=True, help="what it trains; what it has is left as it is")
    parser.add_argument("--against", type=Path, help="that of compare.py, instead of training what gains are against")
    parser.add_argument("--settings", nargs="+", choices=AGAINST, default=list(AGAINST))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--keep-jobs", type=Path, help="folder in which the job directories stay")
    parser.add_argument("--seeds", nargs="+", type=int, choices=SEEDS, default=list(SEEDS))
    arguments = parser.parse_args()
    names = arguments.settings
    if arguments.against is None:
        arguments.settings = names + [AGAINST[name] for name in names]
    tandem_half.run(arguments)
    results, others = Results(arguments.results), Results(arguments.against or arguments.results)
    base = PEER.load()["base"]
    print("| setting | against | base | against it | with it | of the gain | worst less best seed | trained | seeds |")
    print("|---|---|---|---|---|---|---|---|---|")
    wrong = []
    for name in names:
        other = AGAINST[name]
        before = base[ALL[name].test][ALL[name].metric]
        own, against = measures(results, name, arguments.seeds), measures(others, other, arguments.seeds)
        # Results from before the share was kept lack it.
        trained = [run["trained"] for run in (results.run(ALL[name], seed) for seed in arguments.seeds) if "trained" in run]
        share, distance = (own.mean() - before) / (against.mean() - before), own.min() - against.max()
        print(f"| {name} | {other} | {before:.4f} | {spread(against)} | {spread(own)} | {share:.1%} | {distance:+.4f} | "
              f"{max(trained):.2%} | {len(own)} |" if trained else f"| {len(own)} |")
        if name == "debian_en_lora" and share < LEAST_SHARE:
            wrong.append(f"{name}: {share:.1%} of the gain: must be at least {LEAST_SHARE:.0%}")
        if name == "debian_en_lora" and trained and max(trained) >= MOST_TRAINED:
            wrong.append(f"{name}: {max(trained):.2%} of the parameters are trained: must be under {MOST_TRAINED:.0%}")
        if name == "wordnet_mined_all" and distance <= 0:
            wrong.append(f"{name}: its worst seed is {-distance:.4f} below the best without mined negatives")
    print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
