#!/usr/bin/env bash
# Runs all tests with the race detector, as CI does: a test that was skipped fails the run, for whatever it needed was not there.
# Of what fails, the whole output is printed, and nothing of the rest.
set -uo pipefail
log=$(mktemp)
trap 'rm -f "$log"' EXIT
CI=true CGO_ENABLED=1 "$1" run gotest.tools/gotestsum@v1.13.0 --format pkgname --hide-summary=skipped --jsonfile "$log" -- -race -timeout 25m ./... || exit $?
if skipped=$(grep '"Action":"skip"' "$log" | grep '"Test":'); then
  echo "Skipped, which CI must not:"
  echo "$skipped"
  exit 1
fi
# What one goroutine does at a time needs no race detector, and takes far too long with it.
CI=true CGO_ENABLED=0 "$1" test -timeout 10m -run '^Test(Every|Schedule)' ./internal/catalog
