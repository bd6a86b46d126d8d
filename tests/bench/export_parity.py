"""Trains a revision, exports it, loads the export with sentence-transformers and compares its vectors with Embed's.

    TANDEM_DATA=<data sets> python tests/bench/export_parity.py      (Python with tests/bench/requirements.txt)

Uses the release build's binaries and the model that deploy/setup.sh unpacked. Prints the smallest cosine and the
largest difference over 200 texts as query and as document; exits 1 below a cosine of 0.99999.
"""
import json
import os
import pathlib
import subprocess
import sys

import numpy

ROOT = pathlib.Path(__file__).parent.parent.parent
CACHE = pathlib.Path(os.environ.get("TANDEM_CACHE") or
                     pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "tandem")
os.environ.setdefault("TANDEM_BIN_DIR", str(ROOT / "build/release/bin"))
os.environ.setdefault("TANDEM_TEST_MODEL_DIR", str(CACHE / "models/all-MiniLM-L6-v2"))
sys.path.insert(0, str(ROOT / "tests/support"))
from tandem_server import BIN, MODEL_DIR, Server  # noqa: E402


def tandem(server, *arguments, stdin=None):
    result = subprocess.run([BIN / "tandem", "--server", server.address, "--json", *map(str, arguments)], check=True,
                            stdout=subprocess.PIPE, text=True, input=stdin)
    return [json.loads(line) for line in result.stdout.splitlines()]


def main():
    from sentence_transformers import SentenceTransformer
    data = pathlib.Path(os.environ["TANDEM_DATA"])
    rows = [json.loads(line) for line in open(data / "debian_en/train.jsonl")][:320]
    texts = [row["anchor"] for row in rows[:100]] + [row["positive"] for row in rows[:97]] + ["", "x", "字 🙂 é"]
    worst = 1.0
    with Server() as server:
        tandem(server, "model", "import", MODEL_DIR, "--model", "minilm", "--revision", "base")
        tandem(server, "dataset", "create", "pairs")
        tandem(server, "dataset", "append", "pairs", "-", stdin="".join(
            json.dumps({"anchor": row["anchor"], "positives": [row["positive"]]}) + "\n" for row in rows))
        tandem(server, "train", "--base", "minilm", "--dataset", "pairs", "--max-steps", "10", "--watch")
        exported = server.folder / "exported"
        tandem(server, "model", "export", "minilm", exported)
        model = SentenceTransformer(str(exported), device="cpu")
        for role, encode in (("query", model.encode_query), ("document", model.encode_document)):
            ours = tandem(server, "embed", "--model", "minilm", "--role", role, *texts)
            ours = numpy.array([e["vector"]["values"] for e in ours], dtype=numpy.float64)
            theirs = encode(texts).astype(numpy.float64)
            cosine = (ours * theirs).sum(1) / numpy.linalg.norm(ours, axis=1) / numpy.linalg.norm(theirs, axis=1)
            worst = min(worst, cosine.min())
            print(f"{role}: {len(texts)} texts, smallest cosine {cosine.min():.8f}, "
                  f"largest difference {abs(ours - theirs).max():.2e}")
    return 0 if worst >= 0.99999 else 1


if __name__ == "__main__":
    sys.exit(main())
