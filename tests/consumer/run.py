#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Uses the library as foreign projects do, each in a folder of its own outside the tree, and runs what they build.

  tests/consumer/run.py [NAME…]    default: all
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))
import flags

PRINTED = "43 bytes found"
NETWORK = ("nlohmann/json.hpp", "httplib.h", "openssl/ssl.h")


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def call(*command, folder=None, **environment):
    run = subprocess.run([str(word) for word in command], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, env={**os.environ, **environment})
    if run.returncode != 0:
        last = "\n".join(run.stdout.splitlines()[-60:])
        raise Failed(f"$ {' '.join(map(str, command))}\n{last}\nexit status {run.returncode}")
    return run.stdout


def expect(text, wanted=PRINTED):
    if wanted not in text:
        raise Failed(f"'{wanted}' wanted, given:\n{text[-2000:]}")


def cmake_project(name, work, *definitions):
    call("cmake", "-G", "Ninja", "-S", HERE / name, "-B", work / name, *definitions)
    call("cmake", "--build", work / name)
    expect(call(work / name / "consumer"))


def installed(work, *definitions):
    """The library under work/prefix, moved there after it was installed elsewhere: the package has no fixed path."""
    call("cmake", "-G", "Ninja", "-S", ROOT, "-B", work / "rag", "-DRAG_BUILD_TESTS=OFF", "-DRAG_BUILD_EXAMPLES=OFF",
         f"-DCMAKE_INSTALL_PREFIX={work / 'first'}", *definitions)
    call("cmake", "--install", work / "rag")
    (work / "first").rename(work / "prefix")
    return f"-DCMAKE_PREFIX_PATH={work / 'prefix'}"


def find_package(work):
    cmake_project("find_package", work, installed(work))


def find_package_core(work):
    """Eigen alone, where the library is used, and then where it was installed too."""
    for name, packages in (("whole", ()), ("core", ("httplib", "PkgConfig", "OpenSSL", "nlohmann_json"))):
        (work / name).mkdir()
        without = [f"-DCMAKE_DISABLE_FIND_PACKAGE_{package}=ON" for package in packages]
        cmake_project("find_package_core", work / name, installed(work / name, *without))


def add_subdirectory(work):
    cmake_project("add_subdirectory", work, f"-DRAG_SOURCE={ROOT}")


def fetch_content(work):
    cmake_project("fetch_content", work, f"-DFETCHCONTENT_SOURCE_DIR_RAG={ROOT}")


def meson_sources(work):
    project = shutil.copytree(HERE / "meson", work / "meson")
    for name in ("rag.cpp", "core.cpp"):
        shutil.copy(HERE / name, project)
    return project


def meson_subproject(work):
    project = meson_sources(work)
    (project / "subprojects").mkdir()
    (project / "subprojects/rag").symlink_to(ROOT)
    call("meson", "setup", work / "build", project, "--wrap-mode=forcefallback", "--force-fallback-for=rag,rag-core")
    call("meson", "compile", "-C", work / "build", "core")
    expect(call(work / "build/core"))


def meson_pkg_config(work):
    call("meson", "setup", work / "rag", ROOT, f"--prefix={work / 'prefix'}")
    call("meson", "install", "-C", work / "rag")
    found = next((work / "prefix").rglob("rag.pc")).parent
    call("meson", "setup", work / "build", meson_sources(work), "--wrap-mode=nofallback", PKG_CONFIG_PATH=str(found))
    call("meson", "compile", "-C", work / "build")
    expect(call(work / "build/consumer"))
    expect(call(work / "build/core"))


def single_header(work):
    """One file copied, one command."""
    (work / "rag").mkdir()
    shutil.copy(ROOT / "single_include/rag/rag.hpp", work / "rag")
    compile_flags, link_flags = flags.flags("rag")
    compile_flags = [flag for flag in compile_flags if not flag.startswith("-I")]
    call("g++", *compile_flags, "-I.", HERE / "rag.cpp", "-o", "consumer", *link_flags, folder=work)
    expect(call(work / "consumer"))


def single_headers_and_tree(work):
    """Both single headers and the tree, in one unit, in any order."""
    headers = {"core": ROOT / "single_include/rag/core.hpp", "rag": ROOT / "single_include/rag/rag.hpp"}
    orders = (["core", "rag", "tree"], ["tree", "rag", "core"], ["rag", "tree", "core"])
    for number, order in enumerate(orders):
        lines = [f'#include "{headers[name]}"' if name in headers else "#include <rag/rag.hpp>" for name in order]
        (work / f"{number}.cpp").write_text("\n".join(lines) + "\nrag::FlatStore store;\n")
        call("g++", "-fsyntax-only", *flags.flags("rag")[0], work / f"{number}.cpp")


