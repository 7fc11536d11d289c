#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes include/rag/detail/unicode_tables.hpp.

The truth is the tokenizers library, asked about every code point: its tables are of several Unicode versions, none
of them today's. So a table made from it, and not from the Unicode files, gives the ids that models were trained on.

    python3 -m venv v && v/bin/pip install tokenizers==0.23.3
    v/bin/python tools/unicode_tables.py             writes the header
    v/bin/python tools/unicode_tables.py --check     fails when the header is another one
"""

import argparse
import pathlib
import sys
import unicodedata

VERSION = "0.23.3"
HEADER = pathlib.Path(__file__).resolve().parent.parent / "include" / "rag" / "detail" / "unicode_tables.hpp"
SPACE, PUNCTUATION, REMOVED, MARK, WORD, MAPPED, NONSTARTER, LONG = (1 << bit for bit in range(8))
HANGUL = range(0xAC00, 0xAC00 + 11172)


class Library:
    """What the library does with one code point."""

    def __init__(self):
        import tokenizers
        from tokenizers import Regex, normalizers, pre_tokenizers

        if tokenizers.__version__ != VERSION:
            sys.exit(f"unicode_tables.py: tokenizers {VERSION} wanted, {tokenizers.__version__} installed")

        def bert(**steps):
            off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
            return normalizers.BertNormalizer(**{**off, **steps}).normalize_str

        self.clean = bert(clean_text=True)
        self.fold = bert(clean_text=True, strip_accents=True, lowercase=True)
        self.space_cjk = bert(handle_chinese_chars=True)
        self.decompose = normalizers.NFD().normalize_str
        self.without_words = normalizers.Replace(Regex(r"[\p{L}\p{M}\p{N}]"), "").normalize_str
        self.split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str

    def is_starter(self, char):
        """Of a char that does not decompose: nothing moves past it. U+0334 has class 1, U+0345 class 240."""
        low, high = char + "\u0334", "\u0345" + char
        return self.decompose(low) == low and self.decompose(high) == high


def probe(library):
    """The flags of each code point; what each mapped one becomes; the nonstarters that are not stripped."""
    flags, mapped, survivors = [0] * 0x110000, {}, []
    for point in (p for p in range(0x110000) if not 0xD800 <= p < 0xE000):
        char = chr(point)
        folded, parts = library.fold(char), library.decompose(char)
        starters = [library.is_starter(part) for part in parts]
        pieces = len(library.split("a" + char + "a"))
        flag = SPACE * (pieces == 2) | PUNCTUATION * (pieces == 3) | WORD * (library.without_words(char) == "")
        if library.clean(char) == "":
            flag |= REMOVED
        elif folded == "":
            flag |= MARK | NONSTARTER * (not any(starters))
        elif point in HANGUL or library.clean(char) == " ":
            pass
        elif folded == char:
            if not starters[0]:
                survivors.append(point)
                flag |= NONSTARTER
        else:
            mapped[point] = folded
            flag |= MAPPED | LONG * (len(folded) > 1)
            # What the reader of the table takes for granted.
            assert len(folded) <= 3 and starters[0] and library.is_starter(folded[0])
            assert library.fold(folded) == folded and not library.clean(char) == " "
        flags[point] = flag
        # So the spaces around CJK may as well be set after folding.
        assert (library.space_cjk(char) != char) == any(library.space_cjk(c) != c for c in folded)
    for a in survivors:
        for b in survivors:
            pair = [chr(a), chr(b)]
            assert library.decompose(chr(a) + chr(b)) == "".join(sorted(pair, key=unicodedata.combining))
    return flags, mapped, survivors


def varint(number):
    """Base 28, lowest digit first: the last digit is one of '@'..'[', the others are ']'..'x'."""
    text = ""
    while number >= 28:
        text += chr(0x5D + number % 28)
        number //= 28
    return text + chr(0x40 + number)


def runs(values):
    first = 0
    for i in range(1, len(values) + 1):
        if i == len(values) or values[i] != values[first]:
            yield first, i - first, values[first]
            first = i


def literal(name, text):
    lines = [text[i : i + 104] for i in range(0, len(text), 104)]
    return f"inline constexpr char {name}[] =\n" + "\n".join(f'    "{line}"' for line in lines) + ";\n"


def header(flags, mapped, survivors):
    kinds = sorted(set(flags), key=lambda flag: -sum(1 for _ in filter(lambda run: run[2] == flag, runs(flags))))
    assert len(kinds) <= 28
    runs_text = "".join(varint(length) + varint(kinds.index(flag)) for _, length, flag in runs(flags))

    # The pages that the reader keeps, counted as it does: a page in the middle of a run is kept once.
    starts, pages, whole = {first for first, _, _ in runs(flags)}, 0, False
    for page in range(0, 0x110000, 256):
        inside = not starts.intersection(range(page, page + 256))
        pages, whole = pages + (not (whole and inside)), inside

    targets_text, previous = "", 0
    for point in sorted(mapped):
        difference = ord(mapped[point][0]) - previous
        targets_text += varint(2 * difference if difference >= 0 else -2 * difference - 1)
        previous += difference

    def escape(char):
        return f"\\U{ord(char):08X}" if ord(char) > 0xFFFF else f"\\u{ord(char):04X}"

    tails = [escape(chr(p)) + "".join(map(escape, s[1:])) + "\\0" * (3 - len(s))
             for p, s in sorted(mapped.items()) if len(s) > 1]
    tail_lines = ["".join(tails[i : i + 3]) for i in range(0, len(tails), 3)]

    ranks = sorted({unicodedata.combining(chr(p)) for p in survivors})
    classes = [0] * 0x110000
    for point in survivors:
        classes[point] = 1 + ranks.index(unicodedata.combining(chr(point)))
    order = [(first, length, rank) for first, length, rank in runs(classes) if rank]
    order_lines = [", ".join("{0x%X, %d, %d}" % entry for entry in order[i : i + 5]) for i in range(0, len(order), 5)]

    return f"""// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_UNICODE_TABLES_HPP
