#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the first inputs of the fuzz targets and their dictionaries, all small.

  tests/fuzz/seeds.py FOLDER    FOLDER/TARGET/NUMBER and FOLDER/TARGET.dict
"""
import json
import pathlib
import struct
import sys

import store_seeds

BREAK = b"\x1e"  # between the parts of an input, see fuzz.hpp


def dump(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


# safetensors

def safetensors(tensors, spare=b""):
    """tensors: name -> (dtype, shape, size in bytes)."""
    header, end = {}, 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = dump(header) + spare
    return struct.pack("<Q", len(text)) + text + (bytes(range(256)) * (end // 256 + 1))[:end]


def safetensors_seeds():
    yield safetensors({})
    yield safetensors({"a": ("F32", [2, 3], 24), "b": ("I64", [], 8), "c": ("U8", [0, 9], 0)}, b"  ")
    yield safetensors({"x": ("BF16", [4], 8), "y": ("F4", [2, 1], 1), "z": ("F6_E2M3", [4], 3)})
    text = dump({"__metadata__": {"format": "pt"}, "w": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]}})
    yield struct.pack("<Q", len(text)) + text + b"ab"
    yield struct.pack("<Q", 1 << 63) + b"{}"


# The small files of a model folder.

def config(family="bert", **more):
    values = {"model_type": family, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "vocab_size": 9, "max_position_embeddings": 8}
    if family == "distilbert":
        values |= {"dim": 4, "n_layers": 1, "n_heads": 2, "hidden_dim": 6, "activation": "gelu"}
    else:
        values |= {"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 6, "type_vocab_size": 2}
    return values | more


FAMILIES = [config(), config("distilbert"), config("mpnet", relative_attention_num_buckets=8),
            config("xlm-roberta", pad_token_id=1), config("albert", embedding_size=3, num_hidden_groups=1)]
MODULES = ["Transformer", "Pooling", "Dense", "Normalize"]


def modules(kinds):
    paths = {"Transformer": "", "Pooling": "1_Pooling", "Dense": "2_Dense", "Normalize": "3_Normalize"}
    return [{"idx": i, "name": str(i), "path": paths[kind], "type": "sentence_transformers.models." + kind}
            for i, kind in enumerate(kinds)]


POOLING = {"word_embedding_dimension": 4, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
           "pooling_mode_max_tokens": False, "include_prompt": True}
LENGTHS = {"max_seq_length": 6, "do_lower_case": False}
TOKENIZER = {"do_lower_case": True, "model_max_length": 512, "cls_token": "[CLS]", "mask_token": {"content": "[MASK]"},
             "tokenizer_class": "BertTokenizer", "added_tokens_decoder": {"0": {"content": "[PAD]", "special": True}}}
PROMPTS = {"prompts": {"query": "query: ", "document": "passage: "}, "default_prompt_name": None,
           "similarity_fn_name": "cosine", "truncate_dim": None}
DENSE = {"in_features": 4, "out_features": 3, "bias": True, "activation_function": "torch.nn.modules.linear.Identity"}


def folder(family, kinds, pooling=None):
    return [dump(modules(kinds)), dump(family), dump(pooling or POOLING), dump(LENGTHS), dump(TOKENIZER), dump(PROMPTS), dump(DENSE)]


def config_seeds():
    for family in FAMILIES:
        yield BREAK.join(folder(family, ["Transformer", "Pooling", "Normalize"]))
    yield BREAK.join(folder(config(), MODULES, {"word_embedding_dimension": 4, "pooling_mode": "cls"}))
    yield BREAK.join(folder(config(), MODULES[:2], POOLING | {"pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": True}))
    yield BREAK.join([dump(modules(MODULES[:2])), dump(config()), dump(POOLING)])


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "water", "##s", "é", "中"]
TEXT = "Water's 中é ##s [MASK] wáters\n".encode()


def vocab_seeds():
    yield BREAK.join([TEXT, dump(TOKENIZER), "\n".join(WORDS).encode()])
    yield BREAK.join([b"\xff\x80 \xf0\x9f\x98\x80\xe2\x80\x8b", b"", "\r\n".join(WORDS + ["##e", "\u0301"]).encode()])
    yield BREAK.join([b"<s>a</s>", dump({"pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>", "unk_token": "<unk>"}),
                      b"<pad>\n<s>\n</s>\n<unk>\na"])


def header(family):
    """The header of the tensors that a model of FAMILIES has."""
    kind, width, wide = family["model_type"], 4, 6
    embedding = family.get("embedding_size", width)
    shapes = {"embeddings.word_embeddings.weight": [9, embedding], "embeddings.position_embeddings.weight": [8, embedding]}
    if kind in ("bert", "xlm-roberta", "albert"):
        shapes["embeddings.token_type_embeddings.weight"] = [2, embedding]

    def linear(name, columns, depth):
        shapes[name + ".weight"], shapes[name + ".bias"] = [columns, depth], [columns]

    def norm(name, size=width):
        shapes[name + ".weight"], shapes[name + ".bias"] = [size], [size]

    norm("embeddings.LayerNorm", embedding)
    layer, parts = "encoder.layer.0.", ["attention.self.query", "attention.self.key", "attention.self.value",
                                        "attention.output.dense", "attention.output.LayerNorm", "intermediate.dense",
                                        "output.dense", "output.LayerNorm"]
    if kind == "distilbert":
        layer, parts = "transformer.layer.0.", ["attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin",
                                                "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm"]
    elif kind == "mpnet":
        parts[:5] = ["attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o", "attention.LayerNorm"]
        shapes["encoder.relative_attention_bias.weight"] = [8, 2]
    elif kind == "albert":
        layer, parts = "encoder.albert_layer_groups.0.albert_layers.0.", [
            "attention.query", "attention.key", "attention.value", "attention.dense", "attention.LayerNorm", "ffn", "ffn_output",
            "full_layer_layer_norm"]
        linear("encoder.embedding_hidden_mapping_in", width, embedding)
    for part in parts[:4]:
        linear(layer + part, width, width)
    norm(layer + parts[4])
    linear(layer + parts[5], wide, width)
    linear(layer + parts[6], width, wide)
    norm(layer + parts[7])
    return tensors_of(shapes)


def tensors_of(shapes):
    entries, end = {}, 0
    for name, shape in shapes.items():
        size = 4
        for extent in shape:
            size *= extent
        entries[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    return dump(entries)


def sentence_model_seeds():
    dense = tensors_of({"linear.weight": [3, 4], "linear.bias": [3]})
    for family in FAMILIES:
        yield BREAK.join([TEXT, *folder(family, ["Transformer", "Pooling", "Normalize"]), "\n".join(WORDS).encode(), header(family)])
    yield BREAK.join([TEXT, *folder(config(), MODULES), "\n".join(WORDS).encode(), header(config()), dense])


# tokenizer.json and SentencePiece models.

def special(names):
    return [{"id": i, "content": name, "single_word": False, "lstrip": False, "rstrip": name == "<mask>", "normalized": False,
             "special": True} for i, name in enumerate(names)]


def around(first, last, names):
    def one(name):
        return {"SpecialToken": {"id": name, "type_id": 0}}

    texts = [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]
    return {"type": "TemplateProcessing", "single": [one(first), texts[0], one(last)],
            "pair": [one(first), texts[0], one(last), one(last), texts[1], one(last)],
            "special_tokens": {name: {"id": name, "ids": [names.index(name)], "tokens": [name]} for name in (first, last)}}


def tokenizer(model, names, normalizer=None, words=None, **more):
    return dump({"version": "1.0", "truncation": None, "padding": None, "added_tokens": special(names), "normalizer": normalizer,
                 "pre_tokenizer": words, "post_processor": around(names[0], names[2], names), "decoder": None, "model": model} | more)


XLM = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
CHARSMAP = "BAAAAAAAAABhAA=="  # a trie of one empty unit, and "a"
NORMALIZERS = [{"type": "Nmt"}, {"type": "NFKC"}, {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"},
               {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
               {"type": "Replace", "pattern": {"String": "``"}, "content": "\""},
               {"type": "Strip", "strip_left": False, "strip_right": True}, {"type": "Prepend", "prepend": "▁"},
               {"type": "Precompiled", "precompiled_charsmap": CHARSMAP}]
METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True, "add_prefix_space": True}
CUTS = [{"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Isolated"}, {"type": "Whitespace"}, METASPACE]
BERT_NORMALIZER = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
BYTES = [f"<0x{i:02X}>" for i in range(256)]
WORDPIECE = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
             "vocab": {word: i for i, word in enumerate(WORDS)}}
UNIGRAM = {"type": "Unigram", "unk_id": 3, "byte_fallback": False,
           "vocab": [[name, 0.0] for name in XLM] + [["▁", -2.5], ["▁water", -3.25], ["wa", -4], ["ter", -4.125], ["s", -5], ["中", -6]]}
BPE = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": "", "end_of_word_suffix": "",
       "fuse_unk": True, "byte_fallback": False, "ignore_merges": False,
       "vocab": {word: i for i, word in enumerate(XLM + ["w", "a", "t", "e", "r", "▁", "wa", "ter", "te", "▁wa"])},
       "merges": ["w a", ["t", "e"], "te r", "▁ wa"]}
ROBERTA = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False}


def tokenizer_json_seeds():
    for config in (b"", dump(TOKENIZER)):
        yield BREAK.join([TEXT, config, tokenizer(WORDPIECE, WORDS[:5], BERT_NORMALIZER, {"type": "BertPreTokenizer"})])
    yield BREAK.join([TEXT, b"", tokenizer(UNIGRAM, XLM, {"type": "Sequence", "normalizers": NORMALIZERS}, METASPACE)])
    yield BREAK.join([TEXT, b"", tokenizer(UNIGRAM, XLM, None, {"type": "Sequence", "pretokenizers": CUTS[:3]})])
    bytes_too = UNIGRAM | {"byte_fallback": True, "vocab": UNIGRAM["vocab"] + [[name, -9] for name in BYTES]}
    yield BREAK.join([b"\xff\x80 \xf0\x9f\x98\x80", b"", tokenizer(bytes_too, XLM, NORMALIZERS[1], METASPACE)])
    yield BREAK.join([TEXT, b"", tokenizer(BPE, XLM, NORMALIZERS[5], METASPACE, post_processor=ROBERTA)])
    yield BREAK.join([TEXT, b"", tokenizer(BPE | {"merges": []}, XLM, None, CUTS[2], added_tokens=special(XLM + ["water"]))])


def varint(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number, value):
    """A field of a protobuf message: a number, a score or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def spiece(pieces, kind, normal):
    kinds = {"<unk>": 2, "<s>": 3, "</s>": 3, "[CLS]": 3, "[SEP]": 3, "user": 4} | {name: 6 for name in BYTES}
    model = b"".join(field(1, field(1, text.encode()) + field(2, -score / 4) + field(3, kinds.get(text, 1)))
                     for score, text in enumerate(pieces))
    return model + field(2, field(3, kind) + field(35, int("<0x00>" in pieces))) + field(3, normal)


