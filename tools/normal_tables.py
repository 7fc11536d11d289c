#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes include/rag/detail/normal_tables.hpp: normal forms, lower case, words and grapheme clusters.

The truth is the tokenizers library, asked about every code point, as in unicode_tables.py.

    python3 -m venv v && v/bin/pip install tokenizers==0.23.3
    v/bin/python tools/normal_tables.py             writes the header
    v/bin/python tools/normal_tables.py --check     fails when the header is another one
"""

import argparse
import functools
import pathlib
import struct
import sys

VERSION = "0.23.3"
HEADER = pathlib.Path(__file__).resolve().parent.parent / "include" / "rag" / "detail" / "normal_tables.hpp"
HANGUL = range(0xAC00, 0xAC00 + 11172)
POINTS = [p for p in range(0x110000) if not 0xD800 <= p < 0xE000]
WORD, SPACE, MARK, NONSPACING = 1, 2, 4, 8
BREAKS = ["other", "control", "extend", "linker", "spacing", "joiner", "prepend", "pictographic", "consonant", "regional",
          "leading", "vowel", "trailing"]


def cluster_counter():
    """Precompiled replaces a cluster of less than 6 bytes at once and a longer one char by char. With a rule for every
    first byte the length of what it gives tells the clusters."""
    from tokenizers import normalizers

    units = [0] * 1024
    units[0] = 256 << 10
    for byte in range(1, 256):
        units[256 ^ byte] = byte | 1 << 8 | 512 << 10
    trie = struct.pack("<1024I", *units)
    normalize = normalizers.Precompiled(struct.pack("<I", len(trie)) + trie + b"R\0").normalize_str
    return lambda text: len(normalize(text))


class Library:
    def __init__(self):
        import tokenizers
        from tokenizers import normalizers, pre_tokenizers

        if tokenizers.__version__ != VERSION:
            sys.exit(f"normal_tables.py: tokenizers {VERSION} wanted, {tokenizers.__version__} installed")
        self.nfd, self.nfkd = normalizers.NFD().normalize_str, normalizers.NFKD().normalize_str
        self.nfc = normalizers.NFC().normalize_str
        self.lower = normalizers.Lowercase().normalize_str
        self.strip_marks = normalizers.StripAccents().normalize_str
        off = dict(clean_text=False, handle_chinese_chars=False, lowercase=False)
        self.strip_nonspacing = normalizers.BertNormalizer(strip_accents=True, **off).normalize_str
        self.words = pre_tokenizers.Whitespace().pre_tokenize_str
        self.clusters = cluster_counter()

    def is_nonstarter(self, char):
        """Of a char that does not decompose. U+0334 has class 1, U+0345 class 240."""
        return self.nfd(char + "\u0334") != char + "\u0334" or self.nfd("\u0345" + char) != "\u0345" + char


def break_class(library, point):
    """The class by which clusters are cut, as far as clusters of a char and one of two bytes after it can show it."""
    char, count = chr(point), library.clusters
    if point == 0x200D:
        return "joiner"
    if 0x1F1E6 <= point <= 0x1F1FF:
        return "regional"
    for name, ranges in (("leading", ((0x1100, 0x115F), (0xA960, 0xA97C))), ("vowel", ((0x1160, 0x11A7), (0xD7B0, 0xD7C6))),
                         ("trailing", ((0x11A8, 0x11FF), (0xD7CB, 0xD7FB)))):
        if any(first <= point <= last for first, last in ranges) and count(("\u1160" if name == "trailing" else "\u1100") + char + "\u0301") == 3:
            return name
    if len(char.encode()) < 5 and count("Q" + char) == 1:
        if count("\u00A9" + char + "\u200D\u00A9\u0301") == 5:
            return "linker" if count("\u0915" + char + "\u0915\u0301") == 4 else "extend"
        return "spacing"
    if len(char.encode()) < 4:
        if count("\u0600" + char) == 2:
            return "control"
        if count("\u00A9\u200D" + char + "\u0301") == 4:
            return "pictographic"
        if count("\u0915\u094D" + char + "\u0301") == 4:
            return "consonant"
    elif count(char + "\u0301") == 3:
        return "control"
    elif count(char + "\u200D\u00A9\u0301") == 4:
        return "pictographic"
    elif count(char + "\u094D\u0915\u0301") == 4:
        return "consonant"
    if count(char + "Q") == (1 if len(char.encode()) < 5 else 2):
        return "prepend"
    return "other"


def probe(library):
    flags, decompositions, compatible, lower, pairs, nonstarters = [0] * 0x110000, {}, {}, {}, [], []
    for point in POINTS:
        char = chr(point)
        pieces = len(library.words("a" + char + "a"))
        flag = WORD * (pieces == 1) | SPACE * (pieces == 2) | MARK * (library.strip_marks(char) == "")
        decomposed, folded = library.nfd(char), library.nfkd(char)
        if point not in HANGUL:
            if decomposed != char:
                decompositions[point] = decomposed
                first = library.nfc(decomposed[:-1])
                if library.nfc(char) == char:
                    assert len(first) == 1
                    pairs.append((ord(first), ord(decomposed[-1]), point))
            else:
                flag |= NONSPACING * (library.strip_nonspacing(char) == "")
                if library.is_nonstarter(char):
                    nonstarters.append(point)
            if folded != decomposed:
                compatible[point] = folded
        if library.lower(char) != char:
            lower[point] = library.lower(char)
        flags[point] = flag | BREAKS.index(break_class(library, point)) << 4
    return flags, decompositions, compatible, lower, sorted(pairs), ranks(library, nonstarters)


def ranks(library, nonstarters):
    """The rank of each nonstarter's combining class, from 1."""
    def compare(a, b):
        a, b = chr(a), chr(b)
        return (library.nfd(a + b) != a + b) - (library.nfd(b + a) != b + a)

    table, rank, before = [0] * 0x110000, 0, None
    for point in sorted(nonstarters, key=functools.cmp_to_key(compare)):
        rank += before is None or compare(before, point) != 0
        table[point], before = rank, point
    return table


