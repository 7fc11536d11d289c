#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs every example and compares what it prints with the .out beside its source.

  tests/examples.py FOLDER_OF_PROGRAMS [--record]    --record writes the .out files anew

They run without a model and without a key, so that they print the same everywhere.
"""
import difflib
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
OPTIONAL = {"sqlite_store"}  # built where what it needs is found
ARGUMENTS = {"07_milvus_faq": ["examples/data", "How long may I keep a book?"],
             "evaluate": ["--data", "examples/evaluate/data", "--format", "chunking", "--chunker", "recursive:150:0",
                          "--embedder", "hashing", "--k", "3", "--diverse", "0.5", "--per-source", "2", "--merge"]}


def output(program, name):
    """Exit status, stdout, stderr; in a folder of its own from which the examples' files are seen."""
    with tempfile.TemporaryDirectory() as work:
        for folder in ("examples", "docs"):
            os.symlink(ROOT / folder, pathlib.Path(work) / folder)
        run = subprocess.run([program, *ARGUMENTS.get(name, [])], cwd=work, capture_output=True, timeout=120,
                             stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], "HOME": work})
    return run.returncode, run.stdout.decode(), run.stderr.decode()


def fault_of(programs, source, record):
    program, recorded = programs / source.stem, source.with_suffix(".out")
    if not program.exists():
        return "was not built"
    status, printed, errors = output(program, source.stem)
    if status != 0:
        return f"exit status {status}\n{errors}"
    if record:
        recorded.write_text(printed)
    if not recorded.exists():
        return f"{recorded.name} is missing; it prints:\n{printed}"
    wanted = recorded.read_text()
    return "".join(difflib.unified_diff(wanted.splitlines(True), printed.splitlines(True), "wanted", "printed"))


def main():
    programs = pathlib.Path(sys.argv[1]).resolve()
    sources = sorted([*(ROOT / "examples").glob("*.cpp"), ROOT / "examples/evaluate/evaluate.cpp"])
    for source in [source for source in sources if source.stem in OPTIONAL and not (programs / source.stem).exists()]:
        print(f"skipped: {source.name} was not built")
        sources.remove(source)
    faults = {source.name: fault_of(programs, source, "--record" in sys.argv) for source in sources}
    for name, fault in faults.items():
        if fault:
            print(f"{name}: {fault}")
    failed = sum(bool(fault) for fault in faults.values())
    print(f"examples: {len(faults) - failed} passed, {failed} failed")
    return 1 if failed or not faults else 0


sys.exit(main())
