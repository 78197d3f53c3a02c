#!/bin/sh
# Truth from outside: three steps of training, as PyTorch computes them in float64. See tests/fixtures/make_torch_steps.py.
. "$(dirname "$0")/lib.sh"
fixtures=$source/tests/fixtures
truth=$fixtures/torch_steps
compare=${4:-$bin/tests/compare_weights}

for level in 0 2; do
    for step in 1 2 3; do
        expect "-O$level, $step steps" 0 "" "$znetc" run "$fixtures/torch_steps.znet" -O$level -- --data "$truth" \
            --init-from "$truth/initial.safetensors" --steps $step --log-every 1 --out "$tmp/o$level$step"
        expect "-O$level, weights after step $step" 0 "head.weight" "$compare" "$truth/step$step.safetensors" \
            "$tmp/o$level$step/weights.safetensors" 1e-5
        grep '^FAIL' "$tmp/out"
    done
    sed -n 's/.*"event":"step".*"loss":\([^,}]*\).*/\1/p' "$tmp/o${level}3/log.jsonl" >"$tmp/losses"
    equal "-O$level, number of losses" 3 "$(wc -l <"$tmp/losses")"
    checks=$((checks + 1))
    paste "$truth/losses.txt" "$tmp/losses" | awk '
        { d = $1 - $2; if (d < 0) d = -d; if (!(d <= 1e-5)) { print "step " NR ": " $1 " and " $2; bad = 1 } }
        END { exit bad || NR != 3 }' || fail "-O$level: losses differ by more than 1e-5"
done

# the comparison can fail: another step's weights are not these
expect "weights of another step" 1 "^FAIL head.weight" "$compare" "$truth/step2.safetensors" "$tmp/o23/weights.safetensors" 1e-5
finish