def varint(number):
    """Base 28, lowest digit first: the last digit is one of '@'..'[', the others are ']'..'x'."""
    text = ""
    while number >= 28:
        text += chr(0x5D + number % 28)
        number //= 28
    return text + chr(0x40 + number)


def signed(number):
    return varint(2 * number if number >= 0 else -2 * number - 1)


def runs(values):
    first = 0
    for i in range(1, len(values) + 1):
        if i == len(values) or values[i] != values[first]:
            yield first, i - first, values[first]
            first = i


def mapping(table):
    """Of each entry: the difference to the point before, how many it becomes, and the differences of these in turn."""
    text, before, last = "", 0, 0
    for point, target in sorted(table.items()):
        text += varint(point - before) + varint(len(target))
        before = point
        for char in target:
            text += signed(ord(char) - last)
            last = ord(char)
    return text


def literal(name, text):
    lines = [text[i : i + 116] for i in range(0, len(text), 116)]
    return f"inline constexpr char {name}[] =\n" + "\n".join(f'    "{line}"' for line in lines) + ";\n"


def header(flags, decompositions, compatible, lower, pairs, classes):
    kinds = sorted(set(flags), key=lambda flag: -sum(1 for run in runs(flags) if run[2] == flag))
    runs_text = "".join(varint(length) + varint(kinds.index(flag)) for _, length, flag in runs(flags))
    ranks_text, end = "", 0
    ranges = [run for run in runs(classes) if run[2]]
    for first, length, rank in ranges:
        ranks_text += varint(first - end) + varint(length) + varint(rank)
        end = first + length
    pairs_text, before = "", (0, 0, 0)
    for pair in pairs:
        pairs_text += "".join(signed(new - old) for new, old in zip(pair, before))
        before = pair
    return f"""// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_NORMAL_TABLES_HPP
#define RAG_DETAIL_NORMAL_TABLES_HPP
#include <rag/version.hpp>

#include <cstddef>
#include <cstdint>

// Written by tools/normal_tables.py from what tokenizers {VERSION} answers for every code point. Numbers in the strings
// are in base 28, lowest digit first: the last digit is one of '@'..'[', the others are ']'..'x'. A signed number n is
// 2 n, or -2 n - 1 below 0.

RAG_BEGIN
namespace detail::normal {{

// The low half of what a code point is; the high half is its Break.
enum Flag : std::uint8_t {{
  word = {WORD},        // \\\\w
  space = {SPACE},       // \\\\s
  mark = {MARK},        // category M
  nonspacing = {NONSPACING},  // category Mn
}};
// How clusters are cut, as far as tokens can show it; Hangul syllables are other.
enum Break : std::uint8_t {{ {", ".join(BREAKS)} }};
inline constexpr std::uint8_t kinds[] = {{{", ".join(map(str, kinds))}}};

// From U+0000 on: the length of a run, and the place in `kinds` of what its code points are.
{literal("runs", runs_text)}
// Canonical decompositions: the difference to the code point before, how many it becomes, the signed differences of these.
inline constexpr std::size_t canonical_count = {len(decompositions)};
{literal("canonical", mapping(decompositions))}
// Compatible decompositions where they are others.
inline constexpr std::size_t compatible_count = {len(compatible)};
{literal("compatible", mapping(compatible))}
// Lower case.
inline constexpr std::size_t lower_count = {len(lower)};
{literal("lower", mapping(lower))}
// What composes: first, second, whole, as signed differences to those before.
inline constexpr std::size_t pair_count = {len(pairs)};
{literal("pairs", pairs_text)}
// Nonstarters: the gap since the last, how many, and the rank of their combining class.
inline constexpr std::size_t rank_count = {len(ranges)};
{literal("ranks", ranks_text)}
}}  // namespace detail::normal
RAG_END
#endif
""".replace("\\\\\\\\", "\\\\").replace("\\\\w", "\\w").replace("\\\\s", "\\s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the header instead of writing it")
    check = parser.parse_args().check
    text = header(*probe(Library()))
    if not check:
        HEADER.write_text(text, encoding="ascii")
    elif HEADER.read_text(encoding="ascii") != text:
        sys.exit(f"normal_tables.py: {HEADER} is not what tokenizers {VERSION} gives")


if __name__ == "__main__":
    main()
