#!/usr/bin/env bash
# Runs every fuzz target of the tree for the time given (30s, 1h), two at a time. A finding is left in the package's
# testdata/fuzz, and fails the run.
set -euo pipefail
export FUZZTIME=${1:-30s}
mapfile -t targets < <(git ls-files '*_test.go' | xargs grep -oHE '^func Fuzz[A-Za-z0-9_]*' | sed 's/:func / /' | sort)
[ ${#targets[@]} -gt 0 ]

one() {
  local dir
  dir=$(dirname "$1")
  out=$(CGO_ENABLED=0 go test -run '^$' -fuzz "^$2\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 20x -parallel 1 "./$dir" 2>&1) && code=0 || code=$?
  echo "fuzz $dir $2: $(grep -E '^fuzz: elapsed' <<<"$out" | tail -n 1 | sed 's/^fuzz: //')"
  [ $code -eq 0 ] || { echo "$out" | tail -n 60; return 1; }
}
export -f one
printf '%s\n' "${targets[@]}" | xargs -P 2 -L 1 bash -c 'one "$0" "$1"'
echo "${#targets[@]} fuzz targets"
