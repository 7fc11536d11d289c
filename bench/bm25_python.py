# SPDX-License-Identifier: MIT
"""The peer of bench/bm25.cpp: bm25_python.py BACKEND CHUNKS QUESTIONS ROUNDS FOUND

The files hold the words of a text a line. Indexes with bm25s, method "lucene", whose score is ours without the factor
k1 + 1, and asks for the 10 best of each question, all questions in one call, on one thread. Prints "index SECONDS" and
"round SECONDS"; writes "number:score …" for each question to FOUND, scores times k1 + 1.
"""
import os
import sys
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"


def words_of(path):
    with open(path, encoding="utf-8", newline="\n") as file:
        return [line.split() for line in file]


def main(backend, chunks, questions, rounds, found):
    import bm25s

    chunks, questions = words_of(chunks), words_of(questions)
    begin = time.perf_counter()
    index = bm25s.BM25(method="lucene", k1=1.2, b=0.75, backend=backend)
    index.index(chunks, show_progress=False)
    print(f"index {time.perf_counter() - begin:.6f}")

    def retrieve():
        return index.retrieve(questions, k=10, show_progress=False, n_threads=1 if backend == "numba" else 0)

    retrieve()  # numba compiles
    for _ in range(int(rounds)):
        begin = time.perf_counter()
        numbers, scores = retrieve()
        print(f"round {time.perf_counter() - begin:.6f}")
    with open(found, "w", encoding="utf-8") as file:
        for row, values in zip(numbers, scores):
            file.write(" ".join(f"{number}:{value * 2.2:.9g}" for number, value in zip(row, values) if value > 0) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
