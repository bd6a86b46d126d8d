"""The calls that the benchmarks make, over the Python client that protoc generates in TANDEM_PYTHON_PROTO."""

import json
import os
import sys
import threading
import time

sys.path.insert(0, os.environ["TANDEM_PYTHON_PROTO"])

import grpc  # noqa: E402
from google.protobuf import duration_pb2  # noqa: E402
from tandem.v1 import (collection_pb2, collection_pb2_grpc, dataset_pb2, dataset_pb2_grpc, job_pb2,  # noqa: E402
                       job_pb2_grpc, model_pb2, model_pb2_grpc, release_pb2, release_pb2_grpc, search_pb2,
                       search_pb2_grpc, training_pb2, training_pb2_grpc)

CHANNEL_OPTIONS = [("grpc.use_local_subchannel_pool", 1)]  # A connection of its own for each channel.
UPLOAD_BATCH = 500


def read_jsonl(path, limit=None):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for _, line in zip(range(limit or sys.maxsize), file)]


class Tandem:
    """One connection to a server. Methods block until the thing is done and raise grpc.RpcError. Thread-safe."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address, CHANNEL_OPTIONS)
        self.collections = collection_pb2_grpc.CollectionServiceStub(self.channel)
        self.datasets = dataset_pb2_grpc.DatasetServiceStub(self.channel)
        self.jobs = job_pb2_grpc.JobServiceStub(self.channel)
        self.models = model_pb2_grpc.ModelServiceStub(self.channel)
        self.releases = release_pb2_grpc.ReleaseServiceStub(self.channel)
        self.search = search_pb2_grpc.SearchServiceStub(self.channel)
        self.training = training_pb2_grpc.TrainingServiceStub(self.channel)

    def import_model(self, directory, model):
        """A directory's name below --model-import-dir; returns the revision's name."""
        header = model_pb2.ImportModelRequest.Header(model_id=model, revision_id="base", directory=directory)
        *_, last = self.models.ImportModel(iter([model_pb2.ImportModelRequest(header=header)]), timeout=120)
        return last.revision.name

    def create_dataset(self, dataset, pairs):
        """Pairs of anchor and positive."""
        name = self.datasets.CreateDataset(dataset_pb2.CreateDatasetRequest(dataset_id=dataset), timeout=10).name
        examples = [dataset_pb2.Example(pair=dataset_pb2.Pair(anchor=a, positives=[p])) for a, p in pairs]
        requests = (dataset_pb2.AppendExamplesRequest(dataset=name if i == 0 else "", sequence=i // UPLOAD_BATCH + 1,
                                                      examples=examples[i:i + UPLOAD_BATCH])
                    for i in range(0, len(examples), UPLOAD_BATCH))
        stored = sum(answer.accepted for answer in self.datasets.AppendExamples(requests, timeout=120))
        assert stored == len(pairs), f"{stored} of {len(pairs)} pairs were taken"
        return name

    def create_collection(self, collection, documents, rollback_window_s=86400):
        """Documents as {"id", "text", ...}; returns the collection's name."""
        request = collection_pb2.CreateCollectionRequest(
            collection_id=collection, rollback_window=duration_pb2.Duration(seconds=rollback_window_s))
        name = self.collections.CreateCollection(request, timeout=10).name
        for i in range(0, len(documents), UPLOAD_BATCH):
            self.upsert(name, [(d["id"], d["text"]) for d in documents[i:i + UPLOAD_BATCH]])
        return name

    def upsert(self, collection, documents, timeout=60):
        """(id, text) pairs; returns the commit."""
        request = collection_pb2.UpsertDocumentsRequest(
            collection=collection, documents=[collection_pb2.Document(id=i, text=t) for i, t in documents])
        return self.collections.UpsertDocuments(request, timeout=timeout).commit

    def create_evaluation_set(self, collection, queries, margin=None):
        """(text, document id) pairs; the collection's gate uses it from then on."""
        made = self.collections.CreateEvaluationSet(collection_pb2.CreateEvaluationSetRequest(
            collection=collection, queries=[
                collection_pb2.EvaluationQuery(text=t, judgements=[collection_pb2.Judgement(document=d, grade=1)])
                for t, d in queries]), timeout=60)
        update = collection_pb2.UpdateCollectionRequest(name=collection)
        update.update_mask.paths.append("gate")
        update.gate.evaluation_set = made.name
        if margin is not None:
            update.gate.margin = margin
        self.collections.UpdateCollection(update, timeout=10)
        return made.name

    def start_release(self, collection, revision, release, hnsw=False):
        index = release_pb2.IndexSpec(flat=release_pb2.FlatIndex())
        if hnsw:
            index.hnsw.SetInParent()
        return self.releases.CreateRelease(release_pb2.CreateReleaseRequest(
            collection=collection, release_id=release, model_revision=revision, index=index), timeout=60).name

    def wait_release(self, name, timeout=1200):
        *_, last = self.releases.WatchRelease(release_pb2.WatchReleaseRequest(name=name), timeout=timeout)
        assert last.state == release_pb2.Release.READY, f"{name} did not become READY:\n{last}"
        return last

    def get_release(self, name):
        return self.releases.GetRelease(release_pb2.GetReleaseRequest(name=name), timeout=30)

    def cancel_release(self, name):
        self.releases.CancelRelease(release_pb2.CancelReleaseRequest(name=name), timeout=30)

    def promote(self, name, override_reason="", timeout=120):
        return self.releases.PromoteRelease(
            release_pb2.PromoteReleaseRequest(name=name, override_reason=override_reason), timeout=timeout)

    def train(self, revision, dataset, target_model="", **options):
        """Starts a training job; options are the fields of TrainingOptions."""
        return self.training.Train(training_pb2.TrainRequest(
            base_revision=revision, dataset=dataset, target_model=target_model,
            options=training_pb2.TrainingOptions(**options)), timeout=30).name

    def wait_job(self, name, timeout=1200):
        for _ in self.jobs.WatchJob(job_pb2.WatchJobRequest(name=name), timeout=timeout):
            pass
        job = self.jobs.GetJob(job_pb2.GetJobRequest(name=name), timeout=30)
        assert job.state == job_pb2.Job.SUCCEEDED, f"{name} did not succeed:\n{job}"
        return job

    def cancel_job(self, name):
        self.jobs.CancelJob(job_pb2.CancelJobRequest(name=name), timeout=30)
        for _ in self.jobs.WatchJob(job_pb2.WatchJobRequest(name=name), timeout=60):
            pass


class TrainingSteps:
    """Notes when each step of a running job ended, by the trainer's own clock (seconds since the epoch)."""

    def __init__(self, tandem, job):
        self.times = []
        self.stream = tandem.jobs.WatchJob(job_pb2.WatchJobRequest(name=job))
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            for event in self.stream:
                if event.HasField("step"):
                    self.times.append(event.time.ToNanoseconds() / 1e9)
        except grpc.RpcError:
            pass  # Cancelled with the benchmark.

    def wait_for(self, steps, timeout=120):
        deadline = time.monotonic() + timeout
        while len(self.times) < steps:
            assert time.monotonic() < deadline, f"the job made {len(self.times)} of {steps} steps in {timeout} s"
            time.sleep(0.1)

    def rate(self, begin, end):
        """Steps a second between two times: whole steps over the time that they took."""
        inside = [t for t in self.times if begin <= t <= end]
        return (len(inside) - 1) / (inside[-1] - inside[0]) if len(inside) > 2 else float("nan")
