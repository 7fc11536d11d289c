#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Measures an area against its peers in one run, and brings the peers itself. The results are the lines
# `ratio NAME VALUE` and `value NAME VALUE` at the end; lines with # explain.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rag

usage() {
  cat <<'TEXT'
usage: bench/run.sh AREA
  compile [--detail]   what the headers cost g++ (--detail: each one); ratios are ours / theirs, smaller is better
  walk                 the tutorial's program against Python with the same weights and milvus-lite; time ratios are
                       theirs / ours, larger is better; walk_memory is ours / theirs, smaller is better
  embed                sentences to vectors against onnxruntime, sentence-transformers and torch in bf16; ratios are
                       ours / theirs in tokens/s, the lowest over two corpora and over 1 and 2 threads. The peers take
                       6 GB of disk
  search [PART…]       exact search against FAISS, usearch and numpy, opening a file against SQLite; ratios are theirs /
                       ours, larger is better. Ten minutes, 12 GB of memory, 7 GB of disk
  store                a store in a file against milvus-lite and sqlite-vec: a table, and ratios theirs / ours
  milvus               50,000 rows through MilvusStore to the Milvus bridge ($RAG_MILVUS_BRIDGE or ../shared/milvus_bridge):
                       memory, rows/s, and rows/s against a bare loop that posts bodies that are ready. Two minutes
  ingest               a folder of pages cut, embedded and stored, against langchain-text-splitters, sentence-transformers
                       and milvus-lite; ingest_speed is theirs / ours, ingest_memory ours / theirs (smaller is better),
                       sync_vs_first our first run / our run after 1 % of the pages changed. The peers take 6.5 GB of disk
  extractive           how often the sentences of an ExtractiveLlm hold the answer, on XQuAD: the table of docs/prompts.md; no peers
  stream               a streamed answer against the openai Python client, on one server: what each adds to the first token and
                       to each; ratios are theirs / ours, larger is better, and stream_overhead is the lowest
  bm25                 Bm25 against bm25s with numpy and with numba, the faster: 100,000 chunks, the same words and rankings, one
                       thread; ratios are theirs / ours, larger is better
The corpus of walk and embed: milvus-faq in $RAG_TEST_DATA or in ../shared/data; without it the project's own pages.
TEXT
}

say() { printf '# %s\n' "$*"; }
need() { command -v "$1" >/dev/null || { echo "bench/run.sh: $1 is needed" >&2; exit 1; }; }

# prepare_python NAME SIZE REQUIREMENTS: the virtual environment NAME with the versions of REQUIREMENTS, made once.
prepare_python() {
  venv=$cache/$1
  if ! cmp -s "$here/$3" "$venv/requirements.txt"; then
    say "installing the Python peers in $venv (about $2)"
    python3 -m venv --clear "$venv" || { echo "bench/run.sh: Debian: apt-get install python3-venv" >&2; exit 1; }
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/$3"
    cp "$here/$3" "$venv/requirements.txt"
  fi
}

# The model of walk and embed, and its ONNX form.
prepare_model() {
  model=$("$here/../tools/get_model.sh")
  model=$(cd "$model" && pwd)
  onnx=$cache/bench-$(cat "$model/model.safetensors" "$here/onnx_model.py" | sha256sum | cut -c 1-16).onnx
  if [ ! -e "$onnx" ]; then
    say "writing $onnx"
    "$venv/bin/python" "$here/onnx_model.py" "$model" "$onnx"
  fi
}

# The folder whose pages the walk reads.
corpus() {
  local folder
  for folder in "${RAG_TEST_DATA:-}/milvus-faq" "$here/../../shared/data/milvus-faq" "$here/../docs" "$here/../examples/data"; do
    if compgen -G "$folder/*.md" >/dev/null; then (cd "$folder" && pwd); return; fi
  done
  echo "bench/run.sh: no corpus" >&2
  return 1
}

