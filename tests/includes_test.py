#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Holds the #include lines of include/rag against the order of the house. Prints what breaks it.

An arrow points only down this list, or to a neighbour where `same` says so:
  1 version   2 error, types   3 concepts   4 detail/*   5 net/*   6 the stations, progress, cpu
  7 pipeline, evaluate, sync   8 chat   9 core, rag
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "include/rag"
STATIONS = ("document", "chunk", "embed", "store", "retrieve", "prompt", "llm")
TOP = {"version": 1, "error": 2, "types": 2, "concepts": 3, "cpu": 6, "progress": 6, "render": 6, "statements": 6,
       "pipeline": 7, "evaluate": 7, "sync": 7, "chat": 8, "core": 9, "rag": 9}
# core.hpp and rag.hpp leave these out; each is the one user of its libraries.
OPTIONAL = {"store/hnsw.hpp": ("hnswlib/",), "document/html.hpp": ("gumbo.h",), "document/pdf.hpp": ("poppler/",),
            "document/docx.hpp": ("zip.h", "pugixml.hpp")}
NETWORK = ("net/https.hpp", "net/https_connection.hpp")
HEAVY = {"iostream", "regex", "ranges", "format"}  # for every user, whatever he does


def level(name):
    folder = name.split("/")[0]
    if "/" not in name:
        return TOP.get(name.removesuffix(".hpp"), 0)
    return 6 if folder in STATIONS else {"detail": 4, "net": 5}.get(folder, 0)


def may_meet(user, used):
    """Two headers of one level: types and error, core and rag, files of one folder."""
    if "/" in user:
        return user.split("/")[0] == used.split("/")[0]
    return level(user) in (2, 9) and "/" not in used


def third_party_fault(name, header):
    if header.startswith(("Eigen/", "unsupported/Eigen/")) and name != "detail/eigen.hpp":
        return "Eigen is for detail/eigen.hpp"
    if header.startswith("nlohmann/") and name != "detail/json.hpp":
        return "nlohmann/json is for detail/json.hpp"
    if header.startswith(("httplib", "openssl/")) and (name, header) != ("net/digest.hpp", "openssl/evp.h") \
            and name != "net/https_connection.hpp":
        return "cpp-httplib is for net/https_connection.hpp, OpenSSL for it and net/digest.hpp"
    for user, headers in OPTIONAL.items():
        if header.startswith(headers) and name != user:
            return f"{header} is for {user}"
    if header in HEAVY:
        return f"<{header}> costs every user"
    return None


def reach(name, includes, seen):
    if name not in seen:
        seen.add(name)
        for used in includes.get(name, ()):
            if used.startswith("rag/"):
                reach(used[4:], includes, seen)
    return seen


def main():
    faults = []
    includes = {}
    for path in sorted(FOLDER.rglob("*.hpp")):
        name = path.relative_to(FOLDER).as_posix()
        text = path.read_text()
        includes[name] = re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', text, re.M)
        guard = "RAG_" + re.sub(r"\W", "_", name.upper())
        if f"#ifndef {guard}\n#define {guard}\n" not in text:
            faults.append(f"{name}: the guard {guard} is wanted")
        if not text.startswith("// SPDX-License-Identifier: MIT\n"):
            faults.append(f"{name}: the first line is not the licence's")
        if not level(name):
            faults.append(f"{name}: no level of the house is known for it")
        for quoted in re.findall(r'^\s*#\s*include\s*"[^"]*"', text, re.M):
            faults.append(f"{name}: {quoted.strip()}: <rag/…> is wanted")

    for name, used_headers in includes.items():
        for header in used_headers:
            fault = third_party_fault(name, header)
            if header.startswith("rag/"):
                used = header[4:]
                if used not in includes:
                    fault = "no such header"
                elif level(used) > level(name):
                    fault = "points up"
                elif level(used) == level(name) and not may_meet(name, used):
                    fault = "a neighbour"
                elif (used, name) != ("net/https_connection.hpp", "net/https.hpp") and used in NETWORK and name != "rag.hpp":
                    fault = "the network belongs to rag.hpp; take an AnyTransport"
            if fault:
                faults.append(f"{name} includes {header}: {fault}")

    reached = reach("rag.hpp", includes, set())
    for name in sorted(set(OPTIONAL) & reached):
        faults.append(f"{name}: rag.hpp reaches it")
    for name in OPTIONAL:
        reach(name, includes, reached)
    for name in sorted(set(includes) - reached):
        faults.append(f"{name}: rag.hpp does not reach it")
    core = reach("core.hpp", includes, set())
    for name in sorted(core):
        for header in includes.get(name, ()):
            if header.startswith(("nlohmann/", "httplib", "openssl/")):
                faults.append(f"{name}, which core.hpp reaches, includes {header}")

    # CMakeLists.txt gives each header to rag::core or to rag::rag: by what it needs, not by who includes it.
    of_rag = re.search(r"set\(rag_headers ([^)]*)\)", (ROOT / "CMakeLists.txt").read_text())[1].split()
    for name in sorted(includes):
        needs = any(header.startswith(("nlohmann/", "httplib", "openssl/"))
                    for reached in reach(name, includes, set()) for header in includes.get(reached, ()))
        if needs != (name in of_rag):
            faults.append(f"{name}: belongs to rag::{'rag' if needs else 'core'}, see CMakeLists.txt")

    for fault in faults:
        print(f"include/rag/{fault}")
    print(f"{len(includes)} headers, {sum(map(len, includes.values()))} includes, {len(faults)} faults")
    return 1 if faults or not includes else 0


sys.exit(main())
