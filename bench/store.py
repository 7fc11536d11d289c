# SPDX-License-Identifier: MIT
"""A store in a file, ours against milvus-lite and sqlite-vec: store.py OURS PYTHON FOLDER

OURS is the built store.cpp, PYTHON one that can run store_python.py. 100,000 rows of 384 columns with 200 bytes of text
and a number, in batches of 1,000, each on the disk when the call returns. Every step is a process of its own; one run.
Ends with a table for docs/figures.md and the lines of bench/run.sh.
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = os.path.join(HERE, "store_python.py")
ROWS, COLUMNS = 100_000, 384
STEPS = {"insert": "insert, in batches of 1,000", "open": "open", "first_search": "first search after opening",
         "search": "search, 10 of 100,000", "filtered": "the same with a filter that 10 % pass",
         "erase": "erase half", "compact": "compact"}


def run(command):
    """{name: numbers} of the lines that it prints."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        print(f"# failed: {' '.join(command)}", flush=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    return {words[0]: [float(word) for word in words[1:]] for words in lines if words}


def bytes_of(path):
    files = [os.path.join(place, name) for place, _, names in os.walk(path) for name in names]
    files += [path + end for end in ("", "-wal", "-shm") if os.path.isfile(path + end)]
    return sum(os.stat(name).st_blocks * 512 for name in files)


def measure(command, folder, name, data):
    path = os.path.join(folder, name + ".db")
    batch = ["1000"] if name == "rag" else []
    found = run([*command, "insert", path, str(COLUMNS), data + ".rows", *batch])
    found["size"] = [bytes_of(path)]
    found |= run([*command, "ask", path, str(COLUMNS), data + ".queries"])
    found |= run([*command, "shrink", path])
    found["size_after"] = [bytes_of(path)]
    print(f"# {name}: " + ", ".join(f"{step} {found[step][0]:.4f} s" for step in STEPS if step in found), flush=True)
    return found


def written(seconds):
    if seconds is None:
        return "not offered"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def main(ours, python, folder):
    data = os.path.join(folder, "rows")
    subprocess.run([python, os.path.join(HERE, "search_python.py"), "make", "clustered", str(ROWS), str(COLUMNS), data], check=True)
    found = {"rag": measure([ours], folder, "rag", data)}
    for name in ("milvus", "sqlite_vec"):
        found[name] = measure([python, PEER, name], folder, name, data)
        for answer in ("found_search", "found_filtered"):
            if sorted(found[name][answer]) != sorted(found["rag"][answer]):
                print(f"# {name}: {answer} {found[name][answer]}, ours {found['rag'][answer]}")
    print("| 100,000 x 384 | rag `FileStore` | milvus-lite | sqlite-vec |\n| --- | --- | --- | --- |")
    for step, text in STEPS.items():
        print(f"| {text} | " + " | ".join(written(one.get(step, [None])[0]) for one in found.values()) + " |")
    for step, text in (("size", "on the disk"), ("size_after", "on the disk after that")):
        print(f"| {text} | " + " | ".join(f"{one[step][0] / 1e6:.0f} MB" for one in found.values()) + " |")
    for step in STEPS:
        for name in ("milvus", "sqlite_vec"):
            if step in found[name] and step in found["rag"]:
                print(f"ratio store_{step}_vs_{name} {found[name][step][0] / found['rag'][step][0]:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
