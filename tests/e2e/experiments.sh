#!/bin/sh
# experiments/: every cell of every table compiles; a table runs, is printed and drawn, is not run twice, and is compared
# with a record.
. "$(dirname "$0")/lib.sh"

# A copy, so that nothing is written to the source.
cp -r "$source/experiments" "$source/examples" "$tmp" && rm -rf "$tmp/experiments/results"
cd "$tmp" || exit 2
run=$tmp/experiments/run.sh

for table in experiments/*.cells; do
    network=experiments/$(sed -n 's/^network  *//p' "$table")
    grep -v '^#' "$table" | grep '|' | while IFS='|' read -r name start options _; do
        { grep -v '^init ' "$network" && echo "init $start"; } >cell.znet
        # shellcheck disable=SC2086 # options are words
        (set -f && "$znetc" check cell.znet $options >out.txt 2>&1) || { echo "$table, $name:" && head -n 3 out.txt; }
        echo "$name" >>names.txt
    done
done >wrong.txt
equal "cells that do not compile" "" "$(cat wrong.txt)"
checks=$((checks + 1))
[ "$(wc -l <names.txt)" -gt 20 ] || fail "only $(wc -l <names.txt) cells were found"

# The table's network is the example's: with the example's start it is the same program.
{ grep -v '^init ' experiments/cifar94.znet && echo "init $(sed -n 's/^dirac_sylvester *| *\(.*[^ ]\) *| *|.*/\1/p' experiments/cifar94.cells)"; } >examples/cell.znet
equal "cifar94: the table's program is the example's" "$("$znetc" examples/cifar94.znet --emit=init --no-loc | cksum)" \
    "$("$znetc" examples/cell.znet --emit=init --no-loc | cksum)"

# A small table on data that is built in.
cat >experiments/small.znet <<'END'
znet 1
param width = 10
model small { input pixels[784] first: linear(20) relu second: linear(width) relu third: linear(width) relu linear(10) }
data { source = digits() }
init identity
train { loss = cross_entropy optimizer = sgd lr = 0.1 batch = 100 epochs = 0.6 }
END
mkdir empty data && : >data/train-images-idx3-ubyte
cat >experiments/small.cells <<'END'
# A table for this test.
data    mnist
network small.znet
run     --eval-first --log-every 10
rank    third
loss    20
pair    first
curves  test_accuracy train_loss rank_minus_identity

first   | zero(variant = weights)                | -D width=30 |
second  | { ** = kaiming  third = identity }     | -D width=20 --set train.epochs=1.2 |
wrong   | zeroes                                 | |
third   | identity                               | --set train.lr=1e30 | --steps 50
END
small() { "$run" --znetc "$znetc" --threads 2 --mnist data --out runs "$@" small; }

expect "a table whose data is missing" 0 "^SKIPPED small: there is no train-images-idx3-ubyte in empty" "$run" --znetc "$znetc" --mnist empty --out runs small
sed -i 's/^  *--data "\$data".*//; s/-- --data "\$data"/--/' experiments/run.sh # digits takes none
expect "a cell that does not compile" 1 "did you mean\|cannot be .zeroes" small --steps 40
equal "rows" 4 "$(grep -c '^| [a-z]* | 1 |' runs/small.40/table.md)"
checks=$((checks + 1))
grep -q '^| wrong | 1 | failed |' runs/small.40/table.md || fail "the failure is not in the table"
for picture in train_loss rank_minus_identity.third; do
    [ -s "runs/small.40/$picture.svg" ] || fail "no $picture.svg"
done

# A cell that was interrupted goes on from its last checkpoint.
sed '/|/d' experiments/small.cells >experiments/long.cells
echo 'long | zero(variant = weights) | --set train.epochs=2000 |' >>experiments/long.cells
long() { # runs it until $1 has a line with $2
    setsid "$run" --znetc "$znetc" --threads 1 --mnist data --out runs long >long.txt 2>&1 &
    child=$!
    for _ in $(seq 600); do
        # shellcheck disable=SC2086 # a pattern of names
        grep -qs -e "$2" $1 && break
        sleep 0.1
    done
    kill -TERM -$child # as Ctrl-C: to the script and what it runs
    wait $child
    for _ in $(seq 600); do
        kill -0 -$child 2>/dev/null || break
        sleep 0.1
    done
}
long 'runs/long/long.1.run/checkpoint-*.znc' ZNETCKPT
equal "an interrupted cell is left to be taken up" "-" "$(head -n 1 runs/long/long.1.state)"
long runs/long/long.1.run/log.jsonl '"event":"resume"'
expect "and taken up" 0 '"event":"resume"' cat runs/long/long.1.run/log.jsonl

