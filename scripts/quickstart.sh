#!/bin/sh
# One command from a fresh clone to a trained network: installs what is missing, builds, compiles examples/digits.znet
# into a training program and runs it on data that is built in. Safe to run again.
set -eu
cd "$(dirname "$0")/.."
build=${ZN_BUILD_DIR:-build}

scripts/install-packages.sh
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF >/dev/null
cmake --build "$build"

mkdir -p out
echo
echo "\$ $build/znetc examples/digits.znet -o out/digits"
"$build/znetc" examples/digits.znet -o out/digits
echo "\$ out/digits --out out/digits-run --overwrite"
out/digits --out out/digits-run --overwrite

cat <<END

Next:
  $build/znetc run examples/digits.znet --init kaiming     the same network from random weights, by JIT
  $build/znetc check examples/resnet20.znet                shapes, parameters, memory and start of every layer
  $build/znetc examples/digits.znet --emit=init            what the start is, as formulas in the IR
END
