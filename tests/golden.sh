#!/bin/sh
# Compares what the compiler prints with what is stored.
#
# usage: golden.sh BIN GOLDEN KIND [FILTER]
#   BIN     directory of znetc and znopt       GOLDEN  tests/golden
#   KIND    error      error/NAME.znet         znetc check, with the options of NAME.args if that is there (separated by
#                                              space): its exit code is 1 and its messages are NAME.out
#                      error/NAME.zir          znopt does so
#           warning    warning/NAME.znet       znetc check says NAME.out on standard error and ends with 0
#           trap       trap/NAME.znet: the same, and it says something
#           healthy    healthy/NAME.znet       znetc check says nothing
#           ast        ast/NAME.znet           --emit=ast is NAME.out
#           stage      ir/net_NAME.znet        --emit=ir, init, grad, opt are net_NAME.STAGE.zir, --emit=plan is net_NAME.plan.out
#           pass       pass/PASS/NAME.zir      znopt --passes=PASS is NAME.out. First lines of NAME.zir: "# idempotent":
#                                              running the pass again changes nothing more; "# error": exit code 1
#           roundtrip  every .zir              read and printed again it is the same, byte for byte
#   FILTER  only names that hold this
#
# ZN_UPDATE=1 stores what is printed, and fails where that changed anything: an update is never mistaken for a pass.
# A missing stored output and a kind without tests are failures.
set -u
export LC_ALL=C
bin=$(cd "$1" && pwd) golden=$(cd "$2" && pwd) kind=$3 filter=${4:-}
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
count=0 bad=0

fail() { # name message
    bad=$((bad + 1))
    echo "FAIL $1: $2"
}

compare() { # name stored actual
    count=$((count + 1))
    cmp -s "$2" "$3" && return
    bad=$((bad + 1))
    if [ -n "${ZN_UPDATE:-}" ]; then
        cp "$3" "$2" && echo "UPDATED $1"
    elif [ ! -e "$2" ]; then
        echo "FAIL $1: no stored output (ZN_UPDATE=1 makes it)"
    else
        echo "FAIL $1"
        diff -u "$2" "$3" | sed 's/^/    /' | head -n 60
    fi
}

expect_code() { # name expected actual
    [ "$2" -eq "$3" ] || fail "$1" "exit code $3, expected $2"
}

case $kind in
error)
    for src in "$golden"/error/*"$filter"*.znet "$golden"/error/*"$filter"*.zir; do
        [ -e "$src" ] || continue
        name=$(basename "$src") stored=${src%.*}.out
        args=
        [ ! -e "${src%.*}.args" ] || args=$(cat "${src%.*}.args")
        case $name in *.zir) tool=znopt ;; *) tool="znetc check" ;; esac
        # shellcheck disable=SC2086 # lists of words
        (cd "$golden/error" && "$bin"/$tool "$name" $args >"$tmp/out" 2>&1)
        expect_code "error/$name" 1 $?
        compare "error/$name" "$stored" "$tmp/out"
    done
    ;;
warning | trap)
    for src in "$golden/$kind"/*"$filter"*.znet; do
        [ -e "$src" ] || continue
        name=$(basename "$src" .znet)
        (cd "$golden/$kind" && "$bin/znetc" check "$name.znet" 2>"$tmp/out" >/dev/null)
        expect_code "$kind/$name" 0 $?
        [ -s "$tmp/out" ] || fail "$kind/$name" "nothing is said of it"
        compare "$kind/$name" "${src%.znet}.out" "$tmp/out"
    done
    ;;
healthy)
    for src in "$golden"/healthy/*"$filter"*.znet; do
        [ -e "$src" ] || continue
        name=$(basename "$src" .znet)
        count=$((count + 1))
        (cd "$golden/healthy" && "$bin/znetc" check "$name.znet" 2>"$tmp/out" >/dev/null)
        expect_code "healthy/$name" 0 $?
        [ ! -s "$tmp/out" ] || fail "healthy/$name" "$(head -n 1 "$tmp/out")"
    done
    ;;
ast)
    for src in "$golden"/ast/*"$filter"*.znet; do
        [ -e "$src" ] || continue
        name=$(basename "$src" .znet)
        (cd "$golden/ast" && "$bin/znetc" --emit=ast "$name.znet" >"$tmp/out" 2>&1)
        expect_code "ast/$name" 0 $?
        compare "ast/$name" "${src%.znet}.out" "$tmp/out"
    done
    ;;
stage)
    for src in "$golden"/ir/net_*"$filter"*.znet; do
        [ -e "$src" ] || continue
        name=$(basename "$src" .znet)
        for stage in ir init grad opt plan; do
            case $stage in plan) stored=$name.plan.out ;; *) stored=$name.$stage.zir ;; esac
            (cd "$golden/ir" && "$bin/znetc" --verify-each --emit=$stage "$name.znet" >"$tmp/out" 2>&1)
            expect_code "ir/$stored" 0 $?
            compare "ir/$stored" "$golden/ir/$stored" "$tmp/out"
        done
    done
    ;;
pass)
    for src in "$golden"/pass/*/*"$filter"*.zir; do
        [ -e "$src" ] || continue
        pass=$(basename "$(dirname "$src")") name=$(basename "$src" .zir)
        (cd "$golden/pass/$pass" && "$bin/znopt" --passes="$pass" --verify-each "$name.zir" >"$tmp/out" 2>&1)
        code=$?
        case $(head -n 1 "$src") in "# error"*) expect_code "pass/$pass/$name" 1 $code ;; *) expect_code "pass/$pass/$name" 0 $code ;; esac
        compare "pass/$pass/$name" "${src%.zir}.out" "$tmp/out"
        if head -n 1 "$src" | grep -q '^# idempotent'; then
            "$bin/znopt" --passes="$pass" "$tmp/out" >"$tmp/again" 2>&1
            cmp -s "$tmp/out" "$tmp/again" || fail "pass/$pass/$name" "running the pass again changes more"
        fi
    done
    ;;
roundtrip)
    find "$golden" -name "*$filter*.zir" -not -path "*/error/*" | sort >"$tmp/list"
    while read -r src; do
        grep -v '^#' "$src" >"$tmp/in.zir"
        "$bin/znopt" "$tmp/in.zir" >"$tmp/out" 2>&1
        expect_code "${src#"$golden"/}" 0 $?
        count=$((count + 1))
        cmp -s "$tmp/in.zir" "$tmp/out" || {
            fail "${src#"$golden"/}" "is printed otherwise"
            diff -u "$tmp/in.zir" "$tmp/out" | sed 's/^/    /' | head -n 20
        }
    done <"$tmp/list"
    ;;
*)
    echo "unknown kind $kind" >&2
    exit 2
    ;;
esac
echo "$kind: $count compared, $bad not as stored"
[ "$count" -gt 0 ] && [ "$bad" -eq 0 ]
