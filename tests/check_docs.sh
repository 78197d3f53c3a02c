#!/bin/sh
# What the documentation says exists. usage: check_docs.sh SOURCE BIN
# Links and paths of *.md lead somewhere; blocks of ```znet compile; docs/ops.md is what --list-ops=markdown prints, the tables
# of docs/language.md what --list-language prints, in any order.
set -u
cd "$1" || exit 2
export LC_ALL=C
bin=$(cd "$2" && pwd)
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
bad=0 checked=0
fail() {
    echo "FAIL $*"
    bad=$((bad + 1))
}

for file in *.md docs/*.md; do
    [ -e "$file" ] || continue
    dir=$(dirname "$file")
    # [text](target), without code
    for target in $(sed 's/`[^`]*`//g' "$file" | grep -oE '\]\([^) ]+\)' | sed 's/^](//; s/)$//'); do
        case $target in http:* | https:* | mailto:* | \#*) continue ;; esac
        checked=$((checked + 1))
        [ -e "$dir/${target%%#*}" ] || fail "$file: the link $target leads nowhere"
    done
    # `folder/file` in back-ticks, where the folder is one of ours
    for path in $(grep -oE '`(support|ir|frontend|passes|backend|runtime|driver|tests|examples|experiments|bench|docs|scripts)/[A-Za-z0-9_./-]*`' "$file" | tr -d '`'); do
        checked=$((checked + 1))
        [ -e "$path" ] || fail "$file: there is no $path"
    done
    # ```znet blocks are files; a block that shows only part of one is fenced as ```text
    awk -v out="$tmp/$(echo "$file" | tr / _)" '
        /^ *```znet *$/ { n++; on = 1; next }
        /^ *```/ { on = 0 }
        on { print > (out "." n ".znet") }' "$file"
done
for block in "$tmp"/*.znet; do
    [ -e "$block" ] || continue
    checked=$((checked + 1))
    "$bin/znetc" check "$block" >/dev/null 2>"$tmp/err" || {
        fail "$(basename "$block" .znet) (file, number of the block) does not compile"
        sed 's/^/    /' "$tmp/err" | head -n 12
    }
done

checked=$((checked + 1))
"$bin/znetc" --list-ops=markdown >"$tmp/ops.md"
cmp -s "$tmp/ops.md" docs/ops.md || fail "docs/ops.md is not what znetc --list-ops=markdown prints"
checked=$((checked + 1))
"$bin/znetc" --list-language >"$tmp/language"
for table in $(sed -n 's/^<!-- schema: \(.*\) -->$/\1/p' "$tmp/language"); do
    checked=$((checked + 1))
    for from in "$tmp/language" docs/language.md; do
        sed -n "/^<!-- schema: $table -->\$/,/^<!-- end -->\$/p" "$from"
        echo ====
    done >"$tmp/both"
    awk '/^====$/ { n++; next } { text[n + 0] = text[n + 0] $0 "\n" } END { exit text[0] == text[1] && text[0] != "" ? 0 : 1 }' "$tmp/both" ||
        fail "docs/language.md: the table of $table is not what znetc --list-language prints"
done
[ "$(grep -c '^<!-- schema: ' docs/language.md)" -eq "$(grep -c '^<!-- schema: ' "$tmp/language")" ] ||
    fail "docs/language.md has tables that znetc --list-language does not print, or lacks some"

# ```diff blocks behind <!-- diff: FILE STAGE STAGE -->: what the second stage changes in the first
for file in docs/*.md; do
    sed -n 's/^<!-- diff: \(.*\) -->$/\1/p' "$file" | while read -r source before after; do
        "$bin/znetc" "$source" --emit="$before" --no-loc >"$tmp/before"
        "$bin/znetc" "$source" --emit="$after" --no-loc >"$tmp/after"
        diff -U0 "$tmp/before" "$tmp/after" | grep '^[-+][ p]' >"$tmp/right"
        sed -n "\|^<!-- diff: $source $before $after -->|,/^\`\`\`\$/p" "$file" | grep '^[-+]' >"$tmp/shown"
        [ -s "$tmp/right" ] && cmp -s "$tmp/right" "$tmp/shown" || echo "$file: the diff of $source is another one"
    done
done >"$tmp/wrong_diffs"
checked=$((checked + 1))
[ ! -s "$tmp/wrong_diffs" ] || fail "$(cat "$tmp/wrong_diffs")"
echo "$checked checked, $bad wrong"
[ "$checked" -gt 5 ] && [ "$bad" -eq 0 ]
