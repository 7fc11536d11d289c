#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Compares our tokenizer and our encoder with what they stand in for: the tokenizers library and numpy.
#   tests/parity/run.sh [full]
# Makes a virtual environment in ${XDG_CACHE_HOME:-~/.cache}/rag/venv-parity once. Says so and passes where it or the
# model can't be had. CXX: the compiler. RAG_TEST_MODEL, RAG_TEST_DATA: see tests/paths.hpp.
# tokenizer_kinds.py trains small tokenizers of every other kind, and compares these: on the beginnings of the texts,
# 1,500 made-up strings and an eighth of all code points a kind; with "full" on the whole texts, 10,000 strings and all
# code points, which takes half an hour.
# encoder.py MODEL WORK, when it is there, is run with the Python of the environment; encoder.cpp is built to
# WORK/encoder before.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rag
model=${RAG_TEST_MODEL:-$cache/all-MiniLM-L6-v2}
data=${RAG_TEST_DATA:-$root/../shared/data}
strings=10000 few=(--strings 1500 --lines 5 --longest 3000 --points 8)
if [ "${1:-}" = full ]; then few=(--strings "$strings" --points 1); fi
packages=(tokenizers==0.23.3 sentencepiece==0.2.3 numpy==2.2.6)

passed=0 failed=0
finish() {
  echo "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
  exit
}
skip() {
  echo "skipped: $*"
  finish
}
check() { # NAME COMMAND...
  local name=$1
  shift
  if "$@"; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    echo "failed: $name"
  fi
}

environment() {  # the list of packages is written last: a cut-off install is not taken for a whole one
  venv=$cache/venv-parity
  [ "$(cat "$venv/packages" 2>/dev/null)" = "${packages[*]}" ] && [ -x "$venv/bin/python" ] && return
  mkdir -p "$cache"
  rm -rf "$venv"
  python3 -m venv "$venv" >/dev/null 2>&1 || return
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${packages[@]}" >/dev/null 2>&1 || return
  echo "${packages[*]}" >"$venv/packages"
}

build() { # NAME
  "${CXX:-g++}" -std=c++20 -O2 -I"$root/include" -isystem "${EIGEN3_INCLUDE_DIR:-/usr/include/eigen3}" \
    "$here/$1.cpp" -o "$work/$1" -pthread
}

tokenizer() { # ARGUMENTS OF tokenizer.py...
  "$venv/bin/python" "$here/tokenizer.py" "$model" "$work/cases" "$@" && "$work/tokenizer" "$model" "$work/cases"
}

[ -f "$model/tokenizer.json" ] || skip "no model in $model; tools/get_model.sh brings it"
environment || skip "pip can't install ${packages[*]}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check "Unicode tables" "$venv/bin/python" "$root/tools/unicode_tables.py" --check
build tokenizer
if [ -d "$data" ]; then
  check "tokenizer, files" tokenizer --files "$data"
else
  echo "skipped: no data in $data"
fi
check "tokenizer, $strings strings" tokenizer --strings "$strings"
check "tokenizer, every code point" tokenizer --points
kinds() {
  local texts=()
  if [ -d "$data" ]; then texts=(--data "$data"); fi
  (cd "$here" && "$venv/bin/python" tokenizer_kinds.py "$work/kinds" "${texts[@]}" "${few[@]}") &&
    "$work/tokenizer_kinds" "$work/kinds"
}
check "Unicode tables of the normalizers" "$venv/bin/python" "$root/tools/normal_tables.py" --check
build tokenizer_kinds
check "tokenizers of every kind" kinds
if [ -f "$here/encoder.py" ]; then
  if [ -f "$here/encoder.cpp" ]; then build encoder; fi
  check "encoder" "$venv/bin/python" "$here/encoder.py" "$model" "$work"
fi
finish
