#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes small models of random weights, one folder each beside this file, and what they give.

    pip install torch transformers sentence-transformers
    python tests/models/make.py

Made with torch 2.15, transformers 5.24, sentence-transformers 6.2. The same versions write the same bytes.

A folder holds the files of its model and
  expected.json         texts, and the ids of each; of a cross-encoder: pairs, the ids, types and logit of each
  expected.safetensors  states.I: of text I the embedding and the states after each layer, by transformers;
                        documents, queries: the vectors of all texts, by sentence-transformers
Weights are kept as F16 in most folders, so that all are small; what is expected is computed in fp32.
"""
import json
import os
import pathlib
import shutil

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers as hf
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

HERE = pathlib.Path(__file__).resolve().parent
WORDS = """how is data stored in milvus ? what are the segments of a collection . water flows down and logs grow
##s ##ed ##ing store hold ##er query passage : index""".split()
TEXTS = ["How is data stored in Milvus?", "", "The collection holds segments. Water!", "data",
         "logs grow and water flows down the store " * 17 + "and data flows in the index"]
STATES = [0, 2]  # of these texts all layers are kept
PAIRS = [["how is data stored", "Data is stored in segments."], ["how is data stored", "water flows down."],
         ["", "logs grow"], ["water?", ""],
         ["how is data stored in milvus and what is the index of a collection ? " * 2, "the store holds data . " * 9],
         ["what is milvus", "logs grow and water flows down and data grows in the index . " * 5]]
BERT = dict(hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20,
            max_position_embeddings=48, layer_norm_eps=1e-12)
MODULE = "sentence_transformers.models."


def word_pieces(folder, names, tokenizer_class):
    """vocab.txt and tokenizer_config.json; names: of padding, unknown, first, last and mask, in the order of the file."""
    vocabulary = list(dict.fromkeys(list(names.values()) + WORDS))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    write(folder / "tokenizer_config.json", {"tokenizer_class": tokenizer_class, "do_lower_case": True,
                                             "model_max_length": 512, **names})
    return len(vocabulary)


BERT_NAMES = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
MPNET_NAMES = {"cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "unk_token": "[UNK]", "mask_token": "<mask>"}


def unigram(folder, special, first, last, pair):
    """tokenizer.json of a Unigram model without a normaliser. pair: what stands around two texts."""
    pieces = [(name, 0.0) for name in special]
    pieces += [("▁" + word, -3.0 - i / 16) for i, word in enumerate(w for w in WORDS if not w.startswith("##"))]
    pieces += [(word, -5.0 - i / 16) for i, word in enumerate(["s", "ed", "ing", "er", "▁", "?", "!", ".", *"adehilnortw"])]
    tokenizer = Tokenizer(models.Unigram(pieces, special.index("<unk>")))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first}:0 $A:0 {last}:0", pair=pair, special_tokens=[(name, special.index(name)) for name in (first, last)])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    write(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512,
                                             "cls_token": first, "sep_token": last, "pad_token": "<pad>", "unk_token": "<unk>",
                                             "bos_token": first, "eos_token": last})
    return len(pieces)


XLMR = ["<s>", "<pad>", "</s>", "<unk>"], "<s>", "</s>", "<s>:0 $A:0 </s>:0 </s>:0 $B:0 </s>:0"
ALBERT = ["<pad>", "<unk>", "[CLS]", "[SEP]"], "[CLS]", "[SEP]", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1"


