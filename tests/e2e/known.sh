#!/bin/sh
# Data sets that are published: what is said where they are missing, damaged, or still in their archive; and of other
# files. Usage: known.sh BIN SOURCE DATA MAKE_DATA
make_data=$(realpath "$4")
. "$(dirname "$0")/lib.sh"
cd "$tmp" || exit 2

# net SOURCE IMAGE: an experiment on it
net() {
    cat <<END
model m { input image[$2] flatten linear(10) }
data { source = $1 }
train { loss = cross_entropy optimizer = sgd lr = 0.01 batch = 100 epochs = 1 }
END
}
net 'cifar10("data/c 10")' '32, 32, 3' >cifar.znet
net 'mnist("data/mnist")' '28, 28, 1' >mnist.znet
batches="data_batch_1.bin data_batch_2.bin data_batch_3.bin data_batch_4.bin data_batch_5.bin test_batch.bin"
archive=cifar-10-binary.tar.gz

# ---- missing: the same is said by a run, an executable and `znetc data`
"$znetc" cifar.znet -o train || fail "does not compile"
way="mkdir -p './data/c 10' && tar -xzf $archive -C './data/c 10'"
expect "a run without CIFAR-10" 3 "^  $way\$" "$znetc" run cifar.znet
for text in 'data_batch_1.bin: cannot open: No such file' '--data DIR says where the data is' 'CIFAR-10 is a data set of 60 000 colour images' \
    "archive $archive" 'Alex Krizhevsky, University of Toronto (www.cs.toronto.edu/~kriz/cifar.html)' 'znetc data FILE.znet'; do
    checks=$((checks + 1))
    grep -q -F -e "$text" "$tmp/err" || fail "a run without CIFAR-10 does not say: $text"
done
expect "an executable, of the directory it is given" 3 "^  mkdir -p /nowhere/x && tar -xzf $archive -C /nowhere/x\$" ./train --data /nowhere/x
expect "a directory that a shell would read" 3 "^  mkdir -p 'a'\\\\''\$HOME' && tar" ./train --data "a'\$HOME"
expect "a directory like an option" 3 "^  mkdir -p ./-x && tar -xzf $archive -C ./-x\$" ./train --data=-x
expect "a run without MNIST" 3 'Its files train-images-idx3-ubyte.gz, .*They belong into ./data/mnist' "$znetc" run mnist.znet
expect "data: CIFAR-10 is missing" 3 "^  $way\$" "$znetc" data cifar.znet
equal "data: each file is" 6 "$(grep -c '_batch.*.bin  *is not there$' "$tmp/out")"
expect "data: MNIST is missing" 3 '^0 of 4 files are there, 0 as published$' "$znetc" data mnist.znet
expect "data: where to look instead" 3 '^  nowhere/cifar-10-batches-bin/test_batch.bin  *is not there$' "$znetc" data cifar.znet --data nowhere
expect "data --json" 3 '^{"source": "cifar10", "title": "CIFAR-10", "directory": "./data/c 10", "files": \[{"path": ".*data_batch_1.bin", "state": "missing", "sha256": null, "as_published": false, .*"complete": false}$' \
    "$znetc" data cifar.znet --json
equal "one line" 1 "$(wc -l <"$tmp/out")"

# ---- an archive: another than the page has is not unpacked; the command that a run prints does it
mkdir -p cifar-10-batches-bin 'data/c 10'
for file in $batches; do truncate -s 30730000 cifar-10-batches-bin/$file; done
tar -czf $archive cifar-10-batches-bin && rm -r cifar-10-batches-bin
cp $archive 'data/c 10/'
expect "data: an archive that is not the published one" 3 "^archive    ./data/c 10/$archive .*md5:$(md5sum <$archive | cut -d' ' -f1)  NOT as published: 170 052 171 bytes, md5:c32a1d4ab5d03f1284b67883e8d87530\$" \
    "$znetc" data cifar.znet