def core_alone(work):
    """core.hpp, from the tree and as a single header, where json, cpp-httplib and OpenSSL stop the compiler."""
    for name in NETWORK:
        path = work / "poison" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#error {name} is not for core.hpp\n")
    for folder in ("include", "single_include"):
        compile_flags, _ = flags.flags("core", folder)
        for compiler in ("g++", "clang++"):
            command = [compiler, f"-I{work / 'poison'}", *compile_flags, HERE / "core.cpp"]
            call(*command, "-MMD", "-MF", work / "used", "-o", work / "core")
            expect(call(work / "core"))
            for used in re.findall(r"\S*(?:nlohmann|httplib|openssl)\S*", (work / "used").read_text()):
                raise Failed(f"core.hpp of {folder} reads {used}")
    # And the poison works.
    run = subprocess.run(["g++", "-fsyntax-only", f"-I{work / 'poison'}", *flags.flags("rag")[0], HERE / "rag.cpp"],
                         stderr=subprocess.PIPE, text=True)
    expect(run.stderr, "is not for core.hpp")


def versions(work):
    """Two versions of the library in one program: the other one has a larger Chunk and another namespace."""
    shutil.copytree(ROOT / "include", work / "other")
    for name, old, new in (("version.hpp", "namespace v0", "namespace v1"),
                           ("types.hpp", "Id id = no_id;", "double more[8] = {}; Id id = no_id;")):
        path = work / "other/rag" / name
        text = path.read_text()
        if old not in text:
            raise Failed(f"{name} has no '{old}'")
        path.write_text(text.replace(old, new))
    compile_flags, link_flags = flags.flags("rag")
    source = (HERE / "rag.cpp").read_text()
    for name, include in (("one", ROOT / "include"), ("other", work / "other")):
        (work / f"{name}.cpp").write_text(source.replace("int main()", f"int {name}();\nint {name}()"))
        ours = [f"-I{include}"] + [flag for flag in compile_flags if not flag.startswith("-I")]
        call("g++", *ours, "-c", work / f"{name}.cpp", "-o", work / f"{name}.o")
    (work / "main.cpp").write_text("int one();\nint other();\nint main() { return one() + other() + one(); }\n")
    call("g++", work / "main.cpp", work / "one.o", work / "other.o", "-o", work / "program", *link_flags)
    if call(work / "program").count(PRINTED) != 3:
        raise Failed("the two versions do not give the same")
    names = call("nm", "-C", "--defined-only", work / "program")
    for number in ("0", "1"):
        expect(names, f"rag::v{number}::")
    for bare in re.findall(r"^.* [A-Za-z] rag::(?!v[01]::).*$", names, re.M):
        raise Failed(f"a name outside of the version's namespace: {bare}")


def conan(work):
    """conan create with the test package, offline: the recipes of the dependencies stand for the system's."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "rag/conan-venv"
    program = cache / "bin/conan"
    if not program.exists():
        try:
            call(sys.executable, "-m", "venv", cache)
            call(cache / "bin/python", "-m", "pip", "install", "--quiet", "--retries", "1", "conan==2.34.0")
        except Failed:
            shutil.rmtree(cache, ignore_errors=True)
            raise Skipped("conan 2.34.0 could not be installed by pip")
    home = {"CONAN_HOME": str(work / "conan"), "CONAN_NON_INTERACTIVE": "1"}
    call(program, "profile", "detect", **home)
    call(program, "remote", "remove", "*", **home)
    call(program, "remote", "add", "local", HERE / "conan", "--type=local-recipes-index", **home)
    source = shutil.copytree(ROOT, work / "rag", ignore=lambda folder, names: [
        name for name in names if pathlib.Path(folder) == ROOT and name in ("build", ".git")])
    text = call(program, "create", source, "--build=missing", "-s", "compiler.cppstd=20",
                "-c", "tools.cmake.cmaketoolchain:generator=Ninja", **home)
    expect(text)


def vcpkg(_):
    """Without vcpkg only this: the port's manifest is JSON and agrees with the project."""
    port = ROOT / "packaging/vcpkg/ports/rag"
    manifest = json.loads((port / "vcpkg.json").read_text())
    text = (ROOT / "include/rag/version.hpp").read_text()
    expect(manifest["version-semver"], ".".join(re.findall(r"define RAG_VERSION_[A-Z]+ (\d+)", text)))
    options = set(re.findall(r"-D(RAG_\w+)", (port / "portfile.cmake").read_text()))
    for option in options - set(re.findall(r"option\((\w+)", (ROOT / "CMakeLists.txt").read_text())):
        raise Failed(f"portfile.cmake sets {option}, which CMakeLists.txt does not know")


ALL = (find_package, conan, meson_pkg_config, find_package_core, add_subdirectory, fetch_content, meson_subproject,
       single_header, single_headers_and_tree, core_alone, versions, vcpkg)


def attempt(consumer):
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"rag-{consumer.__name__}-") as work:
        try:
            consumer(pathlib.Path(work))
            outcome, text = "passed", ""
        except Failed as failure:
            outcome, text = "FAILED", "\n" + str(failure)
        except Skipped as reason:
            outcome, text = "skipped", f": {reason}"
    print(f"  {consumer.__name__}: {outcome} ({time.monotonic() - start:.0f} s){text}", flush=True)
    return outcome


def main():
    chosen = [consumer for consumer in ALL if consumer.__name__ in sys.argv[1:] or not sys.argv[1:]]
    if len(chosen) < len(sys.argv[1:]):
        sys.exit("known are " + ", ".join(consumer.__name__ for consumer in ALL))
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        outcomes = list(pool.map(attempt, chosen))
    failed = outcomes.count("FAILED")
    print(f"consumer: {outcomes.count('passed')} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