def write(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def draw(model, seed):
    """Weights wide enough that every part of the model shows in what it gives."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in sorted(model.named_parameters()):
        noise = torch.randn(weight.shape, generator=generator)
        if "norm" in name.lower() and name.endswith("weight"):
            value = 1 + 0.25 * noise
        elif name.endswith("bias"):
            value = 0.2 * noise
        else:
            head = "classifier" in name or "pooler" in name
            value = noise * (1 if head else 0.6 if "embeddings" in name or "relative" in name else 0.3)
        weight.data = value


def save(folder, model, dtype=torch.float16, prefix=""):
    """Rounds the weights to dtype, in the model too."""
    weights = {}
    for name, weight in model.state_dict().items():
        rounded = weight.to(dtype)
        weight.copy_(rounded.float())
        weights[prefix + name] = rounded.contiguous()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = model.config.to_diff_dict()
    config["architectures"] = [type(model).__name__]
    config.pop("transformers_version", None)
    write(folder / "config.json", config)


def sentence_files(folder, pooling=None, more=(), config=None, max_length=None):
    """The files that sentence-transformers adds. more: (module, its folder's files) after Pooling."""
    modules = [("", "Transformer")]
    if pooling is not None:
        modules.append(("1_Pooling", "Pooling"))
        write(folder / "1_Pooling" / "config.json", pooling)
        for name in more:
            modules.append((f"{len(modules)}_{name}", name))
        write(folder / "modules.json",
              [{"idx": i, "name": str(i), "path": path, "type": MODULE + kind} for i, (path, kind) in enumerate(modules)])
    if config is not None:
        write(folder / "config_sentence_transformers.json", config)
    if max_length is not None:
        write(folder / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})


def dense(folder, depth, columns, activation, seed):
    generator = torch.Generator().manual_seed(seed)
    folder.mkdir()
    save_file({"linear.weight": (0.3 * torch.randn(columns, depth, generator=generator)).half().contiguous(),
               "linear.bias": (0.2 * torch.randn(columns, generator=generator)).half()}, folder / "model.safetensors")
    write(folder / "config.json", {"in_features": depth, "out_features": columns, "bias": True, "activation_function": activation})


def expect_vectors(folder, model):
    """What transformers gives for the ids, and sentence-transformers for the texts."""
    sentences = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    ids, tensors = [], {}
    length = sentences.max_seq_length
    model.eval()
    for i, text in enumerate(TEXTS):
        ids.append(sentences.tokenizer(text, truncation=True, max_length=length)["input_ids"])
        if i in STATES:
            with torch.no_grad():
                states = model(input_ids=torch.tensor([ids[-1]]), output_hidden_states=True).hidden_states
            tensors[f"states.{i}"] = torch.cat(states).contiguous()
    # One text a call: without padding there is one order of sums.
    path = folder / "config_sentence_transformers.json"
    config = json.loads(path.read_text()) if path.exists() else {}
    prompts = config.get("prompts", {})
    otherwise = prompts.get(config.get("default_prompt_name"), "")
    # sentence-transformers 6.2 has an empty "document" before a "passage" that a file gives alone; we have not.
    before = prompts.get("document", prompts.get("passage", otherwise))
    shorter = sentences.truncate_dim is not None and any(kind == "Normalize" for kind in map(lambda m: type(m).__name__, sentences))
    encode = lambda text, prompt: torch.tensor(sentences.encode(text, prompt=prompt, normalize_embeddings=shorter))
    tensors["documents"] = torch.stack([encode(text, before) for text in TEXTS])
    tensors["queries"] = torch.stack([encode(text, prompts.get("query", otherwise)) for text in TEXTS])
    save_file(tensors, folder / "expected.safetensors")
    write_lines(folder / "expected.json", {"texts": TEXTS, "ids": ids, "max_tokens": length})


def expect_logits(folder, model):
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    length = model.config.max_position_embeddings - (2 if "roberta" in model.config.model_type else 0)
    model.eval()
    rows = []
    for question, text in PAIRS:
        # As a batch of one: an empty text alone would be taken for none.
        batch = tokenizer([question], [text], truncation="longest_first", max_length=length, return_tensors="pt",
                          return_token_type_ids=True)
        inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
        if getattr(model.config, "type_vocab_size", 0) > 1:
            inputs["token_type_ids"] = batch["token_type_ids"]
        with torch.no_grad():
            logit = model(**inputs).logits
        rows.append({"question": question, "text": text, "ids": batch["input_ids"][0].tolist(),
                     "types": inputs.get("token_type_ids", torch.zeros_like(batch["input_ids"]))[0].tolist(),
                     "logit": logit.item()})
    write_lines(folder / "expected.json", {"max_tokens": length, "pairs": rows})


def write_lines(path, value):
    """A line an entry: lists of numbers would fill pages."""
    entries = [f"{json.dumps(key)}: " + (json.dumps(entry) if not isinstance(entry, list) else
               "[\n " + ",\n ".join(json.dumps(one) for one in entry) + "]") for key, entry in value.items()]
    path.write_text("{" + ",\n".join(entries) + "}\n")


def new(name):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def bert_mean():
    folder = new("bert_mean")
    size = word_pieces(folder, BERT_NAMES, "BertTokenizer")
    model = hf.BertModel(hf.BertConfig(vocab_size=size, **BERT | {"num_hidden_layers": 3}))
    draw(model, 1)
    save(folder, model, torch.float32)
    sentence_files(folder, {"word_embedding_dimension": 12, "pooling_mode_mean_tokens": True}, ["Normalize"], max_length=32)
    expect_vectors(folder, model)


def bert_prompts():
    folder = new("bert_prompts")
    size = word_pieces(folder, BERT_NAMES, "BertTokenizer")
    model = hf.BertModel(hf.BertConfig(vocab_size=size, **BERT))
    draw(model, 2)
    save(folder, model)
    sentence_files(folder, {"embedding_dimension": 12, "pooling_mode": "cls", "include_prompt": True}, ["Normalize"],
                   {"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": None})
    expect_vectors(folder, model)


def bert_dense():
    folder = new("bert_dense")
    size = word_pieces(folder, BERT_NAMES, "BertTokenizer")
    model = hf.BertModel(hf.BertConfig(vocab_size=size, **BERT | {"hidden_act": "relu"}))
    draw(model, 3)
    save(folder, model)
    sentence_files(folder, {"word_embedding_dimension": 12, "pooling_mode_max_tokens": True}, ["Dense", "Normalize"],
                   {"prompts": {"all": "data "}, "default_prompt_name": "all", "truncate_dim": 7})
    dense(folder / "2_Dense", 12, 11, "torch.nn.modules.activation.Tanh", 3)
    expect_vectors(folder, model)


def distilbert():
    folder = new("distilbert")
    size = word_pieces(folder, BERT_NAMES, "DistilBertTokenizer")
    model = hf.DistilBertModel(hf.DistilBertConfig(vocab_size=size, dim=12, n_layers=2, n_heads=4, hidden_dim=20,
                                                   max_position_embeddings=48))
    draw(model, 4)
    save(folder, model, torch.bfloat16, "distilbert.")
    expect_vectors(folder, model)


def mpnet():
    folder = new("mpnet")
    size = word_pieces(folder, MPNET_NAMES, "MPNetTokenizer")
    model = hf.MPNetModel(hf.MPNetConfig(vocab_size=size, **BERT | {"max_position_embeddings": 150, "layer_norm_eps": 1e-5}))
    draw(model, 5)
    save(folder, model)
    sentence_files(folder, {"word_embedding_dimension": 12, "pooling_mode_mean_tokens": True}, ["Normalize"], max_length=148)
    expect_vectors(folder, model)


def xlm_roberta():
    folder = new("xlm_roberta")
    size = unigram(folder, *XLMR)
    model = hf.XLMRobertaModel(hf.XLMRobertaConfig(vocab_size=size, type_vocab_size=1, **BERT | {"layer_norm_eps": 1e-5}))
    draw(model, 6)
    save(folder, model)
    sentence_files(folder, {"word_embedding_dimension": 12, "pooling_mode_cls_token": True}, ["Normalize"], max_length=46)
    expect_vectors(folder, model)


def albert(name, seed, prefix, pooling, **more):
    folder = new(name)
    size = unigram(folder, *ALBERT)
    model = hf.AlbertModel(hf.AlbertConfig(vocab_size=size, embedding_size=7, **BERT | more))
    draw(model, seed)
    save(folder, model, prefix=prefix)
    sentence_files(folder, {"word_embedding_dimension": 12, **pooling})
    expect_vectors(folder, model)


def cross(name, seed, model, size_of):
    folder = new(name)
    size = size_of(folder)
    model = model(size)
    draw(model, seed)
    save(folder, model)
    expect_logits(folder, model)


def main():
    torch.set_num_threads(1)
    bert_mean()
    bert_prompts()
    bert_dense()
    distilbert()
    mpnet()
    xlm_roberta()
    albert("albert", 7, "", {"pooling_mode_mean_tokens": True}, num_hidden_layers=3)
    albert("albert_groups", 8, "albert.", {"pooling_mode_cls_token": True, "pooling_mode_mean_sqrt_len_tokens": True},
           num_hidden_layers=4, num_hidden_groups=2, hidden_act="gelu")
    bert_pieces = lambda folder: word_pieces(folder, BERT_NAMES, "BertTokenizer")
    one = {"num_labels": 1}
    cross("cross_bert", 9, lambda size: hf.BertForSequenceClassification(hf.BertConfig(vocab_size=size, **BERT | one)), bert_pieces)
    cross("cross_xlm_roberta", 10, lambda size: hf.XLMRobertaForSequenceClassification(
        hf.XLMRobertaConfig(vocab_size=size, type_vocab_size=1, **BERT | one)), lambda folder: unigram(folder, *XLMR))
    cross("cross_distilbert", 11, lambda size: hf.DistilBertForSequenceClassification(hf.DistilBertConfig(
        vocab_size=size, dim=12, n_layers=2, n_heads=2, hidden_dim=20, max_position_embeddings=48, **one)), bert_pieces)
    cross("cross_albert", 12, lambda size: hf.AlbertForSequenceClassification(hf.AlbertConfig(
        vocab_size=size, embedding_size=7, **BERT | one)), lambda folder: unigram(folder, *ALBERT))
    files = [path for path in HERE.rglob("*") if path.is_file() and path.parent != HERE]
    print(f"{len(files)} files, {sum(path.stat().st_size for path in files)} bytes")


if __name__ == "__main__":
    main()
