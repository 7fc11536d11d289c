#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compiles every ```cpp block of README.md and docs/*.md.

A block with a main() must compile exactly as it stands. Any other is a fragment: <rag/rag.hpp> and some of the
standard library are included before it, and it stands in a function or, where that fails, outside of one. A
comment on the line before the fence says more:
  <!-- after: CODE -->   the fragment stands in a function, after this code
  <!-- continued -->     the fragment follows the one before it, in the same function
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
import flags

FLAGS = flags.flags("rag")[0]
PREFIX = "#include <rag/rag.hpp>\n\n#include <cstdlib>\n#include <filesystem>\n#include <iostream>\n#include <vector>\n"
BLOCK = re.compile(r"(?:^<!-- *(after:|continued)(.*?)-->\n+)?^```cpp\n(.*?)^```$", re.M | re.S)


def blocks():
    """(place, code, whether it is a whole program, whether it may stand outside of a function)"""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = path.read_text() if path.exists() else ""
        found = list(BLOCK.finditer(text))
        if len(found) != len(re.findall(r"^\s*```(?:cpp|c\+\+|cc|cxx)", text, re.M)):
            yield f"{path.relative_to(ROOT)}", "#error a block is not fenced by ```cpp and ``` at the line's begin", True, False
        before = ""
        for match in found:
            kind, context, code = match[1], match[2], match[3]
            code = {"after:": context or "", "continued": before}.get(kind, "") + "\n" + code
            before = code
            place = f"{path.relative_to(ROOT)}:{text[:match.start(3)].count(chr(10)) + 1}"
            yield place, code, bool(re.search(r"\bint main\(", code)), kind is None


def compile_text(work, name, text, precompiled):
    source = work / f"{name}.cpp"
    source.write_text(text)
    include = ["-include", str(work / "prefix.hpp")] if precompiled else []
    run = subprocess.run(["g++", "-fsyntax-only", *FLAGS, *include, str(source)], stderr=subprocess.PIPE, text=True)
    return run.stderr if run.returncode != 0 else None


def fault_of(work, number, block):
    _, code, whole, anywhere = block
    if whole:
        return compile_text(work, number, code, precompiled=False)
    includes = "".join(re.findall(r"^#include .*\n", code, re.M))
    rest = re.sub(r"^#include .*\n", "", code, flags=re.M)
    fault = compile_text(work, number, f"{includes}int main() {{\n{rest}}}\n", precompiled=True)
    if fault and anywhere:
        outside = compile_text(work, number, includes + rest, precompiled=True)
        return outside if outside is None or "a function-definition is not allowed here" in fault else fault
    return fault


def main():
    found = list(blocks())
    failed = 0
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        work = pathlib.Path(folder)
        (work / "prefix.hpp").write_text(PREFIX)
        subprocess.run(["g++", *FLAGS, "-x", "c++-header", work / "prefix.hpp"], check=True)
        for block, fault in zip(found, pool.map(lambda numbered: fault_of(work, *numbered), enumerate(found))):
            if fault:
                failed += 1
                print(f"{block[0]} does not compile:\n" + "\n".join(fault.splitlines()[:20]))
    print(f"blocks: {len(found) - failed} passed, {failed} failed")
    return 1 if failed or not found else 0


sys.exit(main())