#define RAG_DETAIL_UNICODE_TABLES_HPP
#include <rag/version.hpp>

#include <cstddef>
#include <cstdint>

// Written by tools/unicode_tables.py from what tokenizers {VERSION} answers for every code point. Numbers in the
// strings are in base 28, lowest digit first: the last digit is one of '@'..'[', the others are ']'..'x'.

RAG_BEGIN
namespace detail::unicode {{

// What a code point is; `kinds` are the sets of these flags that occur.
enum Flag : std::uint8_t {{
  space = {SPACE},         // white space
  punctuation = {PUNCTUATION},   // ASCII's, and category P
  removed = {REMOVED},       // control, format, private use, U+FFFD
  mark = {MARK},          // nonspacing: folds to nothing
  word = {WORD},         // letter, mark or number
  mapped = {MAPPED},       // folds to another code point
  nonstarter = {NONSTARTER},   // its combining class is not 0
  has_tail = {LONG},    // folds to several
}};
inline constexpr std::uint8_t kinds[] = {{{", ".join(map(str, kinds))}}};

// From U+0000 on: the length of a run, and the place in `kinds` of what its code points are.
inline constexpr std::size_t page_count = {pages};  // of 256 code points, that differ from the one before
{literal("runs", runs_text)}
// What each mapped code point becomes, in order: the difference to the one before, times 2, or times -2 and less 1.
inline constexpr std::size_t mapped_count = {len(mapped)};
{literal("targets", targets_text)}
// Three each: a code point with has_tail, and what follows its target (0: nothing).
inline constexpr std::size_t tail_count = {len(tails)};
inline constexpr char32_t tails[] =
{chr(10).join('    U"' + line + '"' for line in tail_lines)};

// The nonstarters that are no mark: first, how many, and the rank of their combining class, 1 to {len(ranks)}.
struct Order {{
  char32_t first;
  std::uint8_t count, rank;
}};
inline constexpr std::uint8_t order_ranks = {len(ranks)};
inline constexpr Order order[] = {{
{chr(10).join('    ' + line + ',' for line in order_lines)}
}};

}}  // namespace detail::unicode
RAG_END
#endif
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the header instead of writing it")
    check = parser.parse_args().check
    text = header(*probe(Library()))
    if not check:
        HEADER.write_text(text, encoding="ascii")
    elif HEADER.read_text(encoding="ascii") != text:
        sys.exit(f"unicode_tables.py: {HEADER} is not what tokenizers {VERSION} gives")


if __name__ == "__main__":
    main()
