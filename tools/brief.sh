#!/bin/bash
# Keeps of go test -v what a person wants to follow: tests as they end, and
# everything of those that failed.
grep --line-buffered -E '^(=== RUN|--- |\s+--- (FAIL|SKIP)|ok|FAIL|PASS|panic|\s+[a-z_]+\.go:[0-9]+:|exit status)' || true
exit "${PIPESTATUS[0]}"