walk() {
  local venv model onnx work pages
  need g++ && need pkg-config
  pages=$(corpus)
  prepare_python bench-venv "620 MB" requirements.txt
  prepare_model
  work=$(mktemp -d)
  trap "rm -rf '$work'" EXIT
  say "building examples/07_milvus_faq.cpp with -O2"
  # shellcheck disable=SC2046
  g++ -std=c++20 -O2 -I "$here/../include" $(pkg-config --cflags eigen3 cpp-httplib nlohmann_json openssl) \
    "$here/../examples/07_milvus_faq.cpp" -o "$work/walk" $(pkg-config --libs cpp-httplib openssl) -pthread
  say "corpus $pages, $(nproc) cores; the slow form takes about 10 s a run"
  python3 "$here/walk.py" "$work/walk" "$venv/bin/python" "$pages" "$model" "$onnx"
}

embed() {
  local venv model onnx work pages
  need g++ && need pkg-config
  pages=$(corpus)
  prepare_python embed-venv "6 GB" requirements-embed.txt
  prepare_model
  work=$(mktemp -d)
  trap "rm -rf '$work'" EXIT
  say "building bench/embed.cpp with -O2"
  # shellcheck disable=SC2046
  g++ -std=c++20 -O2 -I "$here/../include" $(pkg-config --cflags eigen3 nlohmann_json) "$here/embed.cpp" -o "$work/embed" -pthread
  say "corpus $pages, $(nproc) cores"
  set -- "$work/embed" "$venv/bin/python" "$model" "$onnx" "$pages"
  [ ! -d "${pages%/*}/milvus-docs" ] || set -- "$@" "${pages%/*}/milvus-docs"
  python3 "$here/embed.py" "$@"
}

# build NAME FLAGS…: bench/NAME.cpp to $work/NAME.
build() {
  local name=$1
  shift
  say "building bench/$name.cpp with -O2"
  # shellcheck disable=SC2046
  g++ -std=c++20 -O2 -I "$here/../include" $(pkg-config --cflags eigen3 nlohmann_json) "$here/$name.cpp" -o "$work/$name" \
    -pthread "$@"
}

