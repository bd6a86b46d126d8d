#!/usr/bin/env python3
"""Makes a retrieval data set out of Debian's own package index: a package's synopsis asks, its long description answers.

    deploy/debian_pairs.py OUT_DIR [--documents 10000] [--pairs 2560] [--queries 500] [--lists DIR]

writes into OUT_DIR
    documents.jsonl   {"id", "text", "payload": {"source", "section"}}    one package of each source package
    train.jsonl       {"anchor", "positive"}                              synopsis and long description
    evaluation.jsonl  {"text", "judgements": [{"document", "grade"}]}     source packages that are not in train.jsonl
and prints one JSON object with the counts. The same index gives the same files.

Descriptions come from the Translation-en files that apt has; where it has none (images for containers switch them off),
they are downloaded into a private lists folder, --lists, which needs no root and leaves apt's own files alone.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys

MIN_TEXT_CHARS, MAX_TEXT_CHARS = 160, 4000
MIN_SYNOPSIS_WORDS = 4
# A binary package with one of these endings is taken only when its source package has nothing better.
SECONDARY = re.compile(r"(-dev|-doc|-docs|-common|-data|-headers|-bin|-utils|-tools|-examples|-tests?|-perl|-java)$")
NEVER = re.compile(r"(-dbg|-dbgsym|-udeb|-di)$|^(linux-(image|headers)|librust-.*\+)|-l10n-|^(task|education)-")
NO_CONTENT = re.compile(r"\b(transitional|dummy|meta-?package|debug(ging)? symbols|empty package|virtual package)\b", re.I)


def index_files(kind, lists):
    """Paths of apt's index files of one kind ("Packages" or "Translations"), newest configuration of this machine."""
    command = ["apt-get", "indextargets", *apt_options(lists), "--format", "$(FILENAME)", f"Created-By: {kind}"]
    return sorted(set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")) - {""})


def apt_options(lists):
    options = ["-o", "Acquire::Languages=en"]
    if lists:
        state = os.path.dirname(lists)
        options += ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={state}/apt-cache",
                    "-o", "APT::Sandbox::User=", "-o", "Debug::NoLocking=1"]
    return options


def download_lists(lists):
    os.makedirs(os.path.join(lists, "partial"), exist_ok=True)
    print("debian_pairs: apt has no English descriptions here; downloading them", file=sys.stderr)
    # A source that does not answer is a warning of apt's, not an error: what counts is what arrived.
    subprocess.run(["apt-get", "update", "-qq", *apt_options(lists)], check=False, stdout=sys.stderr)


def stanzas(path):
    """The paragraphs of an index file, compressed or not, as dicts; continuation lines keep their leading space."""
    with subprocess.Popen(["/usr/lib/apt/apt-helper", "cat-file", path], stdout=subprocess.PIPE, text=True,
                          encoding="utf-8", errors="replace") as process:
        fields, key = {}, None
        for line in process.stdout:
            line = line.rstrip("\n")
            if not line:
                if fields:
                    yield fields
                fields, key = {}, None
            elif line[0] in " \t":
                if key:
                    fields[key] += "\n" + line
            else:
                key, _, value = line.partition(":")
                fields[key] = value.strip()
        if fields:
            yield fields
        if process.wait() != 0:
            raise SystemExit(f"debian_pairs: cannot read {path}")


def split_description(value):
    """(synopsis, long description): lines joined, " ." is a paragraph's end."""
    synopsis, _, rest = value.partition("\n")
    paragraphs = [[]]
    for line in rest.split("\n"):
        line = line.strip()
        if line == ".":
            paragraphs.append([])
        elif line:
            paragraphs[-1].append(line)
    return " ".join(synopsis.split()), "\n".join(" ".join(p) for p in paragraphs if p)


