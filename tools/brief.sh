#!/bin/bash
# Keeps of go test -v what a person wants to follow: tests as they begin and end,
# the first line of what they log, and all lines of those that failed.
# mawk, which is Debian's, otherwise waits until a block is full.
eager=()
if awk -W version 2>&1 </dev/null | grep -q mawk; then eager=(-W interactive); fi
exec awk "${eager[@]}" '
/^=== (RUN|CONT|NAME)/ { test = $3 }
/^(=== RUN|--- |ok|FAIL|PASS|panic|exit status)/ || /^ +--- (FAIL|SKIP)/ || /^ +[a-z_0-9]+\.go:[0-9]+:/ { print; fflush() }
/^ +[a-z_0-9]+\.go:[0-9]+:/ || /^        / { if (kept[test]++ < 400) said[test] = said[test] $0 "\n" }
/^panic/ { panicked = 1 }
panicked && !/^panic/ { print }
/^ *--- FAIL/ {
	name = $3
	if (name in said) printf "all that %s said:\n%s", name, said[name]
	fflush()
}'
