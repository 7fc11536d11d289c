#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the compiler flags of a program that uses rag from its source tree, without a build system.

  tests/flags.py core|rag [FOLDER]    FOLDER: include (default) or single_include
"""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def pkg_config(*words):
    run = subprocess.run(["pkg-config", *words], stdout=subprocess.PIPE, text=True, check=True)
    # Warnings of third parties are not ours. The default folder must not be named: it would lose its place.
    return [word.replace("-I", "-isystem", 1) for word in run.stdout.split() if word != "-I/usr/include"]


def flags(part="rag", folder="include"):
    packages = ["eigen3"] if part == "core" else ["eigen3", "nlohmann_json", "cpp-httplib", "openssl"]
    ours = ["-std=c++20", "-I" + str(ROOT / folder)]
    return ours + pkg_config("--cflags", *packages), pkg_config("--libs", *packages) + ["-pthread"]


if __name__ == "__main__":
    compile_flags, link_flags = flags(*sys.argv[1:])
    print(*compile_flags, *link_flags)
