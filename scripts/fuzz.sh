#!/usr/bin/env bash
# Runs every fuzz target of the tree for the time given (30s, 1h), two at a time. A finding is left in the package's
# testdata/fuzz, and fails the run.
set -euo pipefail
export FUZZTIME=${1:-30s}
mapfile -t targets < <(git ls-files '*_test.go' | xargs grep -oHE '^func Fuzz[A-Za-z0-9_]*' | sed 's/:func / /' | sort)
[ ${#targets[@]} -gt 0 ]

# The fuzzer of Go now and then fails at the end of its time with "context deadline exceeded", having found nothing. What
# fails without an input to show for it is run once more.
one() {
  local dir out code try
  dir=$(dirname "$1")
  for try in 1 2; do
    out=$(CGO_ENABLED=0 go test -run '^$' -fuzz "^$2\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 20x -parallel 1 "./$dir" 2>&1) && code=0 || code=$?
    [ $code -ne 0 ] && ! grep -q 'Failing input written to' <<<"$out" || break
  done
  echo "fuzz $dir $2: $(grep -E '^fuzz: elapsed' <<<"$out" | tail -n 1 | sed 's/^fuzz: //')"
  [ $code -eq 0 ] || { echo "$out" | tail -n 60; return 1; }
}
export -f one
printf '%s\n' "${targets[@]}" | xargs -P 2 -L 1 bash -c 'one "$0" "$1"'
echo "${#targets[@]} fuzz targets"