equal "it is to be got again" 1 "$(grep -c '^The archive is damaged' "$tmp/out")"
expect "data --json: the archive" 3 '"archive": {"path": "./data/c 10/cifar-10-binary.tar.gz", .*"as_published": false, .*"unpack": null}' "$znetc" data cifar.znet --json
rm "data/c 10/$archive" && mkdir "data/c 10/$archive"
expect "data: an archive that is a directory" 3 'cannot be read: it is a directory' "$znetc" data cifar.znet
rmdir "data/c 10/$archive"
rmdir 'data/c 10'
"$znetc" run cifar.znet 2>&1 | sed -n 's/^  \(mkdir .*\)/\1/p' >unpack
expect "the command of a run" 0 '' sh unpack
expect "it unpacks to where the program looks" 0 '^weights sha256:' "$znetc" run cifar.znet -- --steps 1
expect "no word of other files where nobody needs their digest" 0 '' "$znetc" run cifar.znet -- --steps 1
equal "no word" 0 "$(grep -c 'as published' "$tmp/err")"
expect "a receipt of other files" 0 '^warning: the files of the data set are not those of CIFAR-10 as published' "$znetc" run cifar.znet -- --steps 1 --log log.jsonl
equal "once" 1 "$(grep -c 'as published' "$tmp/err")"
expect "data: other files" 3 '^6 of 6 files are there, 0 as published$' "$znetc" data cifar.znet
expect "data: what they should be" 3 "test_batch.bin .*30 730 000 bytes  sha256:$(sha256sum <"data/c 10/cifar-10-batches-bin/test_batch.bin" | cut -d' ' -f1)  NOT as published: 30 730 000 bytes, sha256:8e2eb146ae" \
    "$znetc" data cifar.znet
rm 'data/c 10/cifar-10-batches-bin/data_batch_3.bin' && mkfifo 'data/c 10/cifar-10-batches-bin/data_batch_3.bin'
rm 'data/c 10/cifar-10-batches-bin/data_batch_4.bin'
expect "data: a FIFO" 3 'data_batch_3.bin  cannot be read: it is a FIFO' "$znetc" data cifar.znet
expect "data: one is missing" 3 'data_batch_4.bin  is not there' "$znetc" data cifar.znet
# One file beside the folder that the archive makes: the folder has more of them.
rm 'data/c 10/cifar-10-batches-bin/data_batch_3.bin' && touch 'data/c 10/data_batch_2.bin'
expect "data: most files are in the folder" 3 '^4 of 6 files are there, 0 as published$' "$znetc" data cifar.znet
rm 'data/c 10/cifar-10-batches-bin/'*
expect "data: a file in the directory itself" 3 '^1 of 6 files are there, 0 as published$' "$znetc" data cifar.znet
"$znetc" run cifar.znet 2>&1 | sed -n 's/^  \(mkdir .*\)/\1/p' >unpack
expect "the command helps here too" 0 '' sh unpack
expect "data: all are there" 3 '^6 of 6 files are there, 0 as published$' "$znetc" data cifar.znet
rm -r data
long=$(printf '%0900d' 0 | sed 's/0000000000/abcdefghi\//g')
expect "data: a path that leaves no room for the command" 3 'It is to be unpacked into that directory$' "$znetc" data cifar.znet --data "$long"
expect "data: no half of a command" 0 '^0$' sh -c '"$0" data cifar.znet --data "$1" | grep -c "mkdir" || :' "$znetc" "$long"
ln -s loop loop
expect "data: what cannot be read is not called damaged" 0 '^0$' sh -c '"$0" data cifar.znet --data loop | grep -c damaged || :' "$znetc"
expect "data --json: an archive that cannot be read" 3 '"archive": {"path": "loop/.*", "state": "unreadable", "why": "' "$znetc" data cifar.znet --data loop --json
expect "data: no directory" 2 'this one is empty' "$znetc" data cifar.znet --data=
expect "data --verify-each" 2 'have no use' "$znetc" data cifar.znet --verify-each

