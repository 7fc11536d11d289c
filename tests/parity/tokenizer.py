#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tokenizer.py MODEL_FOLDER OUT [--files FOLDER] [--strings N] [--points]: texts and the ids that the tokenizers library
gives them, for tokenizer.cpp. The texts are all files of a folder that are UTF-8, N strings made up from a fixed
seed, and every code point in two places.
"""

import argparse
import itertools
import pathlib
import random
import struct

from tokenizers import Tokenizer
from tokenizers.normalizers import BertNormalizer

SPECIAL = ["[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]", "[cls]", "[SEP", "[[SEP]]", "[MASK]x", "##ing", "##"]
SPACES = [chr(c) for c in (9, 10, 11, 12, 13, 32, 32, 32, 0x85, 0xA0, 0x1680, 0x2003, 0x2028, 0x2029, 0x202F, 0x3000)]
CONTROLS = [chr(c) for c in (0, 1, 0x1F, 0x7F, 0xAD, 0x200B, 0x200D, 0x200E, 0x202E, 0x2066, 0xFEFF, 0xFFFD, 0xFFFE, 0xE000)]
# Marks, and nonstarters that are none to the library: what canonical order is about.
MARKS = [*range(0x300, 0x370), *range(0x591, 0x5C8), *range(0x610, 0x61B), *range(0x64B, 0x660), *range(0x8D0, 0x903),
         0x93C, 0x94D, 0xDCA, 0xFB1E, 0x1B34, 0x1B44, 0x1BAA, 0x1BF2, 0x1BF3, 0x1DFB, *range(0x1DC0, 0x1E00),
         *range(0x302A, 0x3030), 0x3099, 0xA953, 0xA9C0, 0x111C0, 0x11235, 0x1134D, 0x11442, 0x11446, 0x116B6, 0x11C3F,
         *range(0x1D165, 0x1D173), *range(0x1E000, 0x1E02B), *range(0x1E944, 0x1E94B), 0x34F, 0x200D, 0x1D15F, 0x1D1BB]
# Blocks where folding does something, or where tokens are plenty.
BLOCKS = [(0xA0, 0x250), (0x370, 0x530), (0x590, 0x700), (0x900, 0xE00), (0x1100, 0x1200), (0x1B00, 0x1C00),
          (0x1E00, 0x2070), (0x20A0, 0x2C00), (0x2E80, 0x3200), (0x4E00, 0x5200), (0xAC00, 0xD7A4), (0xF900, 0x10000),
          (0x10400, 0x10450), (0x11000, 0x11800), (0x1D100, 0x1D800), (0x1E000, 0x1F000), (0x1F300, 0x1FA00),
          (0x20000, 0x20100), (0x2F800, 0x2FA20)]


def any_point(rng):
    """A plane first, so that each is met as often."""
    while True:
        point = rng.randrange(17) << 16 | rng.randrange(0x10000)
        if not 0xD800 <= point < 0xE000:
            return chr(point)


def piece(rng, words):
    kind = rng.randrange(12)
    if kind < 3:
        word = rng.choice(words)
        return rng.choice([word, word.upper(), word.capitalize(), word + rng.choice(words)])
    if kind == 3:
        return "".join(any_point(rng) for _ in range(rng.randrange(1, 8)))
    if kind in (4, 5):
        first, last = rng.choice(BLOCKS)
        return "".join(chr(rng.randrange(first, last)) for _ in range(rng.randrange(1, 8)))
    if kind == 6:
        return "".join(chr(rng.choice(MARKS)) for _ in range(rng.randrange(1, 6)))
    if kind == 7:
        return rng.choice(SPECIAL)
    if kind == 8:
        return rng.choice(CONTROLS)
    if kind == 9:
        return "".join(chr(rng.randrange(0x20, 0x7F)) for _ in range(rng.randrange(1, 10)))
    if kind == 10 and rng.randrange(4) == 0:  # about as long as a word may be
        return rng.choice(["a", "é", "字", "e\u0301", "가", "\U00010400"]) * rng.randrange(30, 110)
    return rng.choice(SPACES) * rng.randrange(1, 3)


def strings(count, words):
    rng = random.Random(20240607)
    for _ in range(count):
        pieces = [piece(rng, words) for _ in range(rng.randrange(1, 24))]
        yield rng.choice(["", "", " "]).join(pieces)


def points():
    """Every code point between letters, and between two nonstarters in the wrong order."""
    valid = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for i in range(0, len(valid), 64):
        yield "".join(f"a{chr(c)}b \u08D4{chr(c)}\u302E " for c in valid[i : i + 64])


def files(folder):
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            yield path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            print(f"tokenizer.py: {path.name} is not UTF-8, left out")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--files", type=pathlib.Path)
    parser.add_argument("--strings", type=int, default=0)
    parser.add_argument("--points", action="store_true")
    options = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(options.model / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    fold = BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=None, lowercase=True).normalize_str
    words = [word.removeprefix("##") for word in sorted(tokenizer.get_vocab())]
    with options.out.open("wb") as out:
        for text in itertools.chain(files(options.files) if options.files else (), strings(options.strings, words),
                                    points() if options.points else ()):
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            encoded, folded = text.encode("utf-8"), fold(text).encode("utf-8")
            out.write(struct.pack("<III", len(encoded), len(folded), len(ids)))
            out.write(encoded + folded + struct.pack(f"<{len(ids)}I", *ids))


if __name__ == "__main__":
    main()
