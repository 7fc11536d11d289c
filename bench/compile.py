# SPDX-License-Identifier: MIT
"""What the headers cost the compiler: compile.py [--detail]

CPU time (user + system) of g++ on an empty program with some includes, the least of interleaved runs. A ratio is the
worse of -O0 and -O2. --detail adds what each header costs alone and, of ours, beyond the includes it names.
"""
import os
import re
import subprocess
import sys
import tempfile

INCLUDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "include")
LEVELS = ("-O0", "-O2")
RUNS = 5
COMPILER = os.environ.get("CXX", "g++")


def includes_of(header):
    with open(os.path.join(INCLUDE, header)) as file:
        return re.findall(r"^\s*#\s*include\s*<([^>]+)>", file.read(), re.MULTILINE)


def reach(headers):
    """All headers that these include, directly or through ours: (ours, foreign), each in the order the compiler meets
    them. That order matters: httplib.h brings a macro _res, which Eigen does not survive."""
    ours, foreign = [], []

    def visit(header):
        known = ours if header.startswith("rag/") else foreign
        if header not in known:
            known.append(header)
            for inner in includes_of(header) if known is ours else []:
                visit(inner)

    for header in headers:
        visit(header)
    return ours, foreign


def is_third_party(header):
    return header.split("/")[0] in ("Eigen", "nlohmann", "httplib.h", "openssl") or header.endswith("intrin.h")


def standard(headers):
    return [header for header in reach(headers)[1] if not is_third_party(header)]


class Clock:
    """Measures empty programs; one program is compiled once a round, however often it is named."""

    def __init__(self, folder):
        self.folder = folder
        self.sources = {}
        packages = ["eigen3", "nlohmann_json", "cpp-httplib", "openssl"]
        found = [p for p in packages if subprocess.run(["pkg-config", "--exists", p]).returncode == 0]
        flags = subprocess.run(["pkg-config", "--cflags", *found], capture_output=True, text=True, check=True).stdout
        self.command = [COMPILER, "-std=c++20", "-I", INCLUDE, *flags.split()]

    def program(self, headers):
        """The key of an empty program with these includes; a foreign header of another system is left out."""
        lines = [f"#include <{header}>\n" for header in headers]
        lines = [line if "<rag/" in line else f"#if __has_include({line[9:-1]})\n{line}#endif\n" for line in lines]
        text = "".join(lines) + "int main() {}\n"
        if text not in self.sources:
            self.sources[text] = os.path.join(self.folder, f"{len(self.sources)}.cpp")
            with open(self.sources[text], "w") as file:
                file.write(text)
        return text

    def compile(self, text, level):
        out = os.path.join(self.folder, "out.o")
        child = subprocess.Popen([*self.command, level, "-c", self.sources[text], "-o", out])
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            sys.exit("compile.py: does not compile: " + " ".join(re.findall(r"#include (<.*>)", text)))
        return usage.ru_utime + usage.ru_stime

    def seconds(self, runs):
        """(program, level) -> least CPU seconds."""
        least = {}
        for _ in range(runs):
            for text in self.sources:
                for level in LEVELS:
                    spent = self.compile(text, level)
                    least[text, level] = min(least.get((text, level), spent), spent)
        return least


def ratios(folder):
    clock = Clock(folder)
    core, types, everything = ["rag/core.hpp"], ["rag/types.hpp", "rag/concepts.hpp"], ["rag/rag.hpp"]
    pairs = {  # name: (ours, the other, the most it may be)
        "core_vs_parts": (core, standard(core) + ["Eigen/Core", "immintrin.h"], 1.3),
        "core_vs_eigen": (core, ["Eigen/Core"], 2.2),
        "types_vs_std": (types, ["string", "vector", "span"], 1.5),
        "rag_vs_dependencies": (everything, reach(everything)[1], 1.2),
    }
    programs = {name: (clock.program(ours), clock.program(other)) for name, (ours, other, _) in pairs.items()}
    seconds = clock.seconds(RUNS)
    shown = []
    for name, (ours, other) in programs.items():
        for level in LEVELS:
            left, right = seconds[ours, level], seconds[other, level]
            shown.append(f"value {name}{level.replace('-', '_')} {left / right:.3f}")
            print(f"# {name} {level}: {left * 1000:.0f} ms against {right * 1000:.0f} ms")
    for name, (ours, other) in programs.items():
        worse = max(seconds[ours, level] / seconds[other, level] for level in LEVELS)
        shown.append(f"ratio {name} {worse:.3f}")
        print(f"# {name}: {worse:.3f}, goal at most {pairs[name][2]}")
    return shown


def detail(folder):
    clock = Clock(folder)
    ours, foreign = reach(["rag/rag.hpp"])
    empty = clock.program([])
    alone = [(header, clock.program([header])) for header in ours + foreign]
    itself = {header: clock.program(includes_of(header)) for header in ours}
    seconds = clock.seconds(3)

    def cost(program, base):
        return "".join(f"{(seconds[program, level] - seconds[base, level]) * 1000:8.0f}" for level in LEVELS)

    print("# ms of CPU beyond an empty program; of ours also beyond the includes they name")
    print(f"# {'header':38}   alone -O0 -O2   itself -O0 -O2")
    for header, program in sorted(alone, key=lambda row: (row[0] in foreign, -seconds[row[1], "-O2"])):
        print(f"# {header:38}{cost(program, empty)}{cost(program, itself[header]) if header in itself else ''}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="rag-bench-") as work:
        if sys.argv[1:] == ["--detail"]:
            detail(work)
        print("\n".join(ratios(work)))
