# SPDX-License-Identifier: MIT
# The short commands; `just` lists them.
default:
    @just --list

# Every test, both compilers
test:
    tests/run.sh

# The tests with g++ and sanitizers only
quick:
    cmake --workflow --preset gcc-debug

# Lay the code out
format:
    git ls-files '*.hpp' '*.cpp' | grep -v -e '^single_include/' -e unicode_tables | xargs clang-format -i

# Write single_include/ anew
single:
    tools/amalgamate.py

# Write the recorded outputs of the examples anew
record:
    cmake --preset gcc-release && cmake --build --preset gcc-release --target examples
    tests/examples.py build/gcc-release/examples --record

# Measure an area: just bench compile
bench AREA:
    bench/run.sh {{AREA}}
