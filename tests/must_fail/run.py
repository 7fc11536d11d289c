#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compiles each source of this folder with and without -DBREAK, with each compiler named (default g++ clang++).

Without it all is well. With it the compiler gives one error in at most 25 lines, the first 8 of which hold the
sentence after "fault:" in the source.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import flags

FLAGS, _ = flags.flags("core")


def compile_one(compiler, source, broken):
    command = [compiler, "-fsyntax-only", *FLAGS, *(["-DBREAK"] if broken else []), str(source)]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         env={**os.environ, "LC_ALL": "C"})
    return run.returncode, run.stdout


def fault_of(compiler, source):
    """What is wrong with the outcome; empty when nothing is."""
    code, text = compile_one(compiler, source, broken=False)
    if code != 0:
        return "does not compile without BREAK", text
    code, text = compile_one(compiler, source, broken=True)
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
    jobs = [(compiler, source) for source in sources for compiler in compilers]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for (compiler, source), (fault, text) in zip(jobs, pool.map(lambda job: fault_of(*job), jobs)):
            if fault:
                failed += 1
                print(f"{source.name} with {compiler}: {fault}\n" + "\n".join(text.splitlines()[:40]))
    print(f"must_fail: {len(jobs) - failed} passed, {failed} failed")
    return 1 if failed or not jobs else 0


sys.exit(main())