# ---- the files themselves
if [ -n "$data" ] && [ -e "$data/cifar-10" ] && command -v xz >/dev/null; then
    mkdir -p 'data/c 10'
    for file in $batches; do xz -dc "$data/cifar-10/$file.xz" >"data/c 10/$file"; done
    expect "data: CIFAR-10" 0 '^all 6 files are those of CIFAR-10 as published$' "$znetc" data cifar.znet
    expect "data --json: CIFAR-10" 0 '"as_published": true.*"complete": true}' "$znetc" data cifar.znet --json
    expect "a receipt of it" 0 '' ./train --steps 1 --log log.jsonl
    equal "nothing to say" 0 "$(grep -c 'as published' "$tmp/err")"
    printf '\001' | dd of='data/c 10/data_batch_2.bin' bs=1 seek=20000000 conv=notrunc 2>/dev/null
    expect "data: a byte is another" 3 'data_batch_2.bin .*NOT as published' "$znetc" data cifar.znet
    equal "and no other file" 5 "$(grep -c '  as published$' "$tmp/out")"
    expect "a receipt of that" 0 '^warning: the files of the data set are not those of CIFAR-10' ./train --steps 1 --log log.jsonl
    truncate -s -1 'data/c 10/data_batch_5.bin'
    expect "data: a byte less" 3 'data_batch_5.bin .*30 729 999 bytes .*NOT as published: 30 730 000 bytes' "$znetc" data cifar.znet
    rm -r data
else
    skip "the files of CIFAR-10: no cifar-10/ in $data, or no xz"
