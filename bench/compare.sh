#!/bin/sh
# Trains the same networks with znet and with what people would use instead, in turns, and prints ratios.
#
# usage: bench/compare.sh [--build DIR] [--python PATH] [options of compare.py; --help lists them]
#   --build DIR    where znetc is (default: build-release, then build)
#   --python PATH  an interpreter that has the rivals (default: DIR/rivals/bin/python where that is, else python3)
#
# Python is used for measuring only. To install the rivals beside the build:
#   python3 -m venv build-release/rivals
#   build-release/rivals/bin/pip install torch==2.13.0 jax==0.10.2 numpy
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build= python=
while [ $# -gt 0 ]; do
    case $1 in
    --build) build=$2 && shift 2 ;;
    --python) python=$2 && shift 2 ;;
    *) break ;;
    esac
done
for dir in build-release build; do
    [ -n "$build" ] || [ ! -x "$here/../$dir/znetc" ] || build=$here/../$dir
done
[ -n "$build" ] && [ -x "$build/znetc" ] || {
    echo "compare.sh: no znetc; build it (cmake --preset release && cmake --build --preset release) or name --build DIR" >&2
    exit 2
}
[ -n "$python" ] || python=$build/rivals/bin/python
[ -x "$(command -v "$python" || true)" ] || python=python3
PYTHONDONTWRITEBYTECODE=1 exec "$python" "$here/compare.py" --znetc "$build/znetc" "$@"
