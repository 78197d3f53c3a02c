#!/bin/sh
# The command line and bad input: exit codes, messages, and nothing half-written.
. "$(dirname "$0")/lib.sh"
cd "$tmp" || exit 2
net=$source/tests/e2e/digest.znet
cp "$net" net.znet

# ---- making files
be32() { # numbers, as four bytes each, the highest first
    for n in "$@"; do
        printf '%b' "$(printf '\\0%03o\\0%03o\\0%03o\\0%03o' $((n >> 24 & 255)) $((n >> 16 & 255)) $((n >> 8 & 255)) $((n & 255)))"
    done
}
bytes() { # COUNT of 0, 1, 2, ... modulo 200
    awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "%c", i % 100 + 1 }'
}
images() { # COUNT HEIGHT WIDTH
    be32 2051 "$1" "$2" "$3"
    bytes $(($1 * $2 * $3))
}
labels() { # COUNT, all of class 0 or 1
    be32 2049 "$1"
    awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) printf "%s", i % 2 ? "b" : "a" }' | tr ab '\000\001'
}
mkdir good
images 12 4 4 >good/ti && labels 12 >good/tl && images 6 4 4 >good/ei && labels 6 >good/el
cat >idx.znet <<'END'
model net { input image[4, 4, 1] conv(4, 3) relu flatten linear(2) }
data { source = idx("good/ti", "good/tl", "good/ei", "good/el") }
train { loss = cross_entropy optimizer = sgd lr = 0.1 batch = 4 epochs = 2 }
END
run_idx() { "$znetc" run idx.znet -- "$@"; }

