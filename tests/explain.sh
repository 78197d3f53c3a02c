#!/bin/sh
# Compiles the examples that `znetc explain` shows. usage: explain.sh BIN EXAMPLES DIAG_DEF
# Of every code there is one: what is wrong there gives that code and no other, what is right nothing at all.
set -u
export LC_ALL=C
bin=$(cd "$1" && pwd) examples=$2 table=$3
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
bad=0 count=0
fail() {
    bad=$((bad + 1))
    echo "FAIL $*"
}
awk -v out="$tmp" '
    /^== ZN/ { code = $2; next }
    code && /^(wrong|right)( |$)/ { file = out "/" code "." $1; sub(/^(wrong|right) ?/, ""); print > (file ".args"); printf "" > file; next }
    code { print > file }' "$examples"
for code in $(grep -o '"ZN[0-9]*"' "$table" | tr -d '"'); do
    for kind in wrong right; do
        f=$tmp/$code.$kind
        [ -s "$f" ] || { fail "$code has no example of what is $kind"; continue; }
        count=$((count + 1))
        # \0OOO is a byte; no other backslash is special
        sed 's/\\\([^0]\)/\\\\\1/g' "$f" | while IFS= read -r line; do printf '%b\n' "$line"; done >"$f.in"
        case $(head -c 3 "$f") in zir) tool=znopt ;; *) tool="znetc check" ;; esac
        # shellcheck disable=SC2046,SC2086 # lists of words
        "$bin"/$tool "$f.in" $(cat "$f.args") >/dev/null 2>"$f.out"
        found=$(sed -n 's/^[a-z]*\[\(ZN[0-9]*\)\].*/\1/p' "$f.out" | sort -u | tr '\n' ' ')
        case $kind in
        wrong) [ "$found" = "$code " ] || fail "$code: the wrong example gives: $found" ;;
        right) [ ! -s "$f.out" ] || fail "$code: the right example gives: $(head -n 1 "$f.out")" ;;
        esac
    done
done
# what is shown is the same
"$bin/znetc" explain zn0207 >"$tmp/shown" || fail "explain zn0207 does not end with 0"
grep -q 'shortcut = project' "$tmp/shown" || fail "explain zn0207 shows no example"
[ "$("$bin/znetc" explain | grep -c '^ZN0')" -eq "$(grep -c '^ZN_DIAG(' "$table")" ] || fail "explain does not list every code"
"$bin/znetc" explain ZN0270 >/dev/null 2>"$tmp/err"
[ $? -eq 2 ] && grep -q 'did you mean `ZN0207`' "$tmp/err" || fail "explain of an unknown code"
echo "$count examples, $bad wrong"
[ "$count" -gt 100 ] && [ "$bad" -eq 0 ]
