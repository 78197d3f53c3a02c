#!/bin/sh
# What a reader should not have to look for. usage: check_style.sh SOURCE
# Tabs, space at the end of lines, long lines, functions that are banned, printing and exiting below the driver, files
# and functions that are too long without a reason at their top.
set -u
cd "$1" || exit 2
export LC_ALL=C.UTF-8
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
: >"$tmp/all"
complain() { # MESSAGE, then lines on standard input
    sed "s|^|FAIL $1: |" >>"$tmp/all"
}

code=$(find support ir frontend passes backend runtime driver tests bench -name '*.[chly]' -o -name '*.def' | sort)
text="$code $(find . -maxdepth 1 \( -name '*.md' -o -name CMakeLists.txt \)) $(find docs examples experiments scripts tests \( -name '*.md' -o -name '*.sh' -o -name '*.py' -o -name '*.awk' -o -name 'CMakeLists.txt' \) | sort)"
[ "$(echo "$code" | wc -l)" -gt 50 ] || { echo "FAIL only few files were found"; exit 1; }

tab=$(printf '\t')
# shellcheck disable=SC2086 # lists of files
{
    grep -n "$tab" $text | complain "a tab"
    grep -nE '^(<<<<<<<|>>>>>>>)( |$)|^=======$' $text | complain "a merge that was not finished"
    grep -n ' $' $text | complain "space at the end of a line"
    grep -nE '.{121,}' $(echo "$code" | grep -v '\.def$' | grep -v '^tests/') | complain "more than 120 characters"
    grep -nwE '(sprintf|vsprintf|strcpy|strcat|strncpy|strtok|gets|rand|srand|atoi|atol|atof) *\(' $code |
        grep -v '^tests/check_style.sh' | complain "a banned function"
    grep -nwE '(printf|fprintf|puts|fputs|putchar|fputc|perror|exit|_exit|abort) *\(' \
        $(echo "$code" | grep -E '^(support|ir|frontend|passes|backend|runtime)/' |
            grep -vE '^(runtime/main.c|runtime/report.c|support/ice.c)$') |
        grep -vE '__attribute__|format\(printf' | complain "printing or exiting below the driver"
}

# A file has at most 800 lines, a function 80. A file is let off by a line "ZN_LONG: why" in its first comment, and only so.
# A function's body ends at the first } in column 1.
for file in $code; do
    case $file in tests/*) continue ;; *.c) ;; *) continue ;; esac
    sed '/\*\//q' "$file" | grep -q '^ \* ZN_LONG: ..*' && continue
    lines=$(wc -l <"$file")
    [ "$lines" -le 800 ] || echo "$file: $lines lines"
    awk -v file="$file" '
        /^[a-zA-Z].*\) *\{$/ { start = NR }
        /^\}/ { if (start && NR - start > 80) print file ":" start ": " NR - start " lines"; start = 0 }' "$file"
done | complain "too long"

# Every header has a guard, every source begins by saying what it is.
for file in $(echo "$code" | grep '\.h$'); do
    grep -q '^#ifndef ZN_' "$file" || echo "$file"
done | complain "a header without a guard"
for file in $(echo "$code" | grep '\.[ch]$'); do
    head -n 1 "$file" | grep -q '^/\*' || echo "$file"
done | complain "the first line does not say what the file is"

# No program and no other binary file is tracked, but for fixtures.
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git ls-files -z | grep -zvE '^tests/(fixtures|fuzz|golden/error)/' | xargs -0 -r -n 200 sh -c '
        for f; do [ ! -f "$f" ] || [ ! -s "$f" ] || LC_ALL=C grep -qIm1 "" "$f" || echo "$f"; done' sh |
        complain "a binary file is tracked"
    git ls-files --stage | sed -n 's/^100755 [0-9a-f]* 0\t//p' | while read -r file; do
        head -c 2 "$file" | grep -q '^#!' || echo "$file"
    done | complain "an executable without #!"
fi

head -n 60 "$tmp/all"
echo "$(echo "$text" | wc -w) files, $(wc -l <"$tmp/all") wrong"
[ ! -s "$tmp/all" ]
