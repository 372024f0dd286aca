#!/bin/sh
# The five operations by curl. INGOT_URL, without /v2, and INGOT_TOKEN say where.
set -eu

api() { curl -fsS -H "Authorization: Bearer $INGOT_TOKEN" -H 'Content-Type: application/json' "$@"; }

if [ "${1-}" = pages ]; then
  for page in 1 2 3; do
    api "$INGOT_URL/v2/images?private=true&per_page=200&page=$page" | grep -o '{"id":[0-9]*' | cut -d: -f2
  done
  exit
fi

id=$(api "$INGOT_URL/v2/images" -d '{"name": "curl", "region": "nyc3", "url": "'"$SOURCE"'"}' | sed 's/.*"id":\([0-9]*\).*/\1/')
until api "$INGOT_URL/v2/images/$id" | grep -q '"status":"available"'; do sleep 0.1; done
api "$INGOT_URL/v2/images?private=true" | grep -q '"meta":{"total":1}'
api -X PUT "$INGOT_URL/v2/images/$id" -d '{"name": "renamed"}' | grep -q '"name":"renamed"'
api -X DELETE "$INGOT_URL/v2/images/$id"
api "$INGOT_URL/v2/images?private=true" | grep -q '"meta":{"total":0}'
