#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# MilvusStore against Milvus REST v2 on loopback, answered by a real engine: a bridge over Milvus Lite, which is found by
# RAG_MILVUS_BRIDGE or beside the repository. Without it nothing is tried. Each run is one way that servers answer.
#   tests/milvus/run.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bridge=${RAG_MILVUS_BRIDGE:-../shared/milvus_bridge}
[ -f "$bridge/bridge.py" ] || { echo "skipped: no Milvus bridge at $bridge (RAG_MILVUS_BRIDGE names its folder)"; exit 0; }
command -v python3 >/dev/null || { echo "skipped: python3 is not there"; exit 0; }

mkdir -p build/milvus
compile() {
  # shellcheck disable=SC2046
  ${CXX:-g++} -std=c++20 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Iinclude -Itests -DRAG_SOURCE_DIR="\"$PWD\"" \
    -isystem "${EIGEN3_INCLUDE_DIR:-/usr/include/eigen3}" $(pkg-config --cflags nlohmann_json cpp-httplib openssl) \
    -c "tests/milvus/$1.cpp" -o "build/milvus/$1.o"
}
compile bridge & first=$!
compile load
wait $first
# shellcheck disable=SC2046
${CXX:-g++} build/milvus/bridge.o build/milvus/load.o -o build/milvus/bridge $(pkg-config --libs cpp-httplib openssl) -pthread

server="" data=$(mktemp -d)
stop() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  [ -z "$server" ] || wait "$server" 2>/dev/null || true
  server=""
}
trap 'stop; rm -rf "$data"' EXIT

passed=0 failed=0
for mode in "" "--code200" "--no-topks --chunked" "--int64-strings --load-delay 0.2"; do
  rm -rf "${data:?}"/*
  : >"$data/log"
  # shellcheck disable=SC2086
  python3 "$bridge/bridge.py" --port 0 --data "$data/db" $mode >"$data/log" 2>&1 &
  server=$!
  for _ in $(seq 1200); do  # the first start of all may install the engine
    grep -q '^ready ' "$data/log" && break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  uri=$(sed -n 's/^ready \([^ ]*\).*/\1/p' "$data/log")
  if [ -z "$uri" ]; then
    echo "skipped: the bridge does not start: $(tail -n 1 "$data/log")"
    stop
    continue
  fi
  # Faults of the network are the same in every mode.
  if build/milvus/bridge "$uri" ${mode:+--test-case-exclude=*whatever*}; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: bridge $mode"
  fi
  stop
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
