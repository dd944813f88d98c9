#!/bin/bash
# All tests: sets up what is missing, builds, runs. The last line is `N passed, N failed, N skipped`; the exit
# status is not 0 if one failed.
#
#   tools/test.sh [WORD]     only tests whose name contains WORD
set -u
cd "$(dirname "$0")/.." || exit 2

# A make of its own, also under `make test`; programs that speak English.
unset MAKEFLAGS MFLAGS MAKELEVEL
export LC_ALL=C.UTF-8 PATH=$PATH:/usr/sbin:/sbin

word=${1:-}
log=$(mktemp -d "${TMPDIR:-/tmp}/tsuji-test.XXXXXX")
trap 'rm -rf "$log"' EXIT
passed=0 failed=0 skipped=0
comparisons=$([ -n "${SOAK:-}" ] && echo 100000000 || echo 10000000)

# Runs a part that ends in its own summary line; what it printed is shown as it comes.
part() {
    local name=$1 summary
    shift
    echo "== $name"
    SECONDS=0
    "$@" 2>&1 | tee "$log/$name"
    local status=${PIPESTATUS[0]}
    echo "== $name took $SECONDS s"
    summary=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped' "$log/$name" | tail -n 1)
    if [[ $summary =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped ]]; then
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
        skipped=$((skipped + BASH_REMATCH[3]))
        [ "$status" -eq 0 ] || [ "${BASH_REMATCH[2]}" -gt 0 ] || failed=$((failed + 1))
    else
        echo "$name ended without a summary (status $status)"
        failed=$((failed + 1))
    fi
}

build() {
    tools/setup test && make all host image build/test/unit build/fuzz/unit build/host/unit build/tsan/unit build/tsan/tsuji fuzzers && make DEBUG=1 all
}

echo "== build"
if build > "$log/build" 2>&1; then
    echo "== build took $SECONDS s"
else
    tail -n 40 "$log/build"
    failed=1
fi
if [ "$failed" -eq 0 ]; then
    part unit build/test/unit "$word"
    part unit-clang env LLVM_PROFILE_FILE=/dev/null build/fuzz/unit "$word"
    part unit-optimized env TSUJI_COMPARISONS="$comparisons" build/host/unit "$word"
    part unit-tsan build/tsan/unit "$word"
    part fuzz tests/fuzz/run.py "$word"
    part system tests/system/run.py "$word"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
