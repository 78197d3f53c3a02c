#!/bin/sh
# What the compiler says of a start does not depend on how the file is written: an identity more, other labels, another
# batch, a block written out. And it may look into the data. usage: lints.sh BIN SOURCE [DATA]
. "$(dirname "$0")/lib.sh"

# Codes and numbers of the messages about a file: without names and places.
verdict() {
    "$znetc" check "$@" 2>&1 >/dev/null | sed -n 's/^\(warning\[ZN[0-9]*\]: .*\)/\1/p' | sed 's/`[^`]*`/NAME/g' | sort
}

for f in "$source"/tests/golden/trap/*.znet "$source"/tests/golden/healthy/*.znet; do
    name=$(basename "$f" .znet)
    verdict "$f" >"$tmp/as_is"
    sed 's/^\(  head: \)/  identity\n\1/; s/^\(  avgpool\)/  identity\n\1/' "$f" >"$tmp/identity.znet"
    verdict "$tmp/identity.znet" >"$tmp/identity"
    equal "$name with an identity layer more" "$(cat "$tmp/as_is")" "$(cat "$tmp/identity")"
    sed 's/stage\([0-9]\)/part\1/g; s/\<head\>/top/g; s/\<dead\>/quiet/g; s/\<last\>/final/g' "$f" >"$tmp/names.znet"
    verdict "$tmp/names.znet" >"$tmp/names"
    equal "$name with other labels" "$(cat "$tmp/as_is")" "$(cat "$tmp/names")"
    sed 's/batch = 32/batch = 7/' "$f" >"$tmp/batch.znet"
    verdict "$tmp/batch.znet" >"$tmp/batch"
    equal "$name with another batch" "$(cat "$tmp/as_is")" "$(cat "$tmp/batch")"
    "$znetc" check -O0 "$f" >"$tmp/o0" 2>&1
    "$znetc" check "$f" >"$tmp/o2" 2>&1
    equal "$name at -O0" "$(grep '^warning' "$tmp/o2")" "$(grep '^warning' "$tmp/o0")"
done

# a block by its name and written out
cat >"$tmp/out.znet" <<'END'
model m {
  input image[16, 16, 3]
  conv(8, 3) bn relu
  residual { conv(8, 3) bn relu conv(8, 3) bn } relu
  residual(shortcut = project) { conv(16, 3, stride = 2) bn relu conv(16, 3) bn } relu
  residual { conv(32, 3, stride = 2) bn relu conv(32, 3) bn } shortcut { conv(32, 1, stride = 2) bn } relu
  avgpool
  head: linear(10)
}
data { source = noise(16, 16, 3, 10, 1000) }
init zero(variant = weights)
train { loss = cross_entropy optimizer = sgd(momentum = 0.9) lr = 0.1 batch = 32 epochs = 1 }
END
equal "blocks written out" "$(verdict "$source/tests/golden/trap/zero_weights_resnet.znet")" "$(verdict "$tmp/out.znet")"

# options
f=$source/tests/golden/trap/identity_mlp.znet
expect "warnings as errors" 1 '^error\[ZN0406\]' "$znetc" check -Werror "$f"
equal "a code that is not wanted" 0 "$("$znetc" check -Wno-ZN0406 "$f" 2>&1 >/dev/null | grep -c ZN0406)"
expect "a random start" 1 '^error\[ZN0413\]' "$znetc" check --deterministic-start "$source/tests/golden/healthy/kaiming_mlp.znet"
expect "a start without random numbers" 0 '' "$znetc" check --deterministic-start "$source/tests/golden/healthy/hadamard_resnet.znet"
expect "columns" 0 '"distinct": {"units": 64, "now": 13, "ever": 13, "ever_bits": 13}, "rank": {"most": 64, "change": 12, "change_bits": 12}' \
    "$znetc" check --json "$f"
expect "the fixed point" 0 '^param @linear2.weight .*# rank of the change at most 12 of 64, by bits 12$' "$znetc" --emit=proof --no-loc "$f"
"$znetc" --emit=proof "$f" >"$tmp/proof.zir" && "$znetc" --emit=opt "$f" >"$tmp/opt.zir"
"$bin/znopt" "$tmp/proof.zir" --passes= >"$tmp/read.zir" 2>"$tmp/err" || fail "a printed proof does not read back: $(head -n 1 "$tmp/err")"
equal "what is printed is the module" "$(cat "$tmp/opt.zir")" "$(cat "$tmp/read.zir")"

# what is constant in the data: columns 2 and 4
awk 'BEGIN { for (i = 0; i < 40; i++) printf "%d,0,%d,0,%d\n", i % 7, (i * 5) % 11, i % 3 }' >"$tmp/data.csv"
cat >"$tmp/csv.znet" <<'END'
model m {
  input x[4]
  linear(8, bias = false) relu
  linear(8, bias = false) relu
  head: linear(3, bias = false)
}
data { source = csv("data.csv", "data.csv", header = no, label = 4) }
init identity
train { loss = cross_entropy optimizer = sgd lr = 0.1 batch = 4 epochs = 1 }
END
expect "without data" 0 'training changes `linear2.weight` by a matrix of rank 4 at most' "$znetc" check "$tmp/csv.znet"
expect "with data" 0 'training changes `linear2.weight` by a matrix of rank 2 at most' "$znetc" check --with-data "$tmp/csv.znet"
expect "with data from elsewhere" 3 'nowhere' "$znetc" check --with-data="$tmp/nowhere" "$source/experiments/mnist_rank.znet"
expect "with data that is augmented" 0 'images are augmented' "$znetc" check --with-data "$source/tests/e2e/recipe.znet"
if [ -n "$data" ] && [ -e "$data/mnist" ]; then
    # 67 pixels are 0 in all of MNIST's training images
    expect "MNIST" 0 'training changes `third.weight` by a matrix of rank 717 at most, of 1000' \
        "$znetc" check --with-data="$data/mnist" "$source/experiments/mnist_rank.znet" -D width=1000
else
    skip "MNIST: no data"
fi
finish