# Vectors of the documents' chunks, made once: $real.rows and $real.queries.
prepare_real() {
  local model docs=$here/../../shared/data/milvus-docs faq
  [ -d "$docs" ] || docs=${RAG_TEST_DATA:-}/milvus-docs
  model=$("$here/../tools/get_model.sh") && [ -d "$docs" ] || { say "no vectors of texts: the model or the pages are missing"; return; }
  faq=${docs%/*}/milvus-faq
  real=$cache/search-real-$(cat "$model/model.safetensors" "$here/search.cpp" | sha256sum | cut -c 1-16)
  if [ ! -e "$real.queries" ]; then
    say "embedding the chunks of $docs"
    find "$docs" "$faq" -name '*.md' -print0 | sort -z | xargs -0 "$work/search" embed "$model" "$real"
  fi
}

search() {
  local venv work real=
  need g++ && need pkg-config
  prepare_python search-venv "520 MB" requirements-search.txt
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/search.XXXXXX")
  trap "rm -rf '$work'" EXIT
  build search
  build store
  if pkg-config --exists sqlite3; then build sqlite -lsqlite3; else say "no SQLite to compare with"; fi
  prepare_real
  python3 "$here/search.py" "$work" "$venv/bin/python" "${RAG_BENCH_KEEP:-$work}" "${real:--}" "$@"
}

store() {
  local venv work
  need g++ && need pkg-config
  prepare_python search-venv "520 MB" requirements-search.txt
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/store.XXXXXX")
  trap "rm -rf '$work'" EXIT
  build store
  python3 "$here/store.py" "$work/store" "$venv/bin/python" "$work"
}

milvus() {
  local work bridge=${RAG_MILVUS_BRIDGE:-$here/../../shared/milvus_bridge}
  need g++ && need pkg-config
  [ -f "$bridge/bridge.py" ] || { echo "milvus: skipped: no Milvus bridge at $bridge (RAG_MILVUS_BRIDGE names its folder)"; return; }
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/milvus.XXXXXX")
  trap "rm -rf '$work'" EXIT
  # shellcheck disable=SC2046
  build milvus $(pkg-config --cflags --libs cpp-httplib openssl)
  python3 "$here/milvus.py" "$work/milvus" "$bridge" "$work"
}

extractive() {
  local model work xquad=$here/../../shared/data/xquad language
  need g++ && need pkg-config
  [ -d "$xquad" ] || xquad=${RAG_TEST_DATA:-}/xquad
  [ -d "$xquad" ] || { echo "extractive: skipped: no xquad in RAG_TEST_DATA"; return; }
  model=$("$here/../tools/get_model.sh")
  work=$(mktemp -d)
  trap "rm -rf '$work'" EXIT
  build extractive
  for language in en zh; do
    say "XQuAD-$language"
    "$work/extractive" "$model" "$xquad/xquad.$language.json"
  done
}

ingest() {
  local venv embed_venv model work docs=$here/../../shared/data/milvus-docs
  need g++ && need pkg-config
  [ -d "$docs" ] || docs=${RAG_TEST_DATA:-}/milvus-docs
  [ -d "$docs" ] || docs=$(corpus)
  prepare_python embed-venv "6 GB" requirements-embed.txt
  embed_venv=$venv
  prepare_python ingest-venv "500 MB" requirements-ingest.txt
  "$embed_venv/bin/python" -c 'import site; print(site.getsitepackages()[0])' \
    >"$("$venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')/embed-venv.pth"
  model=$("$here/../tools/get_model.sh")
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/ingest.XXXXXX")
  trap "rm -rf '$work'" EXIT
  build ingest
  say "corpus $docs, $(nproc) cores"
  python3 "$here/ingest.py" "$work/ingest" "$venv/bin/python" "$docs" "$model" "$work"
}

stream() {
  local venv work
  need g++ && need pkg-config
  prepare_python stream-venv "60 MB" requirements-stream.txt
  work=$(mktemp -d)
  trap "rm -rf '$work'" EXIT
  # shellcheck disable=SC2046
  build stream $(pkg-config --cflags --libs cpp-httplib openssl)
  say "building tests/peers/server.cpp with -O2"
  # shellcheck disable=SC2046
  g++ -std=c++20 -O2 -I "$here/../include" -I "$here/../tests" $(pkg-config --cflags eigen3 nlohmann_json) "$here/../tests/peers/server.cpp" \
    -o "$work/server" -pthread
  python3 "$here/stream.py" "$work/server" "$work/stream" "$venv/bin/python"
}

bm25() {
  local venv work data=$here/../../shared/data
  need g++ && need pkg-config
  [ -d "$data/xquad" ] || data=${RAG_TEST_DATA:-}
  [ -d "$data/xquad" ] || { echo "bm25: skipped: no texts and questions (RAG_TEST_DATA names the folder of chunking, code, milvus-docs, xquad)"; return; }
  prepare_python bm25-venv "400 MB" requirements-bm25.txt
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/bm25.XXXXXX")
  trap "rm -rf '$work'" EXIT
  build bm25
  python3 "$here/bm25.py" "$work/bm25" "$venv/bin/python" "$data" "$work"
}

area=${1:-}
[ $# -eq 0 ] || shift
need python3
case $area in
  compile) need g++ && need pkg-config && python3 "$here/compile.py" "$@" ;;
  walk) walk ;;
  embed) embed ;;
  search) search "$@" ;;
  store) store ;;
  milvus) milvus ;;
  ingest) ingest ;;
  extractive) extractive ;;
  stream) stream ;;
  bm25) bm25 ;;
  *) usage >&2; exit 2 ;;
esac
