#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The long run, for a release: power losses of the FileStore, with faults and further power losses while they are
# recovered and compacted; fields of malformed files; kill -9; threads; fuzzing.
#   tests/long.sh [IMAGES]    IMAGES: of power losses, default 10000000
# JOBS: processes at once, default as many as the machine runs. SEED: another number, other images. FUZZ_RUNS: inputs of
# the fuzz target, default 2000000. The last line is "N passed, N failed".
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=${TORTURE_BUILD:-$root/build/torture}
jobs=${JOBS:-$(nproc 2>/dev/null || echo 1)}
images=${1:-10000000}
passed=0 failed=0

count() {
  passed=$((passed + $(grep -ohE '[0-9]+ passed, [0-9]+ failed$' "$@" | awk '{sum += $1} END {print sum + 0}')))
  failed=$((failed + $(grep -ohE '[0-9]+ passed, [0-9]+ failed$' "$@" | awk '{sum += $3} END {print sum + 0}')))
  grep -hvE '^[0-9]+ passed, [0-9]+ failed$' "$@"
}

"$root/tests/store/run.sh" >"$out.short.txt" 2>&1 || { cat "$out.short.txt"; exit 1; }
logs=()
for ((job = 0; job < jobs; ++job)); do
  log=$out/long-$job.txt
  logs+=("$log")
  { "$out/torture" long $((${SEED:-1} + job * 1000000)) $(((images + jobs - 1) / jobs)) || echo "0 passed, 1 failed"; } >"$log" 2>&1 &
done
wait
count "${logs[@]}"
folder=$(mktemp -d "$out/kill-XXXXXX")
"$out/kill" "$folder" 5000 >"$out/long-kill.txt" 2>&1
TSAN_OPTIONS=halt_on_error=1 "$out/threads" "$folder" 120000 >"$out/long-threads.txt" 2>&1
rm -rf "$folder"
count "$out/long-kill.txt" "$out/long-threads.txt"
"$root/tests/fuzz/run.sh" "${FUZZ_RUNS:-2000000}" store_file >"$out/long-fuzz.txt" 2>&1
count "$out/long-fuzz.txt"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
