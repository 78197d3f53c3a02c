#!/bin/sh
# Own data: the same images as idx, npy, csv and a folder of pictures give the same weights; what is held out; numbers as
# targets; caches of pictures; and what is wrong with files. Usage: data.sh BIN SOURCE DATA MAKE_DATA
make_data=$(realpath "$4")
. "$(dirname "$0")/lib.sh"
cd "$tmp" || exit 2
export XDG_CACHE_HOME="$tmp/caches"
mkdir set && "$make_data" set 600 100 || { fail "make_data"; finish; }

# net SOURCE [MORE]: an experiment on it
net() {
    cat <<END
model m {
  input image[28, 28, 1]
  conv(4, 3, stride = 2) bn relu
  residual { conv(4, 3) bn relu conv(4, 3) bn }
  avgpool
  linear(10)
}
data { source = $1 normalize = per_channel ${2:-} }
train { loss = cross_entropy optimizer = sgd(momentum = 0.9) lr = 0.05 batch = 50 epochs = 2 }
END
}
npy='npy("set/npy/train_images.npy", "set/npy/train_labels.npy", "set/npy/test_images.npy", "set/npy/test_labels.npy")'
vectors='npy("set/npy/train_vectors.npy", "set/npy/train_labels.npy", "set/npy/test_vectors.npy", "set/npy/test_labels.npy")'
floats='npy("set/npy/train_floats.npy", "set/npy/train_labels.npy", "set/npy/test_floats.npy", "set/npy/test_labels.npy")'
csv='csv("set/csv/train.csv", "set/csv/test.csv", label = "label", type = byte)'
plain='csv("set/csv/train_plain.csv", "set/csv/test_plain.csv", type = byte)'

# ---- one data set, one digest: also of the data itself
net 'mnist("set/idx")' >idx.znet
net "$npy" >npy.znet
net "$vectors" >vectors.znet
net "$csv" >csv.znet
net "$plain" >plain.znet
net 'images("set/images")' >images.znet
want=$(digest "$znetc" run idx.znet -- --out run-idx)
data_sha() { sed -n 's/.*"data_sha256":"\([0-9a-f]*\)".*/\1/p' "$1/log.jsonl"; }
expect "weights" 0 "^weights" cat "$tmp/digest"
for form in npy vectors csv plain images; do
    equal "$form: the weights that idx gives" "$want" "$(digest "$znetc" run $form.znet -- --out run-$form)"
    equal "$form: the digest of the data" "$(data_sha run-idx)" "$(data_sha run-$form)"
done
"$znetc" images.znet -o train || fail "does not compile"
equal "pictures, by an executable and one thread" "$want" "$(digest ./train --threads 1)"
case $(ldd train) in
*png* | *jpeg*) fail "an executable is linked with libraries of pictures" ;;
esac
net "$floats" | sed 's/normalize = per_channel//' >floats.znet
sed 's/normalize = per_channel//' idx.znet >idx0.znet
equal "floats of x / 255" "$(digest "$znetc" run idx0.znet)" "$(digest "$znetc" run floats.znet)"
expect "their statistics" 0 "^test accuracy" "$znetc" run floats.znet -- --steps 2

# ---- caches of pictures
cache=set/images.28x28x1.znet-cache
[ -f $cache ] || fail "no cache beside the folder"
inode() { stat -c %i "$1"; }
first=$(inode $cache)
equal "from the cache" "$want" "$(digest "$znetc" run images.znet)"
equal "a cache that fits is kept" "$first" "$(inode $cache)"
dd if=/dev/zero of=$cache bs=1 count=4 seek=$(($(stat -c %s $cache) - 3000)) conv=notrunc 2>/dev/null
equal "a damaged cache is made again" "$want" "$(digest "$znetc" run images.znet)"
differ "and is another file" "$first" "$(inode $cache)"
for damage in "truncate -s -1 $cache" "truncate -s 10 $cache" "cp images.znet $cache" "touch set/images/train/3/*.png"; do
    first=$(inode $cache)
    eval "$damage"
    equal "$damage" "$want" "$(digest "$znetc" run images.znet)"
    differ "$damage: made again" "$first" "$(inode $cache)"
