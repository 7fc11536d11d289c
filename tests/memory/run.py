#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reads malformed files of models, of the size of real ones, and looks at the memory that it takes.

  tests/memory/run.py [-v]    -v: a line for each file

Each is read by a process of its own: it must end with 0 or a rag::Error, its memory be at most 4 times the file and
64 MiB, and its time 20 s. Builds build/memory/read with CXX, default g++.
"""
import base64
import json
import os
import pathlib
import random
import resource
import shutil
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import flags  # noqa: E402

MEGA = 1 << 20
SIZE = 4 * MEGA  # of most files
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def dump(value, indent=None):
    return json.dumps(value, ensure_ascii=False, indent=indent, separators=None if indent else (",", ":")).encode()


def repeated(unit, size=SIZE):
    return unit * (size // len(unit))


def keys(form, size=SIZE):
    """Objects' members with keys that differ: form % number, up to a size."""
    number, members, length = 0, [], 0
    while length < size:
        members.append(form % number)
        number, length = number + 1, length + len(members[-1]) + 1
    return ",".join(members).encode()


# JSON that is small on disk and large in memory, wherever a value may stand.

def values():
    yield "zeros", b"[" + repeated(b"0,") + b"0]"
    yield "floats", b"[" + repeated(b"1.5,") + b"0]"
    yield "nulls", b"[" + repeated(b"null,") + b"0]"
    yield "empty arrays", b"[" + repeated(b"[],") + b"0]"
    yield "empty objects", b"[" + repeated(b"{},") + b"0]"
    yield "empty texts", b"[" + repeated(b'"",') + b"0]"
    yield "short texts", b"[" + repeated(b'"abcdefghijklmnopqrst",') + b"0]"
    yield "pairs", b"[" + repeated(b"[0,0],") + b"0]"
    yield "objects of one", b"[" + repeated(b'{"":0},') + b"0]"
    yield "triples deep", b"[" + repeated(b"[[[]]],") + b"0]"
    yield "keys", b"{" + keys('"%x":0') + b"}"
    yield "keys of arrays", b"{" + keys('"%x":[]') + b"}"
    yield "keys of texts", b"{" + keys('"%x":"abcdefghijklmnopqrstuvwxyz"') + b"}"
    yield "keys of objects", b"{" + keys('"%x":{"":[]}') + b"}"
    yield "one key again and again", b"{" + repeated(b'"a":[0,0],') + b'"a":0}'
    yield "open arrays", repeated(b"[")
    yield "closed arrays", repeated(b"[", SIZE // 2) + repeated(b"]", SIZE // 2)
    yield "open objects", repeated(b'{"a":')
    yield "arrays 60 deep", b"[" + repeated(b"[" * 60 + b"]" * 60 + b",") + b"0]"
    yield "a long text", b'"' + repeated(b"a") + b'"'
    yield "a text without end", b'"' + repeated(b"a")
    yield "a text of 16 MB without end", b'"' + repeated(b"a", 4 * SIZE)
    yield "a text of escapes", b'"' + repeated(b"\\u00e9") + b'"'
    yield "a text of backslashes", b'"' + repeated(b"\\\\")
    yield "a long number", repeated(b"1")
    yield "a number of 16 MB", repeated(b"1", 4 * SIZE)
    yield "white space", repeated(b" ") + b"0"
    yield "zero bytes", repeated(b"\0")
    yield "bytes that are no UTF-8", b'"' + repeated(b"\xff") + b'"'
    yield "control characters", b'"' + repeated(b"\x01") + b'"'


# safetensors

def with_length(header, data=b"", length=None):
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def tensors(count, dtype="F32", shape=(1024,), name="encoder.layer.%d.weight"):
    size = {"F32": 4, "U8": 1}[dtype]
    for extent in shape:
        size *= extent
    entries = {name % i: {"dtype": dtype, "shape": list(shape), "data_offsets": [i * size, (i + 1) * size]} for i in range(count)}
    return dump(entries), count * size


def safetensors():
    header, size = tensors(1024)
    good = with_length(header, bytes(size))
    yield "a good one", good
    chance = random.Random(4)
    for _ in range(40):
        yield "cut", good[:chance.randrange(len(good))]
    for _ in range(60):
        bad = bytearray(good)
        bad[chance.randrange(8 + len(header))] ^= 1 << chance.randrange(8)
        yield "a bit turned", bytes(bad)
    for bit in range(64):
        yield f"header length with bit {bit} turned", with_length(header, bytes(size), len(header) ^ 1 << bit)
    for lie in (1 << 20, 1 << 31, 1 << 40, 1 << 61, (1 << 64) - 1):
        for place in ("shape", "data_offsets"):
            entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
            entry[place] = [lie] if place == "shape" else [0, lie]
            yield f"{place} of {lie}", with_length(dump({"a": entry}), bytes(SIZE))
        entry = {"dtype": "U8", "shape": [lie], "data_offsets": [0, lie]}
        yield f"a tensor of {lie}", with_length(dump({"a": entry}), bytes(SIZE))
    yield "many empty tensors", with_length(tensors(120_000, "U8", (0,), "%x")[0])
    yield "empty tensors below the limit", with_length(tensors(18_000, "U8", (0,), "%x")[0])
    yield "metadata", with_length(b'{"__metadata__":{' + keys('"%x":""') + b"}}")
    yield "metadata below the limit", with_length(b'{"__metadata__":{' + keys('"%x":""', 1 << 20) + b"}}")
    yield "names of 1 kB", with_length(tensors(4000, "U8", (0,), "n" * 1000 + "%x")[0])
    yield "a name of 4 MB", with_length(dump({"n" * SIZE: {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}}))
    yield "a dtype of 4 MB", with_length(dump({"n": {"dtype": "U" * SIZE, "shape": [0], "data_offsets": [0, 0]}}))
    yield "a shape of ones", with_length(b'{"n":{"dtype":"U8","data_offsets":[0,1],"shape":[' + repeated(b"1,") + b"1]}}", b"a")
    for name, value in values():
        yield f"header: {name}", with_length(b'{"a":' + value + b"}")
        yield f"header's field: {name}", with_length(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":' + value + b"}}", b"a")


