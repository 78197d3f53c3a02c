#!/bin/sh
# Truth from outside for the language: three steps of four networks, as PyTorch computes them in float64. See
# tests/fixtures/make_torch_nets.py.
. "$(dirname "$0")/lib.sh"
fixtures=$source/tests/fixtures
compare=${4:-$bin/tests/compare_weights}

for net in mobile convnext unet rezero; do
    truth=$fixtures/torch_nets/$net
    for level in 0 2; do
        for step in 1 2 3; do
            out=$tmp/$net$level$step
            expect "$net, -O$level, $step steps" 0 "" "$znetc" run "$truth/net.znet" "-O$level" -- --data "$fixtures/torch_steps" \
                --init-from "$truth/initial.safetensors" --steps $step --log-every 1 --out "$out"
            expect "$net, -O$level, weights after step $step" 0 "weight" "$compare" "$truth/step$step.safetensors" \
                "$out/weights.safetensors" 1e-5
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
