#!/usr/bin/env bash
# Koop without the proxy: it takes the Portal's tokens, and no others.
. "$(dirname "${BASH_SOURCE[0]}")/../checks.sh"

layer="$KOOP_URL/rest/services/hydrants/FeatureServer/0?f=json"

ask() { curl --silent --show-error --max-time 20 --noproxy '*' "$@"; }
tokens() {
	equal "code without a token" "$(ask "$layer" | field error.code)" 499
	equal "code for a foreign token" "$(ask "$layer&token=foreign" | field error.code)" 498
	equal "the layer's name" "$(ask -H "X-Esri-Authorization: Bearer $BOB_TOKEN" "$layer" | field name)" Hydrants
}

check "Koop takes tokens of the Portal, and no others" tokens
[ "$failures" -eq 0 ]
