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
# one black pixel
png='\211\120\116\107\015\012\032\012\000\000\000\015\111\110\104\122\000\000\000\001\000\000\000\001\010'
png=$png'\000\000\000\000\072\176\233\125\000\000\000\012\111\104\101\124\170\234\143\140\007\000\000\011\000'
png=$png'\010\040\043\303\214\000\000\000\000\111\105\116\104\256\102\140\202'
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
    # What reads pictures runs there as well, and says what it lacks where it meets one.
    cat >"$tmp/pictures.znet" <<'END'
model m { input image[1, 1, 1] flatten linear(2) }
data { source = images("/pictures") split = 0.5 }
train { loss = cross_entropy optimizer = sgd lr = 0.1 batch = 1 epochs = 1 }
END
    for class in a b; do
        mkdir -p "$root/pictures/$class"
        # shellcheck disable=SC2059 # escapes
        printf "$png" | tee "$root/pictures/$class/1.png" >"$root/pictures/$class/2.png"
    done
    "$znetc" "$tmp/pictures.znet" -o "$root/pictures/train" || fail "pictures do not compile"
    # shellcheck disable=SC2086 # words
    expect "pictures without libpng" 3 "1.png: PNG files are read by libpng, which cannot be loaded: .*package libpng16-16" \
        $run /pictures/train
else
    skip "a run in a bare root: this user may not chroot"
fi
finish
