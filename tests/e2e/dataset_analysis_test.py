"""A dataset with planted faults, analysed through the command line: each fault is found, counted, and said with what to change."""
import json
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from tandem_server import BIN, Server  # noqa: E402

MODEL = pathlib.Path(__file__).parent.parent / "golden" / "training" / "tiny_bert"
CLEAN = [{"anchor": f"question {i} about the {thing}", "positives": [f"answer {i}: look at the {thing}"]}
         for i, thing in enumerate(["printer", "router", "keyboard", "monitor", "battery", "camera"] * 7)]
LONG = "a text that never seems to end " * 40


def planted():
    """The rows of training, and by the kind of its finding what was done to them."""
    rows = list(CLEAN)
    rows += [CLEAN[0], CLEAN[0]]                                                                  # commits 43, 44
    rows.append({"anchor": "  Question 1 ABOUT the router", "positives": CLEAN[1]["positives"]})  # 45
    rows += [{"anchor": "is it safe", "positives": ["yes"], "negatives": ["no"]},                 # 46
             {"anchor": "is it safe", "positives": ["no"]}]                                       # 47
    rows.append({"anchor": LONG, "positives": ["short"]})                                         # 48
    rows.append({"anchor": "the same", "positives": ["the same"]})                                # 49
    return rows


class DatasetAnalysisTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server())
        cls.tandem("model", "import", MODEL, "--model", "tiny", "--revision", "base")
        cls.append("pairs", planted())
        cls.append("held", [CLEAN[3], {"anchor": "QUESTION 4 about the battery", "positives": ["elsewhere"]},
                            {"anchor": "asked here only", "positives": ["answered here only"]}])
        cls.append("classes", [{"text": f"text {i}", "label": "many"} for i in range(30)] +
                   [{"text": "one", "label": "few"}, {"text": "text 3", "label": "few"}])

    @classmethod
    def run_tandem(cls, *arguments, code=0):
        result = subprocess.run([BIN / "tandem", "--server", cls.server.address, *map(str, arguments)],
                                capture_output=True, text=True, timeout=120, cwd=cls.server.folder)
        assert result.returncode == code, f"{arguments}\n{result.stdout}\n{result.stderr}"
        return result

    @classmethod
    def tandem(cls, *arguments):
        return [json.loads(line) for line in cls.run_tandem("--json", *arguments).stdout.splitlines()]

    @classmethod
    def append(cls, dataset, rows):
        path = cls.server.folder / f"{dataset}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        cls.tandem("dataset", "create", dataset)
        cls.tandem("dataset", "append", dataset, path)

    def analyze(self, *arguments):
        job = self.tandem("dataset", "analyze", *arguments)[-1]
        self.assertEqual((job["kind"], job["state"]), ("ANALYZE_DATASET", "SUCCEEDED"))
        return job

    def test_each_planted_fault_is_found(self):
        job = self.analyze("pairs", "--validation-dataset", "held", "--base", "tiny", "--max-length", "32",
                           "--batch-size", "16")
        analysis = job["analysis"]
        self.assertEqual(analysis["dataset"], "datasets/pairs")
        self.assertEqual(int(analysis["examples"]), 49)
        self.assertEqual(analysis["base_revision"], "models/tiny/revisions/base")
        self.assertEqual(analysis["max_length"], 32)
        counted = {name: (int(analysis[name]["count"]), [int(commit) for commit in analysis[name]["commits"]])
                   for name in ("exact_duplicates", "folded_duplicates", "contradictions", "equal_to_anchor",
                                "several_positives", "shared_anchors")}
        self.assertEqual(counted, {"exact_duplicates": (2, [43, 44]), "folded_duplicates": (1, [45]),
                                   "contradictions": (1, [47]), "equal_to_anchor": (1, [49]),
                                   "several_positives": counted["several_positives"], "shared_anchors": (2, [1, 2])})
        self.assertEqual(counted["several_positives"][0], 2)  # "is it safe", and the repeated question.
        self.assertGreater(analysis["false_negatives"], 0)
        self.assertEqual(analysis["first_lengths"]["truncated"], {"count": "1", "commits": ["48"]})
        self.assertGreater(int(analysis["first_lengths"]["longest"]), 200)
        severities = {finding["kind"]: finding["severity"] for finding in analysis["findings"]}
        self.assertEqual(severities["contradictions"], "ERROR")
        self.assertEqual(severities["shared_anchors"], "ERROR")
        self.assertEqual(severities["exact_duplicates"], "WARNING")
        self.assertEqual(severities["folded_duplicates"], "NOTE")
        order = ["ERROR", "WARNING", "NOTE"]
        ranks = [order.index(finding["severity"]) for finding in analysis["findings"]]
        self.assertEqual(ranks, sorted(ranks))

    def test_people_read_counts_a_histogram_and_what_to_change(self):
        said = self.run_tandem("dataset", "analyze", "pairs", "--validation-dataset", "held", "--base", "tiny",
                               "--max-length", "32").stdout
        flat = " ".join(said.split())  # Long sentences are wrapped.
        for part in ("pairs up to commit 49", "held up to commit 3", "cut at 32", "commits 43, 44",
                     "lengths of first texts", "longer than 32: 1 of 49", "█", "findings: ", "leave repeated examples out",
                     "delete them from"):
            self.assertIn(part, flat)
        self.assertLess(said.index("\nerror "), said.index("\nwarning "))

    def test_a_dataset_without_faults_and_one_of_classes(self):
        self.append("clean", CLEAN)
        analysis = self.analyze("clean")["analysis"]
        self.assertEqual(analysis["findings"], [])
        self.assertNotIn("first_lengths", {name for name, value in analysis.items() if value})
        analysis = self.analyze("classes", "--base", "tiny")["analysis"]
        self.assertEqual(analysis["labels"]["largest"], "many")
        self.assertEqual(int(analysis["conflicting_labels"]["count"]), 1)
        self.assertIn("labels", {finding["kind"] for finding in analysis["findings"]})

    def test_a_job_that_nobody_waits_for_keeps_its_result_over_a_restart(self):
        job = self.tandem("dataset", "analyze", "pairs", "--detach", "--request-id", "once")[-1]
        self.assertEqual(self.tandem("dataset", "analyze", "pairs", "--detach", "--request-id", "once")[-1]["name"],
                         job["name"])
        watched = self.run_tandem("job", "watch", job["name"]).stdout
        self.assertIn("findings: ", watched)
        self.assertIn(job["name"].split("/")[1], self.run_tandem("job", "list").stdout)
        self.server.stop()
        self.server.start()
        shown = self.tandem("job", "show", job["name"])[-1]
        self.assertEqual(int(shown["analysis"]["exact_duplicates"]["count"]), 2)
        self.assertIn("errors" if self.errors(shown) > 1 else "error", self.run_tandem("job", "list").stdout)
        self.tandem("job", "delete", job["name"])

    @staticmethod
    def errors(job):
        return sum(finding["severity"] == "ERROR" for finding in job["analysis"]["findings"])

    def test_what_cannot_be_analysed_is_said(self):
        self.tandem("dataset", "create", "empty")
        for arguments, message in ((["empty"], "has no examples"), (["nothing"], "datasets/nothing"),
                                   (["pairs", "--dataset-commit", "50"], "dataset_commit"),
                                   (["pairs", "--max-length", "64"], "base_revision"),
                                   (["pairs", "--validation-dataset", "pairs"], "validation_dataset")):
            self.assertIn(message, self.run_tandem("dataset", "analyze", *arguments, code=1).stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
