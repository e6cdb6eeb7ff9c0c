#!/bin/bash
# Keeps of go test -v what a person wants to follow: tests as they begin and end.
# What failed is told once more at the end, with the first and the last of what
# its tests said; all of it is in the file named as the argument.
eager=()
if awk -W version 2>&1 </dev/null | grep -q mawk; then eager=(-W interactive); fi # or it waits until a block is full
exec awk "${eager[@]}" -v all="${1:-/dev/null}" '
BEGIN { head = 15; tail = 25 }
{ print > all }
/^=== (RUN|CONT|NAME)/ { test = $3 }
/^=== RUN/ && $3 !~ /\// || /^(--- |ok|FAIL|PASS|panic|exit status)/ || /^ +--- (FAIL|SKIP)/ { print; fflush() }
/^ *--- / { fflush(all) }
panicked { print }
/^panic/ { panicked = 1 }
/^ +[a-z_0-9]+\.go:[0-9]+:/ || /^        / {
	n = ++said[test]
	if (n <= head) first[test] = first[test] substr($0, 1, 400) "\n"
	else last[test, n % tail] = substr($0, 1, 400) "\n"
}
/^ *--- FAIL/ { failed[++failures] = $3 }
END {
	for (i = 1; i <= failures; i++) {
		test = failed[i]
		if (!(test in said)) continue
		printf "what %s said:\n%s", test, first[test]
		if (said[test] > head + tail) printf "        … %d lines …\n", said[test] - head - tail
		for (n = said[test] - tail + 1; n <= said[test]; n++) if (n > head) printf "%s", last[test, n % tail]
	}
}'
