#!/bin/sh
# Draws curves of logs as SVG that can be read on a light and on a dark page.
# usage: experiments/curves.sh [--of WHAT] [--layer NAME] [--title TEXT] OUT.svg LOG.jsonl...
#   WHAT   test_accuracy (default), test_loss: one point an epoch; train_loss: means of steps that were logged;
#          rank, rank_minus_identity, distinct_rows: of layer NAME, or the first that is there (--log-rank)
# A curve is named as its log, without .jsonl. The last value stands beside the name. Needs sh and awk.
set -uf
here=$(cd "$(dirname "$0")" && pwd)
what=test_accuracy layer="" title=""
while [ $# -gt 0 ]; do
    case $1 in
    --of | --layer | --title)
        [ $# -gt 1 ] || { echo "curves.sh: error: $1 needs a value" >&2; exit 2; }
        case $1 in --of) what=$2 ;; --layer) layer=$2 ;; --title) title=$2 ;; esac
        shift 2
        ;;
    --help | -h) sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p;}' "$0"; exit 0 ;;
    -*) echo "curves.sh: error: unknown option $1" >&2; exit 2 ;;
    *) break ;;
    esac
done
case $what in
test_accuracy | test_loss | train_loss | rank | rank_minus_identity | distinct_rows) ;;
*) echo "curves.sh: error: there is no $what to draw (--help lists what there is)" >&2; exit 2 ;;
esac
[ $# -ge 2 ] || { echo "usage: curves.sh [--of WHAT] [--layer NAME] [--title TEXT] OUT.svg LOG.jsonl..." >&2; exit 2; }
out=$1
shift
title="${title:-$what}" awk -v what="$what" -v layer="$layer" -f "$here/curves.awk" "$@" >"$out.part" || {
    echo "curves.sh: error: no log has $what${layer:+ of $layer}" >&2
    rm -f "$out.part"
    exit 1
}
mv "$out.part" "$out"
