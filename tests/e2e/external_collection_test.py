"""A collection whose clients bring the vectors, from the command line: import, release, search, payloads, and what it refuses."""
import json
import pathlib
import random
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from tandem_server import BIN, Server  # noqa: E402

DIMENSIONS = 12


class ExternalCollectionTest(unittest.TestCase):
    def tandem(self, *arguments, stdin=None, fails=False):
        """The JSON lines that it prints; with `fails` the exit code and what it says on stderr."""
        done = subprocess.run([BIN / "tandem", "--server", self.server.address, "--json", *map(str, arguments)],
                              capture_output=True, text=True, input=stdin, timeout=60)
        if fails:
            self.assertNotEqual(done.returncode, 0, done.stdout)
            return done.stderr
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def search(self, vector, *arguments):
        file = self.server.folder / "vector.json"
        file.write_text(json.dumps(vector))
        (answer,) = self.tandem("search", "docs", "--vector-file", file, *arguments)
        return answer["hits"]

    def test_from_import_to_search_without_a_model(self):
        chance = random.Random(5)
        vectors = {f"d{i}": [chance.gauss(0, 1) for _ in range(DIMENSIONS)] for i in range(400)}
        with Server() as self.server:
            (made,) = self.tandem("collection", "create", "docs", "--dimensions", DIMENSIONS, "--metric", "inner-product")
            self.assertEqual(made["external"], {"dimensions": DIMENSIONS, "metric": "INNER_PRODUCT"})
            lines = "".join(json.dumps({"id": i, "vector": v, "payload": {"n": int(i[1:]) % 7}}) + "\n"
                            for i, v in vectors.items())
            self.tandem("document", "import", "docs", "-", stdin=lines)
            said = self.tandem("document", "import", "docs", "-", fails=True,
                               stdin=json.dumps({"id": "short", "vector": [1, 2]}) + "\n")
            self.assertIn("2 values: the collection's vectors have 12", said)
            self.assertIn("vector", self.tandem("document", "upsert", "docs", "text only", fails=True))
            self.tandem("release", "create", "docs", "--id", "r1", "--index", "flat")
            self.tandem("release", "promote", "docs/r1")

            query = [chance.gauss(0, 1) for _ in range(DIMENSIONS)]
            best = sorted(vectors, key=lambda i: -sum(a * b for a, b in zip(query, vectors[i])))[:10]
            hits = self.search(query)
            self.assertEqual([hit["id"] for hit in hits], best)
            for hit in hits:
                self.assertAlmostEqual(hit["score"], sum(a * b for a, b in zip(query, vectors[hit["id"]])), 4)
            (release,) = self.tandem("release", "show", "docs/r1")
            self.assertEqual(release["model_revision"], "")
            self.assertEqual(release["contract"]["dimensions"], DIMENSIONS)

            (updated,) = self.tandem("document", "update-payload", "docs", best[0], '{"new": [1], "n": null}', "--merge")
            hit = self.search(query, "--min-commit", updated["commit"], "--top-k", 1)[0]
            self.assertEqual((hit["id"], hit["document"]["payload"]), (best[0], {"new": [1.0]}))
            said = self.tandem("document", "update-payload", "docs", "--file", "-", fails=True, stdin="".join(
                json.dumps({"id": i, "payload": {"k": i}}) + "\n" for i in (best[1], "nobody")))
            self.assertIn('"nobody"', said)
            (document,) = self.tandem("document", "get", "docs", best[1])
            self.assertEqual(document["payload"], {"k": best[1]})

            self.assertIn("bring their vectors", self.tandem("search", "docs", "a text", fails=True))
            said = self.tandem("evaluation", "create", "docs", "-", fails=True,
                               stdin='{"text": "q", "judgements": [{"document": "d1"}]}\n')
            self.assertIn("bring their vectors", said)
            self.tandem("collection", "create", "texts")
            said = self.tandem("document", "import", "texts", "-", fails=True, stdin='{"id": "a", "text": "t", "vector": [1]}\n')
            self.assertIn("EXTERNAL", said)


if __name__ == "__main__":
    unittest.main(verbosity=2)
