# SPDX-License-Identifier: MIT
"""The tutorial's program in Python, the peer of bench/walk.py.

    walk_python.py default|light CORPUS_FOLDER MODEL_FOLDER MODEL.onnx STORE.db QUESTION
    walk_python.py check GOLDEN.json CORPUS_FOLDER MODEL_FOLDER MODEL.onnx

Both forms embed one text a call. default, as the tutorial's embedding class does it: padded to the tokenizer's maximum
of 512. light: not padded, at most the model's own 256 tokens. check compares light with known scores.
"""
import glob
import json
import os
import sys

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


class Encoder:
    def __init__(self, model_folder, onnx_path, padded):
        length_file, key = ("tokenizer_config", "model_max_length") if padded else ("sentence_bert_config", "max_seq_length")
        with open(os.path.join(model_folder, length_file + ".json")) as file:
            length = json.load(file)[key]
        self.tokenizer = Tokenizer.from_file(os.path.join(model_folder, "tokenizer.json"))
        self.tokenizer.enable_truncation(length)
        if padded:
            self.tokenizer.enable_padding(length=length)
        else:
            self.tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        self.session = onnxruntime.InferenceSession(onnx_path, options, providers=["CPUExecutionProvider"])

    def embed(self, text):
        encoding = self.tokenizer.encode(text)
        ids, mask = (np.array([row], dtype=np.int32) for row in (encoding.ids, encoding.attention_mask))
        hidden = self.session.run(None, {"input_ids": ids, "attention_mask": mask})[0][0]
        mean = hidden[mask[0] == 1].mean(axis=0)
        return mean / np.linalg.norm(mean)


def read_chunks(folder):
    """Every .md file below the folder in name order, cut on "# "; a piece of nothing is no chunk."""
    chunks = []
    for path in sorted(glob.glob(os.path.join(folder, "**", "*.md"), recursive=True)):
        with open(path, encoding="utf-8") as file:
            chunks += [piece for piece in file.read().split("# ") if piece]
    return chunks


def walk(form, corpus, model_folder, onnx_path, store, question):
    from pymilvus import MilvusClient
    from tqdm import tqdm

    encoder = Encoder(model_folder, onnx_path, padded=form == "default")
    chunks = read_chunks(corpus)
    client = MilvusClient(uri=store)
    name = "my_rag_collection"
    if client.has_collection(name):
        client.drop_collection(name)
    dimension = len(encoder.embed("This is a test"))
    client.create_collection(name, dimension=dimension, metric_type="IP", consistency_level="Strong")
    rows = []
    for i, chunk in enumerate(tqdm(chunks, desc="Creating embeddings")):
        rows.append({"id": i, "vector": encoder.embed(chunk), "text": chunk})
    client.insert(collection_name=name, data=rows)
    hits = client.search(
        collection_name=name,
        data=[encoder.embed(question)],
        limit=3,
        search_params={"metric_type": "IP", "params": {}},
        output_fields=["text"],
    )[0]
    print(json.dumps([[hit["entity"]["text"], hit["distance"]] for hit in hits], indent=4), flush=True)


def check(golden, corpus, model_folder, onnx_path):
    with open(golden) as file:
        questions = json.load(file)["questions"]
    encoder = Encoder(model_folder, onnx_path, padded=False)
    vectors = np.stack([encoder.embed(chunk) for chunk in read_chunks(corpus)])
    for question in questions:
        scores = vectors @ encoder.embed(question["q"])
        best = np.argsort(-scores, kind="stable")[: len(question["top"])]
        wanted = [score for _, score in question["top"]]
        if [i for i, _ in question["top"]] != best.tolist() or np.abs(scores[best] - wanted).max() > 1e-5:
            sys.exit(f"walk_python.py: the ONNX model's ranks or scores are wrong for: {question['q']}")
    print(f"walk_python.py: {len(questions)} questions have the known ranks and scores", file=sys.stderr)


if __name__ == "__main__":
    if sys.argv[1] == "check":
        check(*sys.argv[2:])
    else:
        walk(*sys.argv[1:])
