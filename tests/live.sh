#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The tutorial's steps against services of your own account. Each is tried where its variable is set, and skipped with one
# line where it is not; no key is ever printed. It costs a few hundred tokens a service.
#   OPENROUTER_API_KEY=… tests/live.sh
# OPENROUTER_API_KEY   OpenRouter: chat, stream, a wrong key          OPENROUTER_MODEL: another model
# DEEPSEEK_API_KEY     DeepSeek: the same                             DEEPSEEK_MODEL
# OPENAI_BASE_URL      any service of that protocol, with OPENAI_API_KEY where it wants a key: chat, stream, and a wrong key
#                      where one is set                               OPENAI_MODEL
#                      embeddings too, with the model of OPENAI_EMBEDDING_MODEL
# MILVUS_URI           a Milvus server or Zilliz Cloud, with MILVUS_TOKEN where it wants one: a collection of a name of its
#                      own is made, filled, searched, and dropped again
# CXX: the compiler. The last line is "N passed, N failed".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ -z "${OPENROUTER_API_KEY:-}${DEEPSEEK_API_KEY:-}${OPENAI_BASE_URL:-}${MILVUS_URI:-}" ]; then
  for name in OPENROUTER_API_KEY DEEPSEEK_API_KEY OPENAI_BASE_URL MILVUS_URI; do echo "skipped: $name is not set"; done
  echo "0 passed, 0 failed"
  exit 0
fi
mkdir -p build/live
launcher=()
if command -v ccache >/dev/null; then launcher=(ccache); fi
# shellcheck disable=SC2046
"${launcher[@]}" "${CXX:-g++}" -std=c++20 -O1 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Iinclude -Itests \
  -isystem "${EIGEN3_INCLUDE_DIR:-/usr/include/eigen3}" $(pkg-config --cflags nlohmann_json cpp-httplib openssl) \
  -c tests/peers/live.cpp -o build/live/live.o
# shellcheck disable=SC2046
"${CXX:-g++}" build/live/live.o -o build/live/live $(pkg-config --libs cpp-httplib openssl) -pthread
exec build/live/live
