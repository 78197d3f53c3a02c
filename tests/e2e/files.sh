#!/bin/sh
# Files: what is refused before any work, what is left behind (nothing), and what is not touched (everything else).
. "$(dirname "$0")/lib.sh"
cd "$tmp" || exit 2
cp "$source/tests/e2e/digest.znet" net.znet
mkdir place sub && cd place || exit 2
cp ../net.znet .
hidden() { find "$tmp/place" -name '.*' ! -name . | grep -c .; }
nothing_left() { equal "$1: nothing is left behind" 0 "$(hidden)"; }

# ---- results go into regular files alone
mkfifo fifo && mkdir directory
for flag in "-o" "--emit=obj -o"; do
    # shellcheck disable=SC2086 # words
    {
        expect "$flag /dev/null" 3 "cannot write ./dev/null.: it is a device" "$znetc" net.znet $flag /dev/null
        expect "$flag of a FIFO" 3 "it is a FIFO" "$znetc" net.znet $flag fifo
        expect "$flag of a directory" 3 "it is a directory" "$znetc" net.znet $flag directory
        expect "$flag of the source" 3 "is the source" "$znetc" net.znet $flag net.znet
        expect "$flag of the source by another name" 3 "is the source" "$znetc" net.znet $flag ../place/net.znet
        expect "$flag in no directory" 3 "nosuch/x" "$znetc" net.znet $flag nosuch/x
    }
done
[ -c /dev/null ] || fail "/dev/null is no device any more"
expect "the check comes before the work" 3 "it is a device" "$znetc" nosuch.znet -o /dev/null
expect "--emit=ir of the source" 3 "is the source" "$znetc" net.znet --emit=ir=net.znet
cmp -s net.znet ../net.znet || fail "the source was overwritten"
expect "--emit=ir of a directory" 3 "it is a directory" "$znetc" net.znet --emit=ir=directory

expect "-o - is no place for a program" 3 "does not go to standard output" "$znetc" net.znet -o -
expect "nor for an object" 3 "does not go to standard output" "$znetc" net.znet --emit=obj=-

# ---- limits and full devices are errors of writing
expect "a list to a full device" 3 "No space left" sh -c '"$0" --list-ops >/dev/full' "$znetc"
expect "a limit of file sizes" 3 "File too large" sh -c 'ulimit -f 1; exec "$0" net.znet --emit=obj=limited' "$znetc"
nothing_left "a limit of file sizes"

# ---- text goes into what stands there
"$znetc" net.znet --emit=ir >right.zir
"$znetc" net.znet --emit=ir=/dev/stdout | cmp -s - right.zir || fail "--emit=ir=/dev/stdout"
checks=$((checks + 1))
(timeout 60 cat fifo >from-fifo) &
expect "--emit=ir of a FIFO" 0 "" "$znetc" net.znet --emit=ir=fifo
wait
checks=$((checks + 1))
cmp -s from-fifo right.zir && [ -p fifo ] || fail "--emit=ir of a FIFO: not written, or the FIFO is gone"

# ---- names, modes, links
expect "a name that starts with -" 0 "" "$znetc" net.znet -o -net
expect "it runs" 0 "^weights sha256:" ./-net --steps 1
expect "objects of such a name" 0 "" "$znetc" net.znet --save-temps -o -net
equal "objects of such a name are there" 2 "$(find . -name '-net.[oa]' | grep -c .)"
expect "a path with spaces and quotes" 0 "" "$znetc" net.znet -o "../sub/a 'b' c"
expect "it runs too" 0 "^weights sha256:" "../sub/a 'b' c" --steps 1
: >kept && chmod 700 kept && "$znetc" net.znet -o kept
equal "the mode of what was there" 700 "$(stat -c %a kept)"
: >text && chmod 640 text && "$znetc" net.znet --emit=ir=text
equal "the mode of a text that was there" 640 "$(stat -c %a text)"
: >../sub/target && ln -s ../sub/target link && "$znetc" net.znet --emit=ir=link
checks=$((checks + 1))
[ -L link ] && cmp -s ../sub/target right.zir || fail "a link was replaced, or its file not written"
nothing_left "results"

# ---- messages speak of the user's names
expect "a linker that fails" 3 "could not link" "$znetc" net.znet -o out --cc=false
cat >complain <<'END'
#!/bin/sh
for a; do case $a in *.o) echo "ld: $a: no good" >&2 ;; esac; done
exit 1
END
chmod +x complain
expect "what the linker says" 3 "^ld: train.o: no good$" "$znetc" net.znet -o out --cc=./complain
checks=$((checks + 1))
grep -q '\.tmp' "$tmp/err" && fail "a message shows a temporary name"
expect "-### shows a command that could be given" 0 "cc -o ./-net ./-net.o ./-net.a .*libzn_runtime.a" "$znetc" net.znet -o -net -###
[ ! -e out ] || fail "a linker that failed left a result"
nothing_left "a linker that fails"

