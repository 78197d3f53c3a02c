# Shared by the end-to-end tests. Usage of each: TEST.sh BIN SOURCE [DATA]
#   BIN     directory of znetc     SOURCE  root of the source tree     DATA  public data sets (may be missing)
# A test prints a line a failure and ends with `finish`. Skipped parts are named.
set -u
export LC_ALL=C
bin=$(cd "$1" && pwd) source=$(cd "$2" && pwd) data=${3:-}
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
znetc=$bin/znetc
checks=0 bad=0

fail() {
    bad=$((bad + 1))
    echo "FAIL $*"
}

skip() { echo "SKIPPED $*"; }

# equal WHAT EXPECTED ACTUAL
equal() {
    checks=$((checks + 1))
    [ "$2" = "$3" ] || fail "$1: expected $2, got $3"
}

differ() {
    checks=$((checks + 1))
    [ "$2" != "$3" ] || fail "$1: both are $2"
}

# expect WHAT CODE PATTERN COMMAND...: the exit code, and a basic regular expression that some line of its output matches
# ("" = none). The output stays in $tmp/out (standard output) and $tmp/err.
expect() {
    what=$1 code=$2 pattern=$3
    shift 3
    checks=$((checks + 1))
    "$@" >"$tmp/out" 2>"$tmp/err"
    got=$?
    [ "$got" -eq "$code" ] || { fail "$what: exit code $got, expected $code"; sed 's/^/    /' "$tmp/err" | head -n 10; }
    if [ -n "$pattern" ] && ! cat "$tmp/out" "$tmp/err" | grep -q -e "$pattern"; then
        fail "$what: nothing matches \`$pattern\`"
        cat "$tmp/out" "$tmp/err" | sed 's/^/    /' | head -n 10
    fi
}

# The digest a training command prints last; of one that fails, its exit code.
digest() {
    "$@" >"$tmp/digest" 2>&1
    code=$?
    if [ $code -eq 0 ]; then
        sed -n 's/^weights sha256:\([0-9a-f]\{64\}\)$/\1/p' "$tmp/digest"
    else
        echo "exit code $code of $*"
        sed 's/^/    /' "$tmp/digest" | head -n 20 >&2
    fi
}

# That of the start, of the last run of `digest`.
start_digest() { sed -n 's/^start   sha256:\([0-9a-f]\{64\}\)$/\1/p' "$tmp/digest"; }

# against_steps NAME TRUTH FIRST OPTIONS...: the network TRUTH/net.znet after FIRST (0 or 1) to 3 steps at -O0 and -O2 against
# TRUTH/stepN.safetensors and losses.txt, which are float64: within 1e-5, and the start to the bit. Needs $compare.
against_steps() {
    name=$1 truth=$2 first=$3
    shift 3
    for level in 0 2; do
        for step in $(seq "$first" 3); do
            out=$tmp/$name$level$step
            expect "$name, -O$level, $step steps" 0 "" "$znetc" run "$truth/net.znet" "-O$level" -- "$@" --steps "$step" \
                --log-every 1 --out "$out"
            expect "$name, -O$level, weights after step $step" 0 "weight" "$compare" "$truth/step$step.safetensors" \
                "$out/weights.safetensors" "$([ "$step" = 0 ] && echo 0 || echo 1e-5)"
            grep '^FAIL' "$tmp/out"
        done
        sed -n 's/.*"event":"step".*"loss":\([^,}]*\).*/\1/p' "$out/log.jsonl" >"$tmp/losses"
        checks=$((checks + 1))
        paste "$truth/losses.txt" "$tmp/losses" | awk '
            { d = $1 - $2; if (d < 0) d = -d; if (NF != 2 || !(d <= 1e-5)) { print "step " NR ": " $1 " and " $2; bad = 1 } }
            END { exit bad || NR != 3 }' || fail "$name, -O$level: losses differ by more than 1e-5"
    done
}

finish() {
    echo "$checks checks, $bad failed"
    [ "$checks" -gt 0 ] && [ "$bad" -eq 0 ]
    exit
}
