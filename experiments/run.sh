#!/bin/sh
# Runs tables of experiments, a cell after the other, and prints what came out as markdown (docs/experiments.md).
# usage: experiments/run.sh [OPTIONS] TABLE...        TABLE: mnist_rank, cifar_starts, depth, cifar94, resnet20_fast
#   --znetc PATH      the compiler (default: the first of build-release/znetc, build-dev/znetc, znetc)
#   --threads N       of training (default: all processors); the bits are the same for any N
#   --mnist DIR, --cifar10 DIR    where the data sets are (default: $ZN_MNIST, $ZN_CIFAR10, data/mnist, data/cifar-10);
#                     a table whose data is missing is skipped
#   --out DIR         where logs go: DIR/TABLE/ (default: out/experiments)
#   --cells A,B,...   these cells only
#   --seeds 1..3      or 1,2,5: these seeds in turn (default: the file's own, 1)
#   --steps N         ends every run after N steps (to try a table out); logs then go to DIR/TABLE.N/
#   --again           runs cells whose logs are there already
#   --print           runs nothing: prints the table of the logs that are there
#   --record          writes experiments/results/TABLE.tsv, to which later tables are compared
# A row of TABLE.cells is a name, a start, options of znetc and options of the run; the program of a cell is TABLE's
# network with that start, and lies beside its log. Of a cell NAME and seed 1: NAME.znet, NAME.1.jsonl (the log),
# NAME.1.state (the command, or how it failed), NAME.1.err (what it printed), NAME.1.run/ (weights and checkpoints: a cell
# that was interrupted goes on from the last one). Needs sh, awk and sed; no network.
set -uf
here=$(cd "$(dirname "$0")" && pwd) root=$(cd "$(dirname "$0")/.." && pwd)
znetc="" threads="" out=out/experiments only="" seeds=1 limit="" again="" print="" record="" tables=""
mnist=${ZN_MNIST:-$root/data/mnist} cifar10=${ZN_CIFAR10:-$root/data/cifar-10}
die() {
    echo "run.sh: error: $*" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --znetc | --threads | --mnist | --cifar10 | --out | --cells | --seeds | --steps)
        [ $# -gt 1 ] || die "$1 needs a value"
        case $1 in
        --znetc) znetc=$2 ;; --threads) threads=$2 ;; --mnist) mnist=$2 ;; --cifar10) cifar10=$2 ;; --out) out=$2 ;;
        --cells) only=$2 ;; --seeds) seeds=$2 ;; --steps) limit=$2 ;;
        esac
        shift
        ;;
    --again) again=1 ;;
    --print) print=1 ;;
    --record) record=1 ;;
    --help | -h) sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p;}' "$0"; exit 0 ;;
    -*) die "unknown option $1 (--help lists them)" ;;
    *) [ -e "$here/$1.cells" ] || die "there is no table $1"; tables="$tables $1" ;;
    esac
    shift
done
[ -z "$record" ] || [ -z "$limit" ] || die "--record is of whole runs: not with --steps"
[ -n "$tables" ] || die "which table? (--help lists them)"
case $seeds in
*..*) seeds=$(awk -v a="${seeds%%..*}" -v b="${seeds##*..}" 'BEGIN { for (i = a; i <= b; i++) printf "%d ", i }') ;;
*) seeds=$(echo "$seeds" | tr , ' ') ;;
esac
if [ -z "$znetc" ]; then
    for znetc in "$root/build-release/znetc" "$root/build-dev/znetc" znetc; do
        command -v "$znetc" >/dev/null 2>&1 && break
    done
fi
[ -n "$print" ] || command -v "$znetc" >/dev/null 2>&1 || die "there is no compiler $znetc (--znetc PATH)"

trim() { echo "$1" | sed 's/^ *//; s/ *$//'; }
setting() { sed -n "s/^$1  *//p" "$here/$table.cells" | grep -v '|' | head -n 1; } # of the table

# The directory of the table's data set; nothing where it is missing.
find_data() {
    case $1 in
    mnist) set -- "$mnist" train-images-idx3-ubyte --mnist ;;
    cifar10) set -- "$cifar10" data_batch_1.bin --cifar10 ;;
    *) die "$table.cells: unknown data $1" ;;
    esac
    if [ -e "$1/$2" ] || [ -e "$1/$2.gz" ]; then
        (cd "$1" && pwd)
    else
        echo "SKIPPED $table: there is no $2 in $1 ($3 DIR)" >&2
    fi
}

# Is the log complete, and of the program and the options that would be run now? $1: its name without .jsonl
complete() {
    [ -e "$1.jsonl" ] && [ -e "$1.state" ] && [ "$(sed -n 2p "$1.state")" = "$command" ] || return 1
    case $(sed -n 1p "$1.state") in diverged*) return 0 ;; esac
    tail -n 1 "$1.jsonl" | grep -q '^{"event":"end".*"interrupted":false'
}

