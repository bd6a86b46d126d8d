"""Memory limits with the real programs and a real model. A trainer over --trainer-memory is ended and its job says so with
the figures, while a client searches all the time; a model or release that does not fit --memory-budget is refused with the
numbers, and what serves goes on."""
import os
import pathlib
import re
import sys
import threading
import time
import unittest

sys.path.insert(0, os.environ["TANDEM_PYTHON_PROTO"])
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from tandem_server import MODEL_DIR, Server  # noqa: E402

import grpc  # noqa: E402
from google.rpc import code_pb2  # noqa: E402
from tandem.v1 import (admin_pb2, admin_pb2_grpc, collection_pb2, collection_pb2_grpc, dataset_pb2,  # noqa: E402
                       dataset_pb2_grpc, job_pb2, job_pb2_grpc, model_pb2, model_pb2_grpc, release_pb2,
                       release_pb2_grpc, search_pb2, search_pb2_grpc, training_pb2, training_pb2_grpc)

MIB = 1 << 20
TRAINER_LIMIT_MIB = 400  # LibTorch and MiniLM's weights fit, its gradients and optimizer do not.
BUDGET_MIB = 120         # MiniLM takes about 90.
SUBJECTS = ["printer", "router", "keyboard", "monitor", "battery", "camera", "speaker", "scanner"]
LONGEST_PAUSE_S = 2  # A bound on a busy machine; what is measured is printed.


class Client:
    def __init__(self, channel):
        self.admin = admin_pb2_grpc.AdminServiceStub(channel)
        self.collections = collection_pb2_grpc.CollectionServiceStub(channel)
        self.datasets = dataset_pb2_grpc.DatasetServiceStub(channel)
        self.jobs = job_pb2_grpc.JobServiceStub(channel)
        self.models = model_pb2_grpc.ModelServiceStub(channel)
        self.releases = release_pb2_grpc.ReleaseServiceStub(channel)
        self.searches = search_pb2_grpc.SearchServiceStub(channel)
        self.training = training_pb2_grpc.TrainingServiceStub(channel)

    def import_model(self, model):
        header = model_pb2.ImportModelRequest.Header(model_id=model, revision_id="base", directory=MODEL_DIR.name)
        return list(self.models.ImportModel(iter([model_pb2.ImportModelRequest(header=header)]), timeout=120))[-1].revision.name

    def create_collection(self, collection, count):
        name = self.collections.CreateCollection(
            collection_pb2.CreateCollectionRequest(collection_id=collection), timeout=10).name
        texts = [f"How to repair the {SUBJECTS[i % len(SUBJECTS)]}, part {i}." for i in range(count)]
        for begin in range(0, count, 5000):
            documents = [collection_pb2.Document(id=str(begin + i), text=text)
                         for i, text in enumerate(texts[begin:begin + 5000])]
            self.collections.UpsertDocuments(collection_pb2.UpsertDocumentsRequest(collection=name, documents=documents),
                                             timeout=60)
        return name

    def create_release(self, collection, revision, release):
        return self.releases.CreateRelease(release_pb2.CreateReleaseRequest(
            collection=collection, release_id=release, model_revision=revision,
            index=release_pb2.IndexSpec(flat=release_pb2.FlatIndex())), timeout=60).name

    def go_live(self, collection, revision, release):
        name = self.create_release(collection, revision, release)
        *_, last = self.releases.WatchRelease(release_pb2.WatchReleaseRequest(name=name), timeout=120)
        assert last.state == release_pb2.Release.READY, last
        self.releases.PromoteRelease(release_pb2.PromoteReleaseRequest(name=name), timeout=60)
        return name

    def search(self, collection, text):
        return self.searches.Search(search_pb2.SearchRequest(collection=collection, text=text, top_k=3), timeout=30)

    def memory(self):
        return self.admin.GetServerInfo(admin_pb2.GetServerInfoRequest(), timeout=10).memory


class SearchLoop:
    """Searches one after the other; remembers errors and the longest time between two answers."""

    def __init__(self, client, collection):
        self.client, self.collection = client, collection
        self.answers, self.longest_s, self.errors = 0, 0.0, []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    def _run(self):
        last = time.monotonic()
        while not self.stopping.is_set():
            try:
                hits = self.client.search(self.collection, f"the {SUBJECTS[self.answers % len(SUBJECTS)]} is broken").hits
                if len(hits) != 3:
                    self.errors.append(f"{len(hits)} hits")
            except grpc.RpcError as error:
                self.errors.append(str(error))
            now = time.monotonic()
            self.longest_s = max(self.longest_s, now - last)
            self.answers, last = self.answers + 1, now


