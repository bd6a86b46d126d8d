"""Every kind of index through the CLI: made with its parameters, shown with them, searched, exported as a FAISS file; and
what a kind does not have is refused."""
import json
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from tandem_server import BIN, MODEL_DIR, Server  # noqa: E402

SUBJECTS = ["printer", "router", "keyboard", "monitor", "battery", "camera", "speaker", "scanner", "tablet", "laptop"]
PLACES = ["in Berlin", "in Paris", "on the ship", "at school", "in the hospital", "on the train", "at home", "in the museum",
          "in the kitchen", "on the roof"]
DOCUMENTS = {f"{s}-{p}": f"How to repair a {s} {p}." for s in SUBJECTS for p in PLACES}

# --index, its flags, what `release show` says of them, flags of a search, the first bytes of the FAISS file.
KINDS = [
    ("flat", [], {"flat": {}}, [], b"IxFI"),
    ("hnsw", ["--m", 8, "--ef-construction", 40, "--ef-search", 32], {"hnsw": {"m": 8, "ef_construction": 40, "ef_search": 32}},
     ["--ef-search", 20], b"IHNf"),
    ("ivf-flat", ["--lists", 2, "--nprobe", 1], {"ivf_flat": {"lists": 2, "nprobe": 1}}, ["--nprobe", 2], b"IwFl"),
    ("ivf-pq", ["--lists", 2, "--nprobe", 2, "--subquantizers", 48, "--rerank-factor", 3],
     {"ivf_pq": {"lists": 2, "nprobe": 2, "subquantizers": 48, "rerank_factor": 3}},
     ["--nprobe", 1, "--rerank-factor", 5], b"IwPQ"),
    ("sq8", ["--rerank-factor", 2], {"scalar_quantized": {"storage": "STORE_INT8", "rerank_factor": 2}},
     ["--rerank-factor", 3], b"IxSQ"),
    ("sq16", [], {"scalar_quantized": {"storage": "STORE_FLOAT16"}}, ["--rerank-factor", 1], b"IxSQ"),
    ("binary", ["--rerank-factor", 6], {"binary": {"rerank_factor": 6}}, ["--rerank-factor", 8], b"IxHe"),
]
SEARCH_FLAGS = {"--ef-search": {"hnsw"}, "--nprobe": {"ivf-flat", "ivf-pq"},
                "--rerank-factor": {"ivf-pq", "sq8", "sq16", "binary"}}


class IndexKindsTest(unittest.TestCase):
    def tandem(self, *arguments, fails=False):
        result = subprocess.run([BIN / "tandem", "--server", self.server.address, "--json", *map(str, arguments)],
                                capture_output=True, text=True, timeout=300)
        self.assertEqual(result.returncode != 0, fails, f"{arguments}\n{result.stdout}\n{result.stderr}")
        return result.stderr if fails else [json.loads(line) for line in result.stdout.splitlines()]

    def hits(self, *flags):
        found = self.tandem("search", "help", "a camera that someone fixes in Paris", "--top-k", 5, *flags)
        return [(hit["id"], round(hit["score"], 5)) for hit in found[-1]["hits"]]

    def test_every_kind(self):
        self.server = Server()
        with self.server as server:
            documents = server.folder / "documents.jsonl"
            documents.write_text("".join(json.dumps({"id": i, "text": t}) + "\n" for i, t in DOCUMENTS.items()))
            self.tandem("model", "import", MODEL_DIR, "--model", "minilm", "--revision", "base")
            self.tandem("collection", "create", "help")
            self.tandem("document", "import", "help", documents)
            exact = None
            for number, (kind, flags, shown, search, magic) in enumerate(KINDS):
                with self.subTest(kind):
                    release = f"r{number}"
                    self.tandem("release", "create", "help", "--model", "minilm", "--id", release, "--index", kind, *flags)
                    self.tandem("release", "promote", f"help/{release}", "--override", "a test of indexes")
                    [record] = self.tandem("release", "show", f"help/{release}")
                    self.assertEqual(record["index"], shown)
                    exact = exact or self.hits()
                    self.assertEqual(self.hits("--exact"), exact)
                    self.assertEqual(len(self.hits()), 5)
                    self.assertEqual(len(self.hits(*search)), 5)
                    self.assertEqual(self.hits(*search)[0], exact[0])
                    for flag, kinds in SEARCH_FLAGS.items():
                        if kind not in kinds:
                            refusal = self.tandem("search", "help", "a camera", flag, 7, fails=True)
                            self.assertIn(flag[2:].replace("-", "_") + ": 7: an index of kind", refusal)
                    out = server.folder / f"export-{release}"
                    self.tandem("release", "export-index", f"help/{release}", out)
                    self.assertEqual((out / "index.faiss").read_bytes()[:4], magic)
                    self.assertEqual(len((out / "ids.txt").read_text().splitlines()), len(DOCUMENTS))

            [record] = self.tandem("release", "create", "help", "--model", "minilm", "--id", "unasked")[-1:]
            self.assertEqual(record["index"], {"flat": {}})
            self.assertIn("--nprobe", self.tandem("release", "create", "help", "--model", "minilm", "--index", "hnsw",
                                                  "--nprobe", 3, fails=True))
            self.assertIn("index.ivf_pq.subquantizers: 7: must divide the 384 dimensions",
                          self.tandem("release", "create", "help", "--model", "minilm", "--index", "ivf-pq",
                                      "--subquantizers", 7, fails=True))


if __name__ == "__main__":
    unittest.main()
