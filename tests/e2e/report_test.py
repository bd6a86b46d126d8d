"""Reports of a small training and of releases, looked at in Chromium: charts are drawn, nothing is logged, nothing else is
loaded, nothing that a user wrote becomes markup."""
import json
import pathlib
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import browser  # noqa: E402
from tandem_server import BIN, Server  # noqa: E402

MODEL = pathlib.Path(__file__).parent.parent / "golden" / "training" / "tiny_bert"
WIDTH, HEIGHT = 1200, 5600
HOSTILE = ["<script>console.error('broken in')</script>", '"><img src="http://198.51.100.1/x.png" onerror="alert(1)">',
           "control \x01\x1b[31m bytes", "\u202eright to left\u2067 مرحبا", "long " * 20000, "'single' & \"double\""]
TOPICS = ["printer", "router", "keyboard", "monitor", "battery", "camera", "speaker", "scanner", "tablet", "laptop"]
FAULTS = ["is broken", "is slow", "was stolen", "is too loud", "makes no sound", "has no power"]
PAIRS = [(f"my {t} {f}", f"what to do when a {t} {f}, step by step") for t in TOPICS for f in FAULTS]
PAIRS += [(text, f"an answer to {text}") for text in HOSTILE]
RECTANGLES = """[...document.querySelectorAll("figure > svg")].map(svg => { const r = svg.getBoundingClientRect();
    return {name: svg.getAttribute("aria-label"), left: r.left, top: r.top, right: r.right, bottom: r.bottom}; })"""


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class ReportTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        assert browser.CHROMIUM, "no Chromium: deploy/setup.sh --with-test-tools installs it"
        cls.server = cls.enterClassContext(Server())
        cls.folder = cls.server.folder
        cls.tandem("model", "import", MODEL, "--model", "tiny", "--revision", "base")
        cls.tandem("dataset", "create", "faq")
        cls.tandem("dataset", "append", "faq",
                   jsonl(cls.folder / "pairs.jsonl", [{"anchor": q, "positives": [a]} for q, a in PAIRS]))
        cls.tandem("train", "--base", "tiny/base", "--dataset", "faq", "--batch-size", "8", "--epochs", "8", "--lr", "1e-3",
                   "--validation-fraction", "0.2", "--evaluation-steps", "8", "--checkpoint-steps", "16", "--watch")
        cls.job = cls.tandem("job", "list")[0]["name"]

    @classmethod
    def tandem(cls, *arguments, code=0):
        result = subprocess.run([BIN / "tandem", "--server", cls.server.address, "--json", *map(str, arguments)],
                                capture_output=True, text=True, timeout=300, cwd=cls.folder)
        assert result.returncode == code, f"{arguments}\n{result.stdout}\n{result.stderr}"
        return [json.loads(line) for line in result.stdout.splitlines()] if code == 0 else result.stderr

    def report(self, *arguments):
        path = self.folder / self.tandem("report", *arguments)[-1]["file"]
        ElementTree.fromstring(path.read_text(encoding="utf-8").replace("<!DOCTYPE html>", "", 1))  # Well-formed.
        return path

    def look(self, page, width=WIDTH, height=HEIGHT):
        """The colours of each chart, by its name, after a visit that logged nothing and asked for nothing."""
        picture = self.folder / "page.png"
        visit = browser.screenshot(page, picture, width, height, scale=0.5)
        self.assertEqual(visit.console, [])
        self.assertEqual(visit.asked, [])
        pixels = browser.Picture(picture)
        self.assertEqual((pixels.width, pixels.height), (width // 2, height // 2))
        charts = {}
        for rectangle in browser.measure(page, RECTANGLES, width, height):
            self.assertLess(rectangle["bottom"], height, f"{rectangle['name']} is below the screenshot")
            charts[rectangle["name"]] = pixels.colours(*(rectangle[side] / 2 for side in ("left", "top", "right", "bottom")))
        return pixels, charts

    def assert_drawn(self, charts, names):
        self.assertEqual(sorted(charts), sorted(names))
        for name, colours in charts.items():
            total = sum(colours.values())
            inked = total - max(colours.values())
            self.assertGreater(len(colours), 12, f"{name} has hardly a colour")
            self.assertGreater(inked, 0.01 * total, f"{name} is blank")
            coloured = sum(n for (r, g, b), n in colours.items() if max(r, g, b) - min(r, g, b) > 60)
            self.assertGreater(coloured, 20, f"{name} has axes and nothing else")

    def test_a_training_is_drawn(self):
        page = self.report("job", self.job)
        pixels, charts = self.look(page)
        self.assert_drawn(charts, [
            "Lengths of texts in tokens", "Training loss over steps", "Learning rate over steps", "Gradient norm over steps",
            "Examples a second over steps", "Metrics before and after training",
            "Validation scores over steps", "Validation loss over steps",
            "Validation alignment over steps", "Validation uniformity over steps",
            "Histogram of cosines before training", "Histogram of cosines after training", "Map before training",
            "Map after training"])
        self.assertEqual(pixels.pixel(2, 2), (255, 255, 255))
        text = page.read_text(encoding="utf-8")
        self.assertIn("evenly spread", text)
        self.assertIn("base model → step", text)
        event = next(e["comparison"] for e in self.tandem("job", "watch", self.job) if "comparison" in e)
        for side in ("before", "after"):
            figure = event["metrics"][0][side]
            self.assertIn("{:.4f} <span class=\"soft\">[{:.4f}, {:.4f}]".format(*(figure[k] for k in ("value", "lower", "upper"))), text)
        self.assertAlmostEqual(event["before"]["retrieval"]["ndcg_at_10"], event["metrics"][0]["before"]["value"])
        self.assertTrue(event["rose"])
        for change in event["rose"] + event["fell"]:
            self.assertTrue(any(q.startswith(change["text"].rstrip("…")) for q, _ in PAIRS), change)
        self.assertNotIn("place of a query", text)
        self.assertIn("best nDCG@10", text)
        self.assertIn("checkpoint at step 16", text)
        self.assertIn("objectives[0].loss.info_nce", text)
        for shown in (">Training data<", f"faq up to commit {len(PAIRS)}, analysed by job", "first texts"):
            self.assertIn(shown, text)
        for raw in ("<script", "<img", "\x01", "\x1b", "\u202e", "long " * 1000):
            self.assertNotIn(raw, text)
        self.assertLess(len(text), 1_000_000)

    def test_a_dataset_is_analysed_once_for_all_reports_and_can_be_left_out(self):
        analyses = lambda: [job["name"] for job in self.tandem("job", "list") if job["kind"] == "ANALYZE_DATASET"]
        self.report("job", self.job, "--texts", "0", "--out", "first.html")
        before = analyses()
        self.assertTrue(before)
        page = self.report("job", self.job, "--texts", "0", "--out", "second.html")
        self.assertEqual(analyses(), before)
        self.assertIn(">Training data<", page.read_text(encoding="utf-8"))
        page = self.report("job", self.job, "--texts", "0", "--no-analysis", "--out", "without.html")
        self.assertNotIn(">Training data<", page.read_text(encoding="utf-8"))

    def test_objectives_that_take_turns_have_a_curve_each(self):
        self.tandem("dataset", "create", "graded")
        self.tandem("dataset", "append", "graded", jsonl(self.folder / "graded.jsonl", [
            {"first": q, "second": a, "score": i % 5 / 4} for i, (q, a) in enumerate(PAIRS)]))
        self.tandem("train", "--base", "tiny/base", "--objective", "faq:info_nce", "--objective", "graded:cosent",
                    "--batch-size", "8", "--epochs", "2", "--watch")
        page = self.report("job", self.tandem("job", "list")[0]["name"], "--texts", "0", "--out", "objectives.html")
        _, charts = self.look(page)
        for name in ("Training loss of objective 0 over steps", "Training loss of objective 1 over steps",
                     "Metrics before and after training"):
            self.assertIn(name, charts)
        self.assertNotIn("Training loss over steps", charts)
        self.assertIn("objective 1: cosent on graded", page.read_text(encoding="utf-8"))

    def test_a_page_is_dark_for_those_who_want_it_and_fits_a_telephone(self):
        page = self.report("job", self.job, "--texts", "20", "--out", "small.html")
        picture = self.folder / "dark.png"
        browser.screenshot(page, picture, 400, 400, dark=True)
        self.assertLess(max(browser.Picture(picture).pixel(2, 2)), 60)
        for width in (390, WIDTH):
            self.assertLessEqual(browser.measure(page, "document.documentElement.scrollWidth", width, 800), width)

    def test_a_cancelled_job_and_one_that_trains_still_have_pages(self):
        self.tandem("train", "--base", "tiny/base", "--dataset", "faq", "--epochs", "1000", "--batch-size", "2", "--detach")
        job = self.tandem("job", "list")[0]["name"]
        running = self.report("job", job, "--out", "running.html")
        self.assertNotIn("Map before training", running.read_text(encoding="utf-8"))
        self.tandem("job", "cancel", job)
        self.tandem("job", "watch", job, code=1)
        page = self.report("job", job, "--out", "cancelled.html")
        self.look(page, height=3000)
        text = page.read_text(encoding="utf-8")
        self.assertIn(">cancelled<", text)
        self.assertIn("has made no model revision", text)

    def test_a_release_is_drawn(self):
        self.tandem("collection", "create", "help")
        self.tandem("document", "import", "help", jsonl(self.folder / "documents.jsonl", [
            {"id": str(i), "text": a, "payload": {}} for i, (_, a) in enumerate(PAIRS)]))
        self.tandem("evaluation", "create", "help", "--id", "golden", "--gate", jsonl(self.folder / "queries.jsonl", [
            {"text": q, "judgements": [{"document": str(i), "grade": 1}]} for i, (q, _) in enumerate(PAIRS[:40])]))
        for revision, release in (("tiny", "new"), ("tiny/base", "old")):
            self.tandem("release", "create", "help", "--model", revision, "--id", release, "--index", "hnsw")
            self.tandem("release", "promote", "help/" + release, "--override", HOSTILE[0])
        page = self.report("release", "help/old")
        self.assertEqual(page.name, "release-help-old.html")
        _, charts = self.look(page, height=2400)
        self.assert_drawn(charts, ["Difference of nDCG@10 with its 95% interval"])
        text = page.read_text(encoding="utf-8")
        for shown in ("refused, and overridden", "&lt;script&gt;console.error", ">live<", "hnsw", "index recall@10"):
            self.assertIn(shown, text)
        self.assertNotIn("<script", text)

    def test_what_cannot_be_reported_is_said(self):
        self.assertIn("jobs/nothing", self.tandem("report", "job", "nothing", code=1))
        self.assertIn("cannot be written", self.tandem("report", "job", self.job, "--texts", "0", "--out", "no/such/file",
                                                       code=1))

    def test_this_test_would_notice_a_page_that_logs_or_loads(self):
        bad = self.folder / "bad.html"
        bad.write_text("<!DOCTYPE html><body><script>console.error('x')</script><img src='http://198.51.100.1/x.png'/></body>")
        visit = browser.screenshot(bad, self.folder / "bad.png", 300, 300)
        self.assertTrue(visit.console)
        self.assertTrue(any("198.51.100.1" in line for line in visit.asked), visit.asked)


if __name__ == "__main__":
    unittest.main(verbosity=2)
