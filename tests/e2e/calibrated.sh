#!/bin/sh
# Starts that look at data: their weights as numpy computes them in float64 (tests/fixtures/make_calibrated.py), what
# cannot be calibrated, and what they need.
. "$(dirname "$0")/lib.sh"
truth=$source/tests/fixtures/calibrated
compare=${4:-$bin/tests/compare_weights}

# start NAME FILE ARGS...: the weights before the first step are those of NAME.safetensors
start() {
    name=$1 file=$2
    shift 2
    expect "$name" 0 "" "$znetc" run "$truth/$file.znet" "$@" -- --steps 0 --out "$tmp/$name"
    cp "$tmp/err" "$tmp/warnings"
    expect "$name: weights" 0 "stem.weight" "$compare" "$truth/$name.safetensors" "$tmp/$name/weights.safetensors" 1e-5
    grep '^FAIL' "$tmp/out"
    checks=$((checks + 1))
    grep -q 'warning' "$tmp/warnings" && fail "$name: $(cat "$tmp/warnings")"
}

for level in 0 2; do
    start deep deep -O$level
    start exact white -O$level
done
start over white -D out=31 --set 'data.normalize=[[0.4, 0.5, 0.55], [0.2, 0.25, 0.3]]' -D samples=20
grey='data.source=bytes("grey.images", "labels", "grey.images", "labels", h, w, c)'
start few white -D h=9 -D w=8 -D c=1 -D rows=3 -D cols=3 -D out=5 -D eps=1e-3 --set "$grey" --set data.normalize=none
start between white -D h=9 -D w=8 -D c=1 -D rows=3 -D cols=3 -D out=12 --set "$grey"
start tall white -D h=9 -D w=8 -D c=1 -D rows=3 -D cols=2 -D out=12 --set "$grey"
expect "the comparison can fail" 1 "^FAIL stem.weight" "$compare" "$truth/between.safetensors" \
    "$tmp/few/weights.safetensors" 1e-5
expect "-v says what stays 0" 0 "stem.weight: whitening makes 18 of 24 filters, the others stay 0" "$znetc" check \
    "$truth/white.znet" -v -D h=9 -D w=8 -D c=1 -D rows=3 -D cols=3 -D out=24 --set "$grey"

# weights of a file take the place of all of it, and other seeds and data make others
"$znetc" run "$truth/deep.znet" -- --steps 0 --out "$tmp/one" >"$tmp/out" 2>&1
first=$(sha256sum <"$tmp/one/weights.safetensors" | cut -d' ' -f1)
differ "another seed" "$first" "$(digest "$znetc" run "$truth/deep.znet" -- --steps 0 --seed 2)"
differ "other data" "$first" "$(digest "$znetc" run "$truth/deep.znet" --set data.normalize=none -- --steps 0)"
equal "--init-from" "$first" "$(digest "$znetc" run "$truth/deep.znet" --set data.normalize=none -- --steps 0 \
    --init-from "$tmp/one/weights.safetensors")"

# the whole network, and layers behind one that gives nothing
sed 's/^init .*/init { ** = lsuv  stem = zeros  head = variance_aware }/' "$source/tests/e2e/calibrated.znet" >"$tmp/dead.znet"
expect "layers that read zeros" 0 "stage.0.conv1.weight is not calibrated: .* variance 0" "$znetc" run "$tmp/dead.znet" \
    -- --steps 2
cp "$tmp/err" "$tmp/warnings"
expect "with the line" 0 "dead.znet:6" cat "$tmp/warnings"
expect "and how many there are" 0 "^warning: 3 more" cat "$tmp/warnings"
sed 's/^init .*/init lsuv/' "$source/tests/e2e/calibrated.znet" >"$tmp/lsuv.znet"
expect "init lsuv" 0 "" "$znetc" run "$tmp/lsuv.znet" -- --steps 2
cp "$tmp/err" "$tmp/warnings"
expect "no warnings" 1 "" grep warning "$tmp/warnings"
expect "bench" 0 "" "$znetc" bench "$source/tests/e2e/calibrated.znet" --seconds 0

# a program needs libc alone, until it looks for eigenvectors
expect "an executable" 0 "" "$znetc" "$truth/white.znet" -o "$tmp/white"
expect "links no library for it" 1 "" sh -c "ldd '$tmp/white' | grep -i -e blas -e lapack"
mkdir "$tmp/without"
echo "no library" >"$tmp/without/libopenblas.so.0"
if command -v ldd >/dev/null && LD_LIBRARY_PATH=$tmp/without "$tmp/white" --data "$truth" --steps 0 >"$tmp/out" 2>"$tmp/err"; then
    skip "without OpenBLAS: this loader looks for another one"
else
    expect "without OpenBLAS" 3 "package libopenblas0" env LD_LIBRARY_PATH="$tmp/without" "$tmp/white" --data "$truth" --steps 0
fi
finish