# One cell and one seed; name, start, compile, options are set. 0 done, 1 failed, 75 interrupted.
run_cell() {
    base=$dir/$name.$seed
    grep -v '^init ' "$here/$(setting network)" >"$dir/$name.znet"
    echo "init $start" >>"$dir/$name.znet"
    set -- --seed "$seed" $(setting run) $options
    [ -z "$limit" ] || case " $options " in *" --steps "*) ;; *) set -- "$@" --steps "$limit" ;; esac
    [ -z "$ranks" ] || set -- "$@" --log-rank "$ranks"
    command="$(cksum <"$dir/$name.znet") $compile -- $*"
    if [ -z "$again" ] && complete "$base"; then
        echo "$table: $name, seed $seed: done already" >&2
        return 0
    fi
    echo "$table: $name, seed $seed" >&2
    go_on=--overwrite
    [ -n "$again" ] || [ "$(cat "$base.state" 2>/dev/null)" != "$(printf '%s\n%s' - "$command")" ] || go_on=--resume
    printf '%s\n%s\n' - "$command" >"$base.state"
    : >"$base.jsonl"
    [ $go_on = --resume ] || rm -rf "$base.run" # the log of another program is not this one's
    # shellcheck disable=SC2086 # options are words
    "$znetc" run "$dir/$name.znet" $compile -- --data "$data" ${threads:+--threads "$threads"} "$@" --progress plain \
        --out "$base.run" $go_on --checkpoint-every 100 >"$base.err" 2>&1
    code=$?
    [ ! -e "$base.run/log.jsonl" ] || cp "$base.run/log.jsonl" "$base.jsonl"
    case $code in
    0) state=done ;;
    10) state="diverged$(sed -n 's/.*not finite at step \([0-9]*\).*/ at step \1/p' "$base.err" | head -n 1)" ;;
    75 | 130 | 137 | 143) return 75 ;; # to be taken up
    *) state=failed ;;
    esac
    printf '%s\n%s\n' "$state" "$command" >"$base.state"
    case $code in
    0 | 10) tail -n 40 "$base.err" | grep -E '^test accuracy|: error: ' | head -n 1 | sed 's/^/    /' >&2 ;;
    *) grep -m 3 'error' "$base.err" | sed 's/^/    /' >&2; return 1 ;;
    esac
    return 0
}

# Calls $1 for each cell that is asked for.
for_cells() {
    while IFS='|' read -r name start compile options; do
        name=$(trim "$name") start=$(trim "$start") compile=$(trim "$compile") options=$(trim "$options")
        case ",${only:-$name}," in *",$name,"*) ;; *) continue ;; esac
        $1 </dev/null
        result=$?
        [ $result -ne 75 ] || return 75
        [ $result -eq 0 ] || bad=$((bad + 1))
    done <"$dir/cells"
    return 0
}

log_name() { [ ! -e "$dir/$name.$seed.jsonl" ] || echo "$name.$seed.jsonl"; }

# WHAT [LAYER]: dir/WHAT.svg or dir/WHAT.LAYER.svg
draw() {
    # shellcheck disable=SC2086 # names of logs
    (cd "$dir" && sh "$here/curves.sh" --of "$1" ${2:+--layer "$2"} --title "$table: $1${2:+ of $2}" \
        "$1${2:+.$2}.svg" $logs 2>/dev/null)
}

bad=0
for table in $tables; do
    dir=$out/$table${limit:+.$limit}
    mkdir -p "$dir" || exit 3
    grep -v '^#' "$here/$table.cells" | grep '|' >"$dir/cells.$$" && mv "$dir/cells.$$" "$dir/cells" || exit 3
    for name in $(echo "$only" | tr , ' '); do
        cut -d '|' -f 1 "$dir/cells" | grep -qx "$name *" || die "$table has no cell $name"
    done
    ranks=$(setting rank | tr -d ' ')
    if [ -z "$print" ]; then
        data=$(find_data "$(setting data)")
        [ -n "$data" ] || continue
        for seed in $seeds; do
            for_cells run_cell || exit 75
        done
    fi
    logs=$(for seed in $seeds; do for_cells log_name; done)
    [ -n "$logs" ] || { echo "$table: there are no logs in $dir" >&2; continue; }
    # shellcheck disable=SC2086 # names of logs
    (cd "$dir" && awk -v steps="$(setting loss)" -f "$here/summary.awk" $logs >summary.tsv)
    known=$here/results/$table.tsv
    [ -z "$record" ] || {
        mkdir -p "$here/results"
        sed -n '1{/^# /p;}' "$here/$table.cells" >"$known"
        cat "$dir/summary.tsv" >>"$known"
    }
    [ -e "$known" ] || known=""
    awk -F '\t' -v record="$known" -v pair="$(setting pair)" -f "$here/table.awk" "$dir/summary.tsv" | tee "$dir/table.md"
    for what in $(setting curves); do
        case $what in
        rank* | distinct*) for layer in $(echo "$ranks" | tr , ' '); do draw "$what" "$layer"; done ;;
        *) draw "$what" ;;
        esac
    done
done
[ $bad -eq 0 ]
