#!/bin/sh
# examples/cifar94.znet, narrow and on small data, against PyTorch in float64. See tests/fixtures/make_cifar94.py.
. "$(dirname "$0")/lib.sh"
truth=$source/tests/fixtures/cifar94
compare=${4:-$bin/tests/compare_weights}
file=$source/examples/cifar94.znet
early=$tmp/early.znet # the same, but for when whiten.bias is frozen
sed 's/after(3)/after(0.5)/' "$file" >"$early"
images="bytes(images = \"$truth/train-images.bin\", labels = \"$truth/train-labels.bin\", \
test_images = \"$truth/test-images.bin\", test_labels = \"$truth/test-labels.bin\", h = 32, w = 32, c = 3)"
slow='train.average=lookahead(decay = 0.7738, every = 2, ramp = 3)'
gentle='train.lr=linear(1.5 * 32 / 1024, warmup = 0.23 * epochs, start = 0.2, end = 0.07)'
trained="whiten.bias head.weight $(for i in 1 2 3 4 5 6; do printf 'conv%d.weight bn%d.bias ' $i $i; done)"

narrow() { # FILE EPOCHS OPTIONS...: of znetc, then -- and those of the run
    recipe=$1 epochs=$2
    shift 2
    "$znetc" run "$recipe" -D width=8 --set train.batch=32 --set "data.source=$images" --set "train.epochs=$epochs" "$@"
}

from_start() { # FILE EPOCHS OUT STEPS OPTIONS...: from the start of the fixture
    network=$1 of=$2 out=$3 last=$4
    shift 4
    narrow "$network" "$of" "$@" -- --init-from "$truth/initial.safetensors" --steps "$last" --log-every 1 --overwrite \
        --out "$out"
}

after() { # TRUTH FILE EPOCHS STEPS OPTIONS...
    run=$1 network=$2 of=$3 last=$4
    shift 4
    expect "$run, $*, $last steps" 0 "" from_start "$network" "$of" "$tmp/$run" "$last" "$@"
    expect "$run, $*, weights after step $last" 0 "head.weight" "$compare" "$truth/$run/step$last.safetensors" \
        "$tmp/$run/weights.safetensors" 1e-5
    grep '^FAIL' "$tmp/out"
}

# losses RUN STEPS: of all steps of the last run
losses() {
    sed -n 's/.*"event":"step".*"loss":\([^,}]*\).*/\1/p' "$tmp/$1/log.jsonl" >"$tmp/losses"
    near "losses of $1" "$2" "$truth/$1/losses.txt" "$tmp/losses"
}

# close LINES TRUTH ACTUAL: all numbers of the first lines within 1e-5
close() {
    head -n "$1" "$2" | paste - "$3" | awk -v lines="$1" '
        NF % 2 || !NF { bad = 1 }
        { for (i = 1; 2 * i <= NF; i++) {
            d = $i - $(i + NF / 2)
            if (d < 0) d = -d
            if (!(d <= 1e-5)) bad = 1
            if (d > most) most = d
        } }
        END { print "    " NR " lines, largest difference " most; exit bad || NR != lines }'
}

near() { # WHAT LINES TRUTH ACTUAL
    checks=$((checks + 1))
    close "$2" "$3" "$4" >"$tmp/out" || { fail "$1: not those of float64"; cat "$tmp/out"; }
}

# numbers FILE.npy: rows of 10 float32
numbers() { tail -c +129 "$1" | od -An -v -t f4 -w40; }

# ---- the start: no random number in it, whitening by the training images
expect "start" 0 "" narrow "$file" 16 -- --steps 0 --out "$tmp/start"
expect "weights of the start" 0 "whiten.weight" "$compare" "$truth/initial.safetensors" "$tmp/start/weights.safetensors" 1e-5

# ---- three steps: of the file as it is, and with slow weights in step 2 and whiten.bias frozen in step 3; and a whole run,
# which ends with the slow weights
for level in 0 2; do
    for step in 1 2 3; do
        after file "$file" 16 $step -O$level
    done
    losses file 3
    after short "$early" 1.5 3 -O$level --set "$slow"
    after short "$early" 1.5 5 -O$level --set "$slow"
    losses short 5
done
after file "$file" 16 3 --conv=direct

# ---- 48 steps: at most twice as far from float64 as PyTorch in float32
most=$(awk 'NR == 1 || $1 < least { least = $1 } END { print 2 * least }' "$truth/distance.txt") # of the nearer
for conv in auto direct; do
    expect "48 steps, --conv=$conv" 0 "" from_start "$file" 16 "$tmp/long" 48 --set "$gentle" --conv=$conv
    # shellcheck disable=SC2086 # names
    expect "distance after 48 steps, --conv=$conv" 0 "^ok" "$compare" "$truth/long/step48.safetensors" \
        "$tmp/long/weights.safetensors" "$most" $trained
    cat "$tmp/out"
    losses long 48
done

# ---- logits, plain and as means of six views
for level in 0 2; do
    for how in plain views; do
        expect "$how logits, -O$level" 0 "" narrow "$file" 16 -O$level -- --eval --init-from "$truth/long/step48.safetensors" \
            --outputs "$tmp/$how.npy" "$([ $how = views ] && echo --views || echo --log-every=0)"
        numbers "$tmp/$how.npy" >"$tmp/$how.txt"
        near "$how logits, -O$level" 24 "$truth/$how.txt" "$tmp/$how.txt"
    done
done

# ---- all of it can fail: one word of the recipe is another
wrong() { # WHAT FILE EPOCHS STEPS TRUTH OPTIONS...
    change=$1 network=$2 of=$3 last=$4 there=$5
    shift 5
    expect "$change" 0 "" from_start "$network" "$of" "$tmp/wrong" "$last" "$@"
    expect "$change, weights" 1 "^FAIL" "$compare" "$truth/$there.safetensors" "$tmp/wrong/weights.safetensors" 1e-5
}
sed 's/1.33e-3 \/ 64/1.33e-3 \/ 60/' "$file" >"$tmp/decay.znet"
wrong "another decay of the norms" "$tmp/decay.znet" 16 3 file/step3
sed 's/alternate = true/alternate = false/' "$file" >"$tmp/flip.znet"
wrong "flips that do not alternate" "$tmp/flip.znet" 16 1 file/step1
sed 's/after(3)/after(1)/' "$file" >"$tmp/frozen.znet"
wrong "frozen a step later" "$tmp/frozen.znet" 1.5 3 short/step3 --set "$slow"
wrong "other slow weights" "$early" 1.5 5 short/step5 --set 'train.average=lookahead(decay = 0.77, every = 2, ramp = 3)'
checks=$((checks + 1))
close 24 "$truth/plain.txt" "$tmp/views.txt" >/dev/null && fail "logits of views are taken for plain ones"
finish
