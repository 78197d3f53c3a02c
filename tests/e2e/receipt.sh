#!/bin/sh
# What a run leaves behind: digests, the experiment in its log, tables of several runs, pictures, and weights to start from.
. "$(dirname "$0")/lib.sh"
cd "$tmp" || exit 2
mkdir parts
sed '/^train/,$d' "$source/tests/e2e/digest.znet" | sed 's/repeat 2/repeat depth/; s/head: linear(5)/head(5)/' >body
{ echo 'param depth = 2' && echo 'import "parts/head.znet"' && cat body; } >net.znet
sed -n '/^train/,$p' "$source/tests/e2e/digest.znet" >>net.znet
printf 'block head(n) { linear(n) }' >parts/head.znet
key() { sed -n "s/.*\"event\":\"$1\".*\"$2\":\"\([^\"]*\)\".*/\1/p" "$3"; }

# ---- the receipt
"$znetc" net.znet -D depth=1 --set train.lr=0.03 -o train || fail "does not compile"
expect "a run" 0 "" ./train --out run --seed 9 --epochs 2 --log-every 2
for d in source data start order weights logits; do
    equal "the end's digest of $d" 64 "$(key end ${d}_sha256 run/log.jsonl | tr -d '\n' | wc -c)"
done
cat net.znet >whole && echo '// import "parts/head.znet"' >>whole && cat parts/head.znet >>whole
equal "the digest of the source" "$(./train --print-source | sha256sum | cut -d' ' -f1)" "$(key end source_sha256 run/log.jsonl)"
equal "--print-source" "$(sha256sum <whole)" "$(./train --print-source | sha256sum)"
./train --out other --seed 8 --epochs 2 >/dev/null 2>&1
differ "another seed, another order" "$(key end order_sha256 run/log.jsonl)" "$(key end order_sha256 other/log.jsonl)"
equal "another seed, the same data" "$(key end data_sha256 run/log.jsonl)" "$(key end data_sha256 other/log.jsonl)"
./train --out again --seed 9 --epochs 2 --threads 1 >/dev/null 2>&1
for d in order weights logits; do
    equal "another number of threads: $d" "$(key end ${d}_sha256 run/log.jsonl)" "$(key end ${d}_sha256 again/log.jsonl)"
done
expect "--eval of the weights" 0 "" ./train --eval --init-from run/weights.safetensors --log eval.jsonl
equal "the same logits" "$(key end logits_sha256 run/log.jsonl)" "$(key end logits_sha256 eval.jsonl)"

# ---- repro: the log is enough
cp run/log.jsonl kept.jsonl
mkdir elsewhere
mv net.znet parts elsewhere
expect "repro" 0 "^the same to the bit" "$znetc" repro kept.jsonl
equal "what it compares" "source data start order weights logits" "$(sed -n 's/^\([a-z]*\) *same$/\1/p' "$tmp/out" | tr '\n' ' ' | sed 's/ $//')"
(cd elsewhere && expect "repro from elsewhere" 0 "^the same to the bit" "$znetc" repro ../kept.jsonl -- --threads 1 && echo "$bad" >../bad)
bad=$(cat bad)
equal "nothing is left of it" "" "$(ls /tmp/znetc-repro-* 2>/dev/null)"
mv elsewhere/net.znet elsewhere/parts .
./train --out part --seed 9 --steps 3 >/dev/null 2>&1
expect "repro of a part" 0 "^the same to the bit" "$znetc" repro part/log.jsonl
./train --out part --seed 9 --resume --steps 7 --log-every 1 >/dev/null 2>&1
expect "repro of a run that was resumed" 0 "^the same to the bit" "$znetc" repro part/log.jsonl
./train --out tuned --init-from run/weights.safetensors --steps 4 >/dev/null 2>&1
expect "repro of a run from weights" 0 "^the same to the bit" "$znetc" repro tuned/log.jsonl
cp other/weights.safetensors run/weights.safetensors
expect "of weights that are not the same" 1 "^the first that differs: start" "$znetc" repro tuned/log.jsonl
expect "and which" 1 "the run began with .*run/weights.safetensors" "$znetc" repro tuned/log.jsonl
sed 's/"weights_sha256":"..../"weights_sha256":"beef/; s/"cpu":"[^"]*"/"cpu":"z80"/' kept.jsonl >cpu.jsonl
expect "another processor" 1 '^  cpu then: "z80"' "$znetc" repro cpu.jsonl
equal "the first that differs" "the first that differs: weights" "$(grep '^the first that' "$tmp/out" | head -n 1)"
sed 's/"event":"step","step":4,"epoch":1,"loss":[0-9]*/&1/; s/"weights_sha256":"..../"weights_sha256":"beef/' kept.jsonl >loss.jsonl
expect "the first loss" 1 "first logged loss that differs is that of step 4" "$znetc" repro loss.jsonl
sed 's/"data_sha256":"..../"data_sha256":"beef/' kept.jsonl >data.jsonl
expect "other data" 1 "^the first that differs: data" "$znetc" repro data.jsonl
sed 's/conv(12/conv(13/' kept.jsonl >source.jsonl
expect "another source" 3 "source.jsonl: the source in this log is not the one that its digest is of" "$znetc" repro source.jsonl
head -n 3 kept.jsonl >cut.jsonl
expect "a log without an end" 3 "did not come to its end" "$znetc" repro cut.jsonl
expect "no log" 3 "net.znet:1: " "$znetc" repro net.znet
expect "an event of nothing" 3 "x.jsonl:1: this is not an event" sh -c 'echo "{}" >x.jsonl; exec "$0" repro x.jsonl' "$znetc"
expect "an empty log" 3 "has no start" sh -c ': >x.jsonl; exec "$0" repro x.jsonl' "$znetc"
expect "repro -O0" 2 "compiles as the log says" "$znetc" repro kept.jsonl -O0
expect "repro -- --log" 2 "is read here" "$znetc" repro kept.jsonl -- --log x

