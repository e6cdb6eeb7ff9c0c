#!/bin/bash
# Keeps of go test -v what a person wants to follow: tests as they begin and end, and
# where nobody looks on (the output is no terminal) only those that fail. What failed
# is told once more at the end, what failed inside before what it failed with, each
# with the first and the last of what it said; all of it is in the file named as the
# argument.
eager=()
if awk -W version 2>&1 </dev/null | grep -q mawk; then eager=(-W interactive); fi # or it waits until a block is full
seen=0
if [[ -t 1 ]]; then seen=1; fi
exec awk "${eager[@]}" -v all="${1:-/dev/null}" -v seen="$seen" '
BEGIN { head = 8; tail = 14; width = 220 }
{ print > all }
/^=== (RUN|CONT|NAME)/ { test = $3 }
/^=== RUN/ && seen && $3 !~ /\// { print; fflush() }
/^--- PASS/ { passed++; if (seen) { print; fflush() } }
/^(--- (FAIL|SKIP)|ok|FAIL|panic|exit status)/ || /^ +--- (FAIL|SKIP)/ { print; fflush() }
/^ *--- / { fflush(all) }
panicked && lines++ < 60 { print }
/^panic/ { panicked = 1 }
/^ +[a-z_0-9]+\.go:[0-9]+:/ || /^        / {
	n = ++said[test]
	sub(/^ +/, "  ")
	if (n <= head) first[test] = first[test] substr($0, 1, width) "\n"
	else last[test, n % tail] = substr($0, 1, width) "\n"
}
/^ *--- FAIL/ {
	failed[++failures] = $3
	outer = $3
	while (sub(/\/[^\/]*$/, "", outer)) inside[outer] = 1
}
function tell(name, n) {
	printf "what %s said:\n%s", name, first[name]
	if (said[name] > head + tail) printf "  … %d lines …\n", said[name] - head - tail
	for (n = said[name] - tail + 1; n <= said[name]; n++) if (n > head) printf "%s", last[name, n % tail]
}
END {
	print passed + 0, "tests passed"
	for (i = 1; i <= failures; i++) if (failed[i] in said && !(failed[i] in inside)) tell(failed[i])
	for (i = 1; i <= failures; i++) if (failed[i] in said && failed[i] in inside) tell(failed[i])
}'
