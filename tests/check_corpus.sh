#!/bin/sh
# The wrong files of tests/golden/error. usage: check_corpus.sh GOLDEN DIAG_DEF
# There are at least 150. Every code of the table stands in two files or more, there and in the goldens of passes, with
# different messages; no two messages, with the lines of the source that they show, are the same.
set -u
export LC_ALL=C
golden=$1 table=$2
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
bad=0
fail() {
    bad=$((bad + 1))
    echo "FAIL $*"
}
files=$(find "$golden/error" -name '*.znet' -o -name '*.zir' | grep -c /error/)
[ "$files" -ge 150 ] || fail "only $files wrong files"
# a line for each message: file, code, text. Source lines and places go; what stands behind carets stays.
find "$golden/error" "$golden/pass" "$golden/warning" "$golden/trap" -name '*.out' | sort | while read -r out; do
    awk -v file="${out#"$golden"/}" '
        function flush() { if (text != "") print file "\t" code "\t" text "\t" source; text = source = "" }
        /^(error|warning)\[ZN[0-9]*\]: / {
            flush(); code = substr($0, index($0, "[") + 1, 6); text = substr($0, index($0, "]: ") + 3); next
        }
        /^ *[0-9]+ \|/ { source = source $0; next }
        text == "" || /^ *--> / || /^ *\|$/ || /^$/ { next }
        /^ *\|/ { sub(/^ *\| *[-^]*/, ""); if ($0 != "") text = text " |" $0; next }
        /^\.\.\. and / { next }
        { text = text " " $0 }
        END { flush() }' "$out"
done >"$tmp/messages"
for code in $(grep -o '"ZN[0-9]*"' "$table" | tr -d '"'); do
    n=$(awk -F '\t' -v code="$code" '$2 == code { print $1 }' "$tmp/messages" | sort -u | wc -l)
    [ "$n" -ge 2 ] || fail "$code stands in $n files"
    n=$(awk -F '\t' -v code="$code" '$2 == code { print $3 }' "$tmp/messages" | sort -u | wc -l)
    [ "$n" -ge 2 ] || fail "$code has $n messages"
done
sort -u "$tmp/messages" | awk -F '\t' '$1 ~ /^error/ { key = $2 $3 $4; if (seen[key]) print $2 ": " seen[key] " and " $1 " say the same: " $3; seen[key] = $1 }' >"$tmp/same"
while read -r line; do fail "$line"; done <"$tmp/same"
echo "$files wrong files, $(wc -l <"$tmp/messages") messages, $bad wrong"
[ "$bad" -eq 0 ]
