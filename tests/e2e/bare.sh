#!/bin/sh
# A training executable needs nothing that a bare machine lacks: only libc, unless its plan has a product of OpenBLAS.
. "$(dirname "$0")/lib.sh"
"$znetc" "$source/examples/digits.znet" -o "$tmp/train" || fail "does not compile"
needed=$(ldd "$tmp/train" | sed 's/^[[:space:]]*//; s/ .*//; s|.*/||; s/\.so.*//' | sort | tr '\n' ' ')
case $needed in
*san*)
    skip "a build with sanitizers, whose executables need their libraries"
    exit 77
    ;;
esac
equal "libraries of an executable" "ld-linux-x86-64 libc libm linux-vdso " "$needed"
# A root with these and nothing else, where this user may make one.
root=$tmp/root
mkdir -p "$root/proc"
for f in "$tmp/train" $(ldd "$tmp/train" | grep -o '/[^ ]*'); do
    mkdir -p "$root$(dirname "$f")"
    cp -L "$f" "$root$f"
done
if unshare -r chroot "$root" "$tmp/train" --version >/dev/null 2>&1 || chroot "$root" "$tmp/train" --version >/dev/null 2>&1; then
    run="chroot $root"
    chroot "$root" "$tmp/train" --version >/dev/null 2>&1 || run="unshare -r chroot $root"
    # shellcheck disable=SC2086 # words
    expect "trains in a root of its own libraries alone" 0 "^weights sha256:" $run "$tmp/train" --steps 2 --threads 2
else
    skip "a run in a bare root: this user may not chroot"
fi
finish
