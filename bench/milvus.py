# SPDX-License-Identifier: MIT
"""50,000 rows of 384 columns through MilvusStore to a bridge over Milvus Lite: milvus.py OURS BRIDGE FOLDER

OURS is the built milvus.cpp, BRIDGE the folder of bridge.py. Two runs: a load alone, for its memory and rows/s; and one
where each batch of 1,000 is written twice, by MilvusStore and by a bare loop that posts a body that is ready, in turn,
whichever first. The engine takes nearly all of the time: the ratio says what the client adds to it, in a setting where
client and server share the processors.
"""
import os
import statistics
import subprocess
import sys
import time

ROWS, BATCH, COLUMNS = 50_000, 1_000, 384


def start(bridge, folder):
    """The bridge's process and address."""
    log = os.path.join(folder, "log")
    with open(log, "w") as out:
        server = subprocess.Popen([sys.executable, os.path.join(bridge, "bridge.py"), "--port", "0", "--data", os.path.join(folder, "db")],
                                  stdout=out, stderr=subprocess.STDOUT)
    for _ in range(1_200):  # the first start of all may install the engine
        with open(log) as lines:
            ready = [line.split()[1] for line in lines if line.startswith("ready ")]
        if ready or server.poll() is not None:
            break
        time.sleep(0.1)
    if not ready:
        server.kill()
        sys.exit(f"bench/milvus.py: the bridge does not start, see {log}")
    return server, ready[0]


def run(command):
    """The lines that it prints, each a name and numbers."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    return [(words[0], [float(word) for word in words[1:]]) for words in lines]


def main(ours, bridge, folder):
    server, uri = start(bridge, folder)
    try:
        alone = dict(run([ours, "load", uri, str(ROWS), str(BATCH)]))
        both = run([ours, "beside", uri, str(ROWS // 2), str(BATCH)])
    finally:
        server.terminate()
        server.wait()
    pairs = [numbers for name, numbers in both if name == "pair"]
    for wanted, there in ((ROWS, alone["rows"][0]), (ROWS // 2, dict(both)["rows"][0]), (ROWS // 2, dict(both)["rows"][1])):
        if wanted != there:
            sys.exit(f"bench/milvus.py: {wanted} rows wanted, {there:.0f} there")
    bare, store = (sum(numbers) for numbers in zip(*pairs))
    ratio = statistics.median(one / other for one, other in pairs)  # a server's pauses hit either side
    print(f"# {ROWS} rows of {COLUMNS} columns in {alone['load'][0]:.1f} s; memory {alone['early'][0] / 1024:.1f} MB after {5 * BATCH}"
          f" rows, {alone['memory'][0] / 1024:.1f} MB after all")
    print(f"# in turn: {ROWS // 2} rows by a bare loop {bare:.2f} s, by MilvusStore {store:.2f} s")
    print(f"value milvus_peak_mb {alone['memory'][0] / 1024:.1f}")
    print(f"value milvus_insert_rows_s {ROWS / alone['load'][0]:.0f}")
    print(f"ratio milvus_insert_vs_bare {ratio:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
