#!/bin/sh
# Truth from outside: three steps of training, as PyTorch computes them in float64. See tests/fixtures/make_torch_steps.py.
. "$(dirname "$0")/lib.sh"
fixtures=$source/tests/fixtures
truth=$fixtures/torch_steps
compare=${4:-$bin/tests/compare_weights}

steps_of() { # OPTIMIZER LEVEL [--set ...]
    name=$1 level=$2
    shift 2
    out=$tmp/$name$level
    for step in 1 2 3; do
        expect "$name, -O$level, $step steps" 0 "" "$znetc" run "$fixtures/torch_steps.znet" "-O$level" "$@" -- \
            --data "$truth" --init-from "$truth/initial.safetensors" --steps $step --log-every 1 --out "$out$step"
        expect "$name, -O$level, weights after step $step" 0 "head.weight" "$compare" \
            "$truth/$name/step$step.safetensors" "$out$step/weights.safetensors" 1e-5
        grep '^FAIL' "$tmp/out"
    done
    sed -n 's/.*"event":"step".*"loss":\([^,}]*\).*/\1/p' "${out}3/log.jsonl" >"$tmp/losses"
    equal "$name, -O$level, number of losses" 3 "$(wc -l <"$tmp/losses")"
    checks=$((checks + 1))
    paste "$truth/$name/losses.txt" "$tmp/losses" | awk '
        { d = $1 - $2; if (d < 0) d = -d; if (!(d <= 1e-5)) { print "step " NR ": " $1 " and " $2; bad = 1 } }
        END { exit bad || NR != 3 }' || fail "$name, -O$level: losses differ by more than 1e-5"
}

for level in 0 2; do
    steps_of sgd $level
    steps_of adam $level --set train.lr=0.01 --set 'train.optimizer=adam(beta1 = 0.8, beta2 = 0.99, eps = 1e-4)'
    steps_of adamw $level --set train.lr=0.01 --set 'train.optimizer=adamw(0.8, 0.99, 1e-3)'
done

# the comparison can fail: another step's weights are not these
expect "weights of another step" 1 "^FAIL head.weight" "$compare" "$truth/sgd/step2.safetensors" \
    "$tmp/sgd23/weights.safetensors" 1e-5
finish
