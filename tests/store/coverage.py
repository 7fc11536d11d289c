#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures, with gcov at -O0, how much of the FileStore's headers its tests run.

  tests/store/coverage.py [-v]    -v: the lines and branches that are never run

Of branches, those that only an exception takes are left out, and one of a template counts once, in whatever instance it
was taken. At least 95 % of the lines and 90 % of the branches of all
headers together are wanted. Builds build/coverage; CXX and GCOV, default g++ and gcov.
"""
import collections
import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = pathlib.Path(os.environ.get("COVERAGE_BUILD", ROOT / "build/coverage"))
HEADERS = [f"store/{name}.hpp" for name in ("file", "open", "disk_file", "salvage")] + [f"detail/{name}.hpp" for name in (
    "batch_frame", "checkpoint", "collection_changes", "collection_search", "collection_state", "compaction", "fair_shared_mutex",
    "frame_log", "plane_format", "recovery", "row_checks", "salvage_scan", "slot_table", "store_check", "store_core", "store_format",
    "store_options", "store_writer")]
LINES, BRANCHES = 95, 90


def programs():
    """name -> (sources, runs)"""
    tests = [ROOT / f"tests/store/{name}_test.cpp" for name in (
        "disk_file", "file_store", "store_days", "store_crash", "store_golden", "store_values")]
    yield "tests", [ROOT / "tests/main.cpp", *tests], [[]]
    yield "torture", [ROOT / "tests/store/torture.cpp"], [["faults", "8"], ["memory"], ["malformed", "64"], ["power", "8"]]


def measure(name, sources, runs):
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.gcda"):
        old.unlink()
    eigen = os.environ.get("EIGEN3_INCLUDE_DIR", "/usr/include/eigen3")
    flags = ["-std=c++20", "-O0", "-g1", "--coverage", "-fno-inline", f'-DRAG_SOURCE_DIR="{ROOT}"', f"-I{ROOT}/include", f"-I{ROOT}/tests",
             "-isystem", eigen]
    objects = []
    for source in sources:
        objects.append(folder / (source.stem + ".o"))
        subprocess.run([os.environ.get("CXX", "g++"), *flags, "-c", source, "-o", objects[-1]], check=True)
    program = folder / "program"
    subprocess.run([os.environ.get("CXX", "g++"), "--coverage", *objects, "-o", program, "-pthread"], check=True)
    for run in runs:
        subprocess.run([program, *run], check=False, cwd=ROOT, stdout=subprocess.DEVNULL)
    for notes in sorted(folder.glob("*.gcda")):
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run([os.environ.get("GCOV", "gcov"), "--json-format", "--branch-probabilities", notes], check=True, cwd=scratch,
                           stdout=subprocess.DEVNULL)
            for result in pathlib.Path(scratch).glob("*.json.gz"):
                yield from json.loads(gzip.decompress(result.read_bytes()))["files"]


def merged(shapes):
    """The branches of a line: gcov lists those of all instances of a template one behind the other."""
    one = min(map(len, shapes))
    branches = collections.Counter()
    for shape in shapes:
        for which, count in enumerate(shape):
            branches[(len(shape), which) if len(shape) % one else (one, which % one)] += count
    return branches


def main():
    lines = collections.defaultdict(dict)     # header -> line -> count
    shapes = collections.defaultdict(lambda: collections.defaultdict(list))  # header -> line -> a list of counts of each instance
    for name, sources, runs in programs():
        for file in measure(name, sources, runs):
            header = file["file"].rpartition("include/rag/")[2]
            if header not in HEADERS:
                continue
            for line in file["lines"]:
                number = line["line_number"]
                lines[header][number] = lines[header].get(number, 0) + line["count"]
                taken = [branch["count"] for branch in line["branches"] if not branch["throw"]]
                if taken:
                    shapes[header][number].append(taken)
    branches = {header: {(number, which): count for number, of_line in shapes[header].items() for which, count in merged(of_line).items()}
                for header in lines}
    total = [0, 0, 0, 0]
    for header in sorted(lines):
        counts = [sum(map(bool, lines[header].values())), len(lines[header]), sum(map(bool, branches[header].values())), len(branches[header])]
        total = [a + b for a, b in zip(total, counts)]
        print(f"{header:36} lines {counts[0]:4} of {counts[1]:4}, branches {counts[2]:4} of {counts[3]:4}")
        if "-v" in sys.argv:
            missed = sorted(n for n, count in lines[header].items() if not count)
            half = sorted({n for (n, _), count in branches[header].items() if not count} - set(missed))
            print("    lines never run:", *missed, "\n    branches never taken in:", *half)
    of_lines, of_branches = 100 * total[0] / max(1, total[1]), 100 * total[2] / max(1, total[3])
    print(f"value lines_percent {of_lines:.1f}\nvalue branches_percent {of_branches:.1f}")
    good = (of_lines >= LINES) + (of_branches >= BRANCHES)
    print(f"{good} passed, {2 - good} failed")
    sys.exit(good != 2)


if __name__ == "__main__":
    main()