# ---- several runs
expect "a product" 0 "^depth  train.lr  *runs  test accuracy: mean, deviation" \
    "$znetc" run net.znet --seeds 1..2,7 -D depth=1,2 --set 'train.lr=constant(0.01),cosine(0.1, warmup = 1)' -- --out sweep --steps 4
equal "rows of runs" 12 "$(sed -n '/^depth.*seed/,/^$/p' "$tmp/out" | grep -c '%')"
equal "rows of means" 4 "$(sed -n '/^depth.*runs/,$p' "$tmp/out" | grep -c '%')"
equal "directories" 12 "$(find sweep -mindepth 1 -maxdepth 1 -type d | wc -l)"
"$znetc" run net.znet -D depth=2 --set 'train.lr=cosine(0.1, warmup = 1)' -- --out one --steps 4 --seed 7 >/dev/null 2>&1
checks=$((checks + 1))
cmp -s one/weights.safetensors "sweep/depth=2,train.lr=cosine(0.1,_warmup_=_1),seed=7/weights.safetensors" ||
    { fail "a run of a product is another one than it alone"; ls sweep; }
expect "means" 0 "" "$znetc" run net.znet --seeds 1..3 -- --out means --steps 4
accuracies=$(sed -n 's/^[123]  *\([0-9.]*\) %.*/\1/p' "$tmp/out")
want=$(echo "$accuracies" | awk '{ s += $1; q[NR] = $1 } END { m = s / NR; for (i in q) v += (q[i] - m) ^ 2; printf "%.2f %% %9.2f", m, sqrt(v / (NR - 1)) }')
checks=$((checks + 1))
tail -n 1 "$tmp/out" | grep -q -F "$want" || { fail "mean and deviation: not $want"; tail -n 3 "$tmp/out"; }
{ echo 'param word = "none"' && sed 's/repeat depth/repeat word == "a,\\"b" ? 1 : word == "b" ? 0 : depth/' net.znet; } >words.znet
expect "strings in quotes, with what parts values" 0 '^"a,\\"b"  1 ' \
    "$znetc" run words.znet --seeds 1 -D 'word="a,\"b","b",b"c' -- --out words --steps 4
equal "three of them" 3 "$(find words -mindepth 1 -maxdepth 1 -type d | wc -l)"
expect "a run that fails" 10 "exit code 10" "$znetc" run net.znet --seeds 1,2 -- --out failing --stop-if-loss-above 0.1
for wrong in "--seeds 1..0" "--seeds x" "--seeds 1,,2" "--seeds 1,1" "--seeds 1 -D depth=1,1" "--seeds 1..99999"; do
    # shellcheck disable=SC2086 # words
    expect "$wrong" 2 "" "$znetc" run net.znet $wrong -- --out wrong
done
expect "without --out" 2 "need a directory" "$znetc" run net.znet --seeds 1..2
expect "--seeds and --seed" 2 "seed has no use" "$znetc" run net.znet --seeds 1..2 -- --out x --seed 3
expect "--seeds of a build" 2 "an option of .znetc run." "$znetc" net.znet --seeds 1..2 -o x

# ---- pictures
expect "plot" 0 "" "$znetc" plot run/log.jsonl other/log.jsonl kept.jsonl -o curves.svg
expect "plot --over minutes" 0 ">minutes</text>" "$znetc" plot run/log.jsonl kept.jsonl --over=minutes
sed '/"event":"\(step\|epoch\)"/s/,"seconds":[^,}]*//' kept.jsonl >timeless.jsonl # as older versions wrote them
expect "a log without times" 3 "has no losses with the second" "$znetc" plot --over=minutes timeless.jsonl
expect "over steps it is drawn" 0 "</svg>" "$znetc" plot timeless.jsonl
epochs=$(grep -c '"event":"epoch"' kept.jsonl)
for over in steps minutes; do # the end of a run stands at the end of its last epoch, which is drawn already
    "$znetc" plot kept.jsonl --over=$over -o points.svg
    equal "points over $over" $((2 * epochs)) "$(grep -o '<circle' points.svg | wc -l)"
