"""Rollbacks while searchers search and writers write, each followed by a look for every acknowledged write."""

import threading
import time

from search_load import ClosedLoop, summary
from tandem_api import Tandem, collection_pb2, grpc, search_pb2

IDS_AT_ONCE = 100  # Of a query by documents.
PAUSE_S = 1.0      # Between two rollbacks.


class Acknowledged:
    """Ids of documents whose write was answered, and the newest commit. Thread-safe."""

    def __init__(self, ids):
        self.mutex = threading.Lock()
        self.ids, self.commit, self.refused = list(ids), 0, []

    def add(self, document, commit):
        with self.mutex:
            self.ids.append(document)
            self.commit = max(self.commit, commit)

    def so_far(self):
        with self.mutex:
            return list(self.ids), self.commit


def _write(address, collection, documents, rate, acknowledged, stopping):
    tandem, due = Tandem(address), time.monotonic()
    for document in documents:
        due += 1 / rate
        if stopping.wait(max(0.0, due - time.monotonic())):
            return
        try:
            acknowledged.add(document["id"], tandem.upsert(collection, [(document["id"], document["text"])]))
        except grpc.RpcError as error:
            acknowledged.refused.append(f"{error.code().name}: {error.details()}")
    raise AssertionError("a writer ran out of documents: raise their number or lower --write-rate")


def missing(tandem, collection, ids, commit):
    """Ids that the live release does not have when it is at `commit`: a query by documents names the first such one."""
    lost, left = [], list(ids)
    while left:
        part, left = left[:IDS_AT_ONCE], left[IDS_AT_ONCE:]
        try:
            tandem.search.Search(search_pb2.SearchRequest(
                collection=collection, documents=search_pb2.DocumentsQuery(ids=part), top_k=1, min_commit=commit,
                view=search_pb2.SearchRequest.IDS), timeout=60)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise
            gone = [i for i in part if f'document "{i}"' in error.details()]
            assert gone, error.details()
            lost += gone
            left = [i for i in part if i not in gone] + left
    return lost


def measure_rollbacks(address, collection, corpus, written, arguments):
    """`written`: ids of documents acknowledged before, of corpus.later in its order."""
    tandem, acknowledged, stopping = Tandem(address), Acknowledged(written), threading.Event()
    later = corpus.later[len(written):]
    writers = [threading.Thread(target=_write, args=(address, collection, later[i::arguments.writers],
                                                     arguments.write_rate / 2, acknowledged, stopping))
               for i in range(arguments.writers)]
    searchers = ClosedLoop(address, collection, corpus.queries, arguments.searchers, seed=1)
    searchers.start()
    for writer in writers:
        writer.start()
    seconds, lost = [], set()
    try:
        for _ in range(arguments.rollbacks):
            time.sleep(PAUSE_S)
            ids, commit = acknowledged.so_far()
            previous = tandem.collections.GetCollection(
                collection_pb2.GetCollectionRequest(name=collection), timeout=30).previous_release
            begin = time.monotonic()
            tandem.promote(previous)
            seconds.append(round(time.monotonic() - begin, 3))
            lost.update(missing(tandem, collection, ids, commit))
    finally:
        stopping.set()
        samples = searchers.stop()
        for writer in writers:
            writer.join()
    ids, commit = acknowledged.so_far()
    lost.update(missing(tandem, collection, ids, commit))
    count = tandem.collections.CountDocuments(
        collection_pb2.CountDocumentsRequest(collection=collection), timeout=30).count
    lost_rows = max(0, len(corpus.documents) + len(ids) - count)
    return {"seconds": seconds, "acknowledged_writes": len(ids), "lost_writes": max(len(lost), lost_rows),
            "refused_writes": len(acknowledged.refused), "failed_searches": len(samples.errors),
            "releases_that_answered": sorted({row[2] for row in samples.rows}), "searches": summary(samples)}
