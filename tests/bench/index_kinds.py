"""Every kind of index on the same vectors, in one run: tandem, the same file searched by FAISS in C++, and faiss-cpu,
hnswlib and usearch in Python. One query at a time, one thread, top 10, cosine.

  python index_kinds.py --n 100000                      # clustered synthetic vectors
  python index_kinds.py --npy embeddings.npy            # real ones: the last 1,000 rows are the queries
  python index_kinds.py --n 1000000 --kinds hnsw ivf-pq sq8 binary --threads 2

Needs index_kinds (ninja index_kinds) and a Python with numpy, faiss-cpu, hnswlib and usearch (requirements.txt). Times
are of the processor, so that a busy machine changes them little: a build with several threads is the sum of them.
Prints a table in Markdown and, with --json, the measurements.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time

import faiss
import hnswlib
import numpy as np
import usearch.index

KINDS = ["flat", "hnsw", "ivf-flat", "ivf-pq", "sq8", "sq16", "binary"]
TOP = 10
SEARCH_SECONDS = 2
M, EF_CONSTRUCTION, EF_SEARCH = 16, 100, 64


def synthetic(rows, dimensions, seed):
    """Around a thousand centres, on 64 directions of decreasing length, with little noise: about as hard as texts are."""
    fixed, random = np.random.default_rng(1), np.random.default_rng(seed)
    directions = fixed.standard_normal((64, dimensions), np.float32) / np.sqrt(dimensions, dtype=np.float32)
    directions /= np.sqrt(1 + np.arange(64, dtype=np.float32) / 8)[:, None]
    centres = 0.7 * fixed.standard_normal((1000, 64), np.float32)
    made = np.empty((rows, dimensions), np.float32)
    for first in range(0, rows, 50_000):
        part = made[first:first + 50_000]
        places = centres[random.integers(0, 1000, len(part))] + random.standard_normal((len(part), 64), np.float32)
        part[:] = places @ directions + 0.02 * random.standard_normal(part.shape, np.float32)
    return made


def unit(vectors):
    return np.ascontiguousarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)


def measure(queries, exact, search):
    """search(query) gives the rows found."""
    found = searches = 0
    start = time.process_time()
    while searches < len(queries) or time.process_time() - start < SEARCH_SECONDS:
        i = searches % len(queries)
        rows = search(queries[i])
        if searches < len(queries):
            found += len(exact[i].intersection(rows))
        searches += 1
    return {"recall": found / (TOP * len(queries)), "qps": searches / (time.process_time() - start)}


def timed(build):
    start = time.process_time()
    result = build()
    return result, time.process_time() - start


def faiss_index(kind, vectors):
    """The same parameters as tandem's defaults (index/index_kinds.cc)."""
    count, dimensions = vectors.shape
    metric = faiss.METRIC_INNER_PRODUCT
    lists = max(1, min(round(4 * count**0.5), count // 39, 65536))
    refine = {"ivf-pq": 10, "sq8": 4, "sq16": 4, "binary": 20}.get(kind)
    if kind == "flat":
        index = faiss.IndexFlatIP(dimensions)
    elif kind == "hnsw":
        index = faiss.IndexHNSWFlat(dimensions, M, metric)
        index.hnsw.efConstruction, index.hnsw.efSearch = EF_CONSTRUCTION, EF_SEARCH
    elif kind == "ivf-flat":
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimensions), dimensions, lists, metric)
    elif kind == "ivf-pq":
        quarter = min((d for d in range(1, dimensions + 1) if dimensions % d == 0), key=lambda d: abs(4 * d - dimensions))
        index = faiss.IndexIVFPQ(faiss.IndexFlatIP(dimensions), dimensions, lists, quarter, 8, metric)
        index.pq.cp.max_points_per_centroid, index.pq.cp.niter = 64, 20
    elif kind in ("sq8", "sq16"):
        which = faiss.ScalarQuantizer.QT_8bit if kind == "sq8" else faiss.ScalarQuantizer.QT_fp16
        index = faiss.IndexScalarQuantizer(dimensions, which, metric)
    else:
        index = faiss.IndexLSH(dimensions, dimensions, False, False)
    if kind.startswith("ivf"):
        index.cp.max_points_per_centroid, index.cp.niter = 64, 10
        index.nprobe = min(max(8, lists // 16), lists)
    index.train(vectors)
    index.add(vectors)
    if refine is None:
        return index
    refined = faiss.IndexRefineFlat(index, faiss.swig_ptr(vectors))  # Keeps no copy: the caller does.
    refined.k_factor = refine
    return refined


def peers(kinds, vectors, queries, exact, threads):
    for kind in kinds:
        faiss.omp_set_num_threads(threads)
        index, seconds = timed(lambda: faiss_index(kind, vectors))
        faiss.omp_set_num_threads(1)
        yield {"engine": f"faiss-cpu {faiss.__version__}", "kind": kind, "build_s": seconds,
               **measure(queries, exact, lambda q: index.search(q[None], TOP)[1][0].tolist())}
    if "hnsw" not in kinds:
        return
    index = hnswlib.Index("ip", vectors.shape[1])
    index.init_index(len(vectors), M=M, ef_construction=EF_CONSTRUCTION)
    _, seconds = timed(lambda: index.add_items(vectors, num_threads=threads))
    index.set_ef(EF_SEARCH)
    yield {"engine": "hnswlib", "kind": "hnsw", "build_s": seconds,
           **measure(queries, exact, lambda q: index.knn_query(q, TOP, num_threads=1)[0][0].tolist())}
    for dtype in ("f32", "i8"):
        index = usearch.index.Index(ndim=vectors.shape[1], metric="ip", dtype=dtype, connectivity=M,
                                    expansion_add=EF_CONSTRUCTION, expansion_search=EF_SEARCH)
        _, seconds = timed(lambda: index.add(np.arange(len(vectors)), vectors, threads=threads))
        yield {"engine": f"usearch {usearch.__version__} {dtype}", "kind": "hnsw", "build_s": seconds,
               **measure(queries, exact, lambda q: index.search(q, TOP, threads=1).keys.tolist())}


def row(m):
    number = lambda name, form: format(m[name], form) if name in m else ""
    return (f"| {m['kind']} | {m['engine']} | {number('build_s', '.1f')} | {number('file_mib', '.1f')} |"
            f" {number('memory_mib', '.1f')} | {number('recall', '.4f')} | {number('qps', '.0f')} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--npy", help="float vectors, rows by dimensions; synthetic ones when left out")
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--dimensions", type=int, default=384, help="of synthetic vectors")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1, help="of builds; searches have one")
    parser.add_argument("--filters", action="store_true", help="tandem under filters of several widths instead")
    parser.add_argument("--no-peers", action="store_true", help="only tandem, and its files searched by FAISS")
    parser.add_argument("--json", help="file for the measurements, a line each")
    parser.add_argument("--bin", default=os.environ.get("TANDEM_BIN_DIR", "build/release/bin"))
    arguments = parser.parse_args()

    if arguments.npy:
        loaded = unit(np.load(arguments.npy))
        vectors, queries = loaded[:-arguments.queries][:arguments.n], loaded[-arguments.queries:]
    else:
        vectors = unit(synthetic(arguments.n, arguments.dimensions, seed=2))
        queries = unit(synthetic(arguments.queries, arguments.dimensions, seed=3))
    measurements = []
    mode = ["--filters"] if arguments.filters else ["--no-peers"] if arguments.no_peers else []
    with tempfile.TemporaryDirectory() as directory:
        paths = [os.path.join(directory, name) for name in ("vectors.npy", "queries.npy")]
        np.save(paths[0], vectors)
        np.save(paths[1], queries)
        lines = subprocess.run([os.path.join(arguments.bin, "index_kinds"), *paths, str(arguments.threads),
                                *mode, *arguments.kinds], check=True,
                               stdout=subprocess.PIPE, text=True).stdout
    measurements += [json.loads(line) for line in lines.splitlines()]
    if not arguments.no_peers and not arguments.filters:
        flat = faiss.IndexFlatIP(vectors.shape[1])
        flat.add(vectors)
        exact = [set(rows) for rows in flat.search(queries, TOP)[1].tolist()]
        measurements += peers(arguments.kinds, vectors, queries, exact, arguments.threads)
    if arguments.json:
        with open(arguments.json, "w") as file:
            file.writelines(json.dumps(m) + "\n" for m in measurements)
    print(f"{len(vectors):,} vectors of {vectors.shape[1]} dimensions, {len(queries):,} queries,"
          f" {arguments.threads} build thread(s)\n")
    if arguments.filters:
        print("| kind | engine | share that may be found | recall@10 | queries/s |")
        print("|---|---|---|---|---|")
        for m in measurements:
            print(f"| {m['kind']} | {m['engine']} | {m['share']:.1%} | {m['recall']:.4f} | {m['qps']:.0f} |")
        return
    print("| kind | engine | build, CPU s | file, MiB | memory, MiB | recall@10 | queries/s |")
    print("|---|---|---|---|---|---|---|")
    for kind in arguments.kinds:
        for m in measurements:
            if m["kind"] == kind:
                print(row(m))


if __name__ == "__main__":
    main()
