#!/bin/bash
# Fails when a generated document is not what this source would generate.
set -euo pipefail
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
go run ./cmd/updraft gen --dir "$fresh"
status=0
while read -r file; do
  if ! diff -q "$fresh/$file" "$file" >/dev/null 2>&1; then
    echo "$file is stale: run make generate" >&2
    status=1
  fi
done < <(cd "$fresh" && find . -type f)
exit $status
