#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The tests of the network on a newer cpp-httplib than the system's: the newest whose source package apt can bring. Its
# header is split by its own script, since each file that includes it whole takes 15 s.
#   tests/httplib.sh [FOLDER]    FOLDER: a source tree of cpp-httplib to use in place of it
# The source is kept in ${XDG_CACHE_HOME:-~/.cache}/rag/cpp-httplib; remove that to look for a newer one. CXX: the compiler.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rag
source=${1:-$cache/cpp-httplib}
tests=(net/https_test net/https_tls_test net/hostile_test net/wire_test net/proxy_test)

skip() {
  echo "skipped: $*"
  exit 0
}

# The system's own mirror, other suites, lists of its own: nothing of the system is changed.
bring() {
  local work site suite options
  command -v apt-get >/dev/null || return
  work=$(mktemp -d) site=$(apt-get indextargets --format '$(SITE)' 'Origin: Debian' 2>/dev/null | head -n 1)
  [ -n "$site" ] || return
  mkdir -p "$work/lists/partial" "$work/cache"
  options=(-o "Dir::Etc::SourceList=$work/list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache")
  for suite in sid trixie-backports trixie; do
    echo "deb-src $site $suite main" >"$work/list"
    (cd "$work" && timeout 120 apt-get -q "${options[@]}" update && timeout 120 apt-get -q "${options[@]}" source --download-only cpp-httplib) >/dev/null 2>&1 || continue
    mkdir -p "$work/tree" && tar -xf "$work"/*.orig.tar.* -C "$work/tree" --strip-components=1 && break
  done
  [ -f "$work/tree/httplib.h" ] && mkdir -p "$cache" && cp -r "$work/tree" "$source.new" && mv "$source.new" "$source"
  rm -rf "$work"
}

[ -f "$source/httplib.h" ] || { [ $# -eq 0 ] && bring; } || skip "apt brings no newer cpp-httplib"
[ -f "$source/httplib.h" ] || skip "no cpp-httplib in $source"
version=$(sed -n 's/^#define CPPHTTPLIB_VERSION "\(.*\)"$/\1/p' "$source/httplib.h")
out=build/httplib-$version
mkdir -p "$out"
python3 "$source/split.py" -o "$out" >/dev/null
export out="$out" launcher="" CXX=${CXX:-g++}
if command -v ccache >/dev/null; then launcher=ccache; fi

# Its implementation is not ours to warn about.
compile() { # SOURCE FLAGS…
  local file=$1
  shift
  # shellcheck disable=SC2086
  $launcher $CXX -std=c++20 -O1 "$@" -DCPPHTTPLIB_OPENSSL_SUPPORT "-DRAG_SOURCE_DIR=\"$PWD\"" -Iinclude -Itests \
    -isystem "$out" -isystem "${EIGEN3_INCLUDE_DIR:-/usr/include/eigen3}" -c "$file" -o "$out/$(basename "$file").o"
}
export -f compile
ours="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"
printf '%s\n' "$out/httplib.cc -w" "tests/main.cpp $ours" "${tests[@]/%/.cpp $ours}" | sed 's|^net/|tests/net/|' |
  xargs -P "$(nproc 2>/dev/null || echo 1)" -I{} bash -c 'compile {}'
$CXX "$out"/*.o -o "$out/tests" -pthread -lssl -lcrypto
echo "cpp-httplib $version"
"$out/tests" | tee "$out/log" || true
sed -nE 's/^\[doctest\] test cases: .* ([0-9]+) passed \| +([0-9]+) failed.*/\1 passed, \2 failed/p' "$out/log"
grep -q 'Status: SUCCESS' "$out/log"
