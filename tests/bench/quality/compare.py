#!/usr/bin/env python3
"""Trains tandem's half, prints it beside sentence-transformers' (peer_results.json), and fails when it is worse.

  compare.py --trainer <tandem-trainer> --data <folder> --model <all-MiniLM-L6-v2> --results <file.json>
             [--settings ...] [--seeds ...] [--threads N] [--keep-jobs FOLDER]

Paired by seed: for each setting, the mean over seeds of tandem's measure less the peer's must be at least -0.005.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy
import tandem_half
from results import Results
from settings import SETTINGS, add_arguments

MARGIN = -0.005
PEER = Results(Path(__file__).with_name("peer_results.json"))


def measured(results, setting, seeds):
    """{seed: run} of these seeds, where there is one."""
    found = {seed: results.run(setting, seed) for seed in seeds}
    return {seed: run for seed, run in found.items() if run}


def spread(values):
    return f"{numpy.mean(values):.4f} ± {numpy.std(values, ddof=1):.4f}" if len(values) > 1 else f"{values[0]:.4f}"


def row(setting, own, peer):
    """One line of the table, and what is wrong with the setting: "" when nothing is."""
    seeds = sorted(own.keys() & peer.keys())
    if not seeds or own.keys() != peer.keys():
        return None, f"seeds {sorted(own)} of tandem and {sorted(peer)} of the peer: must be the same"
    other = [seed for seed in seeds if own[seed]["fingerprint"] != peer[seed]["fingerprint"]]
    if other:
        return None, f"seeds {other}: the two sides trained on different examples or with different recipes"
    ours, theirs = ([run[seed]["measures"][setting.metric] for seed in seeds] for run in (own, peer))
    differences = numpy.subtract(ours, theirs)
    before = PEER.load().get("base", {}).get(setting.test)
    if before is None:
        return None, f"{PEER.path.name} lacks what the base model has on {setting.test}"
    line = (f"| {setting.name} | {setting.metric} | {before[setting.metric]:.4f} | {spread(theirs)} | {spread(ours)} | "
            f"{differences.mean():+.4f} | {differences.min():+.4f} | {len(seeds)} |")
    # In the precision in which measures are kept, so that a difference of exactly the margin passes.
    good = round(differences.mean(), 6) >= MARGIN
    return line, "" if good else f"mean difference {differences.mean():+.4f}: must be at least {MARGIN}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainer", type=Path, required=True, help="the binary tandem-trainer")
    parser.add_argument("--results", type=Path, required=True, help="tandem's numbers; what it has is left as it is")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--keep-jobs", type=Path, help="folder in which the job directories stay")
    add_arguments(parser)
    arguments = parser.parse_args()
    tandem_half.run(arguments)
    wrong = []
    print("| setting | measure | before | sentence-transformers | tandem | mean difference | worst | seeds |")
    print("|---|---|---|---|---|---|---|---|")
    for name in arguments.settings:
        setting = SETTINGS[name]
        line, fault = row(setting, measured(Results(arguments.results), setting, arguments.seeds),
                          measured(PEER, setting, arguments.seeds))
        if line:
            print(line)
        if fault:
            wrong.append(f"{name}: {fault}")
    print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
