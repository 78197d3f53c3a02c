#!/bin/sh
# Predictions: the bits of an evaluation, from files of numpy, pictures and folders, by JIT and executable, with any number
# of threads and samples. Usage: predict.sh BIN SOURCE DATA MAKE_DATA
make_data=$(realpath "$4")
. "$(dirname "$0")/lib.sh"
cd "$tmp" || exit 2
export XDG_CACHE_HOME="$tmp/caches"
mkdir set && "$make_data" set 600 100 || { fail "make_data"; finish; }

net() { # SOURCE
    cat <<END
model m {
  input image[28, 28, 1]
  conv(4, 3, stride = 2) bn relu
  residual { conv(4, 3) bn relu conv(4, 3) bn }
  avgpool
  linear(10)
}
data { source = $1 normalize = per_channel }
init kaiming
train { loss = cross_entropy optimizer = sgd(momentum = 0.9) lr = 0.05 batch = 48 epochs = 2 }
END
}
net 'npy("set/npy/train_images.npy", "set/npy/train_labels.npy", "set/npy/test_images.npy", "set/npy/test_labels.npy")' >net.znet
net 'images("set/images")' >images.znet
expect "trains" 0 "^weights" "$znetc" run net.znet -- --out run
[ -f run/preprocess.json ] || fail "no statistics beside the weights"
w=run/weights.safetensors
predict() { "$znetc" predict --weights $w "$@"; }
same() { cmp -s "$2" "$3" || fail "$1: other bytes"; checks=$((checks + 1)); }

expect "evaluation" 0 "^test accuracy" "$znetc" run net.znet -- --eval --init-from $w --outputs eval.npy
expect "a file of numpy" 0 "" predict net.znet --input set/npy/test_images.npy -o jit.npy
same "the bits of the evaluation" eval.npy jit.npy
expect "with one thread" 0 "" predict net.znet --input set/npy/test_images.npy -o one.npy -- --threads 1
same "with one thread" eval.npy one.npy
expect "vectors" 0 "" predict net.znet --input set/npy/test_vectors.npy -o vectors.npy
same "vectors" eval.npy vectors.npy
expect "another batch" 0 "" predict net.znet --input set/npy/test_images.npy -o batch.npy --set train.batch=7
same "another batch" eval.npy batch.npy
"$znetc" net.znet -o train || fail "does not compile"
expect "an executable" 0 "" ./train --predict set/npy/test_images.npy --init-from $w --outputs exe.npy
same "an executable" eval.npy exe.npy

# a folder, in the order of its paths: that of the source images
expect "evaluation of pictures" 0 "^test accuracy" "$znetc" run images.znet -- --eval --init-from $w --outputs pictures.npy
expect "a folder" 0 "" predict images.znet --input set/images/test -o folder.npy
same "a folder" pictures.npy folder.npy
expect "a table" 0 "" predict net.znet --input set/images/test --top 3
equal "a line a picture" 100 "$(wc -l <"$tmp/out")"
awk -F '\t' 'NF != 7 || $3 + 0 < $5 + 0 || $5 + 0 < $7 + 0 { exit 1 }' "$tmp/out" || fail "likeliest first"
picture=$(find set/images/test -name '*.png' | sort | head -n 1)
line=$(grep -F "$picture" "$tmp/out")
expect "one picture" 0 "^$picture" predict net.znet --input "$picture" --top 3
equal "as in the folder" "$line" "$(cat "$tmp/out")"
expect "more classes than there are" 0 "" predict net.znet --input "$picture" --top 99
equal "all classes" 21 "$(awk -F '\t' '{ print NF }' "$tmp/out")"
expect "a table and a file" 0 "" predict net.znet --input set/npy/test_images.npy -o both.npy --top 1
equal "numbers for names" "0 99" "$(awk -F '\t' 'NR == 1 { a = $1 } END { print a, $1 }' "$tmp/out")"
same "a table and a file" eval.npy both.npy

# without statistics beside the weights
mkdir alone && cp $w alone/
expect "statistics of the data" 0 "" "$znetc" predict net.znet --weights alone/weights.safetensors --input set/npy/test_images.npy -o data.npy
same "statistics of the data" eval.npy data.npy
mv set/npy set/moved
expect "neither" 3 "preprocess.json" "$znetc" predict net.znet --weights alone/weights.safetensors --input "$picture"
expect "the weights' own need no data" 0 "" predict net.znet --input set/moved/test_images.npy -o moved.npy
same "the weights' own" eval.npy moved.npy
mv set/moved set/npy
for wrong in '' '{}' '{"mean":[1],"deviation":[0]}' '{"mean":[1,2],"deviation":[1,2]}' '{"mean":["1"],"deviation":[1]}' '[1' '{"mean":[1e999],"deviation":[1]}'; do
    printf '%s' "$wrong" >alone/preprocess.json
    expect "damaged statistics: $wrong" 3 "preprocess.json" "$znetc" predict net.znet --weights alone/weights.safetensors --input "$picture"
done

# what is wrong
expect "no weights" 2 "needs --weights" "$znetc" predict net.znet --input x.npy
expect "no input" 2 "needs --weights" "$znetc" predict net.znet --weights $w
expect "a missing input" 3 "nothing.npy: cannot open" predict net.znet --input nothing.npy
expect "labels for images" 3 "test_labels.npy" predict net.znet --input set/npy/test_labels.npy
expect "an empty folder" 3 "holds no .png" predict net.znet --input alone
expect "not a picture" 3 "neither a PNG nor a JPEG" predict net.znet --input net.znet
sed 's/28, 28, 1/28, 14, 2/' net.znet >other.znet
expect "weights for another network" 12 "conv1" predict other.znet --input "$picture"
expect "options of training" 2 "trains nothing" ./train --predict x.npy --init-from $w --out here
expect "no weights for an executable" 2 "needs --init-from" ./train --predict x.npy
expect "--top alone" 2 "goes with --predict" ./train --top 3
expect "a wrong number" 2 "whole number" predict net.znet --input "$picture" --top some
expect "an option of another command" 2 "znetc predict" "$znetc" run net.znet --input x.npy
chmod 555 alone
[ "$(id -u)" -eq 0 ] || expect "a folder that cannot be written" 3 "cannot write" predict net.znet --input "$picture" -o alone/y.npy
chmod 755 alone
finish
