#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Do the kernels ask memory early? A compiler may drop a prefetch without a word, no result shows it, and a search takes
half as long again. Compiles them with -O2, as users do, and looks for the instructions.
    tests/prefetch_test.py       CXX: the compilers, default g++ and clang++
"""
import os
import platform
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KERNELS = ("four_avx2", "four_avx512", "four_vnni", "eight_avx2", "eight_vnni", "panel_avx2", "panel_avx512",
           "add_blocks_avx512", "panel_int16")
SOURCE = """#include <rag/core.hpp>
#include <rag/detail/gemm_int16.hpp>
#include <rag/detail/word_sums.hpp>
using namespace rag::detail;
void* kernels[] = {(void*)&four_avx2<>, (void*)&four_avx512<>, (void*)&four_vnni<>, (void*)&eight_avx2<>, (void*)&eight_vnni<>,
                   (void*)&panel_avx2<6>, (void*)&panel_avx512<14>, (void*)&add_blocks_avx512<>, (void*)&panel_int16<14>};
"""


def functions(assembly):
    """{name: its lines}; ends where the next begins."""
    found, lines = {}, []
    for line in assembly.splitlines():
        if label := re.match(r"(_Z\w+)(?:\.\w+)*:", line):
            lines = found.setdefault(label.group(1), [])
        lines.append(line)
    return found


def asks_early(name, found):
    """A function, or one that it calls, has the instruction."""
    lines = found.get(name, [])
    called = {match.group(1) for line in lines if (match := re.search(r"\bcall\s+(_Z\w+)", line)) and match.group(1) != name}
    return any("prefetcht" in line for line in lines) or any(
        "prefetcht" in line for other in called for line in found.get(other, []))


def main():
    if platform.machine() != "x86_64":
        return print("skipped: no kernels for this processor")
    passed = failed = 0
    flags = os.environ.get("EIGEN3_INCLUDE_DIR", "/usr/include/eigen3")
    for compiler in os.environ.get("CXX", "g++ clang++").split():
        if not shutil.which(compiler):
            print(f"skipped: {compiler} is not there")
            continue
        command = [compiler, "-std=c++20", "-O2", "-w", "-S", "-x", "c++", "-", "-o", "-", f"-I{ROOT}/include", "-isystem", flags]
        found = functions(subprocess.run(command, input=SOURCE, check=True, capture_output=True, text=True).stdout)
        for kernel in KERNELS:
            names = [name for name in found if re.search(rf"\d{kernel}I", name)]
            if names and all(asks_early(name, found) for name in names):
                passed += 1
            else:
                failed += 1
                print(f"FAILED: {compiler}: {kernel} {'asks for nothing early' if names else 'is not in the program'}")
    print(f"prefetch: {passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
