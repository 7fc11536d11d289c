#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds the unit tests of kernels, tokenizers, stores and chunkers for arm64 with Debian's cross compiler and runs them
# under qemu-user. That char has no sign there and that nothing is x86 alone shows here.
#   tests/arm64.sh [SOURCE…]    default: the list below
# JOBS: compilers at once, default as many as the machine runs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
compiler=aarch64-linux-gnu-g++
libraries=/usr/aarch64-linux-gnu
out=build/arm64
for tool in "$compiler" qemu-aarch64; do
  command -v $tool >/dev/null || { echo "skipped: $tool is not there (Debian: g++-aarch64-linux-gnu, qemu-user)"; exit 0; }
done

sources=("$@")
if [ ${#sources[@]} -eq 0 ]; then
  sources=(tests/detail/*_test.cpp tests/store/*_test.cpp tests/chunk/*_test.cpp tests/embed/{hashing,minilm,sentence}*_test.cpp)
fi

# Headers that know no architecture are taken from the system, each under its own name: all of /usr/include would bring
# the C library of another machine.
mkdir -p $out/include
for name in nlohmann doctest; do
  [ -e /usr/include/$name ] || { echo "skipped: /usr/include/$name is not there"; exit 0; }
  ln -sfn /usr/include/$name $out/include/$name
done
flags=(-std=c++20 -O2 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror "-DRAG_SOURCE_DIR=\"$PWD\""
       -Iinclude -Itests -isystem "${EIGEN3_INCLUDE_DIR:-/usr/include/eigen3}" -isystem $out/include)

launcher=()
if command -v ccache >/dev/null; then launcher=(ccache); fi
jobs=${JOBS:-$(nproc 2>/dev/null || echo 1)}
objects=()
rm -f $out/*.o
for source in tests/main.cpp "${sources[@]}"; do
  [ -f "$source" ] || continue
  name=${source#tests/}
  objects+=("$out/${name//\//_}.o")
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || true; done
  "${launcher[@]}" $compiler "${flags[@]}" -c "$source" -o "${objects[-1]}" &
done
wait
# An object that did not compile is missing here.
$compiler "${objects[@]}" -o $out/tests -pthread
# The real model takes minutes under an emulator; the small ones go the same way.
qemu-aarch64 -L $libraries $out/tests --test-case-exclude="all-MiniLM*"
