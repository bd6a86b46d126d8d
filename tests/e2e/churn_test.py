"""Churn in an EXTERNAL collection: random upserts, deletions, payload updates, searches, seals, builds, promotions, rollbacks
and SIGKILLs, against a model of what was acknowledged. Every answer of a search is checked against the state of the very
commit that it names: of a flat index, and of an exact search, ids and order; of a graph that each hit is current and has its
score. After each restart every document is compared. Memory and files are printed and, from five minutes on, must stay flat.

    churn_test.py [--minutes 1] [--seed 1] [--kills-per-minute 6]

Vectors have small whole numbers and the metric is the inner product, so a score is the same in any order of summation.
"""
import argparse
import bisect
import collections
import os
import pathlib
import queue
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.environ["TANDEM_PYTHON_PROTO"])
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
from tandem_server import Server  # noqa: E402

import grpc  # noqa: E402
from google.protobuf import json_format, struct_pb2  # noqa: E402
from tandem.v1 import (collection_pb2, collection_pb2_grpc, release_pb2, release_pb2_grpc, search_pb2,  # noqa: E402
                       search_pb2_grpc, types_pb2)

COLLECTION = "collections/churn"
DIMENSIONS = 16
IDS = 2000          # Of which about two thirds are documents at any time.
SEAL_FRESH = 150
KEEP_VERSIONS = 500
MIX = {"upsert": 45, "delete": 14, "update payloads": 14, "own write": 12, "get": 10, "count": 5}  # Of 100 operations.
GOING_DOWN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
Release = release_pb2.Release
Version = collections.namedtuple("Version", "commit vector text payload")  # vector None: a deletion.


def struct(payload):
    return json_format.ParseDict(payload, struct_pb2.Struct())


class Model:
    """What was acknowledged, commit by commit. Writers: one thread. Old states are forgotten when they are asked for no more."""

    def __init__(self):
        self.head = 0
        self.versions = {}  # Id -> its versions, by commit.

    def current(self, document):
        versions = self.versions.get(document)
        return versions[-1] if versions and versions[-1].vector is not None else None

    def put(self, document, vector, text, payload):
        self.head += 1
        self.versions.setdefault(document, []).append(Version(self.head, vector, text, payload))

    def documents(self):
        return sorted(document for document in self.versions if self.current(document))

    def at(self, commit):
        """Id -> version of the state at a commit."""
        state = {}
        for document, versions in self.versions.items():
            place = bisect.bisect_right(versions, commit, key=lambda version: version.commit)
            if place and versions[place - 1].vector is not None:
                state[document] = versions[place - 1]
        return state

    def forget_before(self, commit):
        for document, versions in list(self.versions.items()):
            place = bisect.bisect_right(versions, commit, key=lambda version: version.commit)
            del versions[:max(place - 1, 0)]
            if versions[-1].vector is None and versions[-1].commit <= commit:
                del self.versions[document]


class Client:
    def __init__(self, address):
        self.channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
        self.collections = collection_pb2_grpc.CollectionServiceStub(self.channel)
        self.releases = release_pb2_grpc.ReleaseServiceStub(self.channel)
        self.searches = search_pb2_grpc.SearchServiceStub(self.channel)


