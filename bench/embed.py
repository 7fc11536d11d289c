# SPDX-License-Identifier: MIT
"""Embedding, ours against Python's: embed.py OURS PYTHON MODEL_FOLDER MODEL.onnx FAQ_FOLDER [DOCS_FOLDER]

OURS is the built embed.cpp, PYTHON one that can run embed_python.py. Every engine is a process that waits; the rounds go
through all of them in turn, so that what disturbs one disturbs the others. A figure is the best of its rounds; a ratio
is the lowest over the texts and over 1 and 2 threads. Time of ours and of sentence-transformers is from texts to
vectors; onnxruntime gets tokens.
"""
import glob
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = os.path.join(HERE, "embed_python.py")
ROUNDS = 3
QUESTION = "How is data stored in milvus?"


class Engine:
    def __init__(self, name, command, threads, **environment):
        cores = sorted(os.sched_getaffinity(0))[:threads]
        self.name, self.best = name, {}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=os.environ | environment, preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        self.greeting = self.process.stdout.readline()
        if not self.greeting.startswith("#"):
            sys.exit(f"embed.py: {name} did not start: {' '.join(command)}")

    def run(self, number):
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        spent = float(self.process.stdout.readline())
        self.best[number] = min(spent, self.best.get(number, spent))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def output(command, **environment):
    return subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | environment).stdout


def compare(threads, engines, texts):
    """engines: {name: (command, environment)}; gives {name: [seconds a set]}."""
    running = [Engine(name, command, threads, **environment) for name, (command, environment) in engines.items()]
    print(f"{running[0].greeting.strip()}; bench on {threads}")
    for engine in running:  # warm
        engine.run(0)
        engine.best.clear()
    for _ in range(ROUNDS):
        for number in range(len(texts)):
            for engine in running:
                engine.run(number)
    for engine in running:
        engine.close()
    return {engine.name: [engine.best[number] for number in range(len(texts))] for engine in running}


def cold_start(ours, model, precision):
    walls, peak = [], 0
    for _ in range(15):
        begin = time.monotonic()
        child = subprocess.Popen([ours, "first", model, precision], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        walls.append((time.monotonic() - begin) * 1000)
        peak = max(peak, usage.ru_maxrss / 1024)
        if status != 0:
            sys.exit("embed.py: the cold start failed")
    return statistics.median(walls), peak


def main(ours, python, model, onnx, faq, docs=None):
    with tempfile.TemporaryDirectory(prefix="rag-bench-") as folder:
        texts = {"faq": os.path.join(folder, "faq")}
        counts = {"faq": output([python, PEER, "pack", model, texts["faq"], faq])}
        if docs:
            files = sorted(glob.glob(os.path.join(docs, "**", "*.md"), recursive=True))
            texts["docs"] = os.path.join(folder, "docs")
            counts["docs"] = output([python, PEER, "cut", model, texts["docs"], "160", *files])
        tokens = {name: int(count.split()[1]) for name, count in counts.items()}
        for name, count in counts.items():
            print("# {}: {} pieces, {} tokens".format(name, *count.split()))
        paths = list(texts.values())
        fast = products_of(ours, model, paths)
        speeds = {}
        for threads in (1, 2):
            if threads > len(os.sched_getaffinity(0)):
                continue
            engines = {"fp32": ([ours, "work", model, str(threads), "fp32", *paths], {}),
                       "avx2": ([ours, "work", model, str(threads), "fp32", *paths], {"RAG_ISA": "avx2"})}
            for name in fast:
                engines[name] = ([ours, "work", model, str(threads), name, *paths], {})
            for batch in (1, 8, 32):
                command = [python, PEER, "work", "ort", model, onnx, str(threads), str(batch), *paths]
                engines[f"ort_{batch}"] = (command, {})
            for name in ("st", "torch_bf16"):
                engines[name] = ([python, PEER, "work", name, model, onnx, str(threads), "32", *paths], {})
            spent = compare(threads, engines, texts)
            for i, name in enumerate(texts):
                rates = {engine: tokens[name] / seconds[i] for engine, seconds in spent.items()}
                rates["ort"] = max(rates.pop(f"ort_{batch}") for batch in (1, 8, 32))
                speeds[name, threads] = rates
                listed = ", ".join(f"{engine} {rate:.0f}" for engine, rate in rates.items())
                print(f"# {name}, {threads} threads, tokens/s: {listed}", flush=True)

        def lowest(one, other):
            return min(rates[one] / rates[other] for rates in speeds.values())

        commands = {"ort": [python, PEER, "query", model, onnx, QUESTION], "fp32": [ours, "query", model, "fp32", QUESTION]}
        for name in fast:
            commands[name] = [ours, "query", model, name, QUESTION]
        rounds = [{name: float(output(command)) for name, command in commands.items()} for _ in range(ROUNDS)]
        queries = {name: min(one[name] for one in rounds) for name in commands}
        print("# a question of 10 tokens, one thread, ms: " + ", ".join(f"{k} {v * 1000:.3f}" for k, v in queries.items()))

        wall, peak = cold_start(ours, model, "fp32")
        print(f"value cold_start_ms {wall:.1f}")
        print(f"value cold_start_mb {peak:.1f}")
        for name in texts:
            for threads in (1, 2):
                for engine in ("fp32", *fast, "ort", "torch_bf16"):
                    if engine in speeds.get((name, threads), {}):
                        print(f"value {name}_{engine}_{threads}_tokens_s {speeds[name, threads][engine]:.0f}")
        print(f"value amx {int(fast.get('bf16') == 'amx')}")
        print(f"ratio embed_fp32_vs_ort {lowest('fp32', 'ort'):.3f}")
        print(f"ratio embed_fp32_vs_sentence_transformers {lowest('fp32', 'st'):.3f}")
        print(f"ratio embed_avx2_vs_ort {lowest('avx2', 'ort'):.3f}")
        for name in fast:
            print(f"ratio embed_{name}_vs_ort {lowest(name, 'ort'):.3f}")
            print(f"ratio embed_{name}_vs_torch_bf16 {lowest(name, 'torch_bf16'):.3f}")
            print(f"ratio query_{name}_vs_ort {queries['ort'] / queries[name]:.3f}")
        if "bf16" not in fast:
            print(f"ratio embed_fp32_vs_torch_bf16 {lowest('fp32', 'torch_bf16'):.3f}")
        print(f"ratio query_vs_ort {queries['ort'] / queries['fp32']:.3f}")


def products_of(ours, model, paths):
    """{precision: what its products run on here}, of ours beyond fp32."""
    engine = Engine("ours", [ours, "work", model, "1", "bf16", *paths], 1)
    engine.close()
    found = {name: engine.greeting.split(f"{name}: ")[1].split(";")[0].split(" ")[0] for name in ("bf16", "int16")}
    return {name: isa for name, isa in found.items() if isa != "none"}


if __name__ == "__main__":
    main(*sys.argv[1:])
