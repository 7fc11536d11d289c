#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tokenizer_kinds.py OUT [--data FOLDER] [--longest N] [--lines N] [--strings N] [--points N] [--only NAME]: model folders of every kind and the ids that the tokenizers and
sentencepiece libraries give, for tokenizer_kinds.cpp. The small models are trained here, on the texts of the folder or on our
own documents. In OUT/NAME stand the files of a model, in OUT/NAME.cases the cases: 6 numbers of 32 bits (limit, bytes of
the text, of the second one or 2^32 - 1, ids, types, 0), the texts, the ids, the types.
"""

import argparse
import base64
import json
import pathlib
import random
import struct

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

import tokenizer as made_up

NONE = 0xFFFFFFFF
EXTRA = ["<s>", "</s>", "<unk>", "<pad>", "<mask>", "[CLS]", "[SEP]", "[MASK]", " [MASK] ", "<mask> x", "\u2581", "\u2581\u2581a", "<0x41>", "``", "''",
         "  ", "   a", "\u1100\u1161\u11A8\u0301", "\uAC00\u11A8", "\u0915\u094D\u0937\u0301", "\u0928\u093C", "\u0E01\u0E33",
         "\U0001F469\u200D\U0001F469\u200D\U0001F467", "\U0001F1E9\U0001F1EA\U0001F1EB", "\u00A9\u200D\u00A9\u0301", "\u2764\uFE0F\u200D\U0001F525",
         "e\u0301", "\uFF21\u0301", "\u0958\u0301", "\u3099\u304B\u3099", "\uFB01", "\uFDFA", "\u1E9B\u0323", "\u0130\u0307", "\u03A3", "\r\n\u0301", "\u0600\u00BC",
         "tok", "atok", "tok en", "TOK", " tok ", "word\u0301tok", "tok-", "_tok", "new word", "  new word  "]


def texts_of(folder):
    texts = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            texts.append(path.read_bytes().decode("utf-8"))
        except UnicodeDecodeError:
            pass
    return texts


def broken(rng, text):
    """The bytes of a text, some of them damaged."""
    data = bytearray(text.encode("utf-8"))
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data) + 1)
        if rng.randrange(2):
            data[at:at] = bytes(rng.choice([0x80, 0xBF, 0xC0, 0xC3, 0xE2, 0xE0, 0xED, 0xF0, 0xF4, 0xF5, 0xFF, 0x9F, 0xA0]) for _ in range(rng.randrange(1, 4)))
        else:
            del data[at : at + 1]
    return bytes(data)


def strings(count, words):
    rng = random.Random(4)
    for text in made_up.strings(count, words):
        for _ in range(rng.randrange(3)):
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(EXTRA) + text[at:]
        yield broken(rng, text) if rng.randrange(8) == 0 else text.encode("utf-8")


def points(every, first):
    """Code points in groups of 16: each `every`-th group from `first` on."""
    valid = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for i in range(16 * first, len(valid), 16 * every):
        yield "".join(f"a{chr(c)}b {chr(c)}\u0301\u0316{chr(c)} " for c in valid[i : i + 16]).encode("utf-8")


class Cases:
    def __init__(self, path, texts, options, words, longest):
        self.path = path
        texts = [text[:longest] for text in texts]
        self.texts = [text.encode("utf-8") for text in texts]
        for text in texts:
            self.texts += [line.encode("utf-8") for line in text.splitlines(keepends=False)[: options.lines]]
        self.texts += [b"", b" ", b"\n", b"a" * 5000, "字".encode() * 3000, b"aB" * 3000 + b" x"] + list(strings(options.strings, words))
        if options.points and any(kind in path.name for kind in ("echo", "cased", "xlmr", "albert", "spiece")):
            self.texts += list(points(options.points, len(path.name) % options.points))

    def write(self, encode, encode_pair=None):
        rng = random.Random(5)
        with self.path.open("wb") as out:
            for text in self.texts:
                self.put(out, NONE, text, None, encode(text.decode("utf-8", "replace")), [])
            if encode_pair is None:
                return
            short = [text for text in self.texts if len(text) < 200]
            for _ in range(3000):
                first, second = rng.choice(short), rng.choice(short)
                limit = rng.choice([NONE, 4, 5, 6, 7, 8, 9, 12, 15, 16, 31, 32, 64])
                ids, types = encode_pair(first.decode("utf-8", "replace"), second.decode("utf-8", "replace"), limit)
                self.put(out, limit, first, second, ids, types)

    @staticmethod
    def put(out, limit, first, second, ids, types):
        out.write(struct.pack("<6I", limit, len(first), NONE if second is None else len(second), len(ids), len(types), 0))
        out.write(first + (second or b"") + struct.pack(f"<{len(ids)}I", *ids) + struct.pack(f"<{len(types)}I", *types))


class Maker:
    def __init__(self, options):
        self.options, self.out = options, options.out
        self.texts = texts_of(options.data) if options.data else []
        docs = pathlib.Path(__file__).resolve().parents[2]
        self.training = self.texts or texts_of(docs / "docs") + texts_of(docs / "include")
        self.words = sorted({word for text in self.training for word in text.split()[:3000]})[:40000]

    def wanted(self, name):
        return not self.options.only or self.options.only in name

    def folder(self, name):
        folder = self.out / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def cases(self, name):
        # Its unigram sums are floats: in a text of some 100 kB steps of 1/64 and more hide which of two paths is better, and the two
        # programs differ. So it is asked about the beginnings of long texts only.
        longest = min(self.options.longest, 20000) if "spiece" in name else self.options.longest
        return Cases(self.out / f"{name}.cases", self.texts, self.options, self.words, longest)

    def made_by_tokenizers(self, name, tokenizer):
        """Cases for a tokenizers.Tokenizer, or the text of a tokenizer.json."""
        if not self.wanted(name):
            return
        text = tokenizer if isinstance(tokenizer, str) else tokenizer.to_str()
        (self.folder(name) / "tokenizer.json").write_text(text, encoding="utf-8")
        tokenizer = Tokenizer.from_str(text)

        def pair(first, second, limit):
            if limit == NONE:
                tokenizer.no_truncation()
            else:
                tokenizer.enable_truncation(limit, strategy="longest_first")
            encoded = tokenizer.encode(first, second)
            return encoded.ids, encoded.type_ids

        def single(text):
            tokenizer.no_truncation()
            return tokenizer.encode(text).ids

        self.cases(name).write(single, pair)

    def wordpieces(self):
        for name, lower, cls, sep in (("uncased", True, "[CLS]", "[SEP]"), ("cased", False, "[CLS]", "[SEP]"), ("mpnet", True, "<s>", "</s>")):
            if not self.wanted(name):
                continue
            tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
            tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
            tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
            special = ["[PAD]", "[UNK]", cls, sep]
            special.append(AddedToken("<mask>", lstrip=True, special=True) if name == "mpnet" else "[MASK]")
            tokenizer.train_from_iterator(self.training, trainers.WordPieceTrainer(vocab_size=6000, special_tokens=special))
            ids = [(token, tokenizer.token_to_id(token)) for token in (sep, cls)]
            if name == "mpnet":
                tokenizer.post_processor = processors.RobertaProcessing(*ids)
            elif lower:
                tokenizer.post_processor = processors.TemplateProcessing(
                    single=f"{cls} $A {sep}", pair=f"{cls} $A {sep} $B:1 {sep}:1", special_tokens=ids)
            else:
                tokenizer.post_processor = processors.BertProcessing(*ids)
            self.made_by_tokenizers(name, tokenizer)

    def spiece(self, name, **how):
        lines = self.out / "lines.txt"
        if not lines.exists():
            rows = [line for text in self.training for line in text.splitlines() if 0 < len(line) < 2000]
            random.Random(1).shuffle(rows)
            lines.write_text("\n".join(rows[:30000]), encoding="utf-8")
        prefix = self.out / name
        sentencepiece.SentencePieceTrainer.train(input=str(lines), model_prefix=str(prefix), minloglevel=2, num_threads=1, **how)
        return (self.out / f"{name}.model").read_bytes()

    def unigrams(self):
        if not any(map(self.wanted, ("albert", "albert-spiece", "xlmr", "xlmr-old", "xlmr-spiece", "spiece-unigram", "echo-precompiled"))):
            return
        model = self.spiece("albert-spm", model_type="unigram", vocab_size=5000, hard_vocab_limit=False, pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, pad_piece="<pad>",
                            control_symbols=["[CLS]", "[SEP]"], user_defined_symbols=["(", ")", "-"], normalization_rule_name="nmt_nfkc")
        pieces, rules = read_spiece(model)
        self.made_by_tokenizers("albert", albert_json(pieces, rules))
        if self.wanted("albert-spiece"):
            folder = self.folder("albert-spiece")
            (folder / "spiece.model").write_bytes(model)
            (folder / "config.json").write_text('{"model_type": "albert"}')
            before = normalizers.Sequence([normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(),
                                           normalizers.StripAccents(), normalizers.Lowercase()])
            split = Splitter([("<pad>", 0, False), ("<unk>", 1, False), ("[CLS]", 2, False), ("[SEP]", 3, False)])
            processor = sentencepiece.SentencePieceProcessor(model_proto=model)
            self.cases("albert-spiece").write(lambda text: [2] + split.encode(text, lambda t: processor.encode(before.normalize_str(t))) + [3])
        model = self.spiece("xlmr-spm", model_type="unigram", hard_vocab_limit=False, vocab_size=8000, normalization_rule_name="nmt_nfkc", character_coverage=0.999)
        pieces, rules = read_spiece(model)
        self.made_by_tokenizers("xlmr", xlmr_json(pieces, rules, False))
        self.made_by_tokenizers("xlmr-old", xlmr_json(pieces, rules, True))
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        if self.wanted("spiece-unigram"):
            (self.folder("spiece-unigram") / "tokenizer.model").write_bytes(model)
            self.cases("spiece-unigram").write(processor.encode)
        if self.wanted("xlmr-spiece"):
            folder = self.folder("xlmr-spiece")
            (folder / "sentencepiece.bpe.model").write_bytes(model)
            (folder / "config.json").write_text('{"model_type": "xlm-roberta"}')
            mask = len(pieces) + 1
            split = Splitter([("<s>", 0, False), ("<pad>", 1, False), ("</s>", 2, False), ("<unk>", 3, False), ("<mask>", mask, True)])
            self.cases("xlmr-spiece").write(
                lambda text: [0] + split.encode(text, lambda t: [3 if i == 0 else i + 1 for i in processor.encode(t)]) + [2])
        self.charsmap = rules

    def spiece_kinds(self):
        for name, how in (("spiece-bpe", dict(model_type="bpe", byte_fallback=True, vocab_size=4000, user_defined_symbols=["<sep>", "of the"])),
                          ("spiece-bpe-plain", dict(model_type="bpe", vocab_size=4000, character_coverage=0.98, add_dummy_prefix=False,
                                                    remove_extra_whitespaces=False, normalization_rule_name="identity")),
                          ("spiece-unigram-bytes", dict(model_type="unigram", byte_fallback=True, vocab_size=3000, normalization_rule_name="nfkc_cf",
                                                        user_defined_symbols=["<sep>", "of the", "字典"]))):
            if self.wanted(name):
                model = self.spiece(name + "-spm", **how)
                (self.folder(name) / "tokenizer.model").write_bytes(model)
                self.cases(name).write(sentencepiece.SentencePieceProcessor(model_proto=model).encode)

    def bpes(self):
        for name, how in (("bpe-metaspace", dict(fuse_unk=True)), ("bpe-bytes", dict(byte_fallback=True, ignore_merges=True)),
                          ("bpe-suffix", dict(end_of_word_suffix="</w>"))):
            if not self.wanted(name):
                continue
            tokenizer = Tokenizer(models.BPE(unk_token="<unk>", **how))
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace() if name != "bpe-suffix" else pre_tokenizers.Whitespace()
            special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] * ("byte_fallback" in how)
            trainer = trainers.BpeTrainer(vocab_size=5000, special_tokens=special, limit_alphabet=800,
                                          **{k: v for k, v in how.items() if k == "end_of_word_suffix"})
            tokenizer.train_from_iterator(self.training, trainer)
            made = json.loads(tokenizer.to_str())
            made["added_tokens"] = made["added_tokens"][:3]
            made["model"].update(how)
            self.made_by_tokenizers(name, json.dumps(made))

    def echoes(self):
        """Tokenizers whose ids are the bytes of the text that a step gave; the end of a word shows too."""
        n, p, tok = normalizers, pre_tokenizers, AddedToken
        rules = self.charsmap
        steps = {
            "nfc": (n.NFC(), None), "nfd": (n.NFD(), None), "nfkc": (n.NFKC(), None), "nfkd": (n.NFKD(), None), "lowercase": (n.Lowercase(), None),
            "strip-accents": (n.StripAccents(), None), "strip": (n.Strip(), None), "strip-right": (n.Strip(left=False), None), "nmt": (n.Nmt(), None),
            "precompiled": (lambda: n.Precompiled(rules), None), "replace": (n.Replace("a", "bb"), None), "runs": (n.Replace(Regex(" {2,}"), "_"), None),
            "prepend": (n.Sequence([n.Prepend("_"), n.Replace(" ", "_")]), None), "bert-cased": (n.BertNormalizer(lowercase=False), None),
            "bert-accents": (n.BertNormalizer(lowercase=True, strip_accents=False), None),
            "bert-nothing": (n.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False), None),
            "cut-bert": (None, p.BertPreTokenizer()), "cut-words": (None, p.Whitespace()), "cut-blanks": (None, p.WhitespaceSplit()),
            "cut-punctuation": (None, p.Punctuation()), "cut-first": (None, p.Metaspace(prepend_scheme="first")),
            "cut-never": (None, p.Metaspace(prepend_scheme="never")), "cut-whole": (None, p.Metaspace(split=False)),
            "cut-sequence": (n.Lowercase(), p.Sequence([p.WhitespaceSplit(), p.Punctuation(), p.Metaspace(prepend_scheme="first")])),
        }
        for name, (normalizer, cut) in steps.items():
            if self.wanted("echo-" + name):
                self.made_by_tokenizers("echo-" + name, echo(normalizer() if callable(normalizer) else normalizer, cut, []))
        added = [tok("tok", single_word=True), tok("new word", lstrip=True, rstrip=True), tok("[MASK]", lstrip=True, special=True, normalized=False),
                 tok("É", normalized=True), tok("<s>", rstrip=True, normalized=False), tok("TOK", normalized=False), tok("``", normalized=True)]
        for name, normalizer, cut in (("added", None, None), ("added-lower", n.Sequence([n.NFKD(), n.Lowercase()]), p.Metaspace()),
                                      ("added-first", n.Lowercase(), p.Metaspace(prepend_scheme="first"))):
            if self.wanted("echo-" + name):
                self.made_by_tokenizers("echo-" + name, echo(normalizer, cut, added))


class Splitter:
    """Cuts a text at special tokens, as both kinds of transformers' tokenizers do."""

    def __init__(self, tokens):
        self.tokenizer = Tokenizer(models.WordLevel({"?": 0, **{text: number + 1 for text, number, _ in tokens}}, unk_token="?"))
        self.tokenizer.add_special_tokens([AddedToken(text, lstrip=left, normalized=False, special=True) for text, _, left in tokens])

    def encode(self, text, encode):
        encoded, ids = self.tokenizer.encode(text, add_special_tokens=False), []
        for number, (begin, end) in zip(encoded.ids, encoded.offsets):
            ids += [number - 1] if number else encode(text[begin:end])
        return ids