fi
if [ -n "$data" ] && [ -e "$data/mnist" ]; then
    mkdir -p data/mnist && cp "$data"/mnist/*.gz data/mnist/
    expect "data: MNIST" 0 '^all 4 files are those of MNIST as published$' "$znetc" data mnist.znet
    expect "data: its shapes" 0 'train-images-idx3-ubyte.gz .*47 040 016 bytes .*\[60000, 28, 28\]  as published$' "$znetc" data mnist.znet
    gunzip data/mnist/t10k-labels-idx1-ubyte.gz
    expect "data: not compressed" 0 't10k-labels-idx1-ubyte  .*10 008 bytes .*  as published$' "$znetc" data mnist.znet
    truncate -s -100 data/mnist/train-labels-idx1-ubyte.gz
    expect "data: compressed data that ends early" 3 'train-labels-idx1-ubyte.gz .*cannot be read: it ends inside' "$znetc" data mnist.znet
    rm -r data
else
    skip "the files of MNIST: no mnist/ in $data"
fi

# ---- files that nobody knows, and none at all
mkdir set && "$make_data" set 60 20 || fail "make_data"
sum() { sha256sum <"$1" | cut -d' ' -f1; }
net 'mnist("set/idx")' '28, 28, 1' >relative.znet
expect "data: a relative of MNIST" 3 '^4 of 4 files are there, 0 as published; other data sets' "$znetc" data relative.znet
expect "which trains without a word" 0 '' "$znetc" run relative.znet --set train.batch=20 -- --steps 1 --log log.jsonl
equal "no word of it" 0 "$(grep -c 'as published' "$tmp/err")"
net 'npy("set/npy/train_images.npy", "set/npy/train_labels.npy", "set/npy/test_images.npy", "set/npy/test_labels.npy")' '28, 28, 1' >npy.znet
expect "data: npy" 0 "^  ./set/npy/test_images.npy .*sha256:$(sum set/npy/test_images.npy)  \[20, 28, 28\(, 1\)*\]\$" "$znetc" data npy.znet
expect "data: no checksums are known" 0 '^all is there; no checksums of it are known$' "$znetc" data npy.znet
expect "data: npy from elsewhere" 0 '^  ./set/npy/train_labels.npy ' "$znetc" data npy.znet --data ./set/npy
echo nothing >bad.npy
net 'npy("bad.npy", "set/npy/train_labels.npy", "nosuch.npy", "set/npy/test_labels.npy")' '28, 28, 1' >bad.znet
expect "data: no file of numpy" 3 '^  ./bad.npy .*cannot be read: is not an .npy file' "$znetc" data bad.znet
expect "data: another is missing" 3 '^  ./nosuch.npy .*is not there$' "$znetc" data bad.znet
i=set/idx
net "idx(\"$i/train-images-idx3-ubyte\", \"$i/train-labels-idx1-ubyte\", \"$i/t10k-images-idx3-ubyte\", \"$i/t10k-labels-idx1-ubyte\")" '28, 28, 1' >idx.znet
expect "data: idx" 0 "t10k-labels-idx1-ubyte  .*28 bytes  sha256:$(sum $i/t10k-labels-idx1-ubyte)  \[20\]\$" "$znetc" data idx.znet
mkdir gz && gzip -c $i/train-images-idx3-ubyte >gz/train-images-idx3-ubyte.gz
expect "data: idx, compressed, and three that are missing" 3 "gz/train-images-idx3-ubyte.gz .*sha256:$(sum $i/train-images-idx3-ubyte)  \[60, 28, 28\]\$" "$znetc" data idx.znet --data gz
printf 'xxxx' | dd of=gz/train-images-idx3-ubyte.gz bs=1 seek=$(($(stat -c %s gz/train-images-idx3-ubyte.gz) - 8)) conv=notrunc 2>/dev/null
expect "data: compressed data that is damaged" 3 '^  gz/train-images-idx3-ubyte.gz  cannot be read: incorrect data check$' "$znetc" data idx.znet --data gz
tail -c +17 $i/train-images-idx3-ubyte >x && tail -c +9 $i/train-labels-idx1-ubyte >y
net 'bytes("x", "y", "x", "y", h = 28, w = 28, c = 1)' '28, 28, 1' >bytes.znet
expect "data: bytes" 0 "^  ./x .*47 040 bytes .*\[60, 28, 28, 1\]\$" "$znetc" data bytes.znet
net 'csv("set/csv/train.csv", "set/csv/test.csv", label = "label", type = byte)' '28, 28, 1' >csv.znet
expect "data: csv" 0 "^  ./set/csv/train.csv .*sha256:$(sum set/csv/train.csv)\$" "$znetc" data csv.znet
net 'images("set/images")' '28, 28, 1' >images.znet
expect "data: pictures" 0 '^  ./set/images  .*  60 pictures of 10 classes$' "$znetc" data images.znet
expect "data: pictures, for the test" 0 '^  ./set/images, for the test .*  20 pictures of 10 classes$' "$znetc" data images.znet
expect "data --json: pictures" 0 '"pictures": 60, "classes": 10}' "$znetc" data images.znet --json
expect "data: no pictures" 3 '^  nowhere  is not there$' "$znetc" data images.znet --data nowhere
net 'digits()' '28, 28, 1' >digits.znet
expect "data: digits" 0 'no files are needed$' "$znetc" data digits.znet
expect "data: digits from somewhere" 2 '\-\-data has no use' "$znetc" data digits.znet --data x
echo 'model m { input x[4] linear(3) }' >none.znet
expect "data: none" 1 'has no `data` section' "$znetc" data none.znet
expect "data: an error in the file" 1 'error\[ZN' sh -c 'echo "model m {" >wrong.znet; exec "$0" data wrong.znet' "$znetc"
expect "data: no file" 3 'cannot read' "$znetc" data nosuch.znet
expect "--data of a run" 2 'stands behind `--`' "$znetc" run digits.znet --data x
expect "data -O1" 2 'have no use' "$znetc" data digits.znet -O1
expect "data to a file" 0 '' "$znetc" data npy.znet --json -o report.json
expect "it is there" 0 '^{"source": "npy", .*"complete": true}$' cat report.json
finish
