#!/usr/bin/env bash
# Runs all tests with the race detector, as CI does: a test that was skipped fails the run, for whatever it needed was not there.
set -uo pipefail
log=$(mktemp)
trap 'rm -f "$log"' EXIT
CI=true CGO_ENABLED=1 "$1" test -race -v -timeout 25m ./... >"$log" 2>&1
code=$?
grep -E '^(ok|FAIL|panic:|\?)|^ *--- FAIL|^# ' "$log"
if [ $code -ne 0 ]; then
  echo "--- the log of what failed:"
  grep -vE '^(=== (RUN|PAUSE|CONT|NAME)|ok|\?)|^ *--- PASS|^PASS' "$log" | tail -n 400
  exit $code
fi
if skipped=$(grep -E '^--- SKIP' "$log"); then
  echo "Skipped, which CI must not:"
  echo "$skipped"
  exit 1
fi
echo "$(grep -cE '^ *--- PASS' "$log") passed, 0 failed"