def echo(normalizer, cut, added):
    vocabulary = {"<unk>": 0, **{f"<0x{byte:02X}>": byte + 1 for byte in range(256)}}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True, unk_token="<unk>", end_of_word_suffix="|"))
    if normalizer:
        tokenizer.normalizer = normalizer
    if cut:
        tokenizer.pre_tokenizer = cut
    tokenizer.add_tokens(added)
    return tokenizer


def fields(data):
    """(number, value) of each field of a protobuf message."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
            continue
        size = varint() if key & 7 == 2 else {1: 8, 5: 4}[key & 7]
        yield key >> 3, data[at : at + size]
        at += size


def read_spiece(model):
    """[(text, score, type)] and the charsmap."""
    pieces, rules = [], b""
    for number, value in fields(model):
        if number == 1:
            piece = dict(fields(value))
            pieces.append((piece[1].decode("utf-8"), struct.unpack("<f", piece[2])[0], piece.get(3, 1)))
        elif number == 3:
            rules = dict(fields(value)).get(2, b"")
    return pieces, rules


def token(number, text, **flags):
    return {"id": number, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True, **flags}


def template(cls, sep, roberta):
    def special(text, kind):
        return {"SpecialToken": {"id": text, "type_id": kind}}

    first, second = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0 if roberta else 1}}
    middle = [special(sep[0], 0)] * (2 if roberta else 1)
    return {"type": "TemplateProcessing", "single": [special(cls[0], 0), first, special(sep[0], 0)],
            "pair": [special(cls[0], 0), first, *middle, second, special(sep[0], 0 if roberta else 1)],
            "special_tokens": {text: {"id": text, "ids": [number], "tokens": [text]} for text, number in (cls, sep)}}


def unigram_json(vocabulary, unknown, added, steps, cut, post):
    return json.dumps({"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": {"type": "Sequence", "normalizers": steps},
                       "pre_tokenizer": cut, "post_processor": post, "decoder": None,
                       "model": {"type": "Unigram", "unk_id": unknown, "vocab": vocabulary, "byte_fallback": False}}, ensure_ascii=False)


METASPACE = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}


def precompiled(rules):
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(rules).decode()}


def albert_json(pieces, rules):
    """What transformers makes of an ALBERT's spiece.model."""
    vocabulary = [[text, score if kind != 4 else 0.0] for text, score, kind in pieces]
    added = [token(i, text) for i, (text, _, kind) in enumerate(pieces) if kind in (2, 3)] + [token(len(pieces), "[MASK]", lstrip=True)]
    steps = [{"type": "Replace", "pattern": {"String": "``"}, "content": '"'}, {"type": "Replace", "pattern": {"String": "''"}, "content": '"'},
             {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, precompiled(rules),
             {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]
    numbers = {text: i for i, (text, _, _) in enumerate(pieces)}
    return unigram_json(vocabulary, 1, added, steps, METASPACE, template(("[CLS]", numbers["[CLS]"]), ("[SEP]", numbers["[SEP]"]), False))


def xlmr_json(pieces, rules, old):
    """What transformers makes of an XLM-RoBERTa's sentencepiece.bpe.model."""
    vocabulary = [["<s>", 0.0], ["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0]] + [[text, score] for text, score, _ in pieces[3:]] + [["<mask>", 0.0]]
    added = [token(i, vocabulary[i][0]) for i in range(4)] + [token(len(vocabulary) - 1, "<mask>", lstrip=True)]
    steps = [precompiled(rules)] + ([] if old else [{"type": "Strip", "strip_left": False, "strip_right": True},
                                                    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "\u2581"}])
    cut = METASPACE
    if old:
        cut = {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True}]}
    return unigram_json(vocabulary, 3, added, steps, cut, template(("<s>", 0), ("</s>", 2), True))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--strings", type=int, default=10000)
    parser.add_argument("--longest", type=int, default=1 << 30, help="characters of each file")
    parser.add_argument("--lines", type=int, default=200, help="of each file, besides the whole")
    parser.add_argument("--points", type=int, default=0, metavar="N", help="each N-th group of 16 code points; 0: none")
    parser.add_argument("--only")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    maker = Maker(options)
    maker.charsmap = None
    maker.wordpieces()
    maker.unigrams()
    maker.spiece_kinds()
    maker.bpes()
    maker.echoes()


if __name__ == "__main__":
    main()
