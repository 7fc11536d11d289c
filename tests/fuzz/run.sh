#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs the readers of untrusted files on made-up inputs, with clang's libFuzzer, AddressSanitizer and
# UndefinedBehaviorSanitizer.
#   tests/fuzz/run.sh [RUNS] [TARGET…]    RUNS: inputs a target, default 20000; TARGET: the sources here, default all
# The first inputs come from seeds.py, the others from libFuzzer with a fixed seed. An input that makes a target fail is
# kept as build/fuzz/TARGET-crash-… (or -oom-, -timeout-, -leak-): build/fuzz/TARGET FILE shows it again.
# JOBS: targets at once, default as many as the machine runs. FUZZ_SEED: another number, other inputs. FUZZ_TIMEOUT:
# seconds that one input may take, default 10; more where a run may be stopped for a while.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${FUZZ_BUILD:-$root/build/fuzz}
runs=${1:-20000}
[ $# -eq 0 ] || shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for source in "$here"/*.cpp; do targets+=("$(basename "$source" .cpp)"); done
fi
command -v clang++ >/dev/null || { echo "skipped: clang++ is not there"; exit 0; }
mkdir -p "$out"
rm -rf "$out/seeds"
python3 "$here/seeds.py" "$out/seeds"

# A target is built anew when a file that it was made of is newer.
build() {
  local target=$1 file fresh=0
  if [ -x "$out/$target" ] && [ -f "$out/$target.d" ]; then
    fresh=1
    for file in $(sed 's/^[^:]*://; s/\\$//' "$out/$target.d"); do
      if [ ! -e "$file" ] || [ "$file" -nt "$out/$target" ]; then fresh=0; fi
    done
  fi
  [ $fresh -eq 1 ] || clang++ -std=c++20 -O2 -g1 -fno-omit-frame-pointer -MMD -MF "$out/$target.d" \
    -fsanitize=fuzzer,address,undefined,float-cast-overflow -fno-sanitize-recover=all \
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -DRAG_SOURCE_DIR="\"$root\"" \
    -I"$root/include" -I"$root/tests" -isystem "${EIGEN3_INCLUDE_DIR:-/usr/include/eigen3}" \
    "$here/$target.cpp" -o "$out/$target" -pthread
}

fuzz() {
  local target=$1 log=$out/$1.log seconds=$SECONDS longest=4096 schedule=()
  case $target in
    sse) longest=1024 ;;    # the parser takes 256 of an event
    filter) longest=256 ;;  # some forty questions
  esac
  if [ "$target" = store_file ]; then
    longest=32768          # two pages, and extents of one
    schedule=(-entropic=0)  # weighing what each input reaches would take longer than to run it
  fi
  rm -rf "$out/corpus/$target"
  mkdir -p "$out/corpus/$target"
  if build "$target" >"$log" 2>&1 &&
    "$out/$target" -runs="$runs" -seed="${FUZZ_SEED:-1}" -max_len=$longest -len_control=20 -timeout="${FUZZ_TIMEOUT:-10}" \
      "${schedule[@]}" -rss_limit_mb=1024 -malloc_limit_mb=256 -dict="$out/seeds/$target.dict" \
      -artifact_prefix="$out/$target-" -print_final_stats=1 \
      "$out/corpus/$target" "$out/seeds/$target" >>"$log" 2>&1; then
    awk -v name="$target" '/number_of_executed_units/ {n = $2} /average_exec_per_sec/ {rate = $2} / cov: / {for (i = 1; i < NF; ++i) if ($i == "cov:") cov = $(i + 1)}
      END {printf "%s: %d inputs, %d a second, %d edges\n", name, n, rate, cov}' "$log"
    echo "$target: 1 passed, 0 failed"
  else
    tail -n 40 "$log"
    echo "$target: FAILED after $((SECONDS - seconds)) s, see $log"
    echo "$target: 0 passed, 1 failed"
  fi
}

# Little memory waits before it is used again, and each allocation knows its caller alone: that doubles the speed. To see
# more of a failure, show it again without them.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:allocator_may_return_null=0:quarantine_size_mb=16:malloc_context_size=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
jobs=${JOBS:-$(nproc 2>/dev/null || echo 1)}
for target in "${targets[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
  fuzz "$target" >"$out/$target.txt" &
done
wait
failed=0
for target in "${targets[@]}"; do
  cat "$out/$target.txt"
  if grep -q ' 1 failed$' "$out/$target.txt"; then failed=1; fi
done
exit $failed