# ---- usage
expect "no arguments" 2 "no input file" "$znetc"
expect "--help" 0 "usage: znetc" "$znetc" --help
expect "--version" 0 "^znetc [0-9.]* (LLVM [0-9.]*)" "$znetc" --version
expect "--list-passes" 0 "^simplify " "$znetc" --list-passes
expect "--list-ops" 0 "^conv_grad_w " "$znetc" --list-ops
expect "an unknown option" 2 "unknown option .--emitt.; did you mean .--emit." "$znetc" net.znet --emitt=ir
expect "an unknown stage" 2 "unknown kind .plam.; did you mean .plan." "$znetc" net.znet --emit=plam
expect "an unknown pass" 2 "unknown pass .fuze.; did you mean .fuse." "$znetc" net.znet --emit=opt --passes=simplify,fuze
expect "an unknown pass to print after" 2 "unknown pass" "$znetc" net.znet --emit=opt --print-after=nosuch
expect "two files" 2 "one file at a time" "$znetc" net.znet net.znet -o x
expect "no output" 2 "where to" "$znetc" net.znet
expect "a command misspelled" 2 "unknown command .chek.; did you mean .check." "$znetc" chek net.znet
expect "-h" 0 "^usage: znetc" "$znetc" -h
expect "VERB --help" 0 "^usage: znetc" "$znetc" run --help
expect "an option of the training program" 2 "znetc run FILE -- --epochs" "$znetc" run net.znet --epochs 2
expect "two results" 2 "given twice" "$znetc" net.znet --emit=ir --emit=plan
expect "two outputs" 2 "given twice" "$znetc" net.znet -o a -o b
expect "two places" 2 "give one" "$znetc" net.znet -o a --emit=ir=b
expect "two starts" 2 "gives .init. twice" "$znetc" check net.znet --init zero --set init=kaiming
expect "a key twice" 2 "gives .train.lr. twice" "$znetc" check net.znet --set train.lr=1 --set train.lr=2
expect "run -o" 2 "has no use" "$znetc" run net.znet -o out
expect "run --emit" 2 "stands alone" "$znetc" run net.znet --emit=ir
expect "check --cc" 2 "about linking" "$znetc" check net.znet --cc=gcc
expect "two levels" 2 "given twice" "$znetc" net.znet -O1 -O2 --emit=ir
expect "a level beside --passes" 2 "has no use" "$znetc" net.znet -O1 --passes=init --emit=ir
expect "a processor without code" 2 "no code is made" "$znetc" net.znet --march=x86-64-v3 --emit=ir
expect "a value for a flag" 2 "a value that it does not take" "$znetc" --list-passes=all
expect "-O3" 2 "takes 0, 1 or 2" "$znetc" check net.znet -O3
cat >warned.znet <<'END'
block unused(a, b) { conv(a, 3) }
model m { input image[8, 8, 1] unused(4, 2) avgpool linear(10) }
END
expect "a warning" 0 "^warning.ZN0402.: the parameter .b. of .unused. is never used" "$znetc" check warned.znet
expect "a warning as JSON" 0 '"code":"ZN0402","severity":"warning"' "$znetc" check warned.znet --diagnostics=json
expect "-Werror" 1 "^error.ZN0402." "$znetc" check warned.znet -Werror
expect "-Wno-CODE" 0 "^layer" "$znetc" check warned.znet -Werror -Wno-ZN0402
expect "-Wno- of an error" 2 "is an error, not a warning" "$znetc" check warned.znet -Wno-ZN0201
expect "-Wno- of no code" 2 "there is no diagnostic .ZN0492.; did you mean .ZN0402." "$znetc" check warned.znet -Wno-ZN0492
expect "explain" 0 "^ZN0207, error: " "$znetc" explain ZN0207
expect "explain of all" 0 "^ZN0402  warning " "$znetc" explain
expect "explain of no code" 2 "there is no diagnostic .ZN9999." "$znetc" explain ZN9999
expect "check: what the columns are" 0 "^layer .*kernel .*output .*parameters .*FLOPs/image .*MB/batch .*init" "$znetc" check net.znet
expect "check: the sum of a stage" 0 "^= stage  *[0-9]" "$znetc" check net.znet
expect "check --json" 0 '^{"model": "net", "layers": \[.*"peak": [0-9]*' "$znetc" check net.znet --json
expect "a bad level" 2 "takes 0, 1 or 2" "$znetc" net.znet -O7 -o x
expect "a bad choice" 2 "takes auto" "$znetc" net.znet --gemm=fast -o x
expect "an option without its value" 2 "needs a value" "$znetc" net.znet -o
expect "-D without =" 2 "takes name=value" "$znetc" check net.znet -D depth
expect "-D of an unknown name" 1 "has no param .dept." "$znetc" check net.znet -D dept=3
expect "--set of an unknown key" 1 "did you mean .epochs." "$znetc" check net.znet --set train.epoch=3
expect "arguments after -- when building" 2 "are for .znetc run." "$znetc" net.znet -o x -- --steps 3
expect "an unknown processor" 2 "unknown, or not for this machine" "$znetc" net.znet --march=pentium -o x
expect "an unknown machine" 2 "unknown, or not for this machine" "$znetc" net.znet --target=vax-dec-vms --emit=obj -o x
expect "a processor of another machine" 2 "unknown, or not" "$znetc" net.znet --target=aarch64-linux-gnu --march=x86-64-v3 -o x
for target in aarch64-linux-gnu x86_64-linux-gnu; do # one of them is another machine than this one
    case $target in "$(uname -m)"-*) continue ;; esac
    if "$znetc" net.znet --target=$target --emit=obj=other 2>"$tmp/err"; then
        expect "--emit=asm for $target" 0 "zn_compiled_module" "$znetc" net.znet --target=$target --emit=asm
        expect "an executable for $target" 2 "not linked or run here" "$znetc" net.znet --target=$target -o x
        expect "a run for $target" 2 "not linked or run here" "$znetc" run net.znet --target=$target
    elif grep -q "LLVM does not know this machine" "$tmp/err"; then
        skip "code for $target: this LLVM has none"
    else
        fail "--emit=obj for $target"
    fi
done
expect "a file that is not there" 3 "nosuch.znet" "$znetc" check nosuch.znet
expect "a directory" 3 "good" "$znetc" check good
expect "an unknown option of the training program" 2 "nosuch" "$znetc" run net.znet -- --nosuch
expect "no number" 2 "takes a whole number" "$znetc" run net.znet -- --steps many
expect "a negative number" 2 "takes a whole number" "$znetc" run net.znet -- --threads -1
expect "too many threads" 2 "takes a whole number" "$znetc" run net.znet -- --threads 1000
expect "--eval with --out" 2 "nothing for --out to write" "$znetc" run net.znet -- --eval --out o
expect "znopt without a file" 2 "usage" "$bin/znopt"
expect "znopt of no IR" 1 "expected .zir." "$bin/znopt" net.znet
expect "an empty file" 1 "model" "$znetc" check /dev/null
expect "no train section" 1 "nothing to train" sh -c 'echo "model m { input x[4] linear(2) }" | "$0" run -' "$znetc"
expect "check needs no train section" 0 "^total: 10 parameters" sh -c 'echo "model m { input x[4] linear(2) }" | "$0" check -' "$znetc"
expect "errors as JSON" 1 '"code": *"ZN0' sh -c 'echo "model m { input x[4] liner(2) }" | "$0" check --diagnostics=json -' "$znetc"
expect "colour" 1 "$(printf '\033')" sh -c 'echo "model m { input x[4] liner(2) }" | "$0" check --color=always -' "$znetc"