# tokenizer.json

def word(i):
    return "word" + str(i) if i % 3 else "##piece" + str(i)


def wordpiece(vocabulary, **more):
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
                              "normalized": False, "special": True} for i, token in enumerate(BERT)],
            "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
                           "lowercase": True},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "TemplateProcessing",
                               "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                                          {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
                               "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                                        {"SpecialToken": {"id": "[SEP]", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}},
                                        {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
                               "special_tokens": {name: {"id": name, "ids": [i], "tokens": [name]}
                                                  for i, name in ((2, "[CLS]"), (3, "[SEP]"))}},
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100, "vocab": vocabulary}} | more


def unigram(pieces, **more):
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = [[token, 0.0] for token in special] + [["\u2581piece" + str(i), -9.5 - i / 1e5] for i in range(pieces)]
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [{"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
                              "normalized": False, "special": True} for i, token in enumerate(special)],
            "normalizer": None,
            "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True, "prepend_scheme": "always"},
            "post_processor": {"type": "TemplateProcessing",
                               "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                                          {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                               "pair": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                                        {"SpecialToken": {"id": "</s>", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}},
                                        {"Sequence": {"id": "B", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                               "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]},
                                                  "</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}},
            "decoder": {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True},
            "model": {"type": "Unigram", "unk_id": 3, "vocab": vocabulary}} | more


def place(root, path, value):
    """The text of `root` with `value`, given as its text, where `path` leads."""
    mark = "6d0f0e1b"
    copy = json.loads(json.dumps(root))
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = mark
    return dump(copy).replace(b'"' + mark.encode() + b'"', value)


def tokenizers():
    small = {token: i for i, token in enumerate(BERT + [word(i) for i in range(100)])}
    yield "30,000 words, as written", dump(wordpiece({token: i for i, token in enumerate(BERT + [word(i) for i in range(30_000)])}), 2)
    for indent in (None, 2):
        yield f"250,000 pieces, indent {indent}", dump(unigram(250_000), indent)
    good = dump(unigram(100_000))
    chance = random.Random(5)
    for _ in range(20):
        yield "cut", good[:chance.randrange(len(good))]
    for _ in range(40):
        bad = bytearray(good)
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        yield "a bit turned", bytes(bad)
    for path in (["model", "vocab"], ["added_tokens"], ["normalizer"], ["pre_tokenizer"], ["post_processor"], ["decoder"],
                 ["model"], ["model", "unk_id"], ["truncation"], ["normalizer", "type"]):
        if len(path) == 1 or path[0] == "model":
            for name, value in values():
                yield f"Unigram {'.'.join(path)}: {name}", place(unigram(100), path, value)
    for name, value in values():
        yield f"WordPiece vocab: {name}", place(wordpiece(small), ["model", "vocab"], value)
        yield f"a name: {name}", place(wordpiece(small), ["model", "unk_token"], value)
    for lie in (1 << 20, 1 << 31, 1 << 32, 1 << 62, (1 << 64) - 1):
        yield f"an id of {lie}", dump(wordpiece(small | {"word7": lie}))
        yield f"an added token of {lie}", dump(wordpiece(small, added_tokens=[{"id": lie, "content": "x", "special": True}]))
        for key in ("unk_id",):
            many = unigram(100)
            many["model"][key] = lie
            yield f"{key} of {lie}", dump(many)
        short = wordpiece(small)
        short["model"]["max_input_chars_per_word"] = lie
        yield f"words of {lie}", dump(short)
    for size in (100, SIZE // 2):
        charsmap = base64.b64encode(struct.pack("<I", 0xFFFFFFFC) + bytes(size)).decode()
        yield f"charsmap of {size} that says 4 GB", dump(unigram(100, normalizer={"type": "Precompiled", "precompiled_charsmap": charsmap}))
    for count in (1000, 40_000):
        yield f"{count} normalizers", dump(unigram(100, normalizer={"type": "Sequence", "normalizers": [{"type": "NFKC"}] * count}))
        yield f"{count} patterns", dump(unigram(100, normalizer={
            "type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "b" * 40}] * count}))
        yield f"{count} added tokens", dump(unigram(100, added_tokens=[
            {"id": i + 104, "content": f"<{i}>", "special": True} for i in range(count)]))
    tower = {"type": "NFC"}
    for _ in range(30):
        tower = {"type": "Sequence", "normalizers": [tower]}
    yield "normalizers in normalizers", dump(unigram(100, normalizer=tower))
    yield "a piece of 4 MB", dump(unigram(100) | {"model": {"type": "Unigram", "unk_id": 0, "vocab": [["a" * SIZE, 0.0]]}})


def vocabularies():
    yield "lines of one byte", repeated(b"a\n")
    yield "words", b"".join(b"%x\n" % i for i in range(600_000))
    yield "words with the special ones", "\n".join(BERT).encode() + b"\n" + b"".join(b"%x\n" % i for i in range(600_000))
    yield "no line", repeated(b"a")
    yield "empty lines", repeated(b"\n")
    yield "no UTF-8", repeated(b"\xe4\n")


def spieces():
    """Protobuf: field 1 of a SentencePiece model is a piece, its field 1 the text, 2 the score."""
    def piece(text, score=0.0):
        inner = b"\x0a" + bytes([len(text)]) + text + b"\x15" + struct.pack("<f", score)
        return b"\x0a" + bytes([len(inner)]) + inner

    trainer = b"\x12\x02\x18\x01"  # model_type UNIGRAM
    good = b"".join(piece(b"piece%d" % i, -i / 1e4) for i in range(100_000)) + trainer
    yield "100,000 pieces", good
    yield "empty pieces", repeated(b"\x0a\x00")
    yield "one piece again", repeated(piece(b"a"))
    chance = random.Random(6)
    for _ in range(20):
        yield "cut", good[:chance.randrange(len(good))]
    for _ in range(40):
        bad = bytearray(good)
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        yield "a bit turned", bytes(bad)
    for size in (b"\xff\xff\xff\xff\x07", b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\xff" * 10 + b"\x01"):
        for tag in (b"\x0a", b"\x12", b"\x1a"):
            yield f"field {tag.hex()} that says {size.hex()} bytes", piece(b"a") * 10 + tag + size + bytes(SIZE)
    charsmap = struct.pack("<I", 0x7FFFFFFC) + bytes(SIZE)
    length = len(charsmap)
    varint = bytes([length & 127 | 128, length >> 7 & 127 | 128, length >> 14 & 127 | 128, length >> 21 & 127])
    inner = b"\x12" + varint + charsmap
    length = len(inner)
    varint = bytes([length & 127 | 128, length >> 7 & 127 | 128, length >> 14 & 127 | 128, length >> 21 & 127])
    yield "charsmap that says 2 GB", good + b"\x1a" + varint + inner


CONFIG = {"model_type": "bert", "hidden_act": "gelu", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
          "intermediate_size": 16, "vocab_size": 8, "max_position_embeddings": 8, "type_vocab_size": 2}


def folder(config, shapes=None):
    """The files of a model folder, with weights of zeros."""
    hidden, wide = config["hidden_size"], config["intermediate_size"]
    shapes = {"embeddings.word_embeddings.weight": [config["vocab_size"], hidden],
              "embeddings.position_embeddings.weight": [config["max_position_embeddings"], hidden],
              "embeddings.token_type_embeddings.weight": [config["type_vocab_size"], hidden],
              "embeddings.LayerNorm.weight": [hidden], "embeddings.LayerNorm.bias": [hidden]}
    for layer in range(config["num_hidden_layers"]):
        for part, to, depth in (("attention.self.query", hidden, hidden), ("attention.self.key", hidden, hidden),
                                ("attention.self.value", hidden, hidden), ("attention.output.dense", hidden, hidden),
                                ("attention.output.LayerNorm", hidden, 0), ("intermediate.dense", wide, hidden),
                                ("output.dense", hidden, wide), ("output.LayerNorm", hidden, 0)):
            if config["model_type"] == "mpnet":
                part = {"attention.self.query": "attention.attn.q", "attention.self.key": "attention.attn.k",
                        "attention.self.value": "attention.attn.v", "attention.output.dense": "attention.attn.o",
                        "attention.output.LayerNorm": "attention.LayerNorm"}.get(part, part)
            name = f"encoder.layer.{layer}.{part}"
            shapes[name + ".weight"], shapes[name + ".bias"] = ([to, depth] if depth else [to]), [to]
    if config["model_type"] == "mpnet":
        shapes["encoder.relative_attention_bias.weight"] = [32, config["num_attention_heads"]]
    entries, end = {}, 0
    for name, shape in shapes.items():
        size = 4
        for extent in shape:
            size *= extent
        entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
               {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]
    return {"modules.json": dump(modules), "config.json": dump(config), "vocab.txt": "\n".join(BERT + ["water"]).encode(),
            "1_Pooling/config.json": dump({"word_embedding_dimension": hidden, "pooling_mode_mean_tokens": True}),
            "model.safetensors": with_length(dump(entries), bytes(end))}


def folders():
    yield "a good one", folder(CONFIG)
    for key, value in (("hidden_size", 1 << 24), ("num_hidden_layers", 1 << 24), ("num_attention_heads", 1 << 24),
                       ("intermediate_size", 1 << 24), ("vocab_size", 1 << 24), ("max_position_embeddings", 1 << 24),
                       ("type_vocab_size", 1 << 24)):
        yield f"{key} of 2^24", folder(CONFIG) | {"config.json": dump(CONFIG | {key: value})}
    slim = CONFIG | {"hidden_size": 1, "num_attention_heads": 1}
    yield "hidden_size 1, wide layers", folder(slim | {"intermediate_size": 1 << 19, "num_hidden_layers": 3})
    yield "hidden_size 1, many positions", folder(slim | {"max_position_embeddings": 1 << 21})
    yield "hidden_size 1, many types", folder(slim | {"type_vocab_size": 1 << 21})
    yield "intermediate_size 1", folder(CONFIG | {"hidden_size": 1 << 10, "num_attention_heads": 1, "intermediate_size": 1})
    yield "many heads", folder(CONFIG | {"hidden_size": 512, "num_attention_heads": 512, "max_position_embeddings": 1 << 12})
    yield "many small layers", folder(slim | {"num_hidden_layers": 1000, "intermediate_size": 1})
    yield "mpnet, many heads", folder(CONFIG | {"model_type": "mpnet", "hidden_size": 256, "num_attention_heads": 256,
                                                "max_position_embeddings": 1 << 14})
    module = "sentence_transformers.models.Transformer"
    for path, kind in (("a" * SIZE, module), ("", module + "a" * SIZE), ("", "a" * SIZE)):
        yield "modules.json: a name of 4 MB", folder(CONFIG) | {"modules.json": dump([{"idx": 0, "path": path, "type": kind}])}
    for file, key in (("tokenizer_config.json", "unk_token"), ("config.json", "hidden_act"), ("config.json", "model_type")):
        yield f"{file}: {key} of 4 MB", folder(CONFIG) | {file: dump(CONFIG | {key: "a" * SIZE})}
    for name, value in values():
        yield f"config.json: {name}", folder(CONFIG) | {"config.json": value}
        yield f"modules.json: {name}", folder(CONFIG) | {"modules.json": value}
        yield f"pooling: {name}", folder(CONFIG) | {"1_Pooling/config.json": value}
        yield f"tokenizer_config.json: {name}", folder(CONFIG) | {"tokenizer_config.json": value}


def measure(program, kind, path):
    """The exit status and the peak memory of a process of its own, in bytes.

    It is the program that says it: what wait4() gives is no less than what this process held when it forked."""
    run = subprocess.run([program, kind, path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (20, 20)))
    said, _, memory = run.stdout.decode(errors="replace").strip().rpartition("\npeak kB: ")
    return (run.returncode, int(memory) * 1024, said) if said else (run.returncode or 1, 0, memory)


def write(scratch, files):
    shutil.rmtree(scratch, ignore_errors=True)
    for name, data in files.items():
        path = scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return sum(map(len, files.values()))


def cases():
    for name, value in values():
        yield "json", name, "x", {"x": value}
    for name, value in safetensors():
        yield "safetensors", name, "x", {"x": value}
    for name, value in tokenizers():
        yield "tokenizer", f"tokenizer.json: {name}", "", {"tokenizer.json": value}
    for name, value in vocabularies():
        yield "tokenizer", f"vocab.txt: {name}", "", {"vocab.txt": value}
    for name, value in spieces():
        yield "tokenizer", f"spiece.model: {name}", "", {"spiece.model": value}
    for name, value in folders():
        yield "model", name, "", value


def main():
    program = ROOT / "build/memory/read"
    program.parent.mkdir(parents=True, exist_ok=True)
    compile_flags, _ = flags.flags("core")
    subprocess.run([os.environ.get("CXX", "g++"), *compile_flags, "-O2", str(ROOT / "tests/memory/read.cpp"), "-o", program, "-pthread"],
                   check=True)
    passed = failed = taken = 0
    worst = (0, "")
    with tempfile.TemporaryDirectory(prefix="rag-memory-") as base:
        scratch = pathlib.Path(base) / "files"
        for kind, name, inside, files in cases():
            size = write(scratch, files)
            status, memory, said = measure(program, kind, scratch / inside)
            share = memory / (4 * size + 64 * MEGA)
            worst = max(worst, (share, f"{kind}: {name}"))
            good = status in (0, 3) and share <= 1
            passed, failed, taken = passed + good, failed + (not good), taken + (status == 0)
            if not good or "-v" in sys.argv:
                print(f"{'' if good else 'FAILED '}{kind}: {name}: {size / MEGA:.1f} MiB, {memory / MEGA:.0f} MiB of memory, "
                      f"{100 * share:.0f} % of the bound, status {status}: {said}", flush=True)
    print(f"{taken} files taken; the most memory was {100 * worst[0]:.0f} % of the bound: {worst[1]}")
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
