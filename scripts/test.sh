#!/bin/sh
# Installs what is missing, builds, runs every test. Ends with ctest's summary and a line "N passed, N failed".
#   scripts/test.sh [PRESET]      dev (default), release, asan or tsan
#   ZN_DATA_DIR=DIR               public data sets for the tests that want real data; without them they are skipped
set -u
cd "$(dirname "$0")/.." || exit 1
preset=${1:-dev}
build=build-$preset

scripts/install-packages.sh tests || exit 1
cmake --preset "$preset" -DBUILD_TESTING=ON ${ZN_DATA_DIR:+-DZN_DATA_DIR="$ZN_DATA_DIR"} >"${TMPDIR:-/tmp}/znet-cmake.$$" 2>&1 || {
    cat "${TMPDIR:-/tmp}/znet-cmake.$$"
    echo "0 passed, 1 failed"
    exit 1
}
rm -f "${TMPDIR:-/tmp}/znet-cmake.$$"
cmake --build "$build" || {
    echo "0 passed, 1 failed"
    exit 1
}
mkdir -p "$build/Testing"
log=$build/Testing/summary.log
ctest --test-dir "$build" --output-on-failure --no-tests=error -j 2 2>&1 | tee "$log"
# "98% tests passed, 1 tests failed out of 42"
total=$(sed -n 's/.*tests failed out of \([0-9]*\).*/\1/p' "$log" | tail -1)
failed=$(sed -n 's/.* \([0-9]*\) tests failed out of .*/\1/p' "$log" | tail -1)
if [ -z "$total" ]; then
    echo "0 passed, 1 failed"
    exit 1
fi
echo "$((total - failed)) passed, $failed failed"
[ "$failed" = 0 ]
