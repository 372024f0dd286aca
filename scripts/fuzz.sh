#!/usr/bin/env bash
# Runs every fuzz target of the tree for the time given (30s, 1h). A finding is left in the package's testdata/fuzz.
set -euo pipefail
time=${1:-10s}
count=0
while IFS=: read -r file name; do
  echo "fuzz $(dirname "$file") $name"
  CGO_ENABLED=0 go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 20x -parallel 2 "./$(dirname "$file")"
  count=$((count + 1))
done < <(git ls-files '*_test.go' | xargs grep -oHE '^func Fuzz[A-Za-z0-9_]*' | sed 's/func //' | sort)
echo "$count fuzz targets"
[ "$count" -gt 0 ]
