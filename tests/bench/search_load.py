"""Searchers that note how long each answer took.

OpenLoop sends at times that were drawn beforehand (Poisson arrivals, fixed seed) and counts from them, not from when
the call went out: a server that stands still for a second makes every search that was due in that second late, as its
users would see it. ClosedLoop sends the next search when the last one was answered, and counts from the sending.
"""

import math
import random
import threading
import time

import grpc

from tandem_api import CHANNEL_OPTIONS, search_pb2, search_pb2_grpc

SEARCH_TIMEOUT_S = 30


class Samples:
    """(begin, seconds, release) of answered searches, begin on time.monotonic(), and the failures. Thread-safe."""

    def __init__(self):
        self.mutex = threading.Lock()
        self.rows, self.errors = [], []
        self.sending_delays = []  # Seconds between a search's due time and its sending: the client's own lateness.

    def add(self, begin, end, call):
        """A call that is done."""
        with self.mutex:
            if call.code() == grpc.StatusCode.OK:
                self.rows.append((begin, end - begin, call.result().release))
            else:
                self.errors.append(f"{call.code().name}: {call.details()}")

    def between(self, begin, end):
        part = Samples()
        part.rows = [row for row in self.rows if begin <= row[0] <= end]
        return part

    def milliseconds(self):
        return sorted(seconds * 1000 for _, seconds, _ in self.rows)


def percentile(ordered, share):
    """The smallest value that `share` of all do not exceed."""
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else float("nan")


def summary(samples):
    ordered = samples.milliseconds()
    return {"count": len(ordered), "errors": len(samples.errors),
            **{name: round(percentile(ordered, share), 2)
               for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))}}


def request(collection, text):
    return search_pb2.SearchRequest(collection=collection, text=text, top_k=10)


class OpenLoop:
    """`rate` searches a second over `connections` channels, for `seconds` or until stop()."""

    def __init__(self, address, collection, queries, rate, connections, seed):
        self.channels = [grpc.insecure_channel(address, CHANNEL_OPTIONS) for _ in range(connections)]
        for channel in self.channels:
            grpc.channel_ready_future(channel).result(timeout=10)
        self.stubs = [search_pb2_grpc.SearchServiceStub(channel) for channel in self.channels]
        self.collection, self.queries, self.rate = collection, queries, rate
        self.random = random.Random(seed)
        self.samples = Samples()
        self.pending = threading.Semaphore(0)
        self.stopping = threading.Event()

    def run(self, seconds):
        due, sent = time.monotonic(), 0
        end = due + seconds
        while True:
            due += self.random.expovariate(self.rate)
            if due >= end or self.stopping.wait(max(0.0, due - time.monotonic())):
                break
            self._send(due, self.stubs[sent % len(self.stubs)])
            sent += 1
        for _ in range(sent):
            self.pending.acquire()
        for channel in self.channels:
            channel.close()
        return self.samples

    def _send(self, due, stub):
        self.samples.sending_delays.append(time.monotonic() - due)
        call = stub.Search.future(request(self.collection, self.random.choice(self.queries)), timeout=SEARCH_TIMEOUT_S)

        def done(finished):
            self.samples.add(due, time.monotonic(), finished)
            self.pending.release()

        call.add_done_callback(done)

    def stop(self):
        self.stopping.set()


class ClosedLoop:
    """`clients` threads with a connection each, for `seconds` or until stop()."""

    def __init__(self, address, collection, queries, clients, seed):
        self.address, self.collection, self.queries = address, collection, queries
        self.clients, self.seed = clients, seed
        self.samples = Samples()
        self.stopping = threading.Event()

    def start(self, seconds=float("inf")):
        end = time.monotonic() + seconds
        self.threads = [threading.Thread(target=self._client, args=(end, self.seed + i)) for i in range(self.clients)]
        for thread in self.threads:
            thread.start()

    def join(self):
        for thread in self.threads:
            thread.join()
        return self.samples

    def run(self, seconds):
        self.start(seconds)
        return self.join()

    def stop(self):
        self.stopping.set()
        return self.join()

    def _client(self, end, seed):
        choose = random.Random(seed).choice
        with grpc.insecure_channel(self.address, CHANNEL_OPTIONS) as channel:
            grpc.channel_ready_future(channel).result(timeout=10)
            search = search_pb2_grpc.SearchServiceStub(channel).Search
            while time.monotonic() < end and not self.stopping.is_set():
                begin = time.monotonic()
                call = search.future(request(self.collection, choose(self.queries)), timeout=SEARCH_TIMEOUT_S)
                call.code()  # Waits.
                self.samples.add(begin, time.monotonic(), call)
