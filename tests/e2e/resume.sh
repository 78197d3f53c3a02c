#!/bin/sh
# A run that was interrupted, killed, or had no room goes on to the bits of one that was not.
. "$(dirname "$0")/lib.sh"
cd "$tmp" || exit 2
cp "$source/tests/e2e/recipe.znet" recipe.znet
cp "$source/tests/e2e/digest.znet" net.znet
sed 's/normalize = per_channel/& split = 0.2/; s/optimizer = .*/optimizer = adam average = ema(decay = 0.9)/; s/cosine(0.05/cosine(0.003/' net.znet >held.znet

# What two runs must agree in: the log without times, and without where it was taken up.
without_times() {
    sed -e '/"event":"resume"/d' -e 's/"\(images_per_second\|seconds\|first_step_seconds\|peak_memory_bytes\|planned_bytes\|threads\)":[^,}]*,*//g' \
        -e 's/,}/}/; s/"overrides":{[^}]*}//' "$1"
}

# same_run WHAT DIRECTORY: weights and log are those of the straight run.
same_run() {
    checks=$((checks + 1))
    cmp -s "$2/weights.safetensors" straight/weights.safetensors || fail "$1: other weights"
    if [ -e straight/best.safetensors ]; then
        checks=$((checks + 1))
        cmp -s "$2/best.safetensors" straight/best.safetensors || fail "$1: other best weights"
    fi
    without_times straight/log.jsonl >right && without_times "$2/log.jsonl" >got
    checks=$((checks + 1))
    cmp -s right got || { fail "$1: another log"; diff right got | head -n 5; }
    equal "$1: seconds of the run grow from event to event" "" "$(sed -n 's/.*"seconds":\([^,}]*\).*/\1/p' "$2/log.jsonl" |
        awk '$1 + 0 < last { print NR ": " $1 " behind " last } { last = $1 + 0 }')"
}

# ---- from every step of a run, by JIT and executable, with any number of threads
for net in net recipe held; do
    "$znetc" $net.znet -o $net || fail "$net does not compile"
    ./$net --out straight --overwrite --log-every 1 --threads 2 >out 2>&1 || fail "$net does not run"
    whole=$(sed -n 's/^weights sha256://p' out)
    steps=$(grep -c '"event":"step"' straight/log.jsonl)
    for k in $(seq 1 $((steps > 12 ? 3 : 2)) $((steps - 1))); do
        rm -rf part
        ./$net --out part --log-every 1 --steps "$k" --threads $((k % 3 + 1)) >/dev/null 2>&1 || fail "$net, $k steps"
        case $((k % 2)) in
        0) got=$(digest ./$net --out part --resume --log-every 1 --threads $(((k + 1) % 3 + 1))) ;;
        *) got=$(digest "$znetc" run $net.znet -O0 -- --out part --resume --log-every 1 --threads $(((k + 1) % 3 + 1))) ;;
        esac
        equal "$net from step $k" "$whole" "$got"
        same_run "$net from step $k" part
    done
done
[ -e part/best.safetensors ] || fail "the best weights by validation are not kept"
epoch=$(sed -n 's/.*"event":"epoch","epoch":\([0-9]*\),.*"validation_accuracy":\([0-9.]*\),.*/\2 \1/p' part/log.jsonl | sort -k1,1gr -k2,2g | head -n 1 | cut -d' ' -f2)
./held --steps $((epoch * $(sed -n 's/.*"event":"epoch","epoch":1,"step":\([0-9]*\).*/\1/p' part/log.jsonl))) --out until >/dev/null 2>&1
checks=$((checks + 1))
cmp -s until/weights.safetensors part/best.safetensors || fail "the best weights are not those after epoch $epoch"
equal "two checkpoints are kept" 2 "$(ls part | grep -c '^checkpoint-[0-9]*\.znc$')"
equal "a run that is over ends again the same way" "$whole" "$(digest ./held --out part --resume --log-every 1)"
same_run "a run that is over" part

