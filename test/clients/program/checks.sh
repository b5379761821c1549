#!/usr/bin/env bash
# The program's commands that sign in by themselves, before the proxy runs.
. "$(dirname "${BASH_SOURCE[0]}")/../checks.sh"

everything() {
	local said
	said=$("$ARCPROXY" check --sign-in)
	echo "$said"
	for what in config okta portal server sign-in; do
		grep -Eq "^$what +ok " <<<"$said"
	done
	grep -q "signed in as $ALICE_USERNAME " <<<"$said"
}
token() {
	local token said
	token=$("$ARCPROXY" token carol)
	said=$(curl --silent --show-error --max-time 20 --noproxy '*' --cacert "$SANDBOX_CA" \
		-H "X-Esri-Authorization: Bearer $token" "$PORTAL_URL/sharing/rest/community/self?f=json")
	equal username "$(field username <<<"$said")" "$CAROL_USERNAME"
}
faults() {
	local code=0 said
	sed 's/^url = /ulr = /; s/^mode = .*/mode = "lokal"/' "$ARCPROXY_CONFIG" >"$RUN/config/faulty.toml"
	said=$("$ARCPROXY" check --config "$RUN/config/faulty.toml" 2>&1) || code=$?
	equal "exit code" "$code" 2
	[ "$(grep -c 'faulty.toml:[0-9]*: ' <<<"$said")" -ge 3 ] || { echo "$said"; return 1; }
}
check "arcproxy check names every fault of a config" faults
check "arcproxy check --sign-in" everything
check "arcproxy token prints one that the Portal takes" token
[ "$failures" -eq 0 ]
