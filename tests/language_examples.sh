#!/bin/sh
# Compiles the examples of the manual. usage: language_examples.sh BIN docs/language.md
# An indented text behind `<!-- example: KIND -->` is a whole file (file), the body of a model of images [28, 28, 1]
# with ten classes (body), or what stands in train beside such a model and data (train). The first indented text of the
# page is a file too. Each must compile down to the plan.
set -u
export LC_ALL=C
bin=$(cd "$1" && pwd) page=$2
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
awk -v out="$tmp" '
    /^<!-- example: / { kind = $3; n++; file = out "/" n "." kind; next }
    /^    / { if (!file && !n) { n++; file = out "/" n ".file" } if (file) print substr($0, 5) > file; next }
    /^$/ { if (file) print "" > file; next }
    { file = "" }' "$page"
bad=0 count=0
for f in "$tmp"/*.*; do
    count=$((count + 1))
    data='data { source = digits() }'
    train='train { loss = cross_entropy  optimizer = sgd  lr = 0.1  batch = 100  epochs = 3 }'
    case $f in
    *.file) cat "$f" ;;
    *.body) printf 'model m {\n  input image[28, 28, 1]\n%s\n}\n%s\n%s\n' "$(cat "$f")" "$data" "$train" ;;
    *.train) printf 'model m { input image[28, 28, 1] conv(8, 3, bias = true) relu bn flatten linear(10) }\n%s\ntrain {\n%s\n}\n' \
        "$data" "$(cat "$f")" ;;
    esac >"$f.znet"
    "$bin/znetc" "$f.znet" --emit=plan -o /dev/null >"$f.out" 2>&1 || {
        bad=$((bad + 1))
        echo "FAIL example $(basename "$f")"
        sed 's/^/    /' "$f.out" | head -n 12
    }
done
echo "$count examples, $bad wrong"
[ "$count" -ge 4 ] && [ "$bad" -eq 0 ]