PIECES = ["<unk>", "<s>", "</s>", "[CLS]", "[SEP]", "[MASK]", "▁", "▁water", "wa", "ter", "▁wa", "s", "中", "w", "a", "user"]


def spiece_seeds():
    rules = field(2, struct.pack("<I", 4) + b"\0\0\0\0a\0")
    for kind in (1, 2):
        yield BREAK.join([TEXT, b"", b"", spiece(PIECES, kind, field(3, 1) + field(4, 1) + field(5, 1))])
        yield BREAK.join([TEXT, b"", b"", spiece(PIECES[:14] + BYTES, kind, rules + field(3, 0))])
    for family in ("albert", "xlm-roberta", "bert"):
        yield BREAK.join([TEXT, dump({"model_type": family}), dump({"do_lower_case": True, "keep_accents": False}),
                          spiece(PIECES, 1, field(1, b"nmt_nfkc") + field(3, 1))])


# What services send.

def event(value):
    return b"data: " + (value if isinstance(value, bytes) else dump(value)) + b"\n\n"


CALL = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
MESSAGE = {"role": "assistant", "content": "hé", "reasoning": "hm", "reasoning_content": None, "refusal": None, "tool_calls": [CALL]}
USAGE = {"prompt_tokens": 12, "completion_tokens": 7}
CHAT = {"object": "chat.completion", "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}], "usage": USAGE}
FAILURE = {"error": {"message": "too large: sk-canary", "code": "500", "metadata": {"raw": "why"}}}


def chat(delta, reason=None, **more):
    return event({"choices": [{"delta": delta, "finish_reason": reason}], "usage": None} | more)


def sse_seeds():
    text = chat({"role": "assistant"}) + chat({"content": "hé"}) + chat({"content": None, "reasoning": "hm"})
    end = chat({}, "stop") + event({"choices": [], "usage": USAGE}) + event(b"[DONE]")
    stream = b": wait\n\nevent: x\nid: 1\n" + text + chat({"tool_calls": [CALL]}) + chat({"tool_calls": [CALL | {"id": None}]}) + end
    yield b"\x40\x80" + stream
    yield b"\x41\x81" + stream.replace(b"\n", b"\r\n")
    yield b"\x42\x82\xef\xbb\xbf" + (text + end).replace(b"\n", b"\r")
    yield b"\x00\x43" + text + event(FAILURE) + end
    yield b"\x80\xff" + text[:-9]
    yield b"\x01\x02\n\n" + dump(CHAT)
    yield b"\x01\x02data:{\ndata: \"choices\":[]}\n\ndata\n\ndata: [DONE]\n\n"


def answer(status, later, body):
    return BREAK.join([str(status).encode(), later.encode(), body if isinstance(body, bytes) else dump(body)])


def answers_seeds():
    yield answer(200, "", CHAT)
    yield answer(200, "", CHAT | {"choices": [{"message": {"content": [{"type": "text", "text": "a"}]}}]})
    for rows in ([[0.5, -1], [1, 2e3]], ["AACAPwAAAMA=", "AAAAPwAAgL8="], [[1, None], [[1], [2]]]):
        yield answer(200, "", {"object": "list", "data": [{"index": 1 - i, "embedding": row} for i, row in enumerate(rows)]})
    scores = [{"index": 1, "relevance_score": 0.5}, {"index": 0, "score": -7.25}]
    yield answer(200, "", {"results": scores})
    yield answer(200, "", {"data": scores})
    yield answer(200, "", scores)
    yield answer(200, "", FAILURE)
    yield answer(429, "20", FAILURE)
    yield answer(413, "Sun, 06 Nov 1994 08:49:37 GMT", {"detail": [{"msg": "sk-canary"}]})
    yield answer(503, "1e300", b"<html>sk-canary</html>")
    yield answer(400, "-1", {"object": "error", "message": "maximum", "code": 400})
    yield answer(200, "", b'\n\n{"choices":[{"message":{"content":"a\\ud83d \\ud83d\\ude00"}}]}')


def marks_seeds():
    schema = {"$defs": {"n": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}}, "type": "object", "required": ["a"], "additionalProperties": False,
              "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"type": "array", "items": {"enum": [1, "x"]}, "maxItems": 3}}}
    limits = {"oneOf": [{"type": "string", "minLength": 2, "maxLength": 3}, {"minimum": -1, "exclusiveMaximum": 7, "multipleOf": 2}, {"const": [None]}]}
    texts = ["Apples [1], [2][3]. Pears [1, 2; 3] `a[1]` [1-3]\n\n```\n[1]\n```\n【1】［２］[^3] [Snippet 1] [source: #2] 【1†a.md】 [9-3] [1,] [4",
             '<think>a</think>\n```json\n{"a": null}\n```\n', "数据[1]。苹果［１，２］。[0, 1) [3 apples] [1–999999999]"]
    for schema, json in (schema, {"a": {"a": None, "b": [1, "x"]}, "b": []}), (limits, "日本"), (limits, 4), (limits, [None]), (True, 1.5):
        for text in texts:
            yield b"\x1e".join((dump(schema), dump(json), text.encode()))


def url_seeds():
    for text in ("https://openrouter.ai/api/v1", "http://127.0.0.1:11434/v1?a=b", "HTTP://[::1]:80", "https://user@a.example/", "http://localhost.",
                 "http://127.1", "https://a:0/", "https://a:65536", "http://[fe80::1%25lo]/", "https://a\\@b/", "https://a#b", "http:///x"):
        yield text.encode()


def text(value):
    data = value.encode()
    return bytes([len(data)]) + data


def filter_seeds():
    """As filter.cpp reads them: values, names, chunks, then the filter, an operator before its parts."""
    strings = ['a"b', "\\", 'x" or 1==1 or "', "é\n\r", "\ud7ff"]
    values = b"".join(b"\x03" + text(value) for value in strings) + b"\x00\x01" + b"\x01\x90"
    names = b"\x02" + text('na"me]') + text("b\\")
    chunks = b"\x03" + b"\x00\x02\x00\x01\x02\x06" + b"\x02\x01\x01\x05" + b"\x03\x02\x02\x03\x00\x00" + b"\x04\x00"
    for operation in range(8):
        for which in range(7):
            question = bytes([3, 1, operation]) + (b"\x00" if operation == 7 else bytes([operation % 3, *([3] if operation == 5 else []), which, which + 1, which + 2]))
            source = bytes([3, 0, operation % 7, *([2] if operation == 5 else []), which % 5, which % 4])
            yield b"\x07" + values + names + chunks + b"\x00" + question + b"\x02\x01" + source + question


BLOCKS = ["<context>\n", "</context>\n", "<snippet id=\"1\" source=\"a\">\n", "\n</snippet>\n", "<question>\n", "\n</question>"]
TAGS = BLOCKS + [block.replace("context", "context-" + "0" * 32) for block in BLOCKS[:2]] + ["<context marker=\"U+E000\">\n"]
TOKENS = ["<|im_end|>", "<\\|", "<｜User｜>", "</s>", "<<SYS>>", "<\\\\s>", "[INST]", "[\\INST]", "<start_of_turn>", "[/TOOL_RESULTS]"]
HIDDEN = ["\u200b", "\u200d", "\u202e", "\U000e0041", "\ufe0f", "\u2028", "\x85", "\ue000", "\ue000\n", "\u00a0", "\u3000", "می\u200cخ"]


def prompt_seeds():
    """As prompt.cpp reads them: a way of quoting, a question, sources and texts."""
    for quoting in ("\0", "\1", "\2"):
        yield BREAK.join(part.encode() for part in (quoting, "Where?", "a.md", "In etcd.", "b \"c\".md", "a < b && c\n\tend "))
        yield BREAK.join(part.encode() for part in (quoting, "".join(TOKENS), "".join(TAGS), "".join(HIDDEN), "", "&lt;&amp;lt;&#xE000;"))
        yield BREAK.join([quoting.encode(), b"\xff\xe2\x82", b"\r\n\r", b"\xf0\x9f" + "".join(BLOCKS).encode()])


def words_of(*values):
    """The keys and texts in the values, for a dictionary."""
    for value in values:
        if isinstance(value, dict):
            yield from value
            yield from words_of(*value.values())
        elif isinstance(value, list):
            yield from words_of(*value)
        elif isinstance(value, str) and value:
            yield value


JSON = ['{"', '":', '":{', '":[', '"},', "],[", "[]", "{}", "null", "true", "false", "-1", "1e999", "0.5", "\\u0000", "\\ud800",
        "18446744073709551615", "18446744073709551616", "4294967296", "16777216", "16777217", "\x1e"]
DTYPES = ["BOOL", "F4", "F6_E2M3", "U8", "I8", "F8_E5M2", "I16", "F16", "BF16", "I32", "F32", "C64", "F64", "I64"]
SETTINGS = [*FAMILIES, modules(MODULES), POOLING, LENGTHS, TOKENIZER, PROMPTS, DENSE, "cls", "max", "gelu_new", "relu", "pad_token",
            "pooling_mode", "pooling_mode_weightedmean_tokens", "auto_map", "rope_theta", "inner_group_num", "strip_accents"]
TENSORS = ["dtype", "shape", "data_offsets", "__metadata__"]

TARGETS = {
    "safetensors": (safetensors_seeds, JSON + TENSORS + DTYPES + ["\0\0\0\0\0\0\0", "\xff\xff\xff\xff\xff\xff\xff\x7f"]),
    "config": (config_seeds, JSON + SETTINGS),
    "vocab": (vocab_seeds, JSON + [TOKENIZER] + WORDS + ["\n", "\r\n", "\u0301", "\ufffd", "\U00020000", "İ", "ß", "가"]),
    "tokenizer_json": (tokenizer_json_seeds, JSON + [UNIGRAM, BPE, WORDPIECE, NORMALIZERS, CUTS, BERT_NORMALIZER, ROBERTA] + WORDS + XLM
                       + ["normalizers", "pretokenizers", "BertPreTokenizer", "Sequence", "NFC", "NFKD", "SpecialToken", "▁", "prepend"]),
    "spiece": (spiece_seeds, PIECES + BYTES[:3] + ["model_type", "albert", "xlm-roberta", "\x0a", "\x15", "\x18", "\x12", "\x1a",
                                                  "\xff\xff\xff\xff\x0f"]),
    "sentence_model": (sentence_model_seeds, JSON + SETTINGS + TENSORS + WORDS),
    "sse": (sse_seeds, JSON + ["data: ", "event: ", "\n\n", "\r\n", "[DONE]", "error", CHAT, FAILURE, "delta", "finish_reason", "function"]),
    "answers": (answers_seeds, JSON + [CHAT, FAILURE, "sk-canary", "results", "relevance_score", "score", "data", "embedding", "index", "detail",
                                       "too long", "\\ud83d\\ude00"]),
    "marks": (marks_seeds, JSON + ["type", "properties", "$ref", "#/$defs/n", "items", "anyOf", "[1]", "【", "】", "［", "］", "†", "–", "、", "１", "`", "```",
                                   "[Snippet ", "source: ", "[^", "</think>", "\x1e"]),
    "url": (url_seeds, ["http://", "https://", "127.0.0.1", "localhost", "[::1]", ":443", "@", "\\", "#", "?", "%40", "/"]),
    "filter": (filter_seeds, ['"', "\\", '\\"', "\n", "\r", '" or id >= 0 or source == "', " or 1==1", "]", ")", "\ud7ff", "\U0010ffff", "'", "{x}",
                              "\xff\xf0\0\0\0\0\0\0", "\x7f\xf0\0\0\0\0\0\0", "\x7f\xf8\0\0\0\0\0\0"]),
    "prompt": (prompt_seeds, [*TAGS, *TOKENS, *HIDDEN, "&lt;", "&amp;", "&quot;", "&#xE000;", "\\", "\r\n", "\x1e"]),
    "store_file": (store_seeds.store_seeds, ["ragstore", "fram", "year", "s1"]),
}


def dictionary(words):
    lines = []
    for word in dict.fromkeys(words):
        data = word.encode("latin-1") if all(c < "\u0100" for c in word) and "\xff" in word else word.encode()
        lines.append('"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in data) + '"\n')
    return "".join(lines)


def main(folder):
    for target, (seeds, words) in TARGETS.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds()):
            (folder / target / str(number)).write_bytes(seed)
        (folder / (target + ".dict")).write_text(dictionary(words_of(*words)))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
