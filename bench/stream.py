#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs stream.cpp and stream_python.py in turn against one server, and compares their medians.

  stream.py SERVER OURS PYTHON
"""
import collections
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOKENS, ROUNDS, TURNS = 400, 3, 3
TEXT = {"first": "added to the first token", "token": "added to each paced token", "flood": "a token, as fast as they come"}


def measure(command, found):
    """Adds the numbers that it prints to `found`, by their names."""
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    for name, number in map(str.split, lines):
        found[name].append(int(number))


def main(server, ours, python):
    found = {"rag": collections.defaultdict(list), "openai": collections.defaultdict(list)}
    with subprocess.Popen([server, str(TOKENS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().split()[1]
        for _ in range(TURNS):
            measure([ours, url, str(ROUNDS)], found["rag"])
            measure([python, os.path.join(HERE, "stream_python.py"), url, str(ROUNDS)], found["openai"])
        process.stdin.close()
    ratios = {}
    print("| median | rag `OpenAiLlm` | openai-python |\n| --- | --- | --- |")
    for name, text in TEXT.items():
        mine, theirs = (statistics.median(one[name]) for one in found.values())
        ratios[name] = theirs / mine
        print(f"| {text} | {mine / 1000:.1f} µs | {theirs / 1000:.1f} µs |")
    for name, ratio in ratios.items():
        print(f"ratio stream_{name} {ratio:.2f}")
    print(f"ratio stream_overhead {min(ratios.values()):.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
