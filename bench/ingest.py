# SPDX-License-Identifier: MIT
"""A folder of pages made a store, ours against Python: ingest.py OURS PYTHON FOLDER MODEL WORK

OURS is the built ingest.cpp, PYTHON one that can run ingest_python.py. Each run is one process, from its start to its end,
into an empty place: read, cut, embedded with all-MiniLM-L6-v2, stored durably. Ours is bf16 and int16 (fp32 where the
processor has no instructions for them), of which the faster counts, and fp32. Then ours again after 1 % of the pages
changed, and after none did.
Imports little: on Linux a child's peak starts at that of the process that starts it.
"""
import os
import shutil
import statistics
import subprocess
import sys
import time

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ingest_python.py")
ROUNDS = {"python": 3, "bf16": 3, "int16": 3, "fp32": 3}


def run(command):
    """(words of the last line, seconds, peak MB)"""
    begin = time.monotonic()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    printed = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"ingest.py: exit status {child.returncode} of {' '.join(command)}")
    return [int(word) for word in printed.split()], time.monotonic() - begin, usage.ru_maxrss / 1024


def pages_of(folder):
    return sorted(os.path.join(place, name) for place, _, names in os.walk(folder) for name in names if name.endswith(".md"))


def main(ours, python, folder, model, work):
    docs = os.path.join(work, "docs")
    shutil.copytree(folder, docs)
    pages = pages_of(docs)
    changed = pages[:: max(1, len(pages) // max(1, round(len(pages) / 100)))][: max(1, round(len(pages) / 100))]
    commands = {name: [python, PEER, docs, model] if name == "python" else [ours, docs, model] for name in ROUNDS}
    store = os.path.join(work, "store.db")
    first, again, idle, chunks = ({name: [] for name in commands} for _ in range(4))
    for turn in range(max(ROUNDS.values())):
        for name, command in commands.items():
            if turn >= ROUNDS[name]:
                continue
            subprocess.run(["rm", "-rf", store])
            command = [*command, store] if name == "python" else [*command, store, name]
            told, seconds, peak = run(command)
            first[name].append((seconds, peak))
            chunks[name].append(told[-1])
            if name == "python":
                continue
            if told[:4] != [len(pages), 0, 0, 0]:
                sys.exit(f"ingest.py: {len(pages)} pages wanted, ours says {told}")
            for page in changed:
                with open(page, "a") as file:
                    file.write(f"\n\nA line of turn {turn} in {name}.\n")
            told, seconds, _ = run(command)
            again[name].append(seconds)
            if told[:4] != [0, len(changed), 0, len(pages) - len(changed)]:
                sys.exit(f"ingest.py: {len(changed)} changed pages wanted, ours says {told}")
            idle[name].append(run(command)[1])
            shutil.rmtree(docs)
            shutil.copytree(folder, docs)
    if len({count for counts in chunks.values() for count in counts}) != 1:
        print(f"# the numbers of chunks differ: {chunks}")
    print(f"# {len(pages)} pages, {chunks['python'][0]} chunks; {len(changed)} pages change")
    middle = {name: [statistics.median(column) for column in zip(*rows)] for name, rows in first.items()}
    for name, rows in first.items():
        print(f"# {name}: " + ", ".join(f"{seconds:.2f}" for seconds, _ in rows) + " s")
    fastest = min(("bf16", "int16"), key=lambda name: middle[name][0])
    print(f"# the faster of ours: {fastest}")
    for name, suffix in ((fastest, ""), ("fp32", "_fp32")):
        sync = statistics.median(again[name])
        print(f"value ingest{suffix}_s {middle[name][0]:.3f}")
        print(f"value ingest{suffix}_peak_mb {middle[name][1]:.1f}")
        print(f"value sync{suffix}_s {sync:.3f}")
        print(f"value sync_of_nothing{suffix}_s {statistics.median(idle[name]):.3f}")
        print(f"ratio ingest{suffix}_speed {middle['python'][0] / middle[name][0]:.3f}")
        print(f"ratio ingest{suffix}_memory {middle[name][1] / middle['python'][1]:.3f}")
        print(f"ratio sync{suffix}_vs_first {middle[name][0] / sync:.3f}")
    print(f"value ingest_python_s {middle['python'][0]:.3f}")
    print(f"value ingest_python_peak_mb {middle['python'][1]:.1f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
