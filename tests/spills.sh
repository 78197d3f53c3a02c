#!/bin/sh
# No product kernel spills: the assembly of innermost loops that do nothing but multiply and add, for two vector widths.
# usage: spills.sh BUILD SOURCE
#
# A loop counts as a product if it has fused multiply-adds, no other vector arithmetic, and stores no vector but to the
# stack; transforms, sums and elementwise chains do. In it, nothing may be read from or written to the stack. Every
# family of products must be seen, and a spill that is put into the assembly must be found, else the test itself fails.
set -u
znetc=$1/znetc source=$2
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
fails=0
fail() {
    echo "FAIL $*"
    fails=$((fails + 1))
}

cat >"$tmp/loops.awk" <<'EOF'
# Prints for each product loop: function, references to the stack.
function finish(   i, j, inner, fma, other, stack) {
    for (i = 1; name && i <= loops; i++) {
        inner = 1
        for (j = 1; j <= loops; j++)
            if (j != i && top[j] >= top[i] && bottom[j] <= bottom[i])
                inner = 0
        fma = other = stack = 0
        for (j = top[i]; inner && j <= bottom[i]; j++) {
            if (line[j] ~ /\(%rsp/)
                stack++
            if (line[j] ~ /vf[n]?m(add|sub)[0-9]*p[sd]/)
                fma++
            else if (line[j] ~ /^[ \t]+v(add|sub|mul|div|sqrt|max|min|cmp)/)
                other++
            else if (line[j] ~ /^[ \t]+vmov[a-z]+[ \t]+%[xyz]mm.*\)/ && line[j] !~ /\(%rsp/)
                other++
        }
        if (fma && !other)
            print name, stack
    }
}
/^zn_[A-Za-z0-9_]*:/ { finish(); name = $1; sub(/:.*/, "", name); n = loops = 0; split("", label); next }
{ line[++n] = $0 }
/^\.LBB[0-9_]*:/ { l = $1; sub(/:.*/, "", l); label[l] = n }
/^[ \t]+j[a-z]+[ \t]+\.LBB/ { if ($2 in label) { top[++loops] = label[$2]; bottom[loops] = n } }
END { finish() }
EOF

# products MARCH FILE OPTIONS...: their loops into loops.txt.
products() {
    march=$1 file=$2
    shift 2
    "$znetc" "$source/$file" --march="$march" "$@" --emit=asm="$tmp/code.s" 2>"$tmp/err" || {
        fail "$file $march: $(cat "$tmp/err")"
        return
    }
    awk -f "$tmp/loops.awk" "$tmp/code.s" >"$tmp/loops.txt"
    while read -r kernel stack; do
        [ "$stack" -eq 0 ] || fail "$file $* --march=$march: $kernel: $stack references to the stack in a product"
    done <"$tmp/loops.txt"
    sed 's/^zn_//; s/_[0-9a-f]* [0-9]*$//' "$tmp/loops.txt" | sort | uniq -c >>"$tmp/seen-$march"
}

[ "$(uname -m)" = x86_64 ] || { echo "SKIPPED: not an x86-64"; exit 77; }
for march in x86-64-v4 x86-64-v3; do
    products $march examples/resnet20.znet
    products $march examples/resnet18.znet
    products $march examples/resnet18.znet --conv=direct
    products $march bench/mlp.znet --gemm=generated
    for family in matmul grad_w_joined conv conv_grad_x conv_grad_w wino_conv wino_grad_w \
        wino_conv_panel wino_grad_w_panel; do
        grep -q " $family\$" "$tmp/seen-$march" || fail "--march=$march: no product seen in $family"
    done
done

# The last assembly, with a spill behind each multiply-add.
awk '{ print } /vfmadd/ { print "\tvmovups\t%ymm0, 32(%rsp)" }' "$tmp/code.s" >"$tmp/spilled.s"
awk -f "$tmp/loops.awk" "$tmp/spilled.s" | awk '$2 > 0 { found++ } END { exit !found }' ||
    fail "a spill in a product is not found"
[ "$fails" -eq 0 ] && awk '{ n += $1 } END { print n " loops of products, none spills" }' "$tmp"/seen-*
[ "$fails" -eq 0 ]
