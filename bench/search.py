# SPDX-License-Identifier: MIT
"""Exact search, ours against FAISS, usearch and numpy: search.py PROGRAMS PYTHON FOLDER REAL|- [PART…]

PROGRAMS is the folder of the built search.cpp, store.cpp and (where SQLite is) sqlite.cpp, PYTHON one that can run
search_python.py; FOLDER takes 6 GB; REAL.rows and REAL.queries are vectors of texts if there are any. Every engine is a
process that waits; each question goes through all of them in turn, so that what disturbs one disturbs the others, and
its time is the least of its rounds. A figure is the median of its questions. ratio: the time of FAISS's IndexFlatIP, at
the better of its two settings, by ours; batch_…: the lower of clustered and uniform vectors. Each answer of ours must have
the ids of FAISS, up to scores that are equal in fp32. PART: 384, 1536, real, 1m, file; all without one.
"""
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = os.path.join(HERE, "search_python.py")
PEERS = ("faiss", "faiss_blas", "usearch", "numpy")
K = 10
NEAR = 1e-5  # of two scores of vectors of length 1


class Engine:
    def __init__(self, command, threads=1, **environment):
        cores = sorted(os.sched_getaffinity(0))[:threads]
        variables = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
        variables |= {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)} | environment
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables,
                                        preexec_fn=lambda: os.sched_setaffinity(0, cores))
        self.greeting = self.process.stdout.readline().strip()
        if not self.greeting.startswith("#"):
            sys.exit(f"search.py: did not start: {' '.join(command)}")

    def run(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        spent, *found = self.process.stdout.readline().split()
        pairs = [pair.split(":") for pair in found]
        return float(spent), [(int(name), float(score)) for name, score in pairs]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Bench:
    def __init__(self, programs, python, folder):
        self.programs, self.python, self.folder = programs, python, folder
        self.checked = 0
        self.core = {}  # what makes the BLAS of FAISS use the processor

    def data(self, kind, rows, columns):
        path = os.path.join(self.folder, f"{kind}-{rows}-{columns}")
        if not os.path.exists(path + ".rows"):
            subprocess.run([self.python, PEER, "make", kind, str(rows), str(columns), path], check=True)
        return path

    def drop(self, path):
        if path.startswith(self.folder) and "RAG_BENCH_KEEP" not in os.environ:
            os.remove(path + ".rows")

    def our_engine(self, path, columns, threads=1, **environment):
        return Engine([self.programs + "/search", "work", str(columns), str(threads), path + ".rows", path + ".queries"], threads,
                      **environment)

    def peer_engine(self, path, columns):
        command = [self.python, PEER, "work", str(columns), "1", path + ".rows", path + ".queries"]
        engine = Engine(command, **self.core)
        if "libopenblas Prescott" in engine.greeting:  # it does not know the processor and takes its slowest kernels
            engine.close()
            self.core = {"OPENBLAS_CORETYPE": better_core()}
            engine = Engine(command, **self.core)
        return engine

    def measure(self, engines, commands, rounds):
        """engines: {name: (engine, a prefix of the command)}, an engine of "limit…" gets the prefix alone; gives {name:
        seconds}, the median of the commands' least."""
        least = {name: {} for name in engines}
        for turn, command in [(0, command) for command in commands[:2]] + [(1, command) for command in commands] * rounds:
            answers = {}
            for name, (engine, prefix) in engines.items():
                spent, answers[name] = engine.run(prefix if name.startswith("limit") else prefix + command)
                if turn > 0:
                    least[name][command] = min(spent, least[name].get(command, spent))
            for name in answers:
                if name.startswith("ours") and "faiss" in answers:
                    self.check(command, answers[name], answers["faiss"])
        return {name: statistics.median(spent.values()) for name, spent in least.items()}

    def check(self, command, ours, theirs):
        if len(ours) != len(theirs):
            sys.exit(f"search.py: {command}: {len(ours)} hits, FAISS has {len(theirs)}")
        for at in range(0, len(ours), K):
            mine, wanted = ours[at : at + K], theirs[at : at + K]
            last = wanted[-1][1]
            names = {name for name, _ in wanted}
            for (name, score), (_, other) in zip(mine, wanted):
                if abs(score - other) > NEAR or (name not in names and score < last - NEAR):
                    sys.exit(f"search.py: {command}: {mine} is not FAISS's {wanted}")
            self.checked += 1


def better_core():
    with open("/proc/cpuinfo") as file:
        flags = file.read()
    return "SkylakeX" if "avx512vl" in flags else "Haswell"


def show(name, spent):
    listed = ", ".join(f"{engine} {1000 * seconds:.3f}" for engine, seconds in spent.items())
    print(f"# {name}, ms: {listed}", flush=True)
    spent["faiss"] = min(spent["faiss"], spent.pop("faiss_blas", spent["faiss"]))
    return {engine: seconds / spent["ours"] for engine, seconds in spent.items() if engine != "ours"}


def singles(count):
    return [f"single {i}" for i in range(count)]


def small_set(bench, name, path, columns, values, filters=False):
    """All that is asked of 100,000 rows; gives {question: {peer: ratio}}."""
    ours, peer = bench.our_engine(path, columns), bench.peer_engine(path, columns)
    print(f"{ours.greeting}\n{peer.greeting}")
    engines = {"ours": (ours, "")} | {other: (peer, other + " ") for other in PEERS}
    count = 20 if columns < 1000 else 10
    spent = bench.measure(engines | {"limit": (ours, "limit")}, singles(count), 7)
    values[f"percent_of_limit_{name}"] = 100 * spent["limit"] / spent["ours"]
    ratios = {"single": show(f"single_{name}", spent)}
    blas = {name: engines[name] for name in ("ours", "faiss_blas", "numpy")}
    blas["faiss"] = blas.pop("faiss_blas")
    ratios["batch"] = show(f"batch_{name} of 100", bench.measure(blas, ["batch 100"], 7))
    if filters:
        some = {"ours": engines["ours"], "faiss": engines["faiss"]}
        for below in (1, 10, 50):
            commands = [f"filtered {below} {i}" for i in range(20)]
            ratios[below] = show(f"filtered_{below}pct", bench.measure(some, commands, 9))
    for engine in (ours, peer):
        engine.close()
    return ratios


def small_sets(bench, columns, ratios, values):
    kinds = {}
    for kind in ("clustered", "uniform"):
        path = bench.data(kind, 100_000, columns)
        kinds[kind] = small_set(bench, f"100k_{columns}_{kind}", path, columns, values, (kind, columns) == ("clustered", 384))
        bench.drop(path)
    ratios[f"single_100k_{columns}"] = kinds["clustered"]["single"]
    ratios[f"single_100k_{columns}_uniform"] = kinds["uniform"]["single"]
    both = [kind["batch"] for kind in kinds.values()]
    ratios[f"batch_{columns}"] = {peer: min(ratio[peer] for ratio in both) for peer in both[0]}
    for below in (1, 10, 50):
        if below in kinds["clustered"]:
            ratios[f"filtered_{below}pct"] = kinds["clustered"][below]


def large_sets(bench, ratios, values):
    """One million rows."""
    path = bench.data("clustered", 1_000_000, 384)
    ours, peer = bench.our_engine(path, 384), bench.peer_engine(path, 384)
    avx2 = bench.our_engine(path, 384, RAG_ISA="avx2")
    print(f"{ours.greeting}\n{avx2.greeting}")
    engines = {"ours": (ours, ""), "ours_avx2": (avx2, ""), "limit": (ours, "limit")}
    engines |= {other: (peer, other + " ") for other in PEERS if other != "faiss_blas"}
    spent = bench.measure(engines, singles(10), 5)
    values["percent_of_limit_1m"] = 100 * spent["limit"] / spent["ours"]
    ratios["avx2_single_1m"] = {"faiss": spent["faiss"] / spent["ours_avx2"]}
    ratios["single_1m_384"] = show("single_1m_384", spent)
    for engine in (avx2, peer):
        engine.close()
    if len(os.sched_getaffinity(0)) > 1:
        two = bench.our_engine(path, 384, threads=2)
        engines = {"ours": (two, ""), "one": (ours, ""), "limit": (two, "limit"), "limit_one": (ours, "limit")}
        spent = bench.measure(engines, singles(10), 7)
        values["limit_two_threads_1m"] = spent["limit_one"] / spent["limit"]
        print(f"# two threads, ms: {1000 * spent['ours']:.3f}, one {1000 * spent['one']:.3f}")
        ratios["two_threads_1m"] = {"faiss": spent["one"] / spent["ours"]}
        two.close()
    ours.close()
    values["bytes_per_row_384"] = numbers(bench.programs + "/search", "bytes", "384", path + ".rows")["bytes"]
    bench.drop(path)

    path = bench.data("uniform", 1_000_000, 384)
    ours, peer = bench.our_engine(path, 384), bench.peer_engine(path, 384)
    engines = {"ours": (ours, ""), "faiss": (peer, "faiss ")}
    ratios["single_1m_384_uniform"] = show("single_1m_384_uniform", bench.measure(engines, singles(10), 5))
    for engine in (ours, peer):
        engine.close()
    bench.drop(path)


def numbers(*command):
    """{name: number} of the lines that a program prints."""
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {words[0]: float(words[1]) for words in map(str.split, printed.splitlines()) if len(words) == 2}


def files(bench, ratios, values):
    """Inserting a million rows into a file, and opening it."""
    path = bench.data("clustered", 1_000_000, 384)
    ours, theirs = os.path.join(bench.folder, "rows.rag"), os.path.join(bench.folder, "rows.faiss")
    spent = numbers(bench.programs + "/store", "insert", ours, "384", path + ".rows", "10000")["insert"]
    other = float(subprocess.check_output([bench.python, PEER, "write", "384", path + ".rows", theirs]))
    os.remove(theirs)
    print(f"# a million rows into a file, s: ours {spent:.2f}, faiss {other:.2f}")
    ratios["insert_vs_faiss_plus_write"] = {"faiss": other / spent}
    opened = [numbers(bench.programs + "/store", "ask", ours, "384", path + ".queries") for _ in range(7)]
    middle = {name: 1000 * statistics.median(one[name] for one in opened) for name in opened[0]}
    values["open_ms"], values["first_search_ms"] = middle["open"], middle["first_search"]
    values["later_search_ms"] = middle["search"]
    os.remove(ours)
    sqlite = bench.programs + "/sqlite"
    if os.path.exists(sqlite):
        theirs = os.path.join(bench.folder, "rows.sqlite")
        subprocess.run([sqlite, "insert", theirs, "384", path + ".rows"], check=True, stdout=subprocess.DEVNULL)
        load = min(float(subprocess.check_output([sqlite, "load", theirs, "384"])) for _ in range(3))
        print(f"# a million rows out of SQLite, ms: {1000 * load:.0f}; our file, open: {middle['open']:.3f}")
        ratios["open_vs_sqlite_load"] = {"faiss": 1000 * load / middle["open"]}
        os.remove(theirs)
    bench.drop(path)


def main(programs, python, folder, real, *parts):
    bench = Bench(programs, python, folder)
    ratios, values = {}, {}

    def wanted(part):
        return not parts or part in parts

    for columns in (384, 1536):
        if wanted(str(columns)):
            small_sets(bench, columns, ratios, values)
    if real != "-" and wanted("real"):
        found = small_set(bench, "real", real, 384, values)
        ratios["single_real"], ratios["batch_real"] = found["single"], found["batch"]
    if wanted("1m"):
        large_sets(bench, ratios, values)
    if wanted("file"):
        files(bench, ratios, values)
    print(f"# {bench.checked} answers have the ids of FAISS")
    with open("/proc/cpuinfo") as file:
        print(f"value amx {int('amx_int8' in file.read())}")
    for name, value in values.items():
        print(f"value {name} {value:.3f}")
    for name, ratio in ratios.items():
        print(f"ratio {name} {ratio['faiss']:.3f}")
        for peer in ("usearch", "numpy"):
            if peer in ratio:
                print(f"ratio {name}_vs_{peer} {ratio[peer]:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
