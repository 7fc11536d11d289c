# SPDX-License-Identifier: MIT
"""The peers of bench/embed.py.

    embed_python.py work ort|st|torch_bf16 MODEL_FOLDER MODEL.onnx THREADS BATCH TEXTS…
    embed_python.py query MODEL_FOLDER MODEL.onnx TEXT
    embed_python.py cut MODEL_FOLDER OUT PIECES FILE…    pieces of 200 tokens, evenly chosen; prints pieces and tokens
    embed_python.py pack MODEL_FOLDER OUT FOLDER         the chunks of the walk

work: for each number on stdin, embeds that file's texts and prints the seconds. ort is onnxruntime with the fused graph
of onnx_model.py, texts sorted by length, tokens ready beforehand; st is sentence-transformers, from texts.
"""
import json
import os
import statistics
import struct
import sys
import time

THREADS = sys.argv[5] if sys.argv[1] == "work" else "1"
os.environ["OMP_NUM_THREADS"] = THREADS
os.environ["TOKENIZERS_PARALLELISM"] = "false" if THREADS == "1" else "true"


def read_texts(path):
    texts = []
    with open(path, "rb") as file:
        while size := file.read(4):
            texts.append(file.read(struct.unpack("<I", size)[0]).decode())
    return texts


def write_texts(path, texts):
    with open(path, "wb") as file:
        for text in texts:
            data = text.encode()
            file.write(struct.pack("<I", len(data)) + data)


def tokenizer(model, truncated=True):
    from tokenizers import Tokenizer

    found = Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
    found.no_padding()
    if truncated:
        with open(os.path.join(model, "sentence_bert_config.json")) as file:
            found.enable_truncation(json.load(file)["max_seq_length"])
    else:
        found.no_truncation()
    return found


def onnx_session(onnx_path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(onnx_path, options, providers=["CPUExecutionProvider"])


class Ort:
    def __init__(self, model, onnx_path, threads, batch, paths):
        import numpy as np

        self.session = onnx_session(onnx_path, threads)
        self.sets = []
        tokens = tokenizer(model)
        for path in paths:
            rows = sorted((tokens.encode(text).ids for text in read_texts(path)), key=len)
            feeds = []
            for begin in range(0, len(rows), batch):
                some = rows[begin : begin + batch]
                ids = np.zeros((len(some), max(map(len, some))), np.int32)
                mask = np.zeros_like(ids)
                for i, row in enumerate(some):
                    ids[i, : len(row)], mask[i, : len(row)] = row, 1
                feeds.append({"input_ids": ids, "attention_mask": mask})
            self.sets.append(feeds)

    def run(self, number):
        for feed in self.sets[number]:
            hidden, mask = self.session.run(None, feed)[0], feed["attention_mask"]
            mean = (hidden * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
            mean /= (mean * mean).sum(axis=1, keepdims=True) ** 0.5


class SentenceTransformers:
    def __init__(self, model, threads, batch, paths, bf16):
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(threads)
        self.model = SentenceTransformer(model, device="cpu")
        if bf16:
            self.model.bfloat16()
        self.batch = batch
        self.sets = [read_texts(path) for path in paths]

    def run(self, number):
        self.model.encode(self.sets[number], batch_size=self.batch, show_progress_bar=False, convert_to_tensor=True)


def work(engine, model, onnx_path, threads, batch, *paths):
    threads, batch = int(threads), int(batch)
    if engine == "ort":
        peer = Ort(model, onnx_path, threads, batch, paths)
    else:
        peer = SentenceTransformers(model, threads, batch, paths, engine == "torch_bf16")
    print("# ready", flush=True)
    for line in sys.stdin:
        begin = time.perf_counter()
        peer.run(int(line))
        print(f"{time.perf_counter() - begin:.9f}", flush=True)


def query(model, onnx_path, text):
    import numpy as np

    ids = np.array([tokenizer(model).encode(text).ids], np.int32)
    feed, session = {"input_ids": ids, "attention_mask": np.ones_like(ids)}, onnx_session(onnx_path, 1)
    spent = []
    for _ in range(400):
        begin = time.perf_counter()
        hidden = session.run(None, feed)[0][0].mean(axis=0)
        hidden / np.linalg.norm(hidden)
        spent.append(time.perf_counter() - begin)
    print(f"{statistics.median(spent):.9f}")


def report(model, texts):
    tokens = tokenizer(model)
    print(len(texts), sum(len(tokens.encode(text).ids) for text in texts))


def cut(model, out, wanted, *files):
    tokens, pieces = tokenizer(model, truncated=False), []
    for path in files:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        offsets = tokens.encode(text, add_special_tokens=False).offsets
        pieces += [text[offsets[i][0] : offsets[min(i + 200, len(offsets)) - 1][1]] for i in range(0, len(offsets), 200)]
    chosen = pieces[:: max(1, len(pieces) // int(wanted))][: int(wanted)]
    write_texts(out, chosen)
    report(model, chosen)


def pack(model, out, folder):
    from walk_python import read_chunks

    chunks = read_chunks(folder)
    write_texts(out, chunks)
    report(model, chunks)


if __name__ == "__main__":
    {"work": work, "query": query, "cut": cut, "pack": pack}[sys.argv[1]](*sys.argv[2:])
