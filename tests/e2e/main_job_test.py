"""The main job through the CLI, small: import, upload, release, train, release, promote, search, roll back; a server that is
killed in between; an exported revision. What the demo does on real data, in a minute."""
import json
import pathlib
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from tandem_server import BIN, MODEL_DIR, Server  # noqa: E402

SUBJECTS = ["printer", "router", "keyboard", "monitor", "battery", "camera", "speaker", "scanner", "tablet", "laptop",
            "charger", "headset"]
FAULTS = {"is broken": "Replace the {} at the service desk.", "is slow": "Restart the {} and install its updates.",
          "was stolen": "Report the lost {} to the police and to us.", "is too loud": "Clean the fan of the {}."}
PAIRS = [(f"my {s} {f}", answer.format(s)) for s in SUBJECTS for f, answer in FAULTS.items()]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def tensors(directory):
    """Names in model.safetensors: 8 bytes of length, then a JSON header."""
    with open(directory / "model.safetensors", "rb") as file:
        return set(json.loads(file.read(int.from_bytes(file.read(8), "little")))) - {"__metadata__"}


class MainJobTest(unittest.TestCase):
    def tandem(self, *arguments, code=0):
        result = subprocess.run([BIN / "tandem", "--server", self.server.address, "--json", *map(str, arguments)],
                                capture_output=True, text=True, timeout=300)
        self.assertEqual(result.returncode, code, f"{arguments}\n{result.stdout}\n{result.stderr}")
        return [json.loads(line) for line in result.stdout.splitlines()] if code == 0 else result.stderr

    def hits(self, text):
        return [(hit["id"], round(hit["score"], 5)) for hit in self.tandem("search", "help", text)[-1]["hits"]]

    def test_the_main_job_survives_kills(self):
        self.server = Server()
        with self.server as server:
            files = server.folder
            self.tandem("model", "import", MODEL_DIR, "--model", "minilm", "--revision", "base")
            self.tandem("dataset", "create", "faq")
            self.tandem("dataset", "append", "faq",
                        jsonl(files / "pairs.jsonl", [{"anchor": q, "positives": [a]} for q, a in PAIRS]))
            self.tandem("collection", "create", "help")
            self.tandem("document", "import", "help",
                        jsonl(files / "documents.jsonl", [{"id": str(i), "text": a, "payload": {"n": i}}
                                                          for i, (_, a) in enumerate(PAIRS)]))
            self.tandem("evaluation", "create", "help", "--id", "golden", "--gate", jsonl(files / "queries.jsonl", [
                {"text": q, "judgements": [{"document": str(i), "grade": 1}]} for i, (q, _) in enumerate(PAIRS)]))
            self.tandem("release", "create", "help", "--model", "models/minilm/revisions/base", "--id", "old")
            self.tandem("release", "promote", "help/old")

            server.stop(signal.SIGKILL)
            server.start()
            before = self.hits("my router is slow")
            self.tandem("train", "--base", "minilm", "--dataset", "faq", "--batch-size", "8", "--epochs", "4",
                        "--validation-fraction", "0", "--seed", "1", "--watch")
            self.assertEqual(self.hits("my router is slow"), before)  # Training alone changes no answer.
            self.tandem("release", "create", "help", "--model", "minilm", "--id", "new", "--index", "hnsw")
            self.tandem("release", "promote", "help/new")
            old, new = (self.tandem("release", "show", f"help/{r}")[0]["evaluation"]["metrics"] for r in ("old", "new"))
            self.assertGreater(new["ndcg_at_10"], old["ndcg_at_10"])
            after = self.hits("my router is slow")
            self.assertNotEqual(after, before)

            server.stop(signal.SIGKILL)
            server.start()
            self.assertEqual(self.hits("my router is slow"), after)
            self.tandem("release", "rollback", "help")
            self.assertEqual(self.hits("my router is slow"), before)
            self.tandem("release", "promote", "help/new")
            self.assertEqual(self.hits("my router is slow"), after)

            exported = files / "exported"
            self.tandem("model", "export", "minilm", exported)
            self.assertEqual(tensors(exported), tensors(MODEL_DIR) - {"embeddings.position_ids"})
            self.tandem("model", "import", exported, "--model", "copy")
            texts = ["my router is slow", "报告丢失的笔记本电脑"]
            one, two = (self.tandem("embed", "--model", m, "--role", "query", *texts) for m in ("minilm", "copy"))
            self.assertEqual(len(one), 2)
            self.assertEqual(one, two)

            self.assertIn("top_k", self.tandem("search", "help", "x", "--top-k", "0", code=1))
            self.assertEqual(server.stop(), 0)
            self.assertNotIn("error", server.log_text().lower())
            server.start()


if __name__ == "__main__":
    unittest.main(verbosity=2)
