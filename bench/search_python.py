# SPDX-License-Identifier: MIT
"""The peers of bench/search.py, and the vectors that all search.

    search_python.py make clustered|uniform ROWS COLUMNS OUT     OUT.rows and OUT.queries, fp32, row after row
    search_python.py work COLUMNS THREADS ROWS_FILE QUERIES_FILE
    search_python.py write COLUMNS ROWS_FILE OUT                 seconds of IndexFlatIP.add and write_index, synced

work answers lines of stdin, each PEER and a command of bench/search.cpp, with seconds and id:score … of the ten best.
Peers: faiss (IndexFlatIP as it comes), faiss_blas (the same, its products by BLAS whatever the number of queries),
usearch (exact search) and numpy. Clustered: ROWS / 200 Gaussians of Pareto weights around centres of intrinsic rank 48
(spectrum i^-0.5), a common mean of 0.35, isotropic noise of 0.30, normalised.
"""
import sys
import time

import numpy as np

K = 10
QUERIES = 200
BLOCK = 20_000


def normalised(rows):
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def uniform(rows, columns, random):
    return lambda count: normalised(random.standard_normal((count, columns), dtype=np.float32))


def clustered(rows, columns, random, rank=48):
    spectrum = np.arange(1, rank + 1, dtype=np.float32) ** -0.5
    spectrum /= np.linalg.norm(spectrum)
    basis = np.linalg.qr(random.standard_normal((columns, rank)))[0].T.astype(np.float32) * spectrum[:, None]
    clusters = max(1, rows // 200)
    centres = random.standard_normal((clusters, rank), dtype=np.float32)
    mean = np.float32(0.35) * normalised(random.standard_normal((1, columns), dtype=np.float32))
    ends = np.cumsum(random.pareto(1.5, clusters) + 1)

    def draw(count):
        of = np.searchsorted(ends, random.random(count) * ends[-1])
        inner = centres[of] + np.float32(0.5) * random.standard_normal((count, rank), dtype=np.float32)
        noise = random.standard_normal((count, columns), dtype=np.float32)
        return normalised(mean + inner @ basis + np.float32(0.30 / columns**0.5) * noise)

    return draw


def make(kind, rows, columns, out):
    rows, columns = int(rows), int(columns)
    draw = {"clustered": clustered, "uniform": uniform}[kind](rows, columns, np.random.default_rng([rows, columns, 5]))
    with open(out + ".queries", "wb") as file:
        draw(QUERIES).tofile(file)
    with open(out + ".rows", "wb") as file:
        for begin in range(0, rows, BLOCK):
            draw(min(BLOCK, rows - begin)).tofile(file)


def percents(count):
    """A number from 0 to 99 for each row, as bench/search.cpp has it."""
    x = np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return (x ^ (x >> np.uint64(32))) % np.uint64(100)


class Faiss:
    def __init__(self, rows, threads):
        import faiss

        faiss.omp_set_num_threads(threads)
        self.faiss, self.threshold = faiss, faiss.cvar.distance_compute_blas_threshold
        self.index = faiss.IndexFlatIP(rows.shape[1])
        for begin in range(0, len(rows), BLOCK):
            self.index.add(np.ascontiguousarray(rows[begin : begin + BLOCK]))
        self.kept = {}

    def search(self, queries, below=None):
        parameters = None
        if below is not None:
            if below not in self.kept:
                bits = np.packbits(percents(self.index.ntotal) < below, bitorder="little")
                selector = self.faiss.IDSelectorBitmap(bits)
                self.kept[below] = bits, selector, self.faiss.SearchParameters(sel=selector)
            parameters = self.kept[below][2]
        self.faiss.cvar.distance_compute_blas_threshold = self.threshold
        begin = time.perf_counter()
        scores, ids = self.index.search(queries, K, params=parameters)
        return time.perf_counter() - begin, ids, scores


class FaissBlas:
    def __init__(self, faiss):
        self.inner = faiss

    def search(self, queries, below=None):
        before = self.inner.threshold
        self.inner.threshold = 1
        try:
            return self.inner.search(queries, below)
        finally:
            self.inner.threshold = before


class Usearch:
    def __init__(self, rows, threads):
        self.rows, self.threads = rows, threads

    def search(self, queries):
        from usearch.index import MetricKind, search

        begin = time.perf_counter()
        found = search(self.rows, queries, K, MetricKind.IP, exact=True, threads=self.threads)
        spent = time.perf_counter() - begin
        return spent, found.keys.reshape(len(queries), K), 1 - found.distances.reshape(len(queries), K)


class Numpy:
    def __init__(self, rows):
        self.rows = rows

    def search(self, queries):
        begin = time.perf_counter()
        scores = queries @ self.rows.T if len(queries) > 1 else (self.rows @ queries[0])[None]
        ids = np.argpartition(scores, scores.shape[1] - K, axis=1)[:, -K:]
        best = np.take_along_axis(scores, ids, 1)
        order = np.argsort(-best, axis=1, kind="stable")
        ids, best = np.take_along_axis(ids, order, 1), np.take_along_axis(best, order, 1)
        return time.perf_counter() - begin, ids, best


def report():
    import faiss
    from threadpoolctl import threadpool_info

    kernels = {f"{pool['prefix']} {pool.get('architecture') or ''}".strip() for pool in threadpool_info()}
    return f"# faiss {faiss.__version__} ({faiss.get_compile_options().strip()}), BLAS: {', '.join(sorted(kernels))}"


def work(columns, threads, rows_file, queries_file):
    columns, threads = int(columns), int(threads)
    rows = np.memmap(rows_file, np.float32, "r").reshape(-1, columns)
    rows = np.asarray(rows)
    queries = np.fromfile(queries_file, np.float32).reshape(-1, columns)
    faiss = Faiss(rows, threads)
    peers = {"faiss": faiss, "faiss_blas": FaissBlas(faiss), "usearch": Usearch(rows, threads), "numpy": Numpy(rows)}
    print(report(), flush=True)
    for line in sys.stdin:
        peer, command, *numbers = line.split()
        numbers = [int(number) for number in numbers]
        if command == "single":
            spent, ids, scores = peers[peer].search(queries[numbers[0]][None])
        elif command == "filtered":
            spent, ids, scores = peers[peer].search(queries[numbers[1]][None], numbers[0])
        else:
            spent, ids, scores = peers[peer].search(queries[: numbers[0]])
        listed = " ".join(f"{i}:{score:.9g}" for i, score in zip(ids.ravel(), scores.ravel()))
        print(f"{spent:.9f} {listed}", flush=True)


def write(columns, rows_file, out):
    import os

    import faiss

    rows = np.fromfile(rows_file, np.float32).reshape(-1, int(columns))
    begin = time.perf_counter()
    index = faiss.IndexFlatIP(int(columns))
    for at in range(0, len(rows), 10_000):
        index.add(rows[at : at + 10_000])
    faiss.write_index(index, out)
    with open(out, "rb") as file:
        os.fsync(file.fileno())
    print(f"{time.perf_counter() - begin:.9f}")


if __name__ == "__main__":
    {"make": make, "work": work, "write": write}[sys.argv[1]](*sys.argv[2:])