def usable(name, synopsis, text):
    if NEVER.search(name) or NO_CONTENT.search(synopsis) or NO_CONTENT.search(text[:200]):
        return False
    if not MIN_TEXT_CHARS <= len(text) <= MAX_TEXT_CHARS or len(synopsis.split()) < MIN_SYNOPSIS_WORDS:
        return False
    # A description that repeats its synopsis would be found by its words alone.
    return synopsis.lower().rstrip(".") not in " ".join(text.lower().split())


def read_packages(lists):
    """The usable packages: name -> {source, section, synopsis, text}."""
    descriptions = {}
    for path in index_files("Translations", lists):
        for fields in stanzas(path):
            if "Description-en" in fields:
                descriptions[fields["Package"], fields.get("Description-md5")] = fields["Description-en"]
    packages = {}
    for path in index_files("Packages", lists):
        for fields in stanzas(path):
            name = fields.get("Package")
            value = descriptions.get((name, fields.get("Description-md5"))) or fields.get("Description", "")
            synopsis, text = split_description(value)
            if name and usable(name, synopsis, text):
                source = fields.get("Source", name).split(" ")[0]
                packages[name] = {"source": source, "section": fields.get("Section", ""), "synopsis": synopsis,
                                  "text": text}
    return packages


def one_per_source(packages):
    """The most telling package of each source package; no synopsis and no text twice."""
    best = {}
    for name, package in packages.items():
        rank = (name != package["source"], bool(SECONDARY.search(name)), len(name), name)
        if package["source"] not in best or rank < best[package["source"]][0]:
            best[package["source"]] = (rank, name)
    seen, chosen = set(), []
    for _, name in sorted(best.values(), key=lambda entry: shuffle_key(entry[1])):
        keys = {packages[name]["synopsis"].lower(), packages[name]["text"].lower()}
        if not keys & seen:
            seen |= keys
            chosen.append(name)
    return chosen


def shuffle_key(name):
    return hashlib.sha256(f"tandem:{name}".encode()).hexdigest()


def write_jsonl(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out_dir")
    parser.add_argument("--documents", type=int, default=10000)
    parser.add_argument("--pairs", type=int, default=2560)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--lists", help="where lists are downloaded to when apt has none; default OUT_DIR/apt-lists")
    args = parser.parse_args()
    if args.pairs + args.queries > args.documents:
        parser.error(f"--documents {args.documents}: must be at least --pairs + --queries")
    os.makedirs(args.out_dir, exist_ok=True)

    lists = None
    if not index_files("Translations", None) or not index_files("Packages", None):
        lists = os.path.abspath(args.lists or os.path.join(args.out_dir, "apt-lists"))
        if not os.path.isdir(lists) or not index_files("Translations", lists):
            download_lists(lists)
    packages = read_packages(lists)
    chosen = one_per_source(packages)
    if len(chosen) < args.documents:
        raise SystemExit(f"debian_pairs: apt's index gives {len(chosen)} usable packages, {args.documents} are needed: "
                         "is Debian's main archive among the apt sources?")
    queries = chosen[:args.queries]
    pairs = chosen[args.queries:args.queries + args.pairs]
    write_jsonl(os.path.join(args.out_dir, "documents.jsonl"),
                ({"id": name, "text": packages[name]["text"],
                  "payload": {"source": packages[name]["source"], "section": packages[name]["section"]}}
                 for name in sorted(chosen[:args.documents])))
    write_jsonl(os.path.join(args.out_dir, "train.jsonl"),
                ({"anchor": packages[name]["synopsis"], "positive": packages[name]["text"]} for name in pairs))
    write_jsonl(os.path.join(args.out_dir, "evaluation.jsonl"),
                ({"text": packages[name]["synopsis"], "judgements": [{"document": name, "grade": 1}]}
                 for name in queries))
    print(json.dumps({"usable_packages": len(packages), "source_packages": len(chosen), "documents": args.documents,
                      "pairs": len(pairs), "queries": len(queries)}))


if __name__ == "__main__":
    main()