# ---- what is refused
./net --out half --steps 7 --checkpoint-every 3 >/dev/null 2>&1
equal "a checkpoint at the end of --steps" "checkpoint-6.znc checkpoint-7.znc" "$(ls half | grep ^check | tr '\n' ' ' | sed 's/ $//')"
expect "another seed" 12 "seed: 1 there, 2 here" ./net --out half --resume --seed 2
expect "other epochs" 12 "epochs: 3 there, 4 here" ./net --out half --resume --epochs 4
expect "another network" 12 "digest of the source" ./recipe --out half --resume
expect "an option of the compilation" 12 'set: nothing there, ."train.decay=0"' "$znetc" run net.znet --set train.decay=0 -- --out half --resume
expect "another algorithm" 12 "^  --conv: auto there, direct here" "$znetc" run net.znet --conv=direct -- --out half --resume
expect "other data" 12 "digest of the data" "$znetc" run net.znet --set 'data.source=noise(10, 9, 3, 5, 90, seed = 2)' -- --out half --resume
expect "other weights to start from" 12 "init-from: none there" ./net --out half --resume --init-from straight/weights.safetensors
expect "an end before the checkpoint" 2 "is of step 7, behind the end at step 5" ./net --out half --resume --steps 5
for wrong in "--resume" "--checkpoint-every 2" "--overwrite" "--out half --resume --overwrite" "--out half --checkpoint-every 0" \
    "--stop-if-loss-above much" "--map a=b" "--init-from x --map a" "--confusion" "--eval --resume --out half"; do
    # shellcheck disable=SC2086 # words
    expect "$wrong" 2 "" ./net $wrong
done
expect "a new run in place of an unfinished one" 0 "" ./net --out fresh --steps 3
printf x >>fresh/checkpoint-3.znc
expect "a damaged checkpoint alone" 3 "checkpoint-3.znc: is damaged or cut" ./net --out fresh --resume
cp half/checkpoint-6.znc half/kept && cp half/checkpoint-7.znc half/kept7 && printf x >>half/checkpoint-7.znc
expect "a damaged checkpoint" 0 "warning: half/checkpoint-7.znc: is damaged or cut" ./net --out half --resume
equal "the one before is taken" "$(digest ./net)" "$(sed -n 's/^weights sha256://p' "$tmp/out")"
rm -rf empty && expect "nothing to resume" 0 "note: there is no checkpoint in empty" ./net --out empty --resume
equal "it starts from the beginning" "$(digest ./net)" "$(sed -n 's/^weights sha256://p' "$tmp/out")"
expect "weights that are not kept" 0 "note: the weights will not be kept; --out DIR" ./net --steps 1
expect "a loss above a limit" 10 "the loss is .* at step 1 .*above --stop-if-loss-above 0.1; no weights" ./net --stop-if-loss-above 0.1 --out above
[ ! -e above/weights.safetensors ] || fail "weights of a run that was stopped were written"
expect "a loss below a limit" 0 "" ./net --stop-if-loss-above 100

# ---- Ctrl-C in the middle
slow='init=kaiming'
"$znetc" net.znet --set $slow --set train.epochs=400 -o slow
./slow --out straight --overwrite --log-every 100 --threads 1 >out 2>&1
whole=$(sed -n 's/^weights sha256://p' out)
env --default-signal=INT ./slow --out cut --log-every 100 --threads 1 --progress none >out 2>&1 &
pid=$!
for _ in $(seq 400); do [ "$(cat cut/log.jsonl 2>/dev/null | wc -l)" -gt 9 ] && break; sleep 0.01; done
kill -INT $pid
wait $pid
equal "Ctrl-C: exit code" 75 $?
checks=$((checks + 1))
grep -q '"interrupted":true' cut/log.jsonl || fail "Ctrl-C: the log does not say so"
expect "a run beside one that was interrupted" 3 "holds a run that has not ended" ./slow --out cut
equal "after Ctrl-C" "$whole" "$(digest ./slow --out cut --resume --log-every 100 --threads 2)"
same_run "after Ctrl-C" cut

# ---- two at once
./slow --out two --threads 1 --progress none >/dev/null 2>&1 &
pid=$!
for _ in $(seq 400); do [ -e two/log.jsonl ] && break; sleep 0.01; done
kill -STOP $pid # a second run waits for some seconds, in which this one might end
expect "a second run in one directory" 3 "another run writes into two" ./slow --out two
kill -KILL $pid
wait $pid 2>/dev/null
expect "the lock is gone with its process" 0 "" ./slow --out two --resume --steps 1990

