#!/usr/bin/env bash
# Koop, a server that the Portal knows nothing of and that asks it about each token,
# behind the proxy: curl looks at what goes over the wire.
. "$(dirname "${BASH_SOURCE[0]}")/../checks.sh"

proxy=https://localhost:$PROXY_PORT
hydrants=/rest/services/hydrants/FeatureServer/0

ask() { curl --silent --show-error --max-time 60 --noproxy '*' --cacert "$PROXY_ROOT" "$@"; }
# user ARG… prints whose token Koop was sent, as the Portal told it.
user() { ask --fail --dump-header - --output /dev/null "$@" "$proxy/koop$hydrants?f=json" | tr -d '\r' | sed -n 's/^[Xx]-[Kk]oop-[Uu]ser: //p'; }

tokens() {
	equal "user by key" "$(user -H "X-Esri-Authorization: Bearer $CALLER_KEY")" "$ALICE_USERNAME"
	equal "user by address" "$(user)" "$CAROL_USERNAME"
}
info() {
	local said
	said=$(ask "$proxy/koop/rest/info?f=json")
	equal owningSystemUrl "$(field owningSystemUrl <<<"$said")" "$proxy/portal"
	equal tokenServicesUrl "$(field authInfo.tokenServicesUrl <<<"$said")" "$proxy/portal/sharing/rest/generateToken"
	! grep -q "${PORTAL_URL%/portal}\|${KOOP_URL%/koop}" <<<"$said" || { echo "$said"; return 1; }
}
exchange() {
	local token
	token=$(ask --data-urlencode "token=$CALLER_KEY" --data-urlencode "serverUrl=$proxy/koop" -d f=json "$proxy/portal/sharing/rest/generateToken" | field token)
	[[ $token = arcproxy_a_* ]] || { echo "the token is not the proxy's own"; return 1; }
	equal user "$(user --get --data-urlencode "token=$token")" "$ALICE_USERNAME"
}
# features compares what the proxy hands over with what Koop itself answers.
features() {
	local format query direct through
	for format in json geojson; do
		for query in 'where=1%3D1' "where=kind='wall'&resultOffset=500&returnGeometry=false"; do
			query="$hydrants/query?outFields=*&f=$format&$query"
			direct=$(ask --fail --compressed -H "X-Esri-Authorization: Bearer $ALICE_TOKEN" "$KOOP_URL$query")
			through=$(ask --fail --compressed -H "X-Esri-Authorization: Bearer $CALLER_KEY" "$proxy/koop$query")
			[ "$direct" = "$through" ] || { diff <(fold <<<"$direct") <(fold <<<"$through") | head; return 1; }
			grep -qF "\"link\":\"$PORTAL_URL/home/item.html?id=hydrant" <<<"$direct"
		done
	done
}

check "Koop is asked with the token of the caller's identity" tokens
check "Koop's rest/info names the proxy" info
check "a token for Koop, by the Portal's exchange" exchange
check "features that name the Portal come as Koop sent them" features
[ "$failures" -eq 0 ]