done
mkdir elsewhere && mv set/images elsewhere/pictures && rm $cache
if [ "$(id -u)" != 0 ]; then chmod 555 elsewhere; else mkdir "elsewhere/pictures.28x28x1.znet-cache"; fi
net 'images("elsewhere/pictures")' >moved.znet
equal "where no cache can be written beside" "$want" "$(digest "$znetc" run moved.znet)"
equal "it stands among the user's" 1 "$(find caches/znet -name 'images-*.28x28x1.znet-cache' | grep -c .)"
equal "and is used" "$want" "$(digest "$znetc" run moved.znet)"
equal "where none can be written at all" "$want" "$(XDG_CACHE_HOME=/proc/nosuch HOME=/proc/nosuch digest "$znetc" run moved.znet)"
chmod 755 elsewhere && rm -rf elsewhere/*.znet-cache && mv elsewhere/pictures set/images

# ---- pictures that do not fit: the file is named
picture=$(find set/images/train/4 -name '*.png' | sort | head -n 1)
cp "$picture" kept.png
head -c 200 kept.png >"$picture"
expect "a picture that is cut" 3 "$picture: is a damaged PNG file" "$znetc" run images.znet
echo nothing >"$picture"
expect "a picture that is none" 3 "$picture: is neither a PNG nor a JPEG file" "$znetc" run images.znet
cp kept.png "$picture"
sed 's/image\[28, 28, 1\]/image[32, 28, 1]/' images.znet >larger.znet
expect "another size" 3 "set/images/train/0/[0-9]*.png: is 28 x 28 (height x width); the network takes 32 x 28" "$znetc" run larger.znet
mkdir set/images/train/ten
expect "a class without pictures" 3 "train/ten: has no .png, .jpg or .jpeg file" "$znetc" run images.znet
cp kept.png set/images/train/ten/
expect "another number of classes" 3 "the data has 11 classes; the network has 10" "$znetc" run images.znet
rm -r set/images/train/ten && mkdir set/images/test/ten && cp kept.png set/images/test/ten/
expect "a class of the test alone" 3 "test/ten: there is no such class for training" "$znetc" run images.znet
rm -r set/images/test/ten
net 'images("set/images/train")' 'split = 0.1' >one.znet
expect "a folder of classes, a part held out" 0 "^validation accuracy" "$znetc" run one.znet -- --steps 5
net 'images("set/images/train")' >one.znet
expect "a folder of classes, nothing held out" 3 "has no images" "$znetc" run one.znet

# ---- a part that is held out
net "$npy" 'split = 0.25' >split.znet
net "$csv" 'split = 0.25' >split_csv.znet
expect "450 training, 150 validation and 100 test images" 0 "450 training, 150 validation and 100 test images" \
    "$znetc" run split.znet -- --out held
grep -q '"event":"epoch".*"test_accuracy":.*"validation_loss":.*"validation_accuracy":' held/log.jsonl || fail "the log of an epoch"
grep -q '"event":"end".*"validation_accuracy":' held/log.jsonl || fail "the log of the end"
# the best weights on it, which are not the last ones at such a rate: of an average too, and after a resumed run
for average in '' 'average = ema(0.5)'; do
    net "$npy" 'split = 0.25' | sed "s/epochs = 2/epochs = 6 $average/; s/lr = 0.05/lr = 0.4/" >best.znet
    "$znetc" run best.znet -- --out best --overwrite >best.out 2>/dev/null
    reached=$(sed -n 's/^best validation accuracy  \(.*\) % after epoch.*: best.safetensors$/\1/p' best.out)
    highest=$(sed -n 's/.*"event":"epoch".*"validation_accuracy":\([0-9.]*\).*/\1/p' best/log.jsonl | sort -g | tail -n 1)
    equal "the best of all epochs ($average)" "$(printf %.2f "$highest")" "$reached"
    expect "weights that reach it" 0 "^validation accuracy  $reached %$" "$znetc" run best.znet -- --eval --init-from best/best.safetensors
    expect "the log says so" 0 '"event":"end".*"best_epoch":[1-6],"best_validation_accuracy":' cat best/log.jsonl
    for steps in 9 27 40; do
        rm -rf again && "$znetc" run best.znet -- --out again --steps $steps >/dev/null 2>&1
        "$znetc" run best.znet -- --out again --resume >again.out 2>/dev/null
        checks=$((checks + 1))
        cmp -s best/best.safetensors again/best.safetensors || fail "other best weights of a run resumed at step $steps"
        equal "what is said of them" "$(grep ^best best.out)" "$(grep ^best again.out)"
    done
