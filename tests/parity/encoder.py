#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""encoder.py MODEL_FOLDER WORK: writes WORK/pieces, 500 pieces of milvus-docs and the chunks of milvus-faq with the
vectors of a plain fp32 forward pass in numpy, and runs WORK/encoder (encoder.cpp) to compare. The token ids are those of
the tokenizers library, cut at 256. A piece is a little-endian number of 32 bits, the bytes of its text; then the text;
then its floats."""
import json
import math
import os
import pathlib
import struct
import subprocess
import sys

import numpy as np
from tokenizers import Tokenizer

COUNT, WORDS, MAX_TOKENS = 500, 200, 256


def read_weights(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    weights = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            values = np.frombuffer(data[8 + length + begin:8 + length + end], "<f4")
            weights[name.removeprefix("bert.")] = values.reshape(entry["shape"])
    return weights


def read_pieces(folder):
    """COUNT pieces of WORDS words, spread evenly over the whole corpus."""
    pieces = []
    for path in sorted(folder.rglob("*.md")):
        words = path.read_text(encoding="utf-8").split(" ")
        pieces += [" ".join(words[i:i + WORDS]) for i in range(0, len(words), WORDS)]
    pieces = [piece for piece in pieces if piece.strip()]
    return [pieces[i * len(pieces) // COUNT] for i in range(COUNT)] if len(pieces) > COUNT else pieces


def read_chunks(folder):
    """The tutorial's: each page cut at "# "."""
    chunks = [chunk for path in sorted(folder.glob("*.md")) for chunk in path.read_text(encoding="utf-8").split("# ")]
    return [chunk for chunk in chunks if chunk]


# numpy has no erf; between points this near, a straight line is off by 1.2e-7 at most.
STEPS = 1024  # from one whole number to the next
ERF = np.array([math.erf(i / STEPS) for i in range(6 * STEPS + 2)], "f4")


def erf(x):
    at = np.minimum(np.abs(x), np.float32(6)) * np.float32(STEPS)
    low = at.astype(np.int32)
    left = ERF[low]
    return np.copysign(left + (ERF[low + 1] - left) * (at - low).astype("f4"), x)


class Encoder:
    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = read_weights(folder / "model.safetensors")

    def linear(self, x, name):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(self.config["layer_norm_eps"]))
        return x * self.weights[name + ".weight"] + self.weights[name + ".bias"]

    def attention(self, x, layer):
        heads, count = self.config["num_attention_heads"], len(x)
        query, key, value = (
            self.linear(x, f"{layer}attention.self.{part}").reshape(count, heads, -1).swapaxes(0, 1)
            for part in ("query", "key", "value"))
        scores = query @ key.swapaxes(1, 2) / np.float32(math.sqrt(query.shape[-1]))
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        return (shares @ value).swapaxes(0, 1).reshape(count, -1)

    def embed(self, ids):
        table = self.weights
        x = (table["embeddings.word_embeddings.weight"][ids] + table["embeddings.position_embeddings.weight"][:len(ids)]
             + table["embeddings.token_type_embeddings.weight"][0])
        x = self.norm(x, "embeddings.LayerNorm")
        for i in range(self.config["num_hidden_layers"]):
            layer = f"encoder.layer.{i}."
            update = self.linear(self.attention(x, layer), layer + "attention.output.dense")
            x = self.norm(x + update, layer + "attention.output.LayerNorm")
            wide = self.linear(x, layer + "intermediate.dense")
            wide = wide * np.float32(0.5) * (1 + erf(wide / np.float32(math.sqrt(2))))
            x = self.norm(x + self.linear(wide, layer + "output.dense"), layer + "output.LayerNorm")
        vector = x.mean(0)
        return (vector / np.linalg.norm(vector)).astype("<f4")


def main():
    model, work = map(pathlib.Path, sys.argv[1:3])
    root = pathlib.Path(__file__).resolve().parents[2]
    corpus = pathlib.Path(os.environ.get("RAG_TEST_DATA", root.parent / "shared" / "data")) / "milvus-docs"
    if not corpus.is_dir():
        return print(f"skipped: {corpus} is not there")
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    encoder = Encoder(model)
    with (work / "pieces").open("wb") as file:
        for piece in read_pieces(corpus) + read_chunks(corpus.parent / "milvus-faq"):
            text = piece.encode()
            file.write(struct.pack("<I", len(text)) + text + encoder.embed(tokenizer.encode(piece).ids).tobytes())
    return subprocess.run([work / "encoder", model, work / "pieces"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
