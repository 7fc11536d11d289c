#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds the programs beside this file with clang's ThreadSanitizer and runs them: a data race ends one with an error.
#   tests/tsan/run.sh [PROGRAM…]    default: all
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
command -v clang++ >/dev/null || { echo "skipped: clang++ is not there"; exit 0; }
mkdir -p build/tsan
programs=("$@")
if [ ${#programs[@]} -eq 0 ]; then
  for source in tests/tsan/*.cpp; do programs+=("$(basename "$source" .cpp)"); done
fi
libraries=$(pkg-config --cflags --libs nlohmann_json cpp-httplib openssl)
passed=0 failed=0
for program in "${programs[@]}"; do
  # shellcheck disable=SC2086
  if clang++ -std=c++20 -O1 -g1 -fsanitize=thread -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror \
    "-DRAG_SOURCE_DIR=\"$PWD\"" -Iinclude -Itests -isystem "${EIGEN3_INCLUDE_DIR:-/usr/include/eigen3}" \
    "tests/tsan/$program.cpp" -o "build/tsan/$program" $libraries -pthread && TSAN_OPTIONS=halt_on_error=1 "build/tsan/$program"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $program"
  fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
