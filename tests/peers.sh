#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Our clients against the LiteLLM proxy, and OpenAI's own client against the server that our tests use: what each peer
# sends is understood by the other. Without a network or an account; the proxy's models answer with what
# tests/peers/litellm.yaml says.
#   tests/peers.sh
# Makes a virtual environment in ${XDG_CACHE_HOME:-~/.cache}/rag/venv-peers once (743 MB, two minutes); a peer that can't be
# installed is skipped with one line. CXX: the compiler.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=${XDG_CACHE_HOME:-$HOME/.cache}/rag/venv-peers
packages=("litellm[proxy]==1.106.2" openai==2.54.0)
work=$(mktemp -d) pids=() passed=0 failed=0
mkdir -p build/peers
stop() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait || true
  rm -rf "$work"
}
trap stop EXIT

environment() {  # the list of packages is written last: a cut-off install is not taken for a whole one
  [ "$(cat "$venv/packages" 2>/dev/null)" = "${packages[*]}" ] && [ -x "$venv/bin/python" ] && return
  mkdir -p "$(dirname "$venv")"
  python3 -m venv --clear "$venv" >/dev/null 2>&1 || return
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${packages[@]}" >/dev/null 2>&1 || return
  echo "${packages[*]}" >"$venv/packages"
}

build() { # NAME FLAGS…
  local name=$1 launcher=()
  shift
  if command -v ccache >/dev/null; then launcher=(ccache); fi
  # shellcheck disable=SC2046
  "${launcher[@]}" "${CXX:-g++}" -std=c++20 -O1 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Iinclude -Itests \
    -isystem "${EIGEN3_INCLUDE_DIR:-/usr/include/eigen3}" $(pkg-config --cflags nlohmann_json cpp-httplib openssl) \
    -c "tests/peers/$name.cpp" -o "build/peers/$name.o"
  "${CXX:-g++}" "build/peers/$name.o" -o "build/peers/$name" -pthread "$@"
}

count() { # NAME COMMAND…: adds the numbers of its last line, "N passed, N failed"
  local name=$1 good bad
  shift
  "$@" >"$work/out" 2>&1 || true
  good=$(sed -n '$s/^\([0-9]*\) passed, [0-9]* failed$/\1/p' "$work/out")
  bad=$(sed -n '$s/^[0-9]* passed, \([0-9]*\) failed$/\1/p' "$work/out")
  if [ -z "$good" ]; then good=0 bad=1; fi
  if [ "$bad" -ne 0 ]; then
    cat "$work/out"
    echo "FAILED: $name"
  elif grep -q canary "$work/out"; then
    bad=1
    echo "FAILED: $name shows the key"
  fi
  echo "$name: $good good, $bad bad"
  passed=$((passed + good)) failed=$((failed + bad))
}

# Waits until the file has such a line; fails where the process ends before.
await() { # PATTERN FILE PID
  for _ in $(seq 1200); do
    grep -q "$1" "$2" && return
    kill -0 "$3" 2>/dev/null || return
    sleep 0.1
  done
  return 1
}

serve() {
  build server
  mkfifo "$work/input"
  build/peers/server <"$work/input" >"$work/server" 2>&1 &
  pids+=($!)
  exec 3>"$work/input"
  await '^ready ' "$work/server" $! || { cat "$work/server"; echo "0 passed, 1 failed"; exit 1; }
  server=$(sed -n 's/^ready //p' "$work/server")
}

# What anyone with an account runs, against our own server.
live() {
  count "the live checks" env -u OPENROUTER_API_KEY -u DEEPSEEK_API_KEY -u MILVUS_URI OPENAI_BASE_URL="$server" OPENAI_API_KEY=sk-canary-0123456789 \
    OPENAI_MODEL=echo OPENAI_EMBEDDING_MODEL=m tests/live.sh
}

litellm() {
  local port
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  (cd "$work" && LITELLM_LOCAL_MODEL_COST_MAP=True exec "$venv/bin/litellm" --config "$OLDPWD/tests/peers/litellm.yaml" --host 127.0.0.1 --port "$port") >"$work/litellm" 2>&1 &
  local proxy=$!
  pids+=("$proxy")
  # shellcheck disable=SC2046
  build litellm $(pkg-config --libs cpp-httplib openssl)
  if await 'Uvicorn running' "$work/litellm" "$proxy"; then
    count "the LiteLLM proxy" build/peers/litellm "http://127.0.0.1:$port/v1"
  else
    echo "skipped: the LiteLLM proxy does not start: $(tail -n 1 "$work/litellm")"
  fi
}

serve
live
if environment; then
  count "the openai client" "$venv/bin/python" tests/peers/openai_client.py "$server"
  litellm
else
  echo "skipped: pip can't install ${packages[*]}"
fi
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
