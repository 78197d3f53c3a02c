#!/bin/sh
# The start as a picture: well-formed, a panel a matrix, images that are PNG, the same bytes every time, small files.
. "$(dirname "$0")/lib.sh"

# Tags that are opened are closed, in order, attributes are quoted, and nothing else stands outside of tags but text.
well_formed() {
    awk '
        { all = all $0 "\n" }
        END {
            while ((i = index(all, "<")) > 0) {
                if (substr(all, 1, i - 1) ~ /[>]/) exit 1
                all = substr(all, i + 1)
                j = index(all, ">")
                if (!j) exit 1
                tag = substr(all, 1, j - 1)
                all = substr(all, j + 1)
                name = tag
                sub(/[ \/].*/, "", name)
                if (tag ~ /^\//) {
                    name = substr(tag, 2)
                    if (open[depth--] != name) exit 1
                } else {
                    rest = tag
                    gsub(/"[^"<]*"/, "", rest)
                    if (rest ~ /"/) exit 1
                    if (tag !~ /\/$/) open[++depth] = name
                }
            }
            exit depth != 0
        }' "$1"
}

# draw NAME ARGS...: checks the picture and leaves it in $tmp/NAME.svg
draw() {
    name=$1
    shift
    expect "$name" 0 "" "$znetc" "$@" --emit=init="$tmp/$name.svg"
    well_formed "$tmp/$name.svg" || fail "$name: not well-formed"
    "$znetc" "$@" --emit=init >"$tmp/$name.zir"
    equal "$name: panels" "$(grep -c '^param .* f32\[[0-9]*,.* init ' "$tmp/$name.zir")" "$(grep -c '<g class="panel">' "$tmp/$name.svg")"
    sed -n 's/.*base64,\([^"]*\)".*/\1/p' "$tmp/$name.svg" | while read -r image; do
        echo "$image" | base64 -d >"$tmp/image.png" || echo "no base64"
        head -c 8 "$tmp/image.png" | od -An -tx1 | tr -d ' \n'
        tail -c 8 "$tmp/image.png" | head -c 4
        echo
    done | sort -u >"$tmp/kinds"
    equal "$name: images are PNG" 89504e470d0a1a0aIEND "$(cat "$tmp/kinds")"
}

draw digits "$source/examples/digits.znet"
draw resnet20 "$source/examples/resnet20.znet" --init 'zero(variant = weights)'
checks=$((checks + 1))
grep -q '>hadamard(0.125)<' "$tmp/resnet20.svg" || fail "formulas do not stand in the picture"
draw again "$source/examples/resnet20.znet" --init 'zero(variant = weights)'
equal "the same again" "$(cksum <"$tmp/resnet20.svg")" "$(cksum <"$tmp/again.svg")"
draw seed1 "$source/examples/digits.znet" --init kaiming
draw seed2 "$source/examples/digits.znet" --init kaiming --set train.seed=2
differ "another seed" "$(cksum <"$tmp/seed1.svg")" "$(cksum <"$tmp/seed2.svg")"
draw before "$source/examples/resnet20.znet" --init lsuv
checks=$((checks + 1))
grep -q ', before lsuv<' "$tmp/before.svg" || fail "the picture does not say that lsuv looks at data"
draw large "$source/examples/resnet50.znet" --init kaiming
checks=$((checks + 1))
[ "$(wc -c <"$tmp/large.svg")" -lt 4000000 ] || fail "ResNet-50 takes $(wc -c <"$tmp/large.svg") bytes"

printf 'model a { input image[8, 8, 3] avgpool identity }\n' >"$tmp/none.znet"
expect "a network without weights" 0 "" "$znetc" "$tmp/none.znet" --emit=init="$tmp/none.svg"
equal "its picture" 0 "$(grep -c '<image' "$tmp/none.svg")"
well_formed "$tmp/none.svg" || fail "a picture without panels is not well-formed"
expect "a file that is wrong" 1 "ZN" "$znetc" "$source/tests/golden/error/$(ls "$source/tests/golden/error" | grep znet | head -n 1)" --emit=init="$tmp/wrong.svg"
checks=$((checks + 1))
[ ! -e "$tmp/wrong.svg" ] || fail "a wrong file is drawn"
expect "into a directory that is not there" 3 "cannot" "$znetc" "$source/examples/digits.znet" --emit=init="$tmp/no/a.svg"
finish