done
expect "--over of a run" 2 "options of .znetc plot" "$znetc" run net.znet --over=minutes
expect "plot --log-scale" 0 "loss (log scale)" "$znetc" plot run/log.jsonl --log-scale
equal "a line of the legend a run" 3 "$(grep -c 'test accuracy [0-9.]* %' curves.svg)"
if command -v python3 >/dev/null 2>&1; then
    expect "it is XML" 0 "" python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' curves.svg
fi
cp kept.jsonl 'a<b&c.jsonl' && expect "a name with signs" 0 "a&lt;b&amp;c, test loss" "$znetc" plot 'a<b&c.jsonl'
expect "a log that is being written" 0 "</svg>" sh -c 'head -c 4000 kept.jsonl >torn.jsonl; exec "$0" plot torn.jsonl' "$znetc"
expect "a log without losses" 3 "has no losses" sh -c 'head -n 1 kept.jsonl >none.jsonl; exec "$0" plot none.jsonl' "$znetc"
expect "plot of nothing" 2 "no input file" "$znetc" plot
expect "plot over a log" 3 "is the source" "$znetc" plot kept.jsonl -o kept.jsonl

# ---- weights to start from, and what is taken for what
mkfifo fifo
expect "a FIFO does not block" 3 "fifo: is not a regular file" timeout 20 ./train --init-from fifo --eval
expect "weights of another network" 12 "^  stage.1.bn1.weight: the network has no such tensor" \
    ./train --eval --init-from 'sweep/depth=2,train.lr=constant(0.01),seed=1/weights.safetensors'
sed 's/\<head(5)/tail: linear(5)/; /import/d' net.znet >renamed.znet
"$znetc" renamed.znet -D depth=1 -o renamed || fail "renamed.znet does not compile"
old=$(sed -n 's/.*"\([a-z0-9.]*\)\.weight":{"dtype":"F32","shape":\[5,32\].*/\1/p' other/weights.safetensors | head -n 1)
expect "names that differ" 12 "tail.bias: the file has no such tensor" ./renamed --eval --init-from other/weights.safetensors
expect "--map" 0 "" ./renamed --eval --init-from other/weights.safetensors --map "$old=tail" --log mapped.jsonl
equal "the same logits under another name" "$(key end logits_sha256 other/log.jsonl)" "$(key end logits_sha256 mapped.jsonl)"
expect "--map of nothing" 12 "has no tensor nothing, which --map nothing=tail names" ./renamed --eval --init-from other/weights.safetensors --map nothing=tail
expect "--confusion" 0 "^rows: what an image is" ./train --eval --confusion --init-from other/weights.safetensors --log confusion.jsonl
right=$(sed -n 's/^test accuracy *\([0-9.]*\) %/\1/p' "$tmp/out")
equal "the diagonal is the accuracy" "$right" \
    "$(awk '/^ *[0-9]+( +[0-9]+)+ .*(%|-)$/ { for (i = 2; i <= 6; i++) all += $i; ok += $($1 + 2) } END { printf "%.2f", 100 * ok / all }' "$tmp/out")"
expect "--outputs" 0 "" ./train --eval --outputs out.npy --init-from other/weights.safetensors
equal "the digest of the outputs is that of the log" "$(key end logits_sha256 other/log.jsonl)" \
    "$(tail -c $((9 * 5 * 4)) out.npy | sha256sum | cut -d' ' -f1)"
equal "the size of a file of numpy" $((128 + 9 * 5 * 4)) "$(wc -c <out.npy)"
equal "its header" "{'descr': '<f4', 'fortran_order': False, 'shape': (9, 5), }" "$(head -c 127 out.npy | tail -c +11 | sed 's/ *$//')"
expect "--outputs where there is no room" 3 "/dev/full: cannot write" ./train --eval --outputs /dev/full
expect "--outputs of a training" 2 "goes with --eval" ./train --outputs x.npy
expect "--views without a file" 2 "goes with --eval and --outputs" ./train --eval --views
expect "--views where there are none" 2 "asks for views of test images; this one does not" ./train --eval --views --outputs x.npy
equal "no file is left behind" "" "$(ls x.npy 2>/dev/null)"
checks=$((checks + 1))
grep -q '"event":"confusion","counts":\[\[[0-9,]*\],' confusion.jsonl || fail "no confusion in the log"
finish