# ---- what is asked for goes to standard output or a file, alone
expect "check" 0 "^total: " "$znetc" check net.znet --init kaiming
equal "check writes nothing to standard error" 0 "$(wc -c <"$tmp/err")"
for kind in ast ir init grad opt plan llvm asm; do
    expect "--emit=$kind" 0 "" "$znetc" net.znet --emit=$kind
    checks=$((checks + 1))
    [ -s "$tmp/out" ] && [ ! -s "$tmp/err" ] || fail "--emit=$kind: nothing, or messages"
    expect "--emit=$kind=PATH" 0 "" "$znetc" net.znet --emit=$kind=stage.$kind
    checks=$((checks + 1))
    cmp -s "$tmp/out" /dev/null && "$znetc" net.znet --emit=$kind 2>/dev/null | cmp -s - stage.$kind ||
        fail "--emit=$kind=PATH is not what --emit=$kind prints"
done
expect "--emit=obj" 0 "" "$znetc" net.znet --emit=obj=net.o
checks=$((checks + 1))
[ -s net.o ] || fail "--emit=obj wrote nothing"
expect "--print-after-all" 0 "# after select" "$znetc" net.znet --emit=opt=/dev/null --print-after-all --verify-each
expect "--time-passes" 0 "^grad .* ms" "$znetc" net.znet --emit=opt=/dev/null --time-passes
expect "-v" 0 "^fuse: @train_step" "$znetc" net.znet --emit=opt=/dev/null -v
expect "--emit to a directory that is not there" 3 "nosuch" "$znetc" net.znet --emit=ir=nosuch/x
"$znetc" net.znet --emit=ir=a.zir && "$znetc" net.znet --emit=init=b.zir
expect "znopt runs a pass" 0 "" "$bin/znopt" a.zir --passes=init -o c.zir
checks=$((checks + 1))
cmp -s b.zir c.zir || fail "znopt --passes=init differs from --emit=init"

# ---- linking
expect "no C compiler driver" 3 "cannot run the C compiler driver" "$znetc" net.znet -o train --cc=/nosuch/cc
expect "a C compiler driver that fails" 3 "could not link" "$znetc" net.znet -o train --cc=false
expect "-o in a directory that is not there" 3 "" "$znetc" net.znet -o nosuch/train
expect "-###" 0 "libzn_runtime.a" "$znetc" net.znet -o train -###
equal "nothing was left behind" "" "$(ls | grep -e '^train' -e '\.tmp' -e '\.o$' | grep -v '^net.o$')"
expect "an executable" 0 "" "$znetc" net.znet -o train
equal "nothing but the executable" train "$(ls | grep -e '^train' -e '\.tmp')"
expect "the executable trains" 0 "^weights sha256:" ./train --steps 2
expect "the executable's --help" 0 "usage: " ./train --help
expect "--print-source" 0 "" ./train --print-source
checks=$((checks + 1))
cmp -s "$tmp/out" net.znet || fail "--print-source is not the source"
mkdir elsewhere
(cd elsewhere && ../train --steps 1 --out o >/dev/null 2>&1)
equal "where --out is" "checkpoint-1.znc log.jsonl preprocess.json weights.safetensors" "$(ls elsewhere/o | tr '\n' ' ' | sed 's/ $//')"

