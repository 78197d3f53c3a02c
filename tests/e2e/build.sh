#!/bin/sh
# The product configures and builds where CUnit is not installed, and names what is missing as apt knows it.
# (CUnit is hidden from pkg-config: the machine that runs this test has it.)
. "$(dirname "$0")/lib.sh"

cat >"$tmp/pkg-config" <<'END'
#!/bin/sh
for a; do case $a in cunit*) exit 1 ;; esac; done
exec pkg-config "$@"
END
chmod +x "$tmp/pkg-config"
configure() { cmake -G Ninja -S "$source" -B "$tmp/$1" -DCMAKE_BUILD_TYPE=Release -DPKG_CONFIG_EXECUTABLE="$tmp/pkg-config" "$2"; }

expect "the tests ask for CUnit by its package" 1 "apt-get install .*libcunit1-dev" configure tested -DBUILD_TESTING=ON
expect "the product does not" 0 "" configure "a path" -DCMAKE_C_FLAGS=-O1
expect "it builds" 0 "" cmake --build "$tmp/a path" --parallel 2
expect "it compiles in a path with a space" 0 "" "$tmp/a path/znetc" "$source/examples/digits.znet" -o "$tmp/a train"
expect "what it made trains" 0 "^weights sha256:" "$tmp/a train" --steps 1
finish
