#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds and runs every test with g++ -O2, as users build, and with clang++, AddressSanitizer and
# UndefinedBehaviorSanitizer; then the rest: single headers, includes, prefetches, programs that must not compile, foreign projects,
# examples, the blocks of the documents, the peers of tokenizer and encoder, malformed files, Milvus, the peers of the services, ThreadSanitizer,
# faults and power losses, fuzzing. Apart from it, because they take long: tests/arm64.sh, tests/long.sh.
#   tests/run.sh
# The first run installs what is missing and brings the sentence model; later ones need no network. What a step
# printed is kept in build/log/. The last line is "N passed, N failed".
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p build/log
jobs=$(nproc 2>/dev/null || echo 2)
passed=0 failed=0

# step NAME COMMAND…: runs it and adds what it counted; one that counts nothing is itself one test.
step() {
  local name=$1 log=build/log/${1//[^a-z0-9+]/_}.txt start=$SECONDS status=0 good bad
  shift
  printf '%-34s' "$name"
  "$@" >"$log" 2>&1 </dev/null || status=$?
  good=$(count "$log" passed) bad=$(count "$log" failed)
  if [ $((good + bad)) -eq 0 ] && [ $status -eq 0 ]; then good=1; fi
  if [ "$bad" -eq 0 ] && [ $status -ne 0 ]; then bad=1; fi
  passed=$((passed + good)) failed=$((failed + bad))
  if [ "$bad" -eq 0 ]; then
    printf '%5d s  %s passed\n' $((SECONDS - start)) "$good"
  else
    printf '%5d s  %s FAILED, see %s\n' $((SECONDS - start)) "$bad" "$log"
    { grep -aE -m 20 'error:|ERROR|FAILED' "$log" | cut -c 1-300; echo '…'; tail -n 60 "$log"; } | sed 's/^/    /'
  fi
  grep -aiohE '([a-z_]+: )?skipped: .*' "$log" | sort -u | sed 's/^/    /'
  [ "$bad" -eq 0 ]
}

# The sum of the numbers before "passed" (or "failed") in the summaries of our own runners and of doctest under ctest -V,
# which numbers its lines and shows those of a failed test twice, once without numbers.
count() {
  sed -nE 's/^[0-9]+: \[doctest\] test cases: .* ([0-9]+) passed \| +([0-9]+) failed.*/\1 passed, \2 failed/p; t; /^([a-z_]+: )?[0-9]+ passed, [0-9]+ failed$/p' "$1" |
    grep -oE "[0-9]+ $2" | awk '{sum += $1} END {print sum + 0}'
}

build() {
  local launcher=()
  command -v ccache >/dev/null && launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  cmake --preset "$1" "${launcher[@]}" && cmake --build --preset "$1" -j "$jobs" -- -k 0
}

tools/install_dependencies.sh test || { echo "The tests need these."; exit 1; }
if [ -x tools/get_model.sh ]; then
  tools/get_model.sh >/dev/null 2>build/log/model.txt || { sed 's/^/    /' build/log/model.txt; echo "    tests of the model are skipped"; }
fi

step "single headers are up to date" tools/amalgamate.py --check
step "includes" tests/includes_test.py
step "prefetches" tests/prefetch_test.py
step "gcc build" build gcc-release && step "gcc tests" ctest --preset gcc-release -V &&
  step "examples" tests/examples.py build/gcc-release/examples
step "clang build" build clang-debug && step "clang tests" ctest --preset clang-debug -V
step "programs that must not compile" tests/must_fail/run.py
step "blocks of the documents" tests/readme_blocks.py
step "torture of the store" tests/store/run.sh
step "foreign projects" tests/consumer/run.py
step "parity" tests/parity/run.sh
step "malformed files of models" tests/memory/run.py
step "milvus bridge" tests/milvus/run.sh
step "peers" tests/peers.sh
step "a newer cpp-httplib" tests/httplib.sh
step "threads" tests/tsan/run.sh
step "made-up inputs" tests/fuzz/run.sh 5000

printf '%d s in all\n%d passed, %d failed\n' $SECONDS $passed $failed
[ $failed -eq 0 ]