class Churn:
    def __init__(self, server, options):
        self.server, self.options = server, options
        self.random = random.Random(options.seed)
        self.model = Model()
        self.counts = collections.Counter()
        self.failures = []
        self.unchecked = queue.Queue()  # (request, answer) of searches beside the writer.
        self.stopping = threading.Event()
        self.kinds = {}  # Release -> kind of its index, as it was asked for.
        self.client = Client(server.address)
        self.samples = []

    # ---- The server's life.

    def call(self, make):
        """Repeats `make(client)`, with the same request, over deaths of the server."""
        while True:
            try:
                return make(self.client)
            except grpc.RpcError as error:
                if error.code() not in GOING_DOWN:
                    raise
                self.revive()

    def revive(self):
        if self.server.process.poll() is None:
            time.sleep(0.02)
            return
        self.server.log.close()
        begin = time.monotonic()
        while True:
            try:
                self.server.start()
                break
            except RuntimeError:  # Killed while it started.
                if self.server.process.poll() != -signal.SIGKILL:
                    raise
        self.client.channel.close()
        self.client = Client(self.server.address)
        self.counts["restarts"] += 1
        self.counts["restart ms"] += round((time.monotonic() - begin) * 1000)
        self.must_check = True

    def kill_loop(self):
        chance = random.Random(self.options.seed + 1)
        while not self.stopping.wait(chance.expovariate(self.options.kills_per_minute / 60)):
            if self.server.process.poll() is None:
                self.server.process.send_signal(signal.SIGKILL)
                self.server.process.wait()
                self.counts["kills"] += 1

    # ---- The writer.

    def vector(self):
        return tuple(self.random.randint(-20, 20) for _ in range(DIMENSIONS))

    def payload(self):
        return {key: self.random.choice([1.0, "two", True, [3.0, "4"], None, {"five": 6.5}])
                for key in self.random.sample("abcde", self.random.randint(0, 4))}

    def ids(self, most):
        return [f"d{i}" for i in self.random.sample(range(IDS), self.random.randint(1, most))]

    def upsert(self):
        before = self.model.head
        documents = []
        for document in self.ids(40):
            old = self.model.current(document)
            text = old.text if old and self.random.random() < 0.5 else self.random.choice(["", "a text", "x" * 700])
            documents.append((document, self.vector(), text, self.payload()))
        request = collection_pb2.UpsertDocumentsRequest(collection=COLLECTION, request_id=f"u{before}", documents=[
            collection_pb2.Document(id=document, text=text, payload=struct(payload),
                                    vector=types_pb2.Vector(values=vector))
            for document, vector, text, payload in documents])
        commit = self.call(lambda client: client.collections.UpsertDocuments(request, timeout=60)).commit
        for document in documents:
            self.model.put(*document)
        self.equal("commit of an upsert", commit, self.model.head)
        self.counts["upserted"] += len(documents)

    def delete(self):
        ids = self.ids(20)
        request = collection_pb2.DeleteDocumentsRequest(collection=COLLECTION, ids=ids)
        commit = self.call(lambda client: client.collections.DeleteDocuments(request, timeout=60)).commit
        for document in ids:
            if self.model.current(document):
                self.model.put(document, None, "", {})
                self.counts["deleted"] += 1
        self.equal("commit of a deletion", commit, self.model.head)

    def update_payloads(self):
        merge = self.random.random() < 0.5
        updates = [(document, self.payload()) for document in self.ids(20)]
        request = collection_pb2.UpdatePayloadsRequest(
            collection=COLLECTION, request_id=f"p{self.model.head}-{self.random.random()}",
            mode=collection_pb2.UpdatePayloadsRequest.MERGE if merge else collection_pb2.UpdatePayloadsRequest.REPLACE,
            updates=[collection_pb2.UpdatePayloadsRequest.Update(id=i, payload=struct(p)) for i, p in updates])
        answer = self.call(lambda client: client.collections.UpdatePayloads(request, timeout=60))
        missing = []
        for document, payload in updates:
            old = self.model.current(document)
            if not old:
                missing.append(document)
                continue
            if merge:
                payload = {k: v for k, v in {**old.payload, **payload}.items() if k not in payload or v is not None}
            self.model.put(document, old.vector, old.text, payload)
            self.counts["payloads"] += 1
        self.equal("missing ids of a payload update", list(answer.missing), missing)
        self.equal("commit of a payload update", answer.commit, self.model.head)

    def own_write(self):
        request = self.search_request(self.random, min_commit=self.model.head)
        answer = self.call(lambda client: client.searches.Search(request, timeout=60))
        self.check(request, answer)
        if answer.commit < self.model.head:
            self.fail(f"min_commit {self.model.head}: the answer is of commit {answer.commit}")

    def get(self):
        document = f"d{self.random.randrange(IDS)}"
        old = self.model.current(document)
        try:
            got = self.call(lambda client: client.collections.GetDocument(
                collection_pb2.GetDocumentRequest(collection=COLLECTION, id=document), timeout=60))
            self.compare(document, got, old)
        except grpc.RpcError as error:
            if old or error.code() != grpc.StatusCode.NOT_FOUND:
                self.fail(f"{document}: {error.code().name} {error.details()}, it is {old}")

    def count(self):
        answer = self.call(lambda client: client.collections.CountDocuments(
            collection_pb2.CountDocumentsRequest(collection=COLLECTION), timeout=60))
        self.equal("count", (answer.count, answer.commit), (len(self.model.documents()), self.model.head))

    # ---- Searching beside it.

    def search_request(self, chance, min_commit=None):
        query = [chance.randint(-20, 20) for _ in range(DIMENSIONS)]
        return search_pb2.SearchRequest(
            collection=COLLECTION, top_k=chance.choice([1, 10, 50]), min_commit=min_commit, exact=chance.random() < 0.3,
            vector=search_pb2.VectorQuery(vector=types_pb2.Vector(values=query)))

    def search_loop(self):
        chance = random.Random(self.options.seed + 2)
        while not self.stopping.wait(0.01):
            try:
                request = self.search_request(chance)
                self.unchecked.put((request, self.client.searches.Search(request, timeout=60)))
            except (grpc.RpcError, ValueError) as error:  # ValueError: on a channel that was just closed.
                if isinstance(error, grpc.RpcError) and error.code() not in GOING_DOWN:
                    self.fail(f"search: {error.code().name} {error.details()}")
                time.sleep(0.05)

    def drain(self):
        """Checks what was answered meanwhile. REQUIRES: no write is under way, so every commit is known."""
        while not self.unchecked.empty():
            self.check(*self.unchecked.get())

    def check(self, asked, answer):
        query, top_k, state = asked.vector.vector.values, asked.top_k, self.model.at(answer.commit)
        scored = sorted((-sum(a * b for a, b in zip(query, version.vector)), version.commit, document)
                        for document, version in state.items())
        where = f"{answer.release} at commit {answer.commit}"
        exact = asked.exact or self.kinds.get(answer.release) != "hnsw"
        self.counts["exact answers" if exact else "graph answers"] += 1
        if exact:
            self.equal(f"{where}: hits", [(hit.id, hit.score) for hit in answer.hits],
                       [(document, -score) for score, _, document in scored[:top_k]])
        self.equal(f"{where}: number of hits", len(answer.hits), min(top_k, len(scored)))
        scores = {document: -score for score, _, document in scored}
        for hit in answer.hits:
            self.equal(f"{where}: score of {hit.id}", hit.score, scores.get(hit.id))
            self.compare(hit.id, hit.document, state.get(hit.id))
        found = len({hit.id for hit in answer.hits} & {document for _, _, document in scored[:top_k]})
        self.counts["graph hits"] += 0 if exact else top_k
        self.counts["graph hits found"] += 0 if exact else found

    # ---- Releases: looks at what there is and takes the next step, so a death in between needs no memory.

    def release_loop(self):
        chance, number = random.Random(self.options.seed + 3), 0
        while not self.stopping.wait(0.2):
            try:
                client = self.client
                releases = client.releases.ListReleases(
                    release_pb2.ListReleasesRequest(collection=COLLECTION, page_size=100), timeout=60).releases
                by_state = collections.defaultdict(list)
                for release in releases:
                    by_state[release.state].append(release.name)
                    self.kinds[release.name] = release.index.WhichOneof("kind")
                for name in by_state[Release.RETIRED] + by_state[Release.FAILED]:
                    client.releases.DeleteRelease(release_pb2.DeleteReleaseRequest(name=name), timeout=60)
                    self.counts["releases deleted"] += 1
                if by_state[Release.FAILED]:
                    self.fail(f"a build failed: {releases}")
                if by_state[Release.READY]:
                    client.releases.PromoteRelease(
                        release_pb2.PromoteReleaseRequest(name=by_state[Release.READY][0]), timeout=60)
                    self.counts["promotions"] += 1
                elif by_state[Release.PREVIOUS] and chance.random() < 0.1:
                    client.releases.PromoteRelease(
                        release_pb2.PromoteReleaseRequest(name=by_state[Release.PREVIOUS][0]), timeout=60)
                    self.counts["rollbacks"] += 1
                elif not by_state[Release.BUILDING] and chance.random() < 0.15:
                    number += 1
                    self.start_release(client, f"r{self.counts['kills']}-{number}", chance.choice(["flat", "hnsw"]))
            except (grpc.RpcError, ValueError) as error:
                if isinstance(error, grpc.RpcError) and error.code() not in GOING_DOWN:
                    self.fail(f"releases: {error.code().name} {error.details()}")
                time.sleep(0.1)

    def start_release(self, client, release, kind):
        self.kinds[f"{COLLECTION}/releases/{release}"] = kind
        index = (release_pb2.IndexSpec(flat=release_pb2.FlatIndex()) if kind == "flat" else
                 release_pb2.IndexSpec(hnsw=release_pb2.HnswIndex(m=8, ef_construction=40, ef_search=40)))
        return client.releases.CreateRelease(release_pb2.CreateReleaseRequest(
            collection=COLLECTION, release_id=release, index=index, request_id=f"c-{release}"), timeout=60).name

    # ---- Checks.

    def fail(self, message):
        self.failures.append(message)
        print("FAILED:", message, flush=True)

    def equal(self, what, is_, must):
        if is_ != must:
            self.fail(f"{what}: is {is_}, must be {must}")

    def compare(self, document, got, version):
        if version is None:
            return self.fail(f"{document}: is a ghost: {got}")
        self.equal(document, (got.text, got.commit, json_format.MessageToDict(got.payload)),
                   (version.text, version.commit, version.payload))

    def check_all(self):
        token, found = "", []
        while True:
            page = self.call(lambda client: client.collections.ListDocuments(collection_pb2.ListDocumentsRequest(
                collection=COLLECTION, page_size=1000, page_token=token), timeout=60))
            for got in page.documents:
                found.append(got.id)
                self.compare(got.id, got, self.model.current(got.id))
            token = page.next_page_token
            if not token:
                break
        self.equal("the documents", found, self.model.documents())
        self.counts["full comparisons"] += 1

    def sample(self):
        """(seconds, resident MiB, MiB of files)"""
        try:
            status = pathlib.Path(f"/proc/{self.server.process.pid}/status").read_text()
            resident = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024
        except (OSError, StopIteration):
            return
        files = 0
        for path in (self.server.folder / "data").rglob("*"):
            try:
                files += path.stat().st_blocks * 512 if path.is_file() else 0
            except OSError:
                pass  # Removed meanwhile.
        self.samples.append((time.monotonic() - self.begin, resident, files / (1 << 20)))
        if len(self.samples) % 6 == 1:
            print("%6.0f s: resident %6.1f MiB, files %6.1f MiB, commit %d, %d documents, %s" % (
                *self.samples[-1], self.model.head, len(self.model.documents()),
                ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))), flush=True)

    def check_flat(self):
        """The last third must not take more than the second one by more than a quarter and what a graph takes."""
        third = len(self.samples) // 3
        for column, name in ((1, "resident memory"), (2, "files")):
            before = max(sample[column] for sample in self.samples[third:2 * third])
            after = max(sample[column] for sample in self.samples[2 * third:])
            print(f"{name}: highest of the second third {before:.1f} MiB, of the last {after:.1f} MiB")
            if after > before * 1.25 + 8:
                self.fail(f"{name} grows: {before:.1f} MiB, then {after:.1f} MiB")

    # ---- All of it.

    def run(self):
        print(f"seed {self.options.seed}, {self.options.minutes} minutes, mix {MIX}, {IDS} ids, seals at {SEAL_FRESH}", flush=True)
        self.client.collections.CreateCollection(collection_pb2.CreateCollectionRequest(
            collection_id="churn", external=collection_pb2.ExternalVectors(dimensions=DIMENSIONS,
                                                                           metric=types_pb2.INNER_PRODUCT)), timeout=60)
        self.must_check = False
        for _ in range(60):
            self.upsert()
        first = self.start_release(self.client, "first", "flat")
        *_, built = self.client.releases.WatchRelease(release_pb2.WatchReleaseRequest(name=first), timeout=60)
        self.client.releases.PromoteRelease(release_pb2.PromoteReleaseRequest(name=first), timeout=60)
        threads = [threading.Thread(target=loop) for loop in (self.kill_loop, self.search_loop, self.release_loop)]
        self.begin = time.monotonic()
        for thread in threads:
            thread.start()
        try:
            self.churn()
        finally:
            self.stopping.set()
            for thread in threads:
                thread.join()
        self.revive()
        self.drain()
        self.check_all()
        self.equal("exit code", self.server.stop(), 0)
        self.server.start()
        self.client = Client(self.server.address)
        self.check_all()
        for _ in range(20):
            self.own_write()
        if self.options.minutes >= 5:
            self.check_flat()
        print("done:", dict(self.counts))
        for what in ("kills", "promotions", "exact answers", "graph answers", "full comparisons", "deleted", "payloads"):
            if not self.counts[what]:
                self.fail(f"{what}: there were none")
        return self.failures

    def churn(self):
        operations = {"upsert": self.upsert, "delete": self.delete, "update payloads": self.update_payloads,
                      "own write": self.own_write, "get": self.get, "count": self.count}
        next_sample = 0
        while time.monotonic() < self.begin + self.options.minutes * 60 and len(self.failures) < 20:
            operations[self.random.choices(list(MIX), list(MIX.values()))[0]]()
            self.drain()
            if self.must_check:
                self.must_check = False
                self.check_all()
            if time.monotonic() > self.begin + next_sample:
                next_sample += max(self.options.minutes * 60 / 120, 2)
                self.sample()
                self.model.forget_before(self.model.head - 20_000)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills-per-minute", type=float, default=6)
    with Server(f"--seal-fresh={SEAL_FRESH}", f"--keep-versions={KEEP_VERSIONS}") as server:
        failures = Churn(server, parser.parse_args()).run()
    for failure in failures:
        print("FAILED:", failure)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
