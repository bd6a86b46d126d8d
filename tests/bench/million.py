"""A million documents in an EXTERNAL collection: import, build, memory, disk, and the restart until 100 correct answers beside
faiss.read_index of the same file.

    python tests/bench/million.py [--documents 1000000] [--dimensions 384] [--index hnsw|flat]
        (Python with tests/bench/requirements.txt; the release build's binaries)

Vectors are Gaussian around 1,000 centres, of length 1, the same for the same --seed. The client makes them while it sends, so
the import's time has that in it; it is printed apart. Cold: the files' pages are given back to the system before both.
"""
import argparse
import os
import pathlib
import sys
import time

import numpy

ROOT = pathlib.Path(__file__).parent.parent.parent
os.environ.setdefault("TANDEM_BIN_DIR", str(ROOT / "build/release/bin"))
os.environ.setdefault("TANDEM_PYTHON_PROTO", str(ROOT / "build/release/proto/python"))
os.environ.setdefault("TANDEM_TEST_MODEL_DIR", str(ROOT))  # No model is needed.
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "upb")
sys.path.insert(0, str(ROOT / "tests/support"))
sys.path.insert(0, os.environ["TANDEM_PYTHON_PROTO"])
from tandem_server import Server  # noqa: E402

import grpc  # noqa: E402
from tandem.v1 import (collection_pb2, collection_pb2_grpc, release_pb2, release_pb2_grpc, search_pb2,  # noqa: E402
                       search_pb2_grpc, types_pb2)

BLOCK = 1000
QUERIES = 100
COLLECTION = "collections/million"


