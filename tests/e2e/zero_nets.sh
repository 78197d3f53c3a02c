#!/bin/sh
# The networks of the authors of ZerO, from ordinary descriptions: their start to the bit, and three steps of it, as
# PyTorch computes them in float64 by their rules. See tests/fixtures/make_zero_nets.py.
. "$(dirname "$0")/lib.sh"
fixtures=$source/tests/fixtures
compare=${4:-$bin/tests/compare_weights}

for net in cifar imagenet imagenet_no_norm; do
    truth=$fixtures/zero_nets/$net
    for level in 0 2; do
        for step in 0 1 2 3; do
            out=$tmp/$net$level$step
            expect "$net, -O$level, $step steps" 0 "" "$znetc" run "$truth/net.znet" "-O$level" -- \
                --data "$fixtures/torch_steps" --steps $step --log-every 1 --out "$out"
            expect "$net, -O$level, weights after step $step" 0 "weight" "$compare" "$truth/step$step.safetensors" \
                "$out/weights.safetensors" "$([ $step = 0 ] && echo 0 || echo 1e-5)"
            grep '^FAIL' "$tmp/out"
        done
        sed -n 's/.*"event":"step".*"loss":\([^,}]*\).*/\1/p' "$out/log.jsonl" >"$tmp/losses"
        checks=$((checks + 1))
        paste "$truth/losses.txt" "$tmp/losses" | awk '
            { d = $1 - $2; if (d < 0) d = -d; if (NF != 2 || !(d <= 1e-5)) { print "step " NR ": " $1 " and " $2; bad = 1 } }
            END { exit bad || NR != 3 }' || fail "$net, -O$level: losses differ by more than 1e-5"
    done
done
finish
