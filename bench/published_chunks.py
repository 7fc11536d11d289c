#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the chunks of the published chunking evaluation, for `evaluate --chunker file:…`: a file a setting.

  TIKTOKEN_CACHE_DIR=… bench/published_chunks.py DATA/chunking FOLDER     needs tiktoken and langchain-text-splitters

Its recursive chunker is LangChain's with other separators and lengths in cl100k tokens; its fixed one cuts the tokens.
"""
import json
import pathlib
import sys

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


def main():
    folder, out = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    kinds = {f"recursive-{size}-{overlap}": (recursive, size, overlap, PUBLISHED, tokens)
             for size, overlap in ((100, 0), (200, 0), (250, 0), (250, 125), (400, 0), (400, 200), (800, 400))}
    kinds |= {f"fixed-{size}-{overlap}": (fixed, size, overlap)
              for size, overlap in ((200, 0), (250, 0), (250, 125), (400, 0), (400, 200), (800, 400))}
    kinds["langchain-1000-200"] = (recursive, 1000, 200, LANGCHAIN, len)
    kinds["characters-800-0"] = (recursive, 800, 0, PUBLISHED, len)
    for name, (cut, *settings) in kinds.items():
        with open(out / f"{name}.jsonl", "w") as file:
            for path in sorted(folder.glob("*.md")):
                for begin, end in cut(path.read_bytes().decode(), *settings):
                    print(json.dumps({"source": path.stem, "begin": begin, "end": end}), file=file)


if __name__ == "__main__":
    main()
