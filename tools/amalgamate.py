#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes single_include/rag/core.hpp and rag.hpp from include/.

  tools/amalgamate.py           writes both files
  tools/amalgamate.py --check   writes nothing; 1 when a committed file is not what would be written

Each header of ours is put in the place of its first #include, whole, with its own guard. So a single header and
the tree, or both single headers, can meet in one translation unit.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
OURS = re.compile(r'\s*#\s*include\s*[<"](rag/[^>"]+)[>"]')
SPDX = "// SPDX-License-Identifier: MIT\n"


def version():
    text = (ROOT / "include/rag/version.hpp").read_text()
    return ".".join(re.search(rf"define RAG_VERSION_{part} (\d+)", text)[1] for part in ("MAJOR", "MINOR", "PATCH"))


def expand(name, done):
    """The lines of a header with those of every header of ours that it includes and that is not yet in `done`."""
    done.add(name)
    depth = 0  # of #if; the guard is 1, and an include deeper than that would be lost for all later users
    for number, line in enumerate((ROOT / "include" / name).read_text().splitlines(keepends=True), 1):
        if re.match(r"\s*#\s*if", line):
            depth += 1
        elif re.match(r"\s*#\s*endif", line):
            depth -= 1
        ours = OURS.match(line)
        if ours and depth != 1:
            sys.exit(f"amalgamate.py: include/{name}:{number}: a header of ours under a condition")
        if not ours:
            if line != SPDX:
                yield line
        elif ours[1] not in done:
            yield from expand(ours[1], done)


def single(name):
    files = "one file" if name == "rag/core.hpp" else "one file; core.hpp beside it needs Eigen only"
    head = (
        f"{SPDX}// rag {version()}, {files}. Made by tools/amalgamate.py from include/{name}; changes belong there.\n"
    )
    return head + "".join(expand(name, set()))


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    stale = []
    for name in ("rag/core.hpp", "rag/rag.hpp"):
        path = ROOT / "single_include" / name
        text = single(name)
        if path.exists() and path.read_text() == text:
            continue
        stale.append(path.relative_to(ROOT))
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for path in stale:
        print(f"amalgamate.py: {path} " + ("differs from include/; run tools/amalgamate.py" if check else "written"))
    return 1 if check and stale else 0


sys.exit(main())
