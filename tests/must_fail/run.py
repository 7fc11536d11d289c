#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compiles each source of this folder with and without -DBREAK, with each compiler named (default g++ clang++).

Without it all is well. With it the compiler gives one error in at most 25 lines, the first 8 of which hold the
sentence after "fault:" in the source. core.hpp is precompiled, for speed: the text of the error stays the same, or
grows by one line.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import flags

FLAGS, _ = flags.flags("core")


def precompile(compiler, work):
    """The flags that give core.hpp to a unit, read once for all."""
    header = work / f"{compiler}.hpp"
    header.write_text("#include <rag/core.hpp>\n")
    product = str(header) + (".pch" if "clang" in compiler else ".gch")
    subprocess.run([compiler, *FLAGS, "-x", "c++-header", str(header), "-o", product], check=True)
    return ["-include-pch", product] if "clang" in compiler else ["-include", str(header)]


def compile_one(compiler, precompiled, source, broken):
    command = [compiler, "-fsyntax-only", *FLAGS, *precompiled, *(["-DBREAK"] if broken else []), str(source)]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         env={**os.environ, "LC_ALL": "C"})
    return run.returncode, run.stdout


def fault_of(compiler, precompiled, source):
    """What is wrong with the outcome; empty when nothing is."""
    code, text = compile_one(compiler, precompiled, source, broken=False)
    if code != 0:
        return "does not compile without BREAK", text
    code, text = compile_one(compiler, precompiled, source, broken=True)
    if code == 0:
        return "compiles with BREAK", text
    sentence = re.search(r"^// fault: (.*)$", source.read_text(), re.M)[1]
    lines = text.splitlines()
    errors = sum("error:" in line for line in lines)
    if errors != 1:
        return f"{errors} errors, 1 wanted", text
    if len(lines) > 25:
        return f"{len(lines)} lines, at most 25 wanted", text
    if not any(sentence in line for line in lines[:8]):
        return f"the first 8 lines do not say '{sentence}'", text
    return "", text


def main():
    compilers = sys.argv[1:] or ["g++", "clang++"]
    sources = sorted(HERE.glob("*.cpp"))
    failed = 0
    with tempfile.TemporaryDirectory() as work, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        precompiled = dict(zip(compilers, pool.map(lambda name: precompile(name, pathlib.Path(work)), compilers)))
        jobs = [(compiler, precompiled[compiler], source) for source in sources for compiler in compilers]
        for (compiler, _, source), (fault, text) in zip(jobs, pool.map(lambda job: fault_of(*job), jobs)):
            if fault:
                failed += 1
                print(f"{source.name} with {compiler}: {fault}\n" + "\n".join(text.splitlines()[:40]))
    print(f"must_fail: {len(jobs) - failed} passed, {failed} failed")
    return 1 if failed or not jobs else 0


sys.exit(main())