class Vectors:
    def __init__(self, options):
        self.options = options
        self.centres = numpy.random.default_rng(options.seed).standard_normal((1000, options.dimensions), numpy.float32)

    def block(self, number):
        count = min(BLOCK, self.options.documents - number * BLOCK)
        return self.rows(numpy.random.default_rng((self.options.seed, number)), count)

    def rows(self, random, count):
        rows = self.centres[random.integers(0, 1000, count)]
        rows = rows + random.standard_normal(rows.shape, numpy.float32)
        return rows / numpy.linalg.norm(rows, axis=1, keepdims=True)

    def blocks(self):
        return range((self.options.documents + BLOCK - 1) // BLOCK)

    def queries(self):
        return self.rows(numpy.random.default_rng(self.options.seed + 1), QUERIES)


class Stubs:
    def __init__(self, address):
        channel = grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
        grpc.channel_ready_future(channel).result(timeout=600)
        self.collections = collection_pb2_grpc.CollectionServiceStub(channel)
        self.releases = release_pb2_grpc.ReleaseServiceStub(channel)
        self.searches = search_pb2_grpc.SearchServiceStub(channel)


def status(server):
    rows = pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return {row.split(":")[0]: int(row.split()[1]) * 1024 for row in rows if row.startswith(("Vm", "Rss"))}


def bytes_below(path):
    return sum(p.stat().st_blocks * 512 for p in path.rglob("*") if p.is_file())


def forget_pages(path):
    os.sync()
    for file in path.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def vector(row):
    return types_pb2.Vector(packed=row.tobytes(), encoding=types_pb2.PACKED_FLOAT32)


def import_all(stubs, vectors):
    making = 0.0

    def requests():
        nonlocal making
        for number in vectors.blocks():
            begin = time.perf_counter()
            rows = vectors.block(number)
            request = collection_pb2.ImportDocumentsRequest(
                collection=COLLECTION if number == 0 else "", sequence=number + 1,
                documents=[collection_pb2.Document(id=f"document-{number * BLOCK + i}", vector=vector(row))
                           for i, row in enumerate(rows)])
            making += time.perf_counter() - begin
            yield request

    begin = time.perf_counter()
    accepted = sum(answer.accepted for answer in stubs.collections.ImportDocuments(requests(), timeout=36000))
    assert accepted == vectors.options.documents, accepted
    return time.perf_counter() - begin, making


def build(stubs, kind):
    index = release_pb2.IndexSpec(hnsw=release_pb2.HnswIndex()) if kind == "hnsw" else \
        release_pb2.IndexSpec(flat=release_pb2.FlatIndex())
    begin = time.perf_counter()
    name = stubs.releases.CreateRelease(release_pb2.CreateReleaseRequest(
        collection=COLLECTION, release_id="r", index=index), timeout=60).name
    followed = None
    for release in stubs.releases.WatchRelease(release_pb2.WatchReleaseRequest(name=name), timeout=36000):
        if followed is None and release.cursor >= release.target_commit:
            followed = time.perf_counter() - begin
    assert release.state == release_pb2.Release.READY, release
    stubs.releases.PromoteRelease(release_pb2.PromoteReleaseRequest(name=name), timeout=600)
    return followed, time.perf_counter() - begin, release.index_bytes


def answers(stubs, queries):
    """Ids of the ten best for each query; waits while the server is not ready."""
    found = []
    for row in queries:
        request = search_pb2.SearchRequest(collection=COLLECTION, view=search_pb2.SearchRequest.IDS,
                                           vector=search_pb2.VectorQuery(vector=vector(row)))
        found.append([hit.id for hit in stubs.searches.Search(request, timeout=60, wait_for_ready=True).hits])
    return found


def recall(vectors, queries, found):
    best = numpy.full((len(queries), 10), -2.0, numpy.float32)
    ids = numpy.full((len(queries), 10), -1)
    for number in vectors.blocks():
        scores = numpy.hstack([best, queries @ vectors.block(number).T])
        labels = numpy.hstack([ids, numpy.broadcast_to(numpy.arange(scores.shape[1] - 10) + number * BLOCK,
                                                       (len(queries), scores.shape[1] - 10))])
        order = numpy.argsort(-scores, axis=1)[:, :10]
        best, ids = numpy.take_along_axis(scores, order, 1), numpy.take_along_axis(labels, order, 1)
    hits = sum(len({f"document-{i}" for i in row} & set(got)) for row, got in zip(ids, found))
    return hits / ids.size


def restart(server, queries, expected, cold):
    server.stop(timeout=600)
    if cold:
        forget_pages(server.folder / "data")
    begin = time.perf_counter()
    server.start(timeout=3600)
    stubs = Stubs(server.address)
    assert answers(stubs, queries) == expected, "other answers after the restart"
    ready = time.perf_counter() - begin
    (file,) = (server.folder / "data").rglob("index.faiss")
    if cold:
        server.stop(timeout=600)
        forget_pages(server.folder / "data")
    import faiss
    begin = time.perf_counter()
    index = faiss.read_index(str(file))
    read = time.perf_counter() - begin
    assert index.ntotal > 0
    if cold:
        server.start(timeout=3600)
    return ready, read


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--index", choices=["hnsw", "flat"], default="hnsw")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    vectors = Vectors(options)
    queries = vectors.queries()
    with Server("--memory-budget=16GiB", "--max-lag=100000000") as server:
        def say(name, value):
            print(f"| {name} | {value} |", flush=True)
        stubs = Stubs(server.address)
        stubs.collections.CreateCollection(collection_pb2.CreateCollectionRequest(
            collection_id="million", external=collection_pb2.ExternalVectors(dimensions=options.dimensions)), timeout=60)
        seconds, making = import_all(stubs, vectors)
        n = options.documents
        say("documents, dimensions, index", f"{n:,}, {options.dimensions}, {options.index}")
        say("import", f"{seconds:.1f} s, {n / seconds:,.0f} documents a second; making them took {making:.1f} s of the client")
        say("documents.db", f"{bytes_below(server.folder / 'data') / n:,.0f} bytes a document")
        followed, built, index_bytes = build(stubs, options.index)
        say("build, to LIVE", f"{built:.1f} s, of which {followed or 0:.1f} s to copy the vectors")
        memory = status(server)
        say("after the build", f"resident {memory['VmRSS'] / n:,.0f} bytes a document (anonymous "
                               f"{memory['RssAnon'] / n:,.0f}), highest {memory['VmHWM'] / n:,.0f}; "
                               f"index by the budget {index_bytes / n:,.0f}")
        expected = answers(stubs, queries)
        begin = time.perf_counter()
        answers(stubs, queries)
        say("search, one client", f"{(time.perf_counter() - begin) / QUERIES * 1000:.2f} ms, recall@10 "
                                  f"{recall(vectors, queries, expected):.4f}")
        for cold in (False, True):
            ready, read = restart(server, queries, expected, cold)
            say(f"restart to 100 correct answers, {'cold' if cold else 'warm'}",
                f"{ready:.2f} s; faiss.read_index of the same file {read:.2f} s")
        memory = status(server)
        say("after a restart", f"resident {memory['VmRSS'] / n:,.0f} bytes a document (anonymous "
                               f"{memory['RssAnon'] / n:,.0f})")
        say("disk", f"{bytes_below(server.folder / 'data') / n:,.0f} bytes a document")


if __name__ == "__main__":
    main()
