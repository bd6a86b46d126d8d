"""Negatives mined over a real collection by a running server, each checked against a search of all documents that is made
here; a training on the result; cancels, stops and kills while a job runs."""
import math
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
sys.path.insert(0, os.environ["TANDEM_PYTHON_PROTO"])
from tandem_server import BIN, MODEL_DIR, Server  # noqa: E402

import grpc  # noqa: E402
from tandem.v1 import (collection_pb2, collection_pb2_grpc, dataset_pb2, dataset_pb2_grpc, embedding_pb2,  # noqa: E402
                       embedding_pb2_grpc, job_pb2, job_pb2_grpc, release_pb2, release_pb2_grpc, training_pb2,
                       training_pb2_grpc, types_pb2)

TINY = pathlib.Path(__file__).parent.parent / "golden" / "training" / "tiny_bert"
TOPICS = ["printer", "router", "keyboard", "monitor", "battery", "camera", "speaker", "scanner", "tablet", "laptop"]
FAULTS = ["is broken", "is slow", "was stolen", "is too loud", "makes no sound", "has no power"]
PAIRS = [(f"my {topic} {fault}", f"what to do when a {topic} {fault}") for topic in TOPICS for fault in FAULTS]
OTHERS = [f"how to clean a {topic}" for topic in TOPICS] + [f"where to buy a {topic}" for topic in TOPICS]
DOCUMENTS = [answer for _, answer in PAIRS] + OTHERS
MANY = 4000
# Scores here and there differ in the last bits; a document this close to a limit may be on either side of it.
TOLERANCE = 1e-5


def cosine(a, b):
    product = sum(x * y for x, y in zip(a, b))
    return product / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


class MiningTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server())
        for model, directory in (("minilm", MODEL_DIR), ("tiny", TINY)):
            subprocess.run([BIN / "tandem", "--server", cls.server.address, "model", "import", directory, "--model", model,
                            "--revision", "base"], check=True, timeout=120, stdout=subprocess.DEVNULL)
        cls.connect()
        cls.add_pairs("faq", PAIRS)
        cls.add_pairs("many", [(f"my {i} {PAIRS[i % 60][0]}", PAIRS[i % 60][1]) for i in range(MANY)])
        for collection in ("answers", "others"):
            cls.collections.CreateCollection(collection_pb2.CreateCollectionRequest(collection_id=collection), timeout=10)
            cls.collections.UpsertDocuments(collection_pb2.UpsertDocumentsRequest(
                collection=f"collections/{collection}",
                documents=[collection_pb2.Document(id=str(i), text=text) for i, text in enumerate(DOCUMENTS)]), timeout=30)

    @classmethod
    def connect(cls):
        cls.channel = grpc.insecure_channel(cls.server.address)
        cls.collections = collection_pb2_grpc.CollectionServiceStub(cls.channel)
        cls.datasets = dataset_pb2_grpc.DatasetServiceStub(cls.channel)
        cls.embedding = embedding_pb2_grpc.EmbeddingServiceStub(cls.channel)
        cls.jobs = job_pb2_grpc.JobServiceStub(cls.channel)
        cls.releases = release_pb2_grpc.ReleaseServiceStub(cls.channel)
        cls.training = training_pb2_grpc.TrainingServiceStub(cls.channel)

    @classmethod
    def add_pairs(cls, dataset, pairs):
        cls.datasets.CreateDataset(dataset_pb2.CreateDatasetRequest(dataset_id=dataset), timeout=10)
        examples = [dataset_pb2.Example(pair=dataset_pb2.Pair(anchor=a, positives=[p])) for a, p in pairs]
        request = dataset_pb2.AppendExamplesRequest(dataset=f"datasets/{dataset}", sequence=1, examples=examples)
        list(cls.datasets.AppendExamples(iter([request]), timeout=60))

    @classmethod
    def go_live(cls, collection, model):
        release = cls.releases.CreateRelease(release_pb2.CreateReleaseRequest(
            collection=f"collections/{collection}", model_revision=f"models/{model}/revisions/base",
            index=release_pb2.IndexSpec(flat=release_pb2.FlatIndex())), timeout=10)
        *_, ready = cls.releases.WatchRelease(release_pb2.WatchReleaseRequest(name=release.name), timeout=120)
        assert ready.state == release_pb2.Release.READY, ready
        cls.releases.PromoteRelease(release_pb2.PromoteReleaseRequest(name=release.name, override_reason="a test"),
                                    timeout=60)
        return release.name

    def watch(self, job):
        """The events of the job to its end, and the job then."""
        events = list(self.jobs.WatchJob(job_pb2.WatchJobRequest(name=job.name), timeout=300))
        return events, self.jobs.GetJob(job_pb2.GetJobRequest(name=job.name), timeout=10)

    def examples(self, dataset):
        pairs, request = [], dataset_pb2.ListExamplesRequest(dataset=dataset, page_size=1000)
        while True:
            page = self.datasets.ListExamples(request, timeout=10)
            pairs += [item.example.pair for item in page.items]
            if not page.next_page_token:
                return pairs
            request.page_token = page.next_page_token

    def vectors(self, texts, role):
        answer = self.embedding.Embed(embedding_pb2.EmbedRequest(model="models/minilm/revisions/base", texts=texts, role=role),
                                      timeout=120)
        return [list(e.vector.values) for e in answer.embeddings]

    def assert_refused(self, code, call, request):
        with self.assertRaises(grpc.RpcError) as refused:
            call(request, timeout=10)
        self.assertEqual(refused.exception.code(), code, refused.exception.details())
        return refused.exception.details()

    def is_running(self, job):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            state = self.jobs.GetJob(job_pb2.GetJobRequest(name=job.name), timeout=10)
            if state.state == job_pb2.Job.RUNNING:
                return True
            time.sleep(0.02)
        return False

    def mine_many(self, target):
        request = training_pb2.MineNegativesRequest(dataset="datasets/many", collection="collections/others",
                                                    target_dataset=f"datasets/{target}")
        job = self.training.MineNegatives(request, timeout=60)
        self.assertTrue(self.is_running(job), job)
        return job

    def check_many(self, job, dataset, attempts):
        _, done = self.watch(job)
        self.assertEqual(done.state, job_pb2.Job.SUCCEEDED, done)
        self.assertEqual(done.attempt, attempts)
        pairs = self.examples(dataset)
        self.assertEqual([pair.anchor for pair in pairs], [f"my {i} {PAIRS[i % 60][0]}" for i in range(MANY)])
        self.assertEqual(sum(len(pair.negatives) for pair in pairs), done.mining.negatives)
        self.assertEqual({len(pair.negatives) for pair in pairs}, {5})

    def test_a_mining_job_and_a_training_on_its_result(self):
        request = training_pb2.MineNegativesRequest(dataset="datasets/faq", collection="collections/answers",
                                                    target_dataset="datasets/mined", request_id="once",
                                                    only_with_negatives=True)
        request.mining.negatives = 4
        request.mining.min_rank = 2
        request.mining.max_rank = 30
        request.mining.margin = 0.02
        self.assert_refused(grpc.StatusCode.FAILED_PRECONDITION, self.training.MineNegatives, request)  # No live release.
        release = self.go_live("answers", "minilm")
        job = self.training.MineNegatives(request, timeout=30)
        self.assertEqual(self.training.MineNegatives(request, timeout=30).name, job.name)
        self.assertEqual((job.kind, job.dataset, job.collection, job.target_dataset),
                         (job_pb2.Job.MINE_NEGATIVES, "datasets/faq", "collections/answers", "datasets/mined"))
        events, done = self.watch(job)
        self.assertEqual(done.state, job_pb2.Job.SUCCEEDED, done)
        self.assertEqual((done.step, done.total_steps), (60, 60))
        self.assertIn("progress", [event.WhichOneof("event") for event in events])
        self.check_result(done.mining, release)

        train = training_pb2.TrainRequest(base_revision="models/tiny", dataset="datasets/mined")
        train.loss.triplet.mining = train.loss.triplet.EXPLICIT
        train.options.batch_size = 16
        train.options.validation_fraction = 0
        _, trained = self.watch(self.training.Train(train, timeout=10))
        self.assertEqual(trained.state, job_pb2.Job.SUCCEEDED, trained)
        self.assertNotEqual(trained.model_revision, "")

    def check_result(self, result, release):
        """Against all documents, ranked here."""
        anchors = self.vectors([anchor for anchor, _ in PAIRS], types_pb2.QUERY)
        documents = self.vectors(DOCUMENTS, types_pb2.DOCUMENT)
        found = {pair.anchor: pair for pair in self.examples("datasets/mined")}
        negatives, positive_scores, negative_scores, without = 0, [], [], 0
        for (anchor, positive), vector in zip(PAIRS, anchors):
            scores = {text: cosine(vector, document) for text, document in zip(DOCUMENTS, documents)}
            limit = scores[positive] - 0.02
            ranked = sorted((text for text in DOCUMENTS if text != positive), key=lambda text: -scores[text])
            expected = [text for text in ranked[1:30] if scores[text] <= limit][:4]
            positive_scores.append(scores[positive])
            without += not expected
            if not expected:
                self.assertNotIn(anchor, found)
                continue
            pair = found[anchor]
            self.assertEqual(list(pair.positives), [positive])
            self.assertEqual(len(set(pair.negatives)), len(pair.negatives))
            self.assertNotIn(positive, pair.negatives)
            self.assertEqual(len(pair.negatives), len(expected), anchor)
            for text, wanted in zip(pair.negatives, expected):
                self.assertAlmostEqual(scores[text], scores[wanted], delta=TOLERANCE)
                self.assertLessEqual(scores[text], limit + TOLERANCE)
                better = sum(scores[other] > scores[text] + TOLERANCE for other in ranked)
                self.assertLess(better, 30)  # Rank 30 at most;
                self.assertLess(scores[text], scores[ranked[0]] + TOLERANCE)  # 2 at least.
            negatives += len(pair.negatives)
            negative_scores += [scores[text] for text in pair.negatives]
        self.assertEqual(result.dataset, "datasets/mined")
        self.assertEqual((result.first_commit, result.last_commit, result.pairs), (1, len(found), len(found)))
        self.assertEqual(result.pairs_without_negatives, without)
        self.assertEqual(result.negatives, negatives)
        self.assertGreater(negatives, 60)  # The check is about something.
        self.assertEqual((result.release, result.release_commit), (release, len(DOCUMENTS)))
        self.assertAlmostEqual(result.mean_positive_score, sum(positive_scores) / 60, delta=TOLERANCE)
        self.assertAlmostEqual(result.mean_negative_score, sum(negative_scores) / negatives, delta=TOLERANCE)

    def test_cancel_stop_and_kill_while_a_job_runs(self):
        self.go_live("others", "minilm")  # Takes seconds for so many anchors: the calls below come while it runs.
        job = self.mine_many("cancelled")
        self.assert_refused(grpc.StatusCode.FAILED_PRECONDITION, self.datasets.DeleteDataset,
                            dataset_pb2.DeleteDatasetRequest(name="datasets/many"))
        self.assert_refused(grpc.StatusCode.FAILED_PRECONDITION, self.collections.DeleteCollection,
                            collection_pb2.DeleteCollectionRequest(name="collections/others"))
        self.jobs.CancelJob(job_pb2.CancelJobRequest(name=job.name), timeout=10)
        _, done = self.watch(job)
        self.assertEqual(done.state, job_pb2.Job.CANCELLED)
        self.assert_refused(grpc.StatusCode.NOT_FOUND, self.datasets.GetDataset,
                            dataset_pb2.GetDatasetRequest(name="datasets/cancelled"))
        for target, end in (("stopped", signal.SIGTERM), ("killed", signal.SIGKILL)):
            with self.subTest(target):
                job = self.mine_many(target)
                self.server.stop(end)
                self.server.start()
                self.connect()
                self.check_many(job, f"datasets/{target}", attempts=2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
