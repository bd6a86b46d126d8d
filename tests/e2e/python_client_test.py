"""A Python client made with the command that README.md prints calls Train, WatchJob, Embed, UpsertDocuments and Search, and
then runs the README's Python example word for word."""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from tandem_server import Server  # noqa: E402

import grpc  # noqa: E402

ROOT = pathlib.Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()


def printed_block(language, containing):
    blocks = re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S)
    return next(block for block in blocks if containing in block)


class PythonClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        command = printed_block("sh", "grpc_python_plugin")
        work = pathlib.Path(cls.folder.name)
        (work / "proto").symlink_to(ROOT / "proto")
        subprocess.run(["bash", "-ec", command], cwd=work, check=True)
        sys.path.insert(0, str(work / "generated"))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_the_main_job(self):
        from google.rpc import error_details_pb2, status_pb2
        from tandem.v1 import (collection_pb2, collection_pb2_grpc, dataset_pb2, dataset_pb2_grpc, embedding_pb2,
                               embedding_pb2_grpc, job_pb2, job_pb2_grpc, model_pb2, model_pb2_grpc, release_pb2,
                               release_pb2_grpc, search_pb2, search_pb2_grpc, training_pb2, training_pb2_grpc, types_pb2)

        with Server() as server, grpc.insecure_channel(server.address) as channel:
            models = model_pb2_grpc.ModelServiceStub(channel)
            header = model_pb2.ImportModelRequest.Header(model_id="minilm", directory="all-MiniLM-L6-v2")
            imported = list(models.ImportModel(iter([model_pb2.ImportModelRequest(header=header)]), timeout=60))
            base = imported[-1].revision
            self.assertEqual(base.contract.dimensions, 384)
            self.assertEqual(base.contract.max_length, 256)

            embed = embedding_pb2_grpc.EmbeddingServiceStub(channel).Embed
            answer = embed(embedding_pb2.EmbedRequest(model=base.name, texts=["one", "two three", ""],
                                                      role=types_pb2.QUERY, encoding=types_pb2.PACKED_FLOAT32), timeout=60)
            self.assertEqual([e.token_count for e in answer.embeddings], [3, 4, 2])
            self.assertTrue(all(len(e.vector.packed) == 4 * 384 for e in answer.embeddings))

            with self.assertRaises(grpc.RpcError) as refused:
                embed(embedding_pb2.EmbedRequest(model=base.name, texts=["x"]), timeout=60)
            self.assertEqual(refused.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
            details = dict(refused.exception.trailing_metadata())["grpc-status-details-bin"]
            status = status_pb2.Status.FromString(details)
            bad_request = error_details_pb2.BadRequest()
            self.assertTrue(status.details[0].Unpack(bad_request))
            self.assertEqual(bad_request.field_violations[0].field, "role")

            datasets = dataset_pb2_grpc.DatasetServiceStub(channel)
            datasets.CreateDataset(dataset_pb2.CreateDatasetRequest(dataset_id="pairs"), timeout=10)
            pairs = [dataset_pb2.Example(pair=dataset_pb2.Pair(anchor=f"question {i}", positives=[f"answer {i}"]))
                     for i in range(12)]
            pairs.append(dataset_pb2.Example(pair=dataset_pb2.Pair(anchor="no positive")))
            append = dataset_pb2.AppendExamplesRequest(dataset="datasets/pairs", sequence=1, request_id="upload",
                                                       examples=pairs)
            for _ in range(2):  # The same message twice is stored once.
                [stored] = datasets.AppendExamples(iter([append]), timeout=10)
                self.assertEqual((stored.accepted, stored.commit), (12, 12))
                self.assertEqual([(e.index, e.field) for e in stored.errors], [(12, "pair.positives")])

            train = training_pb2.TrainRequest(base_revision=base.name, dataset="datasets/pairs", request_id="once")
            train.options.batch_size = 4
            train.options.validation_fraction = 0
            training = training_pb2_grpc.TrainingServiceStub(channel)
            job = training.Train(train, timeout=10)
            self.assertEqual(training.Train(train, timeout=10).name, job.name)
            jobs = job_pb2_grpc.JobServiceStub(channel)
            events = []
            for event in jobs.WatchJob(job_pb2.WatchJobRequest(name=job.name), timeout=300):
                events.append(event)
                if event.HasField("step"):
                    break  # The stream breaks; go on where it was.
            last = events[-1].sequence
            events += jobs.WatchJob(job_pb2.WatchJobRequest(name=job.name, after_sequence=last), timeout=300)
            sequences = [e.sequence for e in events if e.WhichOneof("event") != "heartbeat"]
            self.assertEqual(sequences, list(range(1, len(sequences) + 1)))
            self.assertEqual(events[-1].state_changed, job_pb2.Job.SUCCEEDED)
            self.assertEqual([e.step.step for e in events if e.HasField("step")], [1, 2, 3])
            tuned = jobs.GetJob(job_pb2.GetJobRequest(name=job.name), timeout=10).model_revision
            self.assertNotEqual(tuned, base.name)

            collections = collection_pb2_grpc.CollectionServiceStub(channel)
            collections.CreateCollection(collection_pb2.CreateCollectionRequest(collection_id="answers"), timeout=10)
            search = search_pb2_grpc.SearchServiceStub(channel)
            query = search_pb2.SearchRequest(collection="collections/answers", text="answer 3", top_k=3)
            with self.assertRaises(grpc.RpcError) as refused:
                search.Search(query, timeout=10)
            self.assertEqual(refused.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
            documents = [collection_pb2.Document(id=str(i), text=f"answer {i}") for i in range(12)]
            collections.UpsertDocuments(
                collection_pb2.UpsertDocumentsRequest(collection="collections/answers", documents=documents), timeout=10)

            releases = release_pb2_grpc.ReleaseServiceStub(channel)
            release = releases.CreateRelease(release_pb2.CreateReleaseRequest(
                collection="collections/answers", model_revision=tuned,
                index=release_pb2.IndexSpec(hnsw=release_pb2.HnswIndex(m=8))), timeout=10)
            *_, ready = releases.WatchRelease(release_pb2.WatchReleaseRequest(name=release.name), timeout=120)
            self.assertEqual(ready.state, release_pb2.Release.READY)
            promoted = releases.PromoteRelease(release_pb2.PromoteReleaseRequest(name=release.name), timeout=60)
            self.assertEqual(promoted.release.state, release_pb2.Release.LIVE)

            hits = search.Search(query, timeout=10)
            self.assertEqual(hits.hits[0].document.text, "answer 3")
            written = collections.UpsertDocuments(collection_pb2.UpsertDocumentsRequest(
                collection="collections/answers",
                documents=[collection_pb2.Document(id="new", text="a text about volcanoes")]), timeout=10)
            query.text = "volcanoes"
            query.min_commit = written.commit
            hits = search.Search(query, timeout=30)
            self.assertEqual(hits.hits[0].id, "new")
            self.assertGreaterEqual(hits.commit, written.commit)
            scores = [hit.score for hit in hits.hits]
            self.assertEqual(scores, sorted(scores, reverse=True))
            vector = embed(embedding_pb2.EmbedRequest(model=tuned, texts=["volcanoes"], role=types_pb2.QUERY), timeout=10)
            by_vector = search.Search(search_pb2.SearchRequest(
                collection="collections/answers", top_k=3,
                vector=search_pb2.VectorQuery(vector=vector.embeddings[0].vector, model_revision=tuned)), timeout=10)
            self.assertEqual([h.id for h in by_vector.hits], [h.id for h in hits.hits])
            with self.assertRaises(grpc.RpcError) as refused:  # The untrained model's vector means nothing here.
                search.Search(search_pb2.SearchRequest(
                    collection="collections/answers",
                    vector=search_pb2.VectorQuery(vector=vector.embeddings[0].vector, model_revision=base.name)), timeout=10)
            self.assertEqual(refused.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
            like = search.Search(search_pb2.SearchRequest(
                collection="collections/answers", documents=search_pb2.DocumentsQuery(ids=["3"]), top_k=20), timeout=10)
            self.assertEqual(len(like.hits), 12)
            self.assertNotIn("3", [hit.id for hit in like.hits])

            example = printed_block("python", "search_pb2").replace("127.0.0.1:7700", server.address)
            result = subprocess.run([sys.executable, "-c", example], cwd=self.folder.name, capture_output=True, text=True)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(len(result.stdout.splitlines()), 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
