#!/usr/bin/env bash
# Runs govulncheck. Its database is on the network: where that cannot be reached, this says so and succeeds; a finding fails.
set -uo pipefail
out=$("$1" run "$2" ./... 2>&1)
code=$?
if [ $code -ne 0 ] && grep -qE 'vuln\.go\.dev|dial tcp|no such host|proxyconnect' <<<"$out"; then
  echo "govulncheck: the vulnerability database cannot be reached from here; not checked" >&2
  exit 0
fi
echo "$out"
exit $code
