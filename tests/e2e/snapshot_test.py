"""Snapshots between two running servers through the command line, kills while they are made and restored, and the
comparison of two releases as a job."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
sys.path.insert(0, os.environ["TANDEM_PYTHON_PROTO"])
from tandem_server import BIN, Server  # noqa: E402

import grpc  # noqa: E402
from tandem.v1 import (job_pb2, job_pb2_grpc, search_pb2, search_pb2_grpc, snapshot_pb2,  # noqa: E402
                       snapshot_pb2_grpc)

TINY = pathlib.Path(__file__).parent.parent / "golden" / "training" / "tiny_bert"
TOPICS = ["printer", "router", "keyboard", "monitor", "battery", "camera", "speaker", "scanner", "tablet", "laptop"]
FAULTS = ["is broken", "is slow", "was stolen", "is too loud", "makes no sound", "has no power"]
DOCUMENTS = [f"what to do when a {topic} {fault}" for topic in TOPICS for fault in FAULTS]
QUERIES = [f"my {topic} {fault}" for topic in TOPICS for fault in FAULTS]


def tandem(server, *arguments, stdin=None, check=True):
    done = subprocess.run([BIN / "tandem", "--server", server.address, "--json", *map(str, arguments)], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, input=stdin, timeout=120)
    if check and done.returncode != 0:
        raise AssertionError(f"tandem {arguments}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()] if check else done


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def answers(server, collection):
    """Release, commit and (id, score) of every hit of every query."""
    stub = search_pb2_grpc.SearchServiceStub(grpc.insecure_channel(server.address))
    found = []
    for query in QUERIES:
        reply = stub.Search(search_pb2.SearchRequest(collection=f"collections/{collection}", text=query), timeout=30)
        found.append((reply.release.split("/")[-1], reply.commit, [(hit.id, hit.score) for hit in reply.hits]))
    return found


class SnapshotTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.here = cls.enterClassContext(Server())
        cls.there = cls.enterClassContext(Server())
        server = cls.here
        tandem(server, "model", "import", TINY, "--model", "tiny", "--revision", "base")
        tandem(server, "collection", "create", "faq")
        tandem(server, "document", "import", "faq", "-",
               stdin=lines({"id": f"d{i}", "text": text} for i, text in enumerate(DOCUMENTS)))
        tandem(server, "evaluation", "create", "faq", "-", "--id", "e", "--gate",
               stdin=lines({"text": text, "judgements": [{"document": f"d{i}"}]} for i, text in enumerate(QUERIES)))
        for release, index in (("flat", "flat"), ("hnsw", "hnsw")):
            tandem(server, "release", "create", "faq", "--model", "tiny", "--id", release, "--index", index)
        tandem(server, "release", "promote", "faq/flat")
        tandem(server, "document", "import", "faq", "-", stdin=lines([{"id": "late", "text": "a late document"}]))
        tandem(server, "document", "delete", "faq", "d7")

    def carry(self, snapshot):
        """The tar file of a snapshot, unpacked where the other server looks for it."""
        tar = self.here.folder / f"{snapshot}.tar"
        tandem(self.here, "snapshot", "download", snapshot, tar)
        target = self.there.folder / "data" / "snapshots" / "default"
        target.mkdir(parents=True, exist_ok=True)
        subprocess.run(["tar", "-C", target, "-xf", tar], check=True)
        return target / snapshot

    def test_a_restored_collection_answers_the_same_on_another_server(self):
        [job] = tandem(self.here, "snapshot", "create", "faq", "--id", "moved")
        self.assertEqual(job["state"], "SUCCEEDED")
        self.assertEqual(job["snapshot"]["documents"], "60")
        self.assertEqual(job["snapshot"]["release"], "collections/faq/releases/flat")
        listed = {s["name"]: s for s in tandem(self.here, "snapshot", "list")}
        self.assertEqual(listed["snapshots/moved"]["bytes"], job["snapshot"]["bytes"])
        self.carry("moved")
        [restored] = tandem(self.there, "snapshot", "restore", "moved", "--as", "faq2")
        self.assertEqual(restored["snapshot"]["collection"], "collections/faq2")
        self.assertEqual(restored["snapshot"]["model_revision"], "models/tiny/revisions/base")
        expected = answers(self.here, "faq")
        self.assertEqual(answers(self.there, "faq2"), expected)
        self.assertGreater(len(expected[0][2]), 5)
        self.there.stop()
        self.there.start()
        self.assertEqual(answers(self.there, "faq2"), expected)
        # The other server's own copy of the model is what embeds what comes next.
        tandem(self.there, "document", "import", "faq2", "-", stdin=lines([{"id": "new", "text": QUERIES[0]}]))
        self.assertIn("new", [hit for hit, _ in answers(self.there, "faq2")[0][2]])
        tandem(self.here, "snapshot", "delete", "moved")
        self.assertNotIn("snapshots/moved", [s["name"] for s in tandem(self.here, "snapshot", "list")])

    def test_a_damaged_file_is_named_and_nothing_is_made(self):
        tandem(self.here, "snapshot", "create", "faq", "--id", "damaged")
        snapshot = self.carry("damaged")
        [vectors] = snapshot.glob("release/sealed-*/vectors.f32")
        data = bytearray(vectors.read_bytes())
        data[len(data) // 2] ^= 1
        vectors.write_bytes(data)
        failed = tandem(self.there, "snapshot", "restore", "damaged", "--as", "never", check=False)
        self.assertNotEqual(failed.returncode, 0)
        self.assertIn(f"release/{vectors.parent.name}/vectors.f32 is damaged", failed.stderr)
        self.assertNotIn("collections/never", [c["name"] for c in tandem(self.there, "collection", "list")])
        for refused, reason in ((("restore", "nowhere"), "not found"), (("create", "nothing"), "not found"),
                                (("restore", "UPPER"), "snapshot_id"), (("create", "faq", "--id", "damaged"), "exists")):
            done = tandem(self.here, "snapshot", *refused, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(reason, done.stderr)

    def test_kills_while_jobs_run_leave_neither_half_a_snapshot_nor_half_a_collection(self):
        for i in range(6):
            [job] = tandem(self.here, "snapshot", "create", "faq", "--id", f"killed{i}", "--detach")
            time.sleep(0.01 * i)
            self.restart(self.here)
            self.finish(self.here, job["name"])
            [job] = tandem(self.here, "snapshot", "restore", f"killed{i}", "--as", f"again{i}", "--detach")
            time.sleep(0.01 * i)
            self.restart(self.here)
            self.finish(self.here, job["name"])
            expected = answers(self.here, "faq")
            self.assertEqual(answers(self.here, f"again{i}"), expected)
        data = self.here.folder / "data"
        names = [p.name for p in data.rglob("*") if p.is_dir()]
        self.assertEqual([name for name in names if name.startswith(".staging")], [])
        for i in range(6):
            tandem(self.here, "snapshot", "delete", f"killed{i}")
            tandem(self.here, "collection", "delete", f"again{i}")

    def restart(self, server):
        server.stop(signal.SIGKILL)
        server.start()

    def finish(self, server, job):
        jobs = job_pb2_grpc.JobServiceStub(grpc.insecure_channel(server.address))
        for _ in jobs.WatchJob(job_pb2.WatchJobRequest(name=job), timeout=60):
            pass
        done = jobs.GetJob(job_pb2.GetJobRequest(name=job), timeout=10)
        self.assertEqual(done.state, job_pb2.Job.SUCCEEDED, done)

    def test_an_identical_request_id_starts_one_job(self):
        stub = snapshot_pb2_grpc.SnapshotServiceStub(grpc.insecure_channel(self.here.address))
        request = snapshot_pb2.CreateSnapshotRequest(collection="collections/faq", request_id="once")
        first = stub.CreateSnapshot(request, timeout=10)
        self.assertEqual(stub.CreateSnapshot(request, timeout=10).name, first.name)
        self.finish(self.here, first.name)

    def test_two_releases_are_compared_by_a_job(self):
        [job] = tandem(self.here, "release", "compare", "faq/flat", "faq/hnsw", "--set", "faq/e", "--top-k", "5")
        comparison = job["comparison"]
        self.assertEqual((comparison["queries"], comparison["top_k"]), (60, 5))
        # One encoder, and an index that misses nothing in so few documents.
        self.assertEqual(comparison["overlap_at_k"], 1)
        self.assertEqual(comparison["ndcg_difference"], {"value": 0, "lower": 0, "upper": 0})
        self.assertGreater(comparison["first"]["metrics"]["ndcg_at_10"], 0)
        people = subprocess.run([BIN / "tandem", "--server", self.here.address, "job", "show", job["name"]], check=True,
                                stdout=subprocess.PIPE, text=True).stdout
        self.assertIn("overlap@5 1.0000", people)
        self.assertIn("nDCG@10", people)
        queries = self.here.folder / "queries.txt"
        queries.write_text("\n".join(QUERIES[:7]) + "\n")
        [job] = tandem(self.here, "release", "compare", "faq/flat", "faq/hnsw", "--queries", queries)
        self.assertEqual(job["comparison"]["queries"], 7)
        self.assertFalse(job["comparison"]["first"].get("metrics"))
        refused = tandem(self.here, "release", "compare", "faq/flat", "faq/gone", "--set", "faq/e", check=False)
        self.assertIn("not found", refused.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
