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
    "sentence_model": (sentence_model_seeds, JSON + SETTINGS + TENSORS + WORDS),
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