expect "two seeds" 0 "^| first | 2 | " small --cells first,second,third --seeds 1..2
table=runs/small/table.md
equal "rows of two seeds, and means" 8 "$(grep -c '^| [a-z]* | [12] | [0-9d]' "$table")"
grep -q '^| second | 2 | [0-9.]* | [0-9.]* |$' "$table" || fail "no mean over seeds"
grep -q '^| second | 2 | [+-][0-9.]* | [0-9.]* |$' "$table" || fail "no difference to the cell that others are paired with"
grep -q '^| third | 1 | diverged at step' "$table" || fail "what diverges does not say so"
[ -s runs/small/test_accuracy.svg ] || fail "no test_accuracy.svg"
before=$(cksum <runs/small/first.1.jsonl)
expect "again" 0 "first, seed 1: done already" small --cells first,second,third --seeds 1,2
equal "nothing is run again" "$before" "$(cksum <runs/small/first.1.jsonl)"
expect "a record" 0 "^- first, seed 2: the same" small --cells first,second,third --seeds 1,2 --print --record
equal "its rows" 6 "$(grep -c -v '^#' experiments/results/small.tsv)"
expect "a run that another option made" 0 "small: first, seed 1$" small --cells first --again
cp experiments/small.cells kept.cells && sed -i 's/-D width=30/-D width=31 -D nosuch=1/' experiments/small.cells
expect "a cell that fails where another program succeeded" 1 "^| first | 1 | failed | - | - | - | - |$" small --cells first
expect "it is not done" 1 "^small: first, seed 1$" small --cells first
mv kept.cells experiments/small.cells && expect "and runs as before" 0 "^small: first, seed 1$" small --cells first
expect "against the record" 0 "^- first, seed 1: the same" small --cells first --print
awk -F '\t' -v OFS='\t' '$1 == "first" { $8 = "0123456789abcdef" } { print }' experiments/results/small.tsv >new && mv new experiments/results/small.tsv
expect "what differs from the record" 0 "^- first, seed 1: weights 0123456789ab there, [0-9a-f]* here" small --cells first --print

# Accuracies with views, and differences by seed: 0.1 and -0.2 are -0.05 in the mean, with a standard error of 0.15.
for entry in a.1:93.1:94.0 a.2:93.3:94.2 b.1:93.0:94.1 b.2:93.3:94.0 b.3:93.0:93.0; do
    views=${entry##*:} plain=${entry#*:}
    echo "{\"event\":\"end\",\"test_accuracy\":${plain%:*},\"test_accuracy_views\":$views,\"interrupted\":false}" >"${entry%%:*}.jsonl"
done
awk -v steps=0 -f experiments/summary.awk a.1.jsonl a.2.jsonl b.1.jsonl b.2.jsonl b.3.jsonl >views.tsv
awk -F '\t' -v record= -v pair=a -f experiments/table.awk views.tsv >views.md
expect "a row with views" 0 "^| b | 2 | 93.30 | 94.00 | - | - | - | - |$" cat views.md
expect "means with views" 0 "^| a | 2 | 93.20 | 0.14 | 94.10 | 0.14 |$" cat views.md
expect "differences with views" 0 "^| b | 2 | -0.05 | 0.15 |$" cat views.md
awk -F '\t' -v OFS='\t' '$1 == "a" && $2 == 2 { $13 = 94.3 } { print }' views.tsv >old.tsv
expect "other views than the record's" 0 "^- a, seed 2: with views 94.30 there, 94.20 here$" awk -F '\t' -v record=old.tsv -v pair= -f experiments/table.awk views.tsv
expect "a table that is not there" 2 "there is no table nosuch" "$run" nosuch
expect "a cell that is not there" 2 "small has no cell nosuch" small --cells nosuch
expect "an option that is not there" 2 "unknown option --frist" small --frist
expect "help" 0 "usage: experiments/run.sh" "$run" --help
expect "a curve that is not there" 2 "there is no losses to draw" experiments/curves.sh --of losses a.svg runs/small/first.1.jsonl
expect "a layer that is not there" 1 "no log has rank of nosuch" experiments/curves.sh --of rank --layer nosuch a.svg runs/small/first.1.jsonl
finish
