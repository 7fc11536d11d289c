# SPDX-License-Identifier: MIT
"""The tutorial's program, ours against Python: walk.py OURS PYTHON CORPUS_FOLDER MODEL_FOLDER MODEL.onnx

OURS is the built examples/07_milvus_faq.cpp, in fp32 and, as the fastest form, with --bf16 (fp32 again where the processor
has no instructions for it). PYTHON is one that can run walk_python.py. Each run makes its collection anew
in an empty folder. Time is from process start to the printed top 3; memory is the peak of the whole process.
Imports little: on Linux a child's peak starts at that of the process that starts it.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
KEYS = ("OPENROUTER_API_KEY", "DEEPSEEK_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL")
ROUNDS = {"ours": 9, "ours_fp32": 9, "light": 7, "default": 3}
TOLERANCE = {"ours": 5e-3, "ours_fp32": 1e-5, "light": 1e-5, "default": 1}  # default reads 512 tokens and not 256


def run(command, environment):
    """(top 3, milliseconds until they were printed, peak MB)"""
    with tempfile.TemporaryDirectory(prefix="rag-bench-") as folder:
        with open(os.path.join(folder, "errors"), "w+") as errors:
            begin = time.monotonic()
            child = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True
            )
            top, end = "", None
            for line in child.stdout:
                if end is None and (top or line == "[\n"):
                    top += line
                    if line == "]\n":
                        end = time.monotonic()
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode != 0 or end is None:
                errors.seek(0)
                sys.exit(f"walk.py: exit status {child.returncode} of {' '.join(command)}\n{errors.read()[-2000:]}")
            return json.loads(top), (end - begin) * 1000, usage.ru_maxrss / 1024


def require_same(name, top, wanted, tolerance):
    if [text for text, _ in top] != [text for text, _ in wanted]:
        sys.exit(f"walk.py: {name} finds other texts than light")
    if any(abs(score - other) > tolerance for (_, score), (_, other) in zip(top, wanted)):
        sys.exit(f"walk.py: {name} gives other scores than light")


def main(ours, python, corpus, model, onnx):
    golden = os.path.join(corpus, "golden.json")
    known = os.path.exists(golden)
    question = "How is data stored in milvus?" if known else "How do I keep a store in a file?"
    peer = os.path.join(HERE, "walk_python.py")
    if known:
        subprocess.run([python, peer, "check", golden, corpus, model, onnx], check=True)
    commands = {"ours": [ours, corpus, question, "--bf16"], "ours_fp32": [ours, corpus, question]}
    for form in ("light", "default"):
        commands[form] = [python, peer, form, corpus, model, onnx, "milvus_demo.db", question]
    environment = {key: value for key, value in os.environ.items() if key not in KEYS} | {"RAG_MODEL_DIR": model}

    wanted, _, _ = run(commands["light"], environment)  # also warms the file cache, as the next line does
    for name in ("ours", "ours_fp32"):
        require_same(name, run(commands[name], environment)[0], wanted, TOLERANCE[name])
    print("# top 3: " + ", ".join(f"{score:.6f} {text.strip().splitlines()[0]!r}" for text, score in wanted))

    spent = {name: [] for name in commands}
    for turn in range(max(ROUNDS.values())):
        for name, command in commands.items():
            if turn < ROUNDS[name]:
                top, milliseconds, peak = run(command, environment)
                if name.startswith("ours") or known:
                    require_same(name, top, wanted, TOLERANCE[name])
                spent[name].append((milliseconds, peak))

    middle = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in spent.items()}
    for name, rows in spent.items():
        print(f"# {name}: " + ", ".join(f"{milliseconds:.0f}" for milliseconds, _ in rows) + " ms")
    for name, suffix in (("ours", ""), ("ours_fp32", "_fp32"), ("default", "_default"), ("light", "_light")):
        print(f"value walk{suffix}_ms {middle[name][0]:.1f}")
        print(f"value walk{suffix}_peak_mb {middle[name][1]:.1f}")
    print(f"ratio walk_vs_default {middle['default'][0] / middle['ours'][0]:.3f}")
    print(f"ratio walk_vs_light {middle['light'][0] / middle['ours'][0]:.3f}")
    print(f"ratio walk_fp32_vs_default {middle['default'][0] / middle['ours_fp32'][0]:.3f}")
    print(f"ratio walk_fp32_vs_light {middle['light'][0] / middle['ours_fp32'][0]:.3f}")
    print(f"ratio walk_memory {middle['ours'][1] / middle['light'][1]:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