done
net "$npy" >plain_npy.znet
"$znetc" run plain_npy.znet -- --out best --overwrite >/dev/null 2>&1
[ ! -e best/best.safetensors ] || fail "the best weights of another run are still there"
part=$(digest "$znetc" run split.znet)
differ "held-out samples are not trained on" "$want" "$part"
equal "the same part of every form" "$part" "$(digest "$znetc" run split_csv.znet -- --threads 1)"
net 'csv("set/csv/train.csv", label = "label", type = byte)' 'split = 0.25' >no_test.znet
equal "a test changes no weights" "$part" "$(digest "$znetc" run no_test.znet)"
expect "without a test" 0 "^validation accuracy" "$znetc" run no_test.znet
grep -q "^test" "$tmp/out" && fail "a test accuracy without a test"
expect "check knows it" 0 "order of the data .* 0.04 MB" "$znetc" check - <<END
$(net digits 'split = 0.1')
END

expect "check opens arrays" 0 "mapped from files (at most) *0.55 MB" "$znetc" check npy.znet
expect "and their labels" 0 "data set, in memory *0.00 MB" "$znetc" check npy.znet
expect "check counts pictures" 0 '"data": 700, "mapped": 548800, "order": 2400,' "$znetc" check --json images.znet
expect "a run says the same" 0 "+ data 0.0 MB, mapped from files 0.5 MB" "$znetc" run images.znet -- --steps 1

# ---- numbers as targets
cat >line.znet <<'END'
model line { input x[2] linear(1) }
data { source = csv("set/regression.csv", label = "y") split = 0.1 }
init zeros
train { loss = mse(target = value) optimizer = sgd(momentum = 0.9) lr = 0.1 batch = 20 epochs = 60 }
END
expect "a line is found" 0 "^validation loss  *0.0000$" "$znetc" run line.znet -- --out line
line=$(digest "$znetc" run line.znet)
sed 's/source = csv([^)]*)/source = npy("set\/x.npy", "set\/y.npy")/' line.znet >line_npy.znet
equal "the same of arrays" "$line" "$(digest "$znetc" run line_npy.znet)"
sed 's/linear(1)/linear(2)/; s/y\.npy/two.npy/' line_npy.znet >line_two.znet
expect "two numbers" 0 "^validation loss  *0.0000$" "$znetc" run line_two.znet
sed 's/linear(1)/linear(3)/; s/y\.npy/two.npy/' line_npy.znet >wrong.znet
expect "another number of numbers" 3 "a label has 2 numbers; the network gives 3" "$znetc" run wrong.znet
sed 's/mse(target = value)/cross_entropy/; s/linear(1)/linear(2)/' line_npy.znet >wrong.znet
expect "numbers as classes" 3 "y.npy: the labels are real numbers, not classes" "$znetc" run wrong.znet
sed 's/mse(target = value)/cross_entropy/; s/linear(1)/linear(2)/' line.znet >wrong.znet
expect "numbers as classes, in csv" 3 'regression.csv:3: column 3 (y): .* is not a class' "$znetc" run wrong.znet