# ---- data that is wrong
# ---- the same data as raw bytes
mkdir raw
for f in ti ei; do tail -c +17 good/$f >raw/$f; done
for f in tl el; do tail -c +9 good/$f >raw/$f; done
sed 's|idx("good/ti", "good/tl", "good/ei", "good/el")|bytes("raw/ti", "raw/tl", "raw/ei", "raw/el", 4, 4, 1)|' idx.znet >bytes.znet
equal "raw bytes, the digest" "$(digest "$znetc" run idx.znet)" "$(digest "$znetc" run bytes.znet)"
mkdir rawgz && for f in ti tl ei el; do gzip -c raw/$f >rawgz/$f.gz; done
equal "raw bytes, compressed" "$(digest "$znetc" run idx.znet)" "$(digest "$znetc" run bytes.znet -- --data rawgz)"
wrong_raw() { # FILE COUNT PATTERN: a directory with only COUNT bytes of FILE
    rm -rf less && cp -r raw less && head -c "$2" "raw/$1" >"less/$1"
    expect "raw bytes, $1 of $2" 3 "$3" "$znetc" run bytes.znet -- --data less
}
wrong_raw ti 100 "less/ti: has 100 bytes, which is not a number of images of 4 x 4 x 1 = 16 bytes"
wrong_raw ti 0 "less/ti: has 0 bytes, which is not a number of images"
wrong_raw tl 11 "less/tl: has 11 labels for the 12 images of less/ti"
wrong_raw el 0 "less/el: has 0 labels for the 6 images of less/ei"
rm -rf less && cp -r raw less && printf '\377' | dd of=less/tl bs=1 seek=5 conv=notrunc 2>/dev/null
expect "raw bytes, a label" 3 "less/tl: label 255 of training image 5 (byte 5) is out of range" "$znetc" run bytes.znet -- --data less
rm -rf less && cp -r raw less && printf '\037\213\010\000' | dd of=less/ti bs=1 conv=notrunc 2>/dev/null
expect "raw bytes that begin as gzip does" 0 "^weights sha256:" "$znetc" run bytes.znet -- --data less
rm less/ei
gzip -c raw/ti | head -c 60 >rawgz/ti.gz
expect "raw bytes, a broken .gz" 3 "rawgz/ti.gz: " "$znetc" run bytes.znet -- --data rawgz
expect "raw bytes, a file missing" 3 "neither less/ei nor less/ei.gz is there" "$znetc" run bytes.znet -- --data less

