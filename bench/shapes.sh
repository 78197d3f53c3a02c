#!/bin/sh
# Rates of single convolutions in GFLOP/s (operations of direct computation over time): forward, gradient by data and by
# weights, batch 128, one thread, as the compiler chooses and by direct kernels; and the share of the peak that is.
#
# usage: bench/shapes.sh [--build DIR] [--seconds S] [--conv auto|direct]... [SHAPE...]
#   SHAPE is SIZE-CHANNELS-OUTPUTS-KERNEL-STRIDE; without any, 3x3 convolutions of ResNet-20 and ResNet-18
set -eu
here=$(cd "$(dirname "$0")" && pwd)
build= seconds=2 algorithms=
while [ $# -gt 0 ]; do
    case $1 in
    --build) build=$2 && shift 2 ;;
    --seconds) seconds=$2 && shift 2 ;;
    --conv) algorithms="$algorithms $2" && shift 2 ;;
    *) break ;;
    esac
done
for dir in build-release build; do
    [ -n "$build" ] || [ ! -x "$here/../$dir/znetc" ] || build=$here/../$dir
done
[ $# -gt 0 ] || set -- 32-16-16-3-1 16-32-32-3-1 8-64-64-3-1 32-64-64-3-1 16-128-128-3-1 8-256-256-3-1 4-512-512-3-1 \
    32-16-32-3-2 16-32-64-3-2 32-64-128-3-2 16-128-256-3-2 8-256-512-3-2
printf '%-18s %-8s %22s %22s %22s\n' shape conv forward 'by data' 'by weights'
for shape; do
    for conv in ${algorithms:-auto direct}; do
        echo "$shape" | tr '-' ' ' | {
            read -r size channels outputs kernel stride
            "$build/znetc" bench "$here/conv.znet" -D "size=$size" -D "channels=$channels" -D "outputs=$outputs" \
                -D "kernel=$kernel" -D "stride=$stride" "--conv=$conv" --kernels --threads 1 --seconds "$seconds" --json
        } | tr '{' '\n' | awk -v shape="$shape" -v conv="$conv" '
            function field(name) { match($0, "\"" name "\": \"?[^,\"}]*"); s = substr($0, RSTART, RLENGTH); sub(/.*: "?/, "", s); return s }
            /machine_flops/ { peak = field("machine_flops_per_second") }
            field("path") == "conv2" { t[field("op")] += field("seconds"); f[field("op")] += field("flops") }
            function rate(op) { return sprintf("%6.1f (%5.2f of peak)", f[op] / t[op] / 1e9, f[op] / t[op] / peak) }
            END { printf "%-18s %-8s %22s %22s %22s\n", shape, conv, rate("conv"), rate("conv_grad_x"), rate("conv_grad_w") }'
    done
done
