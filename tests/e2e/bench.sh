#!/bin/sh
# `znetc bench` prints its figures and tables. What the figures are is not tested: no test asserts a time.
. "$(dirname "$0")/lib.sh"
file=$source/tests/e2e/digest.znet

number='[0-9][0-9]*\.[0-9]*'
expect "bench" 0 "^images/s  *median  *$number  *best  *$number$" "$znetc" bench "$file" --seconds 0
for line in "^net: batch 16, [0-9]* threads*, [0-9]* steps measured$" "^ms a step  *median  *$number  *best  *$number$" \
    "^first step  *after $number s$" "^memory  *planned $number MB, peak $number MB$" "^machine  *$number GFLOP/s"; do
    checks=$((checks + 1))
    grep -q -e "$line" "$tmp/out" || { fail "bench: nothing matches $line"; cat "$tmp/out"; }
done
checks=$((checks + 1))
! grep -q "^kernel" "$tmp/out" || fail "bench: a table of kernels that nobody asked for"

# the table of kernels: its calls are the phases of the plan, its shares are sorted and make 100 %
expect "bench --kernels" 0 "^kernel  *of (first call)  *calls  *ms/step  *share  *GFLOP/s  *of peak  *GB/s$" \
    "$znetc" bench "$file" --seconds 0 --kernels --threads 2
phases=$("$znetc" "$file" --emit=plan | sed -n '/^program @train_step/,/^program @eval_step/p' | grep -c '^  phase')
calls=$(awk '/^kernel/ { t = 1; next } /^total/ { t = 0 } t { for (i = NF; $i != "%"; i--); while ($(i - 3) !~ /^[0-9]+$/) i--; n += $(i - 3) } END { print n + 0 }' "$tmp/out")
equal "calls of all kernels" "$phases" "$calls"
equal "calls of the total" "$phases" "$(awk '$1 == "total" { print $2 }' "$tmp/out")"
equal "families" 1 "$(grep -c '^family  *of  *calls' "$tmp/out")"
checks=$((checks + 1))
awk '/^total/ { t = 0 } t { if (match($0, /[0-9.]+ %/)) { x = substr($0, RSTART) + 0; if (n++ && x > last) exit 1; last = x; s += x } } /^kernel/ { t = 1 }
     END { exit !(n > 5 && s > 98 && s < 102) }' "$tmp/out" || { fail "bench --kernels: shares"; cat "$tmp/out"; }

# each convolution and gradient names its algorithm, and why it is not Winograd's
expect "bench --kernels, algorithms" 0 "^conv [a-z0-9.]*  *direct: no Winograd form for 1x1 kernels, stride 2, on maps of 5x5$" \
    "$znetc" bench "$file" --seconds 0 --kernels
expect "bench --json" 0 '^{"batch": 16, .*"images_per_second_median": [0-9].*"kernels": \[{"kernel": ".*}\]}$' \
    "$znetc" bench "$file" --seconds 0 --json --kernels
expect "bench of a linear network" 0 "^images/s" "$znetc" bench "$source/bench/mlp.znet" -D width=32 -D batch=8 --seconds 0
for bench in "$source"/bench/*.znet; do
    expect "check of $(basename "$bench")" 0 "^total: " "$znetc" check "$bench"
done

# ---- usage
expect "bench --threads 0" 2 "threads takes a number from 1" "$znetc" bench "$file" --threads 0
expect "bench --seconds x" 2 "seconds takes a number" "$znetc" bench "$file" --seconds x
expect "bench -o" 2 "write no file" "$znetc" bench "$file" -o "$tmp/x"
expect "run --kernels" 2 "options of .znetc bench." "$znetc" run "$file" --kernels
echo 'model m { input x[4] linear(2) }' >"$tmp/untrained.znet"
expect "bench of a network alone" 1 "nothing to train" "$znetc" bench "$tmp/untrained.znet"
finish