expect "good IDX files" 0 "^weights sha256:" run_idx
expect "compressed IDX files" 0 "^weights sha256:" sh -c 'mkdir gz && for f in ti tl ei el; do gzip -c good/$f >gz/$f || exit 1; done; "$0" run idx.znet -- --data gz' "$znetc"
wrong() { # NAME PATTERN: --data NAME, a copy of the good files with one that was replaced
    expect "$1" 3 "$2" run_idx --data "$1" --out "out-$1"
    checks=$((checks + 1))
    [ ! -e "out-$1/weights.safetensors" ] || fail "$1: weights were written"
}
copy() { mkdir "$1" && cp good/* "$1"; }
copy truncated && head -c 100 good/ti >truncated/ti && wrong truncated "ti: ends at byte 100; its header promises 108 bytes more"
copy header && head -c 9 good/ti >header/ti && wrong header "ti: ends at byte 9, inside the sizes"
copy empty && : >empty/tl && wrong empty "tl: ends at byte 0, inside the magic number"
copy magic && { printf '\001\002\003\004' && tail -c +5 good/ti; } >magic/ti && wrong magic "magic number 01020304"
copy longer && { cat good/ti && echo; } >longer/ti && wrong longer "ti: goes on after its last item, from byte 208"
copy range && { be32 2049 12 && printf '\000\001\000\001\000\007\000\001\000\001\000\001'; } >range/tl && wrong range "tl: label 7 of training image 5 (byte 13) is out of range"
copy fewer && labels 11 >fewer/tl && wrong fewer "tl: has 11 labels for the 12 images"
copy shape && images 6 5 4 >shape/ei && wrong shape "ei: images are not of the shape"
copy size && images 12 5 4 >size/ti && images 6 5 4 >size/ei && wrong size "images are \[5, 4, 1\]; the network takes \[4, 4, 1\]"
copy huge && be32 2051 4294967295 4294967295 4294967295 >huge/ti && wrong huge "too large"
copy promise && { be32 2051 100000000 1000 100 && bytes 50; } >promise/ti && wrong promise "promises"
copy small && images 3 4 4 >small/ti && labels 3 >small/tl && wrong small "3 images, less than one batch of 4"
copy gzipped && gzip -c good/ti | head -c 60 >gzipped/ti && wrong gzipped "gzipped/ti"
mkdir missing && wrong missing "neither missing/ti nor missing/ti.gz is there"
wrong nowhere "neither nowhere/ti nor"

cat >cifar.znet <<'END'
model net { input image[32, 32, 3] conv(4, 3, stride = 2) relu avgpool linear(10) }
data { source = cifar10("cifar") }
train { loss = cross_entropy optimizer = sgd lr = 0.1 batch = 64 epochs = 1 }
END
expect "no CIFAR files" 3 "data_batch_1.bin" "$znetc" run cifar.znet
mkdir cifar
head -c 30730000 /dev/zero >cifar/data_batch_1.bin
for i in 2 3 4 5; do ln cifar/data_batch_1.bin cifar/data_batch_$i.bin; done
head -c 30729999 /dev/zero >cifar/test_batch.bin
expect "a CIFAR file of the wrong length" 3 "test_batch.bin: has 30729999 bytes; a batch of CIFAR-10 has 30730000" "$znetc" run cifar.znet
{ head -c 3073 /dev/zero && printf '\012' && head -c 30726926 /dev/zero; } >cifar/test_batch.bin
expect "a CIFAR label out of range" 3 "test_batch.bin: label 10 at byte 3073" "$znetc" run cifar.znet
expect "no MNIST files" 3 "train-images" sh -c 'echo "model m { input image[28, 28, 1] flatten linear(10) } data { source = mnist(\"none\") } train { loss = cross_entropy optimizer = sgd lr = 0.1 batch = 8 epochs = 1 }" | "$0" run -' "$znetc"
rm -r cifar

# ---- places that cannot be written
: >file
expect "--out is a file" 3 "file" "$znetc" run net.znet -- --steps 1 --out file
expect "--out below a file" 3 "file/o" "$znetc" run net.znet -- --steps 1 --out file/o
expect "--out that is read-only" 3 "proc" "$znetc" run net.znet -- --steps 1 --out /proc/self
expect "--log that cannot be written" 3 "nosuch/log" "$znetc" run net.znet -- --steps 1 --log nosuch/log
expect "the end of standard output" 3 "" sh -c '"$0" check net.znet >/dev/full' "$znetc"
expect "--emit to a full device" 3 "" sh -c '"$0" net.znet --emit=opt >/dev/full' "$znetc"
mkdir disk
if mount -t tmpfs -o size=16k none disk 2>/dev/null; then
    expect "a full disk" 3 "No space left" "$znetc" run net.znet -- --steps 2 --out disk/o
    checks=$((checks + 1))
    [ ! -e disk/o/weights.safetensors ] || fail "a full disk: weights were left"
    equal "a full disk: nothing temporary" "" "$(ls -A disk/o | grep -v -x -e log.jsonl -e preprocess.json)"
    expect "an executable on a full disk" 3 "" "$znetc" net.znet -o disk/train
    equal "a full disk: no executable" "" "$(ls disk | grep -v '^o$')"
    umount disk
else
    skip "a full disk: no file system can be mounted here"
fi

# ---- weights that do not fit
"$znetc" run net.znet -- --steps 3 --out first >/dev/null 2>&1
cp first/weights.safetensors w.safetensors
expect "weights from a file" 0 "test accuracy" "$znetc" run net.znet -- --eval --init-from w.safetensors
equal "weights from a file are those" "$(sha256sum <w.safetensors | cut -d' ' -f1)" \
    "$(digest "$znetc" run net.znet -- --steps 0 --init-from w.safetensors)"
expect "weights of another network" 12 "" "$znetc" run idx.znet -- --steps 1 --init-from w.safetensors
expect "no weights file" 3 "cannot open" "$znetc" run net.znet -- --steps 1 --init-from nosuch
head -c 1000 w.safetensors >cut.safetensors
expect "a truncated weights file" 3 "cut.safetensors" "$znetc" run net.znet -- --steps 1 --init-from cut.safetensors
expect "a weights file of text" 3 "net.znet" "$znetc" run net.znet -- --steps 1 --init-from net.znet

# ---- numbers that are not finite: which operation, which line, no weights
expect "a learning rate of a million" 10 "is not finite at step" "$znetc" run net.znet --set train.lr=1e6 --init kaiming -- --out big
expect "it names the operation" 10 "written by [a-z_]*" "$znetc" run net.znet --set train.lr=1e6 --init kaiming
expect "and the line" 10 "^ *--> .*net.znet:[0-9]" "$znetc" run net.znet --set train.lr=1e6 --init kaiming
checks=$((checks + 1))
[ ! -e big/weights.safetensors ] || fail "weights that are not finite were written"

# ---- the peak that check names is the one that is measured
"$znetc" "$source/examples/digits.znet" -o digits || fail "cannot compile"
threads=$(nproc)
said=$("$znetc" check "$source/examples/digits.znet" --json | sed 's/.*"peak": \([0-9]*\),.*/\1/')
seen=$(./digits --steps 2 --threads "$threads" --progress none | sed -n 's/^memory  *peak \([0-9.]*\) MB.*/\1/p')
case $(ldd digits) in
*san*) skip "the peak: a build with sanitizers" ;;
*)
    checks=$((checks + 1))
    awk "BEGIN { d = $seen - $said * 1e-6; exit !(d > -4 && d < 4) }" || fail "check says a peak of $said bytes; measured are $seen MB"
    ;;