class MemoryLimitTest(unittest.TestCase):
    def refused(self, call):
        with self.assertRaises(grpc.RpcError) as refusal:
            call()
        self.assertEqual(refusal.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
        print("refused:", refusal.exception.details())
        return refusal.exception.details()

    def train_until_it_is_ended(self, client, base):
        client.datasets.CreateDataset(dataset_pb2.CreateDatasetRequest(dataset_id="pairs"), timeout=10)
        pairs = [dataset_pb2.Example(pair=dataset_pb2.Pair(anchor=f"{s} fault {i}", positives=[f"mend the {s}, way {i}"]))
                 for s in SUBJECTS for i in range(32)]
        list(client.datasets.AppendExamples(iter([dataset_pb2.AppendExamplesRequest(
            dataset="datasets/pairs", sequence=1, examples=pairs)]), timeout=30))
        job = client.training.Train(training_pb2.TrainRequest(
            base_revision=base, dataset="datasets/pairs",
            options=training_pb2.TrainingOptions(batch_size=64, epochs=50)), timeout=30)
        for _ in client.jobs.WatchJob(job_pb2.WatchJobRequest(name=job.name), timeout=300):
            pass
        return client.jobs.GetJob(job_pb2.GetJobRequest(name=job.name), timeout=10)

    def test_a_trainer_over_its_limit_is_ended_with_the_figures_while_the_server_serves(self):
        with Server(f"--trainer-memory={TRAINER_LIMIT_MIB}MiB") as server, grpc.insecure_channel(server.address) as channel:
            client = Client(channel)
            base = client.import_model("minilm")
            help_ = client.create_collection("help", 64)
            live = client.go_live(help_, base, "first")
            with SearchLoop(client, help_) as loop:
                time.sleep(2)
                job = self.train_until_it_is_ended(client, base)
                time.sleep(2)
            self.assertEqual(job.state, job_pb2.Job.FAILED)
            self.assertEqual(job.attempt, 1)
            self.assertEqual(job.error.code, code_pb2.RESOURCE_EXHAUSTED)
            print("job:", job.error.message)
            figures = re.search(r"used (\d+) MiB of memory, limit (\d+) MiB .*smaller batch_size", job.error.message)
            self.assertIsNotNone(figures, job.error.message)
            self.assertGreaterEqual(int(figures[1]), TRAINER_LIMIT_MIB)
            self.assertEqual(int(figures[2]), TRAINER_LIMIT_MIB)
            print(f"{loop.answers} searches, the longest time between two answers {loop.longest_s * 1000:.0f} ms")
            self.assertEqual(loop.errors, [])
            self.assertGreater(loop.answers, 20)
            self.assertLess(loop.longest_s, LONGEST_PAUSE_S)
            self.assertEqual(client.search(help_, "printer").release, live)

    def test_what_does_not_fit_the_budget_is_refused_with_the_numbers_and_the_live_release_stays(self):
        with Server(f"--memory-budget={BUDGET_MIB}MiB") as server, grpc.insecure_channel(server.address) as channel:
            client = Client(channel)
            base, other = client.import_model("minilm"), client.import_model("other")
            help_ = client.create_collection("help", 64)
            live = client.go_live(help_, base, "first")
            uses = {use.name: use.bytes for use in client.memory().uses}
            self.assertEqual(set(uses), {base, live})
            self.assertEqual(client.memory().budget_bytes, BUDGET_MIB * MIB)
            self.assertEqual(client.memory().used_bytes, sum(uses.values()))

            refusal = self.refused(lambda: client.create_release(help_, other, "second"))  # The encoder does not fit.
            self.assertRegex(refusal, rf"{other} needs [0-9.]+ MiB of memory, but [0-9.]+ MiB of the budget of "
                                      rf"{BUDGET_MIB}.0 MiB are in use \({base} [0-9.]+ MiB, {live} [0-9.]+ ")

            # The index does not fit: a vector of MiniLM takes 1.5 KiB, so what is left holds fewer than that.
            vectors = (BUDGET_MIB * MIB - uses[base]) // 1536
            large = client.create_collection("large", vectors + 1000)
            refusal = self.refused(lambda: client.create_release(large, base, "big"))
            self.assertRegex(refusal, rf"{large}/releases/big needs [0-9.]+ MiB of memory, but .* of the budget of "
                                      rf"{BUDGET_MIB}.0 MiB are in use \({base} ")
            with self.assertRaises(grpc.RpcError) as gone:  # Nothing is left of what was refused.
                client.releases.GetRelease(release_pb2.GetReleaseRequest(name=f"{large}/releases/big"), timeout=10)
            self.assertEqual(gone.exception.code(), grpc.StatusCode.NOT_FOUND)
            self.assertEqual({use.name: use.bytes for use in client.memory().uses}, uses)
            self.assertEqual(client.search(help_, "printer").release, live)


if __name__ == "__main__":
    unittest.main(verbosity=2)