# ---- 20 SIGKILLs at random moments, and between them two without room
kills=${ZN_KILLS:-20} done=0 tries=0
while [ $done -lt "$kills" ] && [ $tries -lt $((10 * kills)) ]; do
    tries=$((tries + 1))
    rm -f finished
    (
        [ $((tries % 7)) -ne 3 ] || ulimit -f 100
        timeout -s KILL "0.0$(($(od -An -N2 -tu2 /dev/urandom) % 90 + 10))" ./slow --out killed --resume --log-every 100 \
            --checkpoint-every 13 --threads $((tries % 3 + 1)) --progress none >out 2>&1
        echo $? >code
    )
    case $(cat code) in
    137) done=$((done + 1)) ;;
    3) grep -q "cannot write" out || { fail "a kill: exit code 3"; cat out; } ;;
    0) rm -rf killed ;; # it came to its end: once more
    *) fail "a kill: exit code $(cat code)"; sed 's/^/    /' out ;;
    esac
    [ ! -d killed ] || [ "$(find killed -name '.*' -name '*.tmp' | wc -l)" -le 2 ] || fail "unfinished files gather"
done
checks=$((checks + 1))
[ $done -ge "$kills" ] || fail "only $done runs were killed"
equal "after $done SIGKILLs" "$whole" "$(digest ./slow --out killed --resume --log-every 100 --threads 2)"
same_run "after $done SIGKILLs" killed
equal "nothing unfinished is left" 0 "$(find killed -name '.*' ! -name killed | grep -c .)"

# ---- no room and no right to write
(
    ulimit -f 60 # 30 KB: no checkpoint, no weights
    ./slow --out small --steps 5 --checkpoint-every 2 --log-every 100 >out 2>&1
    echo $? >code
)
equal "no room for the weights: exit code" 3 "$(cat code)"
checks=$((checks + 1))
grep -q "warning: there is no checkpoint of step 4: .*File too large" out || { fail "no room for a checkpoint"; cat out; }
equal "nothing is left of it" "log.jsonl preprocess.json" "$(ls -A small | tr '\n' ' ' | sed 's/ $//')"
equal "with room again" "$whole" "$(digest ./slow --out small --resume --log-every 100)"
mkdir disk
if unshare -rm mount -t tmpfs -o size=400k none disk 2>/dev/null; then
    # room for two checkpoints and weights, not for three
    unshare -rm sh -c '
        mount -t tmpfs -o size=450k none disk || exit 99
        ./slow --out disk/run --log-every 100 --checkpoint-every 5 --steps 300 2>err >/dev/null
        echo $? >code
        dd if=/dev/zero of=disk/fill bs=1k 2>/dev/null
        ./slow --out disk/run --log-every 100 --checkpoint-every 5 --resume 2>err2 >/dev/null
        echo $? >code2
        rm disk/fill
        ./slow --out disk/run --log-every 100 --checkpoint-every 5 --resume 2>err3
        cp -r disk/run from-disk' >out
    equal "a small disk: exit code" 0 "$(cat code)"
    equal "a full disk: exit code" 3 "$(cat code2)"
    equal "after a full disk" "$whole" "$(sed -n 's/^weights sha256://p' out)"
    same_run "after a full disk" from-disk
else
    skip "a full disk: this user may not mount one"
fi
if [ "$(id -u)" != 0 ]; then
    ./slow --out locked --steps 5 >/dev/null 2>&1
    chmod 555 locked
    expect "a directory that is read-only" 3 "cannot write in the directory locked" ./slow --out locked --resume
    chmod 755 locked
    expect "and is not any more" 0 "" ./slow --out locked --resume --steps 10
elif unshare -m true 2>/dev/null; then
    ./slow --out locked --steps 5 >/dev/null 2>&1
    unshare -m sh -c 'mount --bind locked locked && mount -o remount,ro,bind locked && ./slow --out locked --resume' >out 2>&1
    equal "a directory that is read-only: exit code" 3 $?
    expect "and is not any more" 0 "goes on behind step 5" ./slow --out locked --resume --steps 10
else
    skip "a directory that is read-only: this user may not mount one"
fi
finish
