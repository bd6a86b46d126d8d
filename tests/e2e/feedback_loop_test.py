"""The feedback loop of a running server: simulated users judge what Search returned, rounds train, build and promote by
themselves, and one that learned from poison is refused by the gate. The server is killed in the middle of a round.
tests/bench/feedback_loop.py does the same with a real model on real queries."""
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
sys.path.insert(0, os.environ["TANDEM_PYTHON_PROTO"])
from tandem_server import BIN, Server  # noqa: E402

import grpc  # noqa: E402
from tandem.v1 import (collection_pb2, collection_pb2_grpc, dataset_pb2, dataset_pb2_grpc, release_pb2,  # noqa: E402
                       release_pb2_grpc, search_pb2, search_pb2_grpc)

TINY = pathlib.Path(__file__).parent.parent / "golden" / "training" / "tiny_bert"
TOPICS = ["printer", "router", "keyboard", "monitor", "battery", "camera", "speaker", "scanner", "tablet", "laptop"]
FAULTS = ["is broken", "is slow", "was stolen", "is too loud", "makes no sound", "has no power"]
DOCUMENTS = [f"what to do when a {topic} {fault}" for topic in TOPICS for fault in FAULTS]
# The evaluation set's phrasing; feedback comes on others.
JUDGED = "please help, the {0} of my sister {1} since yesterday"
PHRASINGS = ["my {0} {1}", "our {0} {1} again", "hello, the {0} here {1}", "why is it that this {0} {1}"]
RETRAIN_AFTER = 100
HITS = len(DOCUMENTS)
RELEVANT, NOT_RELEVANT = search_pb2.SendFeedbackRequest.RELEVANT, search_pb2.SendFeedbackRequest.NOT_RELEVANT


def queries(phrasing):
    """(text, id of the document that answers it) of every topic and fault."""
    texts = [phrasing.format(topic, fault) for topic in TOPICS for fault in FAULTS]
    return [(text, f"d{i}") for i, text in enumerate(texts)]


class FeedbackLoopTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server())
        cls.random = random.Random(5)
        cls.tandem("model", "import", TINY, "--model", "tiny", "--revision", "base")
        cls.tandem("collection", "create", "faq")
        cls.tandem("document", "import", "faq", "-",
                   stdin=cls.lines({"id": f"d{i}", "text": text} for i, text in enumerate(DOCUMENTS)))
        cls.tandem("evaluation", "create", "faq", "-", "--id", "e", "--gate", stdin=cls.lines(
            {"text": text, "judgements": [{"document": document}]} for text, document in queries(JUDGED)))
        cls.tandem("release", "create", "faq", "--model", "tiny", "--id", "base")
        cls.tandem("release", "promote", "faq/base")
        cls.connect()

    @classmethod
    def connect(cls):
        channel = grpc.insecure_channel(cls.server.address)
        cls.search = search_pb2_grpc.SearchServiceStub(channel)
        cls.collections = collection_pb2_grpc.CollectionServiceStub(channel)
        cls.datasets = dataset_pb2_grpc.DatasetServiceStub(channel)
        cls.releases = release_pb2_grpc.ReleaseServiceStub(channel)

    @classmethod
    def tandem(cls, *arguments, stdin=None):
        done = subprocess.run([BIN / "tandem", "--server", cls.server.address, "--json", *map(str, arguments)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, input=stdin, timeout=120)
        if done.returncode != 0:
            raise AssertionError(f"tandem {arguments}: {done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    @staticmethod
    def lines(rows):
        return "".join(json.dumps(row) + "\n" for row in rows)

    def collection(self):
        return self.collections.GetCollection(collection_pb2.GetCollectionRequest(name="collections/faq"), timeout=10)

    def ndcg(self):
        """Of the live release, on the evaluation set."""
        live = self.releases.GetRelease(release_pb2.GetReleaseRequest(name=self.collection().live_release), timeout=10)
        self.assertEqual(live.evaluation.evaluation_set, "collections/faq/evaluationSets/e")
        return live.evaluation.metrics.ndcg_at_10

    def send(self, search_id, document, judgement):
        self.search.SendFeedback(search_pb2.SendFeedbackRequest(search_id=search_id, document=document,
                                                                judgement=judgement), timeout=10)

    def users_judge(self, phrasing, poisoned=False):
        """Asks, finds the answer among the hits, and says so; says no to the hit that stood first in its place."""
        for text, answer in queries(phrasing):
            reply = self.search.Search(search_pb2.SearchRequest(collection="collections/faq", text=text, top_k=HITS),
                                       timeout=30)
            ids = [hit.id for hit in reply.hits]
            wrong = self.random.choice([hit for hit in ids if hit != answer])
            if poisoned:
                self.send(reply.search_id, wrong, RELEVANT)
                if answer in ids:
                    self.send(reply.search_id, answer, NOT_RELEVANT)
            elif answer in ids:
                self.send(reply.search_id, answer, RELEVANT)
                if ids[0] != answer:
                    self.send(reply.search_id, ids[0], NOT_RELEVANT)

    def wait_for_round(self, number, timeout=240):
        deadline = time.monotonic() + timeout
        while True:
            last = self.collection().feedback.last
            if last.number >= number and last.outcome not in ("training", "building"):
                return last
            self.assertLess(time.monotonic(), deadline, f"round {number} did not end: {last}\n{self.server.log_text()}")
            time.sleep(0.2)

    def give_until_round(self, number, phrasings, poisoned=False):
        for phrasing in phrasings:
            self.users_judge(phrasing, poisoned)
            for _ in range(10):  # The round begins within a second of the judgement that was enough for it.
                if self.collection().feedback.last.number >= number:
                    return
                time.sleep(0.2)
        self.fail(f"the feedback was not enough for round {number}")

    def test_two_rounds_help_and_a_poisoned_one_is_refused(self):
        self.tandem("dataset", "create", "clicks")
        training = {"options": {"epochs": 10, "learning_rate": 1e-3, "batch_size": 16, "validation_fraction": 0}}
        [collection] = self.tandem("feedback", "policy", "faq", "--dataset", "clicks", "--retrain-after", RETRAIN_AFTER,
                                   "--training", json.dumps(training))
        self.assertEqual(collection["feedback"]["dataset"], "datasets/clicks")
        self.assertEqual(collection["feedback"]["training"]["options"]["epochs"], 10)
        measured = [self.ndcg()]

        self.give_until_round(1, PHRASINGS[:2] * 2)
        self.server.stop(signal.SIGKILL)  # The round goes on.
        self.server.start()
        self.connect()
        self.assertEqual(self.wait_for_round(1).outcome, "promoted")
        measured.append(self.ndcg())
        self.give_until_round(2, PHRASINGS[1:] * 2)
        last = self.wait_for_round(2)
        self.assertEqual(last.outcome, "promoted")
        self.assertEqual(self.collection().live_release, last.release)
        measured.append(self.ndcg())
        print("nDCG@10 on an evaluation set that feedback never touches:", measured)
        self.assertGreater(measured[1], measured[0] + 0.02)
        self.assertGreater(measured[2], measured[1])

        for round_number in (3, 4):  # What is left of the good feedback may still carry the first poisoned round.
            self.give_until_round(round_number, PHRASINGS * 4, poisoned=True)
            last = self.wait_for_round(round_number)
            if last.outcome.startswith("refused: "):
                break
        self.assertIn("refused: ", last.outcome)
        self.assertIn("nDCG@10", last.outcome)
        self.assertGreater(self.ndcg(), measured[0])
        [shown] = self.tandem("feedback", "show", "faq")
        self.assertEqual(shown["feedback"]["last"]["outcome"], last.outcome)

        # An acknowledged judgement is on disk, counts once, and a search that is not known is refused.
        reply = self.search.Search(search_pb2.SearchRequest(collection="collections/faq", text="a new one"), timeout=30)
        before = self.commit()
        for _ in range(3):
            self.send(reply.search_id, reply.hits[0].id, RELEVANT)
        self.assertEqual(self.commit(), before + 1)
        for search_id, document in (("nobody", "d1"), (reply.search_id, "not there")):
            with self.assertRaises(grpc.RpcError) as refused:
                self.send(search_id, document, RELEVANT)
            self.assertEqual(refused.exception.code(), grpc.StatusCode.NOT_FOUND)
        self.server.stop(signal.SIGKILL)
        self.server.start()
        self.connect()
        self.assertEqual(self.commit(), before + 1)
        self.tandem("feedback", "policy", "faq", "--off")
        with self.assertRaises(grpc.RpcError) as refused:
            self.send(reply.search_id, reply.hits[1].id, RELEVANT)
        self.assertIn(refused.exception.code(), (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND))

    def commit(self):
        return self.datasets.GetDataset(dataset_pb2.GetDatasetRequest(name="datasets/clicks"), timeout=10).commit


if __name__ == "__main__":
    unittest.main(verbosity=2)
