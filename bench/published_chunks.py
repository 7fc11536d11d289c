#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the chunks of the published chunking evaluation, for `evaluate --chunker file:…`: a file a setting.

  TIKTOKEN_CACHE_DIR=… bench/published_chunks.py DATA/chunking FOLDER [MODEL]
      needs tiktoken and langchain-text-splitters, and with a MODEL sentence-transformers

Its recursive chunker is LangChain's with other separators and lengths in cl100k tokens; its fixed one cuts the tokens.
With a model, those that embed pieces of at most 50 tokens: clusters of neighbours, and cuts where a window of seven pieces
is least like the next.
"""
import json
import pathlib
import sys

import numpy
import tiktoken
from langchain_text_splitters import RecursiveCharacterTextSplitter

ENCODING = tiktoken.get_encoding("cl100k_base")
PUBLISHED, LANGCHAIN = ["\n\n", "\n", ".", "?", "!", " ", ""], ["\n\n", "\n", " ", ""]


def tokens(text):
    return len(ENCODING.encode(text, disallowed_special=()))


def recursive(text, size, overlap, separators, length):
    splitter = RecursiveCharacterTextSplitter(chunk_size=size, chunk_overlap=overlap, separators=separators,
                                              length_function=length, keep_separator=True)
    begin = end = 0
    for chunk in splitter.split_text(text):
        begin = text.index(chunk, begin + 1 if overlap and end else end)
        end = begin + len(chunk)
        yield begin, end


def fixed(text, size, overlap):
    """A window that would cut a character ends after it."""
    ids = ENCODING.encode(text, disallowed_special=())
    ends = [0]
    for token in ids:
        ends.append(ends[-1] + len(ENCODING.decode_single_token_bytes(token)))
    places, at = [], 0  # of each byte: the characters before it, those begun counted whole
    for number, character in enumerate(text):
        places += [number] + [number + 1] * (len(character.encode()) - 1)
    places.append(len(text))
    while at < len(ids):
        stop = min(at + size, len(ids))
        yield places[ends[at]], places[ends[stop]]
        if stop == len(ids):
            return
        at += size - overlap


def pieces_of(text, model):
    """The pieces, and their vectors or those of the windows around them."""
    spans = list(recursive(text, 50, 0, PUBLISHED, tokens))
    return spans, lambda texts: model.encode(texts, normalize_embeddings=True, batch_size=32)


def cluster(text, size, model):
    """Neighbours are put together by the largest sum of similarity less its mean; as published, a piece whose best sum is
    not above 0 goes back to the start of the text."""
    spans, encode = pieces_of(text, model)
    vectors = encode([text[begin:end] for begin, end in spans])
    alike = vectors @ vectors.T
    alike = alike - alike[numpy.triu_indices(len(spans), 1)].mean()
    numpy.fill_diagonal(alike, 0)
    best, start = numpy.zeros(len(spans)), [0] * len(spans)
    for last in range(len(spans)):
        for first in range(last, max(-1, last - size // 50), -1):
            worth = alike[first:last + 1, first:last + 1].sum() + (best[first - 1] if first > 0 else 0)
            if worth > best[last]:
                best[last], start[last] = worth, first
    found, last = [], len(spans) - 1
    while last >= 0:
        found.append((spans[start[last]][0], spans[last][1]))
        last = start[last] - 1
    return reversed(found)


def kamradt(text, size, model):
    """As many cuts as chunks of the size are wanted, where the windows differ most."""
    spans, encode = pieces_of(text, model)
    words = [text[begin:end] for begin, end in spans]
    vectors = encode([" ".join(words[max(0, i - 3):i + 4]) for i in range(len(words))])
    away = 1 - (vectors[:-1] * vectors[1:]).sum(axis=1)
    wanted = sum(map(tokens, words)) // size
    cuts = sorted(numpy.argsort(-away, kind="stable")[:wanted])
    begin = 0
    for after in [*cuts, len(spans) - 1]:
        yield spans[begin][0], spans[after][1]
        begin = after + 1


def main():
    folder, out, *model = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    kinds = {f"recursive-{size}-{overlap}": (recursive, size, overlap, PUBLISHED, tokens)
             for size, overlap in ((100, 0), (200, 0), (250, 0), (250, 125), (400, 0), (400, 200), (800, 400))}
    kinds |= {f"fixed-{size}-{overlap}": (fixed, size, overlap)
              for size, overlap in ((200, 0), (250, 0), (250, 125), (400, 0), (400, 200), (800, 400))}
    kinds["langchain-1000-200"] = (recursive, 1000, 200, LANGCHAIN, len)
    kinds["characters-800-0"] = (recursive, 800, 0, PUBLISHED, len)
    if model:
        from sentence_transformers import SentenceTransformer
        encoder = SentenceTransformer(str(model[0]), device="cpu")
        kinds |= {f"cluster-{size}": (cluster, size, encoder) for size in (200, 250, 400)}
        kinds["kamradt-300"] = (kamradt, 300, encoder)
    for name, (cut, *settings) in kinds.items():
        with open(out / f"{name}.jsonl", "w") as file:
            for path in sorted(folder.glob("*.md")):
                for begin, end in cut(path.read_bytes().decode(), *settings):
                    print(json.dumps({"source": path.stem, "begin": begin, "end": end}), file=file)


if __name__ == "__main__":
    main()
