#!/bin/sh
# The cache of objects: what is reused, what is not trusted, and that no trouble with it changes a result.
. "$(dirname "$0")/lib.sh"
file=$source/tests/e2e/digest.znet
cache=$tmp/cache

# run ARGS...: $digest is that of one run by JIT, $all the number of objects, $made of those made anew (the module's
# descriptor always is). Kernels that only the evaluation runs are made later, on a line of their own.
run() {
    "$znetc" run "$file" --time-passes "$@" -- --steps 2 >"$tmp/out" 2>&1 || { fail "run $*"; cat "$tmp/out"; }
    digest=$(sed -n 's/^weights sha256:\(.*\)$/\1/p' "$tmp/out")
    counts=$(sed -n 's/^code.* ms, \([0-9]*\) objects, \([0-9]*\) of them from the cache$/\1 \2/p' "$tmp/out" |
        awk '{ all += $1; cached += $2 } END { print NR, all, all - cached }')
    set -- $counts
    equal "parts of the code" 2 "$1"
    all=$2 made=$3
}
entries() { find "$cache" -type f | wc -l; }

run --no-cache
right=$digest
equal "--no-cache: everything is made" "$all" "$made"
run --cache-dir="$cache"
equal "cold: everything is made" "$all" "$made"
equal "cold: digest" "$right" "$digest"
equal "cold: every kernel is kept" $((all - 1)) "$(entries)"
run --cache-dir="$cache"
equal "warm: only the descriptor is made" 1 "$made"
equal "warm: digest" "$right" "$digest"

# ---- the executable, cold and warm, is the same file
"$znetc" "$file" -o "$tmp/cold" --no-cache && "$znetc" "$file" -o "$tmp/warm" --cache-dir="$cache"
checks=$((checks + 1))
cmp -s "$tmp/cold" "$tmp/warm" || fail "the executable made from the cache is another one"

# ---- entries that are not whole are made again, and replaced
one=$(find "$cache" -type f | sort | sed -n 1p) two=$(find "$cache" -type f | sort | sed -n 2p)
three=$(find "$cache" -type f | sort | sed -n 3p) four=$(find "$cache" -type f | sort | sed -n 4p)
printf 'X' | dd of="$one" bs=1 seek=100 conv=notrunc 2>/dev/null
head -c 70 "$two" >"$tmp/short" && cp "$tmp/short" "$two"
: >"$three"
echo "not an object" >"$four"
run --cache-dir="$cache"
equal "corrupt: four kernels and the descriptor are made" 5 "$made"
equal "corrupt: digest" "$right" "$digest"
run --cache-dir="$cache"
equal "corrupt: replaced" 1 "$made"

# ---- what is no entry is a miss
ls "$cache" | sort >"$tmp/names"
one=$cache/$(sed -n 1p "$tmp/names") two=$cache/$(sed -n 2p "$tmp/names") three=$cache/$(sed -n 3p "$tmp/names")
four=$cache/$(sed -n 4p "$tmp/names")
cp "$one" "$two"                                # a good entry under another name
rm "$three" && mkfifo "$three"
rm "$four" && truncate -s 1T "$four"            # all holes
run --cache-dir="$cache"
equal "no entries: three kernels and the descriptor are made" 4 "$made"
equal "no entries: digest" "$right" "$digest"
run --cache-dir="$cache"
equal "no entries: replaced" 1 "$made"
rm "$one" && mkdir "$one"
run --cache-dir="$cache"
equal "a directory: digest" "$right" "$digest"
rmdir "$one"
run --cache-dir="$cache"

# ---- other code has other entries
run --cache-dir="$cache" --march=x86-64-v3
differ "another processor: nothing but what it made before" 1 "$made"
equal "another processor: digest" "$right" "$digest"

# ---- another generator has other entries: one byte more is another program
cp "$znetc" "$tmp/znetc" && printf 'x' >>"$tmp/znetc"
znetc_before=$znetc znetc=$tmp/znetc
run --cache-dir="$cache"
equal "another znetc: everything is made" "$all" "$made"
znetc=$znetc_before

# ---- directories that cannot be used
run --cache-dir=/dev/null/cache
equal "no directory: everything is made" "$all" "$made"
equal "no directory: digest" "$right" "$digest"
mkdir "$tmp/open" && chmod 777 "$tmp/open"
run --cache-dir="$tmp/open"
run --cache-dir="$tmp/open"
equal "a directory that others may write is not trusted" "$all" "$made"
mkdir "$tmp/closed" && chmod 500 "$tmp/closed"
run --cache-dir="$tmp/closed"
equal "a directory that cannot be written: digest" "$right" "$digest"
mkdir "$tmp/full"
if mount -t tmpfs -o size=16k,mode=700 none "$tmp/full" 2>/dev/null; then
    run --cache-dir="$tmp/full"
    equal "a full disk: digest" "$right" "$digest"
    run --cache-dir="$tmp/full"
    equal "a full disk: digest of the next run" "$right" "$digest"
    equal "a full disk: nothing half-written" 0 "$(find "$tmp/full" -name '.*.tmp' | wc -l)"
    umount "$tmp/full"
else
    skip "a full disk: cannot mount a small one"
fi

# ---- several at once
rm -rf "$cache"
for i in 1 2 3 4; do
    "$znetc" run "$file" --cache-dir="$cache" -- --steps 2 >"$tmp/at-once.$i" 2>&1 &
done
wait
for i in 1 2 3 4; do
    equal "four at once: digest $i" "$right" "$(sed -n 's/^weights sha256:\(.*\)$/\1/p' "$tmp/at-once.$i")"
done
equal "four at once: no temporary file is left" 0 "$(find "$cache" -name '.*.tmp' | wc -l)"
run --cache-dir="$cache"
equal "four at once: all is there" 1 "$made"

# ---- where it is when nothing is said
rm -rf "$tmp/home" "$tmp/xdg"
XDG_CACHE_HOME=$tmp/xdg "$znetc" "$file" -o "$tmp/train"
checks=$((checks + 1))
[ -d "$tmp/xdg/znet" ] || fail "XDG_CACHE_HOME is not used"
(unset XDG_CACHE_HOME && HOME=$tmp/home "$znetc" "$file" -o "$tmp/train")
checks=$((checks + 1))
[ -d "$tmp/home/.cache/znet" ] || fail "HOME/.cache/znet is not used"
rm -rf "$tmp/home"
(unset XDG_CACHE_HOME && HOME=$tmp/home "$znetc" "$file" -o "$tmp/train" --no-cache)
checks=$((checks + 1))
[ ! -e "$tmp/home" ] || fail "--no-cache made a directory"
finish
