#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the tables of docs/retrieval-figures.md anew, with the program of examples/evaluate.

  bench/retrieval.py PROGRAM DATA CACHE [RANKS [CHUNKS]]

DATA holds the folders chunking, xquad and code; CACHE is a file for the vectors. RANKS is cl100k_base.tiktoken: without
it the rows whose sizes are in its tokens are left out. CHUNKS is what bench/published_chunks.py wrote. Needs the model
all-MiniLM-L6-v2 (tools/get_model.sh).
"""
import json
import pathlib
import subprocess
import sys

PUBLISHED = ["published:100:0", "published:200:0", "published:250:0", "published:250:125", "published:400:0",
             "published:400:200", "published:800:400", "fixed:200:0", "fixed:250:0", "fixed:250:125", "fixed:400:0",
             "fixed:400:200", "fixed:800:400", "semantic:200:50", "semantic:250:50", "semantic:400:50"]
CHARACTERS = ["langchain:1000:200", "published:800:0"]
OWN = [("recursive:250:0", "tokens"), ("recursive:250:125", "tokens"), ("recursive:100:0", "tokens"),
       ("recursive:1000:0", "characters"), ("recursive:500:0", "characters"), ("markdown:1000", "characters"),
       ("sentence:250:0", "tokens"), ("sentence:120:0", "tokens"), ("context:250", "tokens"), ("semantic:250:50", "tokens"),
       ("window:250:2", "tokens"), ("parent:250:60", "tokens")]


# What is found goes through these, chosen by the half of the questions with even numbers.
STEPS = [[], *[["--diverse", relevance] for relevance in ("0.5", "0.7", "0.8", "0.9")], ["--per-source", "3"], ["--merge"]]


class Bench:
    def __init__(self, program, data, cache, ranks=None, chunks=None):
        self.program, self.data, self.cache, self.ranks, self.chunks = program, data, cache, ranks, chunks

    def sets(self, format, chunker, unit, *more):
        embeds = unit == "tokens" or not more or chunker.startswith("semantic")
        embedder = ["--embedder", "minilm", "--cache", self.cache] if embeds else []
        run = subprocess.run([self.program, "--data", f"{self.data}/{format}", "--format", format, "--chunker", chunker,
                              "--unit", unit, "--json", *embedder, *more], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
        if run.returncode != 0:
            sys.exit(f"retrieval: {run.stderr.strip().splitlines()[-1]}")
        return json.loads(run.stdout)["sets"]

    def published_row(self, chunker, unit):
        whole, = self.sets("chunking", chunker, unit)
        plain, = self.sets("chunking", chunker, unit, "--retriever", "bm25", "--words", "plain")
        dense, words = whole["retrievers"]["dense"], plain["retrievers"]["bm25"]
        cells = [dense["recall@5"], dense["precision@5"], dense["IoU@5"], whole["precision_omega"], words["recall@5"],
                 words["precision@5"]]
        name = pathlib.Path(chunker).name if chunker.startswith("file:") else chunker
        print(f"| {name}{'' if unit == self.ranks else ' ' + unit} | {whole['chunks']} |", line(cells), flush=True)
        return whole

    def step_row(self, chunker, steps, half):
        whole, = self.sets("chunking", chunker, "tokens", "--half", half, *steps)
        found = whole["retrievers"]["refined" if steps else "hybrid"]
        cells = [found["recall@5"], found["precision@5"], found["recall in 4000"]]
        print(f"| {chunker}, {half} | {' '.join(steps)} |", line(cells), flush=True)

    def budget_row(self, chunker, unit, whole):
        cells = [whole["retrievers"][name][figure] for figure in ("recall@5", "recall in 4000")
                 for name in ("dense", "bm25", "hybrid")]
        unit = "cl100k tokens" if unit == self.ranks else unit
        print(f"| {chunker} {unit} | {whole['chunks']} | {whole['mean_characters']:.0f} |", line(cells), flush=True)


def line(cells):
    return " | ".join(f"{100 * cell['mean']:.2f}" for cell in cells) + " |"


def main():
    bench = Bench(*sys.argv[1:])
    done = []
    head = "| chunker | chunks | dense R | P | IoU | Omega | BM25 plain R | P |\n" + "| --- " * 8 + "|"
    if bench.chunks:
        print(head)
        for path in sorted(pathlib.Path(bench.chunks).glob("*.jsonl")):
            bench.published_row(f"file:{path}", "characters")
        print()
    print(head)
    if bench.ranks is None:
        print("retrieval: rows in cl100k tokens: skipped: no file of ranks", file=sys.stderr)
    for chunker, unit in [*[(c, bench.ranks) for c in PUBLISHED if bench.ranks], *[(c, "characters") for c in CHARACTERS]]:
        done.append((chunker, unit, bench.published_row(chunker, unit)))
    done += [(chunker, unit, bench.sets("chunking", chunker, unit)[0]) for chunker, unit in OWN]

    print("\n| chunker | chunks | characters | dense @5 | BM25 @5 | hybrid @5 | dense in 4000 | BM25 | hybrid |\n" + "| --- " * 9 + "|")
    for row in done:
        bench.budget_row(*row)

    print("\n| data, chunker | retriever | MRR@10 | found@5 | found@20 |\n" + "| --- " * 5 + "|")
    for format in ("xquad", "code"):
        for chunker, unit in (("recursive:250:0", "tokens"), ("recursive:1000:0", "characters"), ("whole", "characters")):
            for found in bench.sets(format, chunker, unit):
                for name, figures in found["retrievers"].items():
                    cells = [figures["MRR@10"], figures["found@5"], figures["found@20"]]
                    print(f"| {found['data']}, {chunker} {unit} | {name} |", line(cells), flush=True)

    print("\n| chunker, half | step | recall@5 | precision@5 | recall in 4000 |\n" + "| --- " * 5 + "|")
    for half in ("even", "odd"):
        for chunker in ("recursive:250:0", "recursive:250:125", "fixed:250:125"):
            for steps in STEPS:
                bench.step_row(chunker, steps, half)


if __name__ == "__main__":
    main()
