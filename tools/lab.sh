#!/bin/bash
# Runs the tests on real hosts. They have deadlines, on computers that others use, too:
# what fails in a few tests is tried once more, and told with both results. What fails
# twice has failed.
set -uo pipefail
set -m # each tier is a group of processes of its own
few=5
late=4700 # seconds, by which the second attempt has to be over: CI has 90 minutes, for builds and unit tests, too
mkdir -p dist/tests
stop() { kill -INT -- $(jobs -p | sed 's/^/-/') 2>/dev/null; }
trap 'stop; exit 130' INT TERM
run() { # LOG TIMEOUT ARGUMENT...
	REQUIRE=lab go test -count=1 -timeout "$2" -p 1 -v -artifacts -outputdir dist/tests "${@:3}" | tools/brief.sh "dist/tests/$1"
}
# Both wait for most of their time, for elections, leases and boots: side by side they
# leave time for what failed.
run lab 75m ./tests/lab/... &
run e2e 75m ./tests/e2e/... &
bad=0
for job in $(jobs -p); do wait "$job" || bad=1; done
((bad)) || exit 0
logs="dist/tests/lab dist/tests/e2e"
failed=$(sed -n 's/^--- FAIL: \([A-Za-z0-9_]*\) .*/\1/p' $logs | sort -u)
n=$(wc -w <<<"$failed")
took=$(cat $logs | awk -F'[()]' '/^--- FAIL/ { s += $2 } END { print int(s) }')
if ((n == 0 || n > few || SECONDS + took > late)) || grep -q '^panic' $logs; then exit 1; fi
echo "again, as they failed:" $failed
run again 35m -run "^($(paste -sd'|' <<<"$failed"))$" ./tests/lab/... ./tests/e2e/... &
wait $! || exit
echo "failed once, and passed at the second attempt:" $failed