esac

# ---- Ctrl-C
"$znetc" net.znet --set train.epochs=1000000 -o long || fail "cannot compile"
wait_for() { # FILE PATTERN: at most 30 seconds
    for i in $(seq 300); do
        grep -q -e "$2" "$1" 2>/dev/null && return 0
        sleep 0.1
    done
    fail "$1 never holds $2"
    return 1
}
./long --out stopped --log-every 10 --progress none >"$tmp/out" 2>&1 &
pid=$!
wait_for stopped/log.jsonl '"event":"step"' && kill -INT $pid
wait $pid
equal "Ctrl-C ends with 75" 75 $?
checks=$((checks + 1))
grep -q '"interrupted":true' stopped/log.jsonl || fail "the log does not say that it was interrupted"
equal "the weights of a run that was stopped" "$(sed -n 's/^weights sha256://p' "$tmp/out")" \
    "$(sha256sum <stopped/weights.safetensors | cut -d' ' -f1)"
equal "nothing else but checkpoints" "log.jsonl preprocess.json weights.safetensors" "$(ls -A stopped | grep -v '^checkpoint-[0-9]*\.znc$' | tr '\n' ' ' | sed 's/ $//')"
./long --out terminated --log-every 10 --progress none >"$tmp/out" 2>&1 &
pid=$!
wait_for terminated/log.jsonl '"event":"step"' && kill -TERM $pid
wait $pid
equal "SIGTERM ends with 75" 75 $?
# the second one ends at once: a process that is stopped gets both before it can end a step
./long --out twice --log-every 1 --progress none >"$tmp/out" 2>&1 &
pid=$!
wait_for twice/log.jsonl '"event":"step"' && kill -STOP $pid && kill -INT $pid && kill -TERM $pid && kill -CONT $pid
wait $pid
equal "a second signal ends with 75" 75 $?
checks=$((checks + 1))
[ ! -e twice/weights.safetensors ] && ls -A twice | grep -v '^checkpoint-[0-9]*\.znc$' | grep -v -x -q -e log.jsonl -e preprocess.json && fail "a second signal left a partial file"

# ---- the log
"$znetc" run net.znet --set train.lr=0.05 -- --out logged --log other.jsonl --log-every 2 --eval-first >/dev/null 2>&1
equal "the events of a run" "start initial step step epoch step step step epoch step step epoch end" \
    "$(sed -n 's/^{"event":"\([a-z]*\)".*}$/\1/p' logged/log.jsonl | tr '\n' ' ' | sed 's/ $//')"
checks=$((checks + 1))
cmp -s logged/log.jsonl other.jsonl || [ -s other.jsonl ] || fail "--log wrote nothing"
if command -v python3 >/dev/null 2>&1; then
    expect "every line of the log is JSON" 0 "" python3 -c 'import json, sys
for line in open("logged/log.jsonl"): json.loads(line)'
    expect "the weights file is what others read" 0 "^ok" python3 -c 'import json, struct
b = open("logged/weights.safetensors", "rb").read()
n = struct.unpack("<Q", b[:8])[0]
h = json.loads(b[8:8 + n])
assert h.pop("__metadata__") == {"format": "pt"}
ends = sorted(v["data_offsets"] for v in h.values())
assert ends[0][0] == 0 and ends[-1][1] == len(b) - 8 - n and all(a[1] == c[0] for a, c in zip(ends, ends[1:]))
assert h["conv1.weight"]["shape"] == [12, 3, 3, 3] and h["head.weight"]["shape"] == [5, 32]
assert "conv1.weight.momentum" not in h
print("ok")'
else
    skip "reading log and weights with Python: there is none"
fi

# test views: once, after the last step, beside the plain accuracy
expect "a run with views" 0 "^  with views " "$znetc" run "$source/tests/e2e/recipe.znet" -- --out views --progress none
equal "epochs, and those with views" "4 1" \
    "$(grep -c '"event":"epoch"' views/log.jsonl) $(grep '"event":"epoch"' views/log.jsonl | grep -c test_accuracy_views)"
expect "in the end too" 0 "test_accuracy_views" grep '"event":"end"' views/log.jsonl
expect "views by --eval" 0 "^  with views " "$znetc" run "$source/tests/e2e/recipe.znet" -- \
    --eval --init-from views/weights.safetensors
finish
