#!/usr/bin/env python3
"""Tables for deploy/demo.sh, out of what `tandem --json` printed.

    demo_report.py metrics PROMOTION.json              before and after; exit code 1 unless all three metrics rose
    demo_report.py searches EVALUATION.jsonl BEFORE.jsonl AFTER.jsonl [--show N]
                                                       hits of the two releases side by side, "*" is the judged document
    demo_report.py texts EVALUATION.jsonl              the queries' texts, each ended by NUL
    demo_report.py times FILE                          "phase<TAB>seconds" lines as a table
"""

import json
import sys


def read_jsonl(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def metrics(path):
    with open(path, encoding="utf-8") as file:
        gate = json.load(file)["gate"]
    before, after = gate["live"]["metrics"], gate["candidate"]["metrics"]
    print(f"{'':<12}{'base model':>12}{'fine-tuned':>12}{'difference':>12}   ({after['queries']} held-out queries)")
    rose = True
    for title, key in (("nDCG@10", "ndcg_at_10"), ("recall@10", "recall_at_10"), ("MRR@10", "mrr_at_10")):
        rose = rose and after[key] > before[key]
        print(f"{title:<12}{before[key]:>12.4f}{after[key]:>12.4f}{after[key] - before[key]:>+12.4f}")
    print(f"95% interval of the difference of nDCG@10 (paired bootstrap): [{gate['ndcg_difference_lower']:+.4f}, "
          f"{gate['ndcg_difference_upper']:+.4f}]")
    if not rose:
        print("the fine-tuned release is not better in all three metrics", file=sys.stderr)
    return 0 if rose else 1


def rank_of(hits, judged):
    return next((i + 1 for i, hit in enumerate(hits) if hit["id"] in judged), None)


def searches(evaluation, before, after, show):
    queries = read_jsonl(evaluation)
    old, new = ([answer["hits"] for answer in read_jsonl(path)] for path in (before, after))
    better = worse = 0
    for number, (query, old_hits, new_hits) in enumerate(zip(queries, old, new, strict=True)):
        judged = {judgement["document"] for judgement in query["judgements"]}
        old_rank, new_rank = (rank_of(hits, judged) or 1000 for hits in (old_hits, new_hits))
        better += new_rank < old_rank
        worse += new_rank > old_rank
        if number >= show:
            continue
        print(f"\n\"{query['text']}\"\n    {'base model':<40}fine-tuned")
        for rank in range(5):
            cells = []
            for hits in (old_hits, new_hits):
                hit = hits[rank] if rank < len(hits) else None
                mark = "*" if hit and hit["id"] in judged else " "
                cells.append(f"{mark} {hit['id'][:36]}" if hit else "")
            print(f"  {rank + 1} {cells[0]:<40}{cells[1]}")
    print(f"\nAll {len(queries)} queries: the judged document moved up in {better}, down in {worse}, and stayed in "
          f"{len(queries) - better - worse}.")
    return 0


def texts(evaluation):
    for query in read_jsonl(evaluation):
        sys.stdout.write(query["text"] + "\0")
    return 0


def times(path):
    total = 0.0
    with open(path, encoding="utf-8") as file:
        for line in file:
            phase, seconds = line.rstrip("\n").split("\t")
            total += float(seconds)
            print(f"  {phase:<34}{float(seconds):>8.1f} s")
    print(f"  {'together':<34}{total:>8.1f} s")
    return 0


def main():
    arguments = sys.argv[1:]
    show = 4
    if "--show" in arguments:
        at = arguments.index("--show")
        show = int(arguments[at + 1])
        del arguments[at:at + 2]
    match arguments:
        case ["metrics", path]:
            return metrics(path)
        case ["searches", evaluation, before, after]:
            return searches(evaluation, before, after, show)
        case ["texts", evaluation]:
            return texts(evaluation)
        case ["times", path]:
            return times(path)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
