#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Answers a question from a folder of documents:  ./examples/quickstart.sh [FOLDER] [QUESTION] [--compare]
# Installs what is missing, builds the program, brings the sentence model once, and runs it. Without arguments it
# asks the library's own documentation. The second time nothing is installed or downloaded.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

case "${1:-}" in
  -h | --help)
    echo "usage: ./examples/quickstart.sh [FOLDER] [QUESTION] [--compare]"
    exit ;;
esac

"$here/tools/install_dependencies.sh" run >&2

program=$here/build/quickstart/07_milvus_faq
if [ ! -x "$program" ] || [ -n "$(find "$here/include" "$here/examples/07_milvus_faq.cpp" -newer "$program" -type f)" ]; then
  echo "Building the program (about half a minute) …" >&2
  mkdir -p "${program%/*}"
  ${CXX:-g++} -std=c++20 -O2 -I"$here/include" "$here/examples/07_milvus_faq.cpp" -o "$program.new" \
    $(pkg-config --cflags --libs eigen3 nlohmann_json cpp-httplib openssl) -pthread
  mv "$program.new" "$program"
fi

if model=$("$here/tools/get_model.sh"); then
  export RAG_MODEL_DIR=${model##*$'\n'}
else
  echo "Going on without the sentence model." >&2
  unset RAG_MODEL_DIR
fi

arguments=("$@")
folder=
for argument in "$@"; do [[ $argument == -* ]] || { folder=$argument; break; }; done
[ -n "$folder" ] || arguments=("$here/docs" "How do I keep a store in a file?" "$@")
exec "$program" "${arguments[@]}"