# ---- signals leave nothing behind
cat >slow <<'END'
#!/bin/sh
: >started
sleep 30
END
chmod +x slow
for pair in INT:130 TERM:143 HUP:129; do
    signal=${pair%:*}
    rm -f started
    env --default-signal=INT "$znetc" net.znet -o out --cc=./slow 2>/dev/null &
    pid=$!
    for _ in $(seq 300); do [ -e started ] && break; sleep 0.05; done
    kill -$signal $pid
    wait $pid
    equal "SIG$signal while it links: exit code" ${pair#*:} $?
    nothing_left "SIG$signal while it links"
done

# ---- a start that fails leaves the last run as it was
expect "a run" 0 "" "$znetc" run net.znet -- --steps 2 --out run --log also.jsonl
cp -r run before && cp also.jsonl also.before
for wrong in "--init-from nosuch" "--init-from net.znet" "--data nowhere" "--epochs 1"; do
    # shellcheck disable=SC2086 # words
    "$znetc" run net.znet -- $wrong --out run --log also.jsonl >/dev/null 2>&1 && fail "$wrong passes"
    checks=$((checks + 1))
    diff -r run before >/dev/null && cmp -s also.jsonl also.before || fail "$wrong: the last run's files were changed"
done
nothing_left "runs"
expect "--data without a use" 2 "makes its data itself" "$znetc" run net.znet -- --data nowhere
expect "--epochs 1 says the ways that work" 2 "--steps N, or compile with another schedule" "$znetc" run net.znet -- --epochs 1

# ---- files of data that have no end, or none that fits
sed 's/source *= noise(.*/source = bytes("images", "labels", "images", "labels", 10, 9, 3)/' net.znet >bytes.znet
head -c 27000 /dev/zero >images && head -c 100 /dev/zero >labels
expect "bytes" 0 "" "$znetc" run bytes.znet -- --steps 1
cp images images.kept && truncate -s 8T images
expect "a sparse file" 3 "images: has .* bytes; at most" "$znetc" run bytes.znet -- --steps 1
rm images && ln -s /dev/zero images
expect "a device" 3 "images: is a device" "$znetc" run bytes.znet -- --steps 1
mv images.kept images && truncate -s 1T labels
expect "a sparse file of labels" 3 "labels: has .* bytes; at most 100" "$znetc" run bytes.znet -- --steps 1
sed -i 's/"images"/"images.gz"/g' bytes.znet
head -c 100 /dev/zero >labels && gzip -nc images >whole.gz && head -c $(($(wc -c <whole.gz) - 9)) whole.gz >images.gz
expect "compressed bytes that are cut" 3 "images.gz: ends inside" "$znetc" run bytes.znet -- --steps 1

# ---- little memory
case $(ldd "$znetc") in
*san*) skip "little memory: a build with sanitizers" ;;
*) expect "--version with little memory" 0 "^znetc " sh -c 'ulimit -v 300000 && exec timeout 20 "$0" --version' "$znetc" ;;
esac

# ---- numbers that are not finite only in the evaluation
"$znetc" run net.znet -- --steps 1 --out good >/dev/null 2>&1
header=$(od -An -tu8 -N8 good/weights.safetensors | tr -d ' ')
poke() { # TENSOR BYTES: the first element
    at=$(tail -c +9 good/weights.safetensors | head -c "$header" | sed "s/.*\"$1\":{[^}]*\"data_offsets\":\[\([0-9]*\),.*/\1/")
    # shellcheck disable=SC2059 # escapes
    printf "$2" | dd of=good/weights.safetensors bs=1 seek=$((8 + header + at)) conv=notrunc 2>/dev/null
}
poke bn1.running_mean '\346\261\141\377' # -3e38
poke bn1.running_var '\140\102\242\015'  # 1e-30
expect "--eval with a loss that is not finite" 10 "not finite in the evaluation of the test images" \
    "$znetc" run net.znet -- --init-from good/weights.safetensors --eval
expect "it names operation and phase" 10 "written by [a-z_]* .*(phase [0-9]*, kernel" \
    "$znetc" run net.znet -- --init-from good/weights.safetensors --eval
expect "and the line" 10 "^ *--> .*net.znet:4" "$znetc" run net.znet -- --init-from good/weights.safetensors --eval
expect "training that ends so" 10 "not finite in the evaluation" \
    "$znetc" run net.znet -- --init-from good/weights.safetensors --steps 1 --out bad
[ ! -e bad/weights.safetensors ] || fail "weights of such a run were written"
finish