# ---- cells
cell() { # WHAT LINE OLD NEW MESSAGE
    sed "$2s/$3/$4/" set/regression.csv >bad.csv
    expect "$1" 3 "$5" "$znetc" run bad.znet
}
sed 's/set\/regression/bad/' line.znet >bad.znet
cell "a cell that is no number" 17 '^[^,]*' 'abc' 'bad.csv:17: column 1 (a): `abc` is not a number'
cell "an empty cell" 5 ',[^,]*,' ', ,' 'bad.csv:5: column 2 (b): `` is empty'
cell "a cell too few" 9 ',[^,]*$' '' 'bad.csv:9: has 2 cells; the first line has 3'
cell "infinite" 3 '^[^,]*' '1e60' 'bad.csv:3: column 1 (a): `1e60` is too large'
cell "no such column" 1 'y' 'z' 'bad.csv: has no column `y`; it has `a`, `b`, `z`'
cell "a header of numbers" 1 'a,b,y' '1,b,y' 'bad.csv:1: column 2: `b` is not a number, but other cells'

# ---- a file of 3 GB, of which two batches are looked at
cat >large.znet <<'END'
model large { input image[1000, 1000, 3] conv(1, 8, stride = 8) avgpool linear(10) }
data { source = npy("large.npy", "large_labels.npy", "two.npy", "two_labels.npy") }
init kaiming
train { loss = cross_entropy optimizer = sgd lr = 0.1 batch = 2 epochs = 1 }
END
header() { # TEXT
    printf '\223NUMPY\001\000\166\000%-117s\n' "$1" # 118 bytes: the elements begin at 128
}
header "{'descr': '|u1', 'fortran_order': False, 'shape': (1000, 1000, 1000, 3), }" >large.npy
header "{'descr': '|u1', 'fortran_order': False, 'shape': (1000,), }" >large_labels.npy
header "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1000, 1000, 3), }" >two.npy
header "{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }" >two_labels.npy
truncate -s 3000000128 large.npy && truncate -s 1128 large_labels.npy
truncate -s 6000128 two.npy && truncate -s 130 two_labels.npy
expect "a file of 3 GB" 0 "mapped from files 3006.0 MB" "$znetc" run large.znet -- --steps 2 --threads 1
checks=$((checks + 1))
sed -n 's/^memory  *peak \([0-9]*\).*/\1/p' "$tmp/out" | grep -q '^[0-9]\{1,3\}$' || fail "a file of 3 GB is read: $(grep memory "$tmp/out")"
rm large.npy

# ---- 300 classes
cat >wide.znet <<'END'
model wide { input x[4] linear(300) }
data { source = noise(1, 1, 4, 300, 1000) }
train { loss = cross_entropy optimizer = sgd lr = 0.1 batch = 50 epochs = 1 }
END
sed -i 's/input x\[4\]/input image[1, 1, 4] flatten/' wide.znet
expect "300 classes" 0 "^test loss" "$znetc" run wide.znet
equal "300 classes, by three threads" "$(digest "$znetc" run wide.znet)" "$(digest "$znetc" run wide.znet -O0 -- --threads 3)"

# ---- real images, where they are
if [ -f "$data/mnist/train-images-idx3-ubyte.gz" ]; then
    mkdir real && "$make_data" real 2000 500 "$(realpath "$data/mnist")" || fail "make_data of MNIST"
    want=
    for form in idx npy csv images; do
        sed 's/set\//real\//g' $form.znet >real_$form.znet
        got=$(digest "$znetc" run real_$form.znet)
        equal "MNIST, $form" "${want:=$got}" "$got"
    done
else
    skip "MNIST: no mnist/ in $data"
fi
finish
