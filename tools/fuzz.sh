#!/bin/bash
# Runs every fuzz target of the repository for the given time.
set -euo pipefail
time=${1:-60s}
grep -rlE '^func Fuzz' --include='*_test.go' internal | while read -r file; do
  dir=$(dirname "$file")
  grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | sed 's/^func //' | while read -r target; do
    echo "$dir $target"
    go test "./$dir" -run '^$' -fuzz "^$target\$" -fuzztime "$time"
  done
done
