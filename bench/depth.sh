#!/bin/sh
# How long a deep network takes to compile: residual blocks of two 8x8x16 convolutions with norms, to a plan.
#
# usage: bench/depth.sh [--build DIR] [BLOCKS...]        processor time of the fastest of three runs
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build=
[ "${1-}" != --build ] || { build=$2 && shift 2; }
for dir in build-release build; do
    [ -n "$build" ] || [ ! -x "$here/../$dir/znetc" ] || build=$here/../$dir
done
[ $# -gt 0 ] || set -- 100 300 1000 3000 4700
file=$(mktemp) && trap 'rm -f "$file" "$file.times"' EXIT
printf '%8s %12s %8s %12s\n' blocks operations seconds 'ms a block'
for blocks; do
    cat >"$file" <<EOF
znet 1
block unit(c) { residual(shortcut = pad) { conv(c, 3) bn relu conv(c, 3) bn } relu }
model deep { input image[8, 8, 3] conv(16, 3) bn relu repeat $blocks { unit(16) } avgpool linear(10) }
data  { source = noise(8, 8, 3, 10, 40) }
init  zero
train { loss = cross_entropy optimizer = sgd(momentum = 0.9) lr = 0.1 batch = 4 epochs = 1 }
EOF
    operations=$("$build/znetc" "$file" --emit=opt | grep -c '^  %\|^  store')
    : >"$file.times"
    for _ in 1 2 3; do
        sh -c '"$0" "$1" --emit=plan >/dev/null; times' "$build/znetc" "$file" | tail -n 1 >>"$file.times"
    done
    awk -v blocks="$blocks" -v operations="$operations" '
        function seconds(s) { split(s, part, /[ms]/); return 60 * part[1] + part[2] }
        { t = seconds($1) + seconds($2); if (NR == 1 || t < best) best = t }
        END { printf "%8d %12d %8.2f %12.3f\n", blocks, operations, best, 1000 * best / blocks }' "$file.times"
done
