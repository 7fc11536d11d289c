#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Tortures the FileStore: faults, power losses, memory that runs out, malformed files, kill -9, threads.
#   tests/store/run.sh [PART…]    PART: faults power memory malformed kill threads, default all
# Programs with -O2 are made in build/torture with CXX (default g++); threads with ThreadSanitizer. JOBS: parts at once,
# default as many as the machine runs. The last line is "N passed, N failed".
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
out=${TORTURE_BUILD:-$root/build/torture}
jobs=${JOBS:-$(nproc 2>/dev/null || echo 1)}
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(power faults malformed memory kill threads)
mkdir -p "$out"

# A program is built anew when a file that it was made of is newer.
build() {
  local program=$1 source=$2 file fresh=0
  shift 2
  if [ -x "$out/$program" ] && [ -f "$out/$program.d" ]; then
    fresh=1
    for file in $(sed 's/^[^:]*://; s/\\$//' "$out/$program.d"); do
      if [ ! -e "$file" ] || [ "$file" -nt "$out/$program" ]; then fresh=0; fi
    done
  fi
  [ $fresh -eq 1 ] || ${CXX:-g++} -std=c++20 "$@" -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -MMD \
    -MF "$out/$program.d" -I"$root/include" -I"$root/tests" -isystem "${EIGEN3_INCLUDE_DIR:-/usr/include/eigen3}" \
    "$root/tests/store/$source.cpp" -o "$out/$program" -pthread >"$out/$program.build.txt" 2>&1
}

run() {
  local part=$1 seconds=$SECONDS folder status=0
  folder=$(mktemp -d "$out/$part-XXXXXX")
  case $part in
    kill) "$out/kill" "$folder" 200 ;;
    threads) TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1} "$out/threads" "$folder" 3000 ;;
    *) "$out/torture" "$part" ;;
  esac >"$out/$part.txt" 2>&1 || status=$?
  rm -rf "$folder"
  grep -qE '^[0-9]+ passed, [0-9]+ failed$' "$out/$part.txt" || echo "0 passed, 1 failed" >>"$out/$part.txt"
  echo "$part: $((SECONDS - seconds)) s, status $status" >>"$out/$part.txt"
}

wait_for_a_place() { while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done; }

wants() { [[ " ${parts[*]} " =~ \ ($1)\  ]]; }
if wants 'faults|power|memory|malformed'; then build torture torture -O2 & fi
if wants kill; then wait_for_a_place; build kill kill -O2 & fi
if wants threads; then wait_for_a_place; build threads threads -O1 -g1 -fsanitize=thread & fi
wait
for part in "${parts[@]}"; do
  wait_for_a_place
  run "$part" &
done
wait

passed=0 failed=0
for part in "${parts[@]}"; do
  echo "== $part"
  cat "$out"/{torture,"$part"}.build.txt 2>/dev/null
  grep -vE '^[0-9]+ passed, [0-9]+ failed$' "$out/$part.txt"
  passed=$((passed + $(sed -nE 's/^([0-9]+) passed, .*/\1/p' "$out/$part.txt")))
  failed=$((failed + $(sed -nE 's/.* passed, ([0-9]+) failed$/\1/p' "$out/$part.txt")))
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
