#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs the Debian or Ubuntu packages that are missing; with nothing missing it touches no network.
#   tools/install_dependencies.sh [run|test]    run: to build and run the examples; test (default): for the tests too
set -euo pipefail

optional=()
packages=(g++ pkg-config libeigen3-dev nlohmann-json3-dev libcpp-httplib-dev libssl-dev python3 python3-pip)
case "${1:-test}" in
  run) ;;
  test)
    packages+=(clang libclang-rt-dev cmake ninja-build meson doctest-dev python3-venv)
    optional=(g++-aarch64-linux-gnu qemu-user  # for tests/arm64.sh, which skips without them
      libhnswlib-dev libsqlite3-dev            # for store/hnsw.hpp and examples/sqlite_store.cpp
      libgumbo-dev libpoppler-cpp-dev libzip-dev libpugixml-dev)  # for document/html.hpp, pdf.hpp and docx.hpp
    ;;
  *) echo "usage: tools/install_dependencies.sh [run|test]" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "install_dependencies.sh: not a Debian system; the tools and libraries behind these must be there: ${packages[*]}"
  exit
fi

absent() {
  local package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || echo "$package"
  done
}
mapfile -t missing < <(absent "${packages[@]}")
mapfile -t wanted < <(absent "${optional[@]}")
[ $((${#missing[@]} + ${#wanted[@]})) -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo)
  if ! command -v sudo >/dev/null || { [ ! -t 0 ] && ! sudo -n true 2>/dev/null; }; then
    echo "install_dependencies.sh: missing, and only root may install them: apt-get install ${missing[*]} ${wanted[*]}" >&2
    exit $((${#missing[@]} > 0))
  fi
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 "$@" </dev/null >>"$log" 2>&1; }
# The lists may be old or absent, so they are fetched when the first attempt fails, and only then.
install() {
  echo "Installing $* …"
  apt install -y --no-install-recommends "$@" && return
  apt update || true
  apt install -y --no-install-recommends "$@"
}
if [ ${#missing[@]} -gt 0 ] && ! install "${missing[@]}"; then
  tail -5 "$log" >&2
  echo "install_dependencies.sh: apt-get could not install ${missing[*]}" >&2
  exit 1
fi
if [ ${#wanted[@]} -gt 0 ] && ! install "${wanted[@]}"; then
  echo "install_dependencies.sh: apt-get could not install ${wanted[*]}; the tests do without"
fi
