#!/usr/bin/env bash
# curl through the proxy. The headers and bodies of all answers stay in
# $RUN/answers, where secrets.py searches them.
. "$(dirname "${BASH_SOURCE[0]}")/../checks.sh"

http=http://localhost:$PROXY_PORT
https=https://localhost:$PROXY_PORT
self=/portal/sharing/rest/portals/self?f=json

# ask ARG… sends a request and leaves $status, $version, $headers and $body.
ask() {
	local to
	to=$(mktemp "$RUN/answers/XXXXXXXX")
	headers=$to.headers body=$to.body
	read -r status version < <(curl --silent --show-error --max-time 90 --noproxy '*' --cacert "$PROXY_ROOT" \
		--dump-header "$headers" --output "$body" --write-out '%{http_code} %{http_version}\n' "$@")
	[ -n "$status" ]
}

# signed_in_as WHO ARG… asks who is signed in, and expects alice or carol.
signed_in_as() {
	local who=$1
	shift
	ask "$@"
	equal status "$status" 200
	if [ "$who" = alice ]; then
		equal username "$(field user.username <"$body")" "$ALICE_USERNAME"
		equal "full name" "$(field user.fullName <"$body")" "$ALICE_FULLNAME"
	else
		equal username "$(field user.username <"$body")" "$CAROL_USERNAME"
		equal "full name" "$(field user.fullName <"$body")" "$CAROL_FULLNAME"
	fi
}

plain() { signed_in_as carol "$http$self"; }
by_ip() { signed_in_as carol "http://127.0.0.1:$PROXY_PORT$self"; }
tls() {
	signed_in_as carol --http1.1 "$https$self"
	equal version "$version" 1.1
}
untrusted() {
	local code=0
	curl --silent --max-time 20 --noproxy '*' --cacert "$SANDBOX_CA" --output /dev/null "$https$self" || code=$?
	equal "curl's exit code" "$code" 60
}
http2() {
	signed_in_as carol --http2 "$https$self"
	equal version "$version" 2
}
esri_header() { signed_in_as alice -H "X-Esri-Authorization: Bearer $CALLER_KEY" "$https$self"; }
esri_header_space() { signed_in_as alice -H "X-Esri-Authorization: Bearer $CALLER_KEY " "$https$self"; }
bearer() { signed_in_as alice -H "Authorization: Bearer $CALLER_KEY" "$https$self"; }
basic() { signed_in_as alice --user "anyone:$CALLER_KEY" "$https$self"; }
basic_in_url() { signed_in_as alice "https://anyone:$CALLER_KEY@localhost:$PROXY_PORT$self"; }
token_in_query() { signed_in_as alice "$https$self&token=$CALLER_KEY"; }
token_in_form() { signed_in_as alice --data-urlencode f=json --data-urlencode "token=$CALLER_KEY" "$https${self%\?*}"; }

# refused ARG… expects that nobody is let in, with an error that a script can read.
refused() {
	ask "$@"
	equal status "$status" 401
	[ -n "$(field error.message <"$body")" ]
}
unknown_keys() {
	refused -H "X-Esri-Authorization: Bearer WRONG$CALLER_KEY" "$https$self"
	refused -H "Authorization: Bearer WRONG$CALLER_KEY" "$https$self"
	refused --user "anyone:WRONG$CALLER_KEY" "$https$self"
	refused "$https$self&token=WRONG$CALLER_KEY"
	refused --data "f=json&token=WRONG$CALLER_KEY" "$https${self%\?*}"
}
real_token() { refused -H "X-Esri-Authorization: Bearer $ALICE_TOKEN" "$https$self"; }

# own_tokens PATH… asks for tokens for the caller's key, and expects that each is
# the proxy's own, good as long as asked for and for the caller.
own_tokens() {
	local path token
	for path in "$@"; do
		ask --data-urlencode f=json -d username=nightly --data-urlencode "password=$CALLER_KEY" -d expiration=60 -d client=requestip "$https$path"
		equal status "$status" 200
		token=$(field token <"$body")
		[[ $token = arcproxy_a_* ]] || { echo "the token is not the proxy's own"; return 1; }
		signed_in_as alice -H "X-Esri-Authorization: Bearer $token" "$https$self"
		signed_in_as alice "$https$self&token=$token"
	done
}
generate_token() { own_tokens /portal/sharing/rest/generateToken /portal/sharing/generateToken /server/tokens/ /server/tokens/generateToken /server/admin/generateToken; }
no_token() { # for a wrong key, for an Okta password, or by GET
	local answer
	for answer in "username=nightly password=WRONG$CALLER_KEY" "username=$ALICE_LOGIN password=$ALICE_PASSWORD"; do
		ask -d f=json -d client=requestip --data-urlencode "${answer%% *}" --data-urlencode "${answer#* }" "$https/portal/sharing/rest/generateToken"
		equal message "$(field error.message <"$body")" "Unable to generate token."
	done
	ask --get -d f=json -d username=nightly -d client=requestip --data-urlencode "password=$CALLER_KEY" "$https/portal/sharing/rest/generateToken"
	[ -n "$(field error.message <"$body")" ]
}

features() { # where=… with a bare percent sign and a semicolon reaches the server as it is
	local count
	ask "$http/server/rest/services/Trees/FeatureServer/0/query?where=Species%20LIKE%20'Acer%'&returnCountOnly=true&f=json"
	equal status "$status" 200
	count=$(field count <"$body")
	[ "$count" -gt 0 ]
	[ "$count" -lt 3200 ]
	ask --get --data-urlencode "where=1=1" -d returnCountOnly=true -d f=json "$http/server/rest/services/Trees/FeatureServer/0/query"
	equal count "$(field count <"$body")" 3200
}
cookies() {
	# The Portal hands out esri_auth with about every other answer, so it does here.
	local seen=0
	for _ in {1..20}; do
		curl --silent --show-error --max-time 30 --noproxy '*' --cacert "$SANDBOX_CA" --dump-header - --output /dev/null \
			-H "X-Esri-Authorization: Bearer $ALICE_TOKEN" "$PORTAL_URL${self#/portal}" | grep -qi '^set-cookie: *esri_auth=' && seen=$((seen + 1))
		ask -H "X-Esri-Authorization: Bearer $CALLER_KEY" "$https$self"
		if grep -qi esri_auth "$headers"; then
			cat "$headers"
			return 1
		fi
	done
	[ "$seen" -gt 0 ] || { echo "the Portal itself set no esri_auth cookie, so nothing was checked"; return 1; }
}
upload() {
	head -c $((64 << 20)) /dev/urandom >"$RUN/upload"
	ask -H "X-Esri-Authorization: Bearer $CALLER_KEY" -H 'Content-Type: application/octet-stream' \
		--data-binary "@$RUN/upload" "$https/server/rest/directories/upload"
	equal status "$status" 200
	equal bytes "$(field bytes <"$body")" $((64 << 20))
	equal sha256 "$(field sha256 <"$body")" "$(sha256sum <"$RUN/upload" | cut -d ' ' -f 1)"
	rm "$RUN/upload"
}
# big ARG… prints the SHA-256 of the 256 MB that a request brings.
big() {
	curl --silent --show-error --max-time 120 --noproxy '*' --fail "$@" | sha256sum
}
download() {
	local path=/rest/directories/big?bytes=$((256 << 20))
	equal sha256 "$(big "$@" --cacert "$PROXY_ROOT" -H "X-Esri-Authorization: Bearer $CALLER_KEY" "$https/server$path")" \
		"$(big --cacert "$SANDBOX_CA" -H "X-Esri-Authorization: Bearer $ALICE_TOKEN" "$SERVER_URL$path")"
}
download1() { download --http1.1; }
download2() { download --http2; }
# mapped asks for answers that are full of the Portal's addresses, of which none may be
# left, compressed or not; a caller can have them as they are.
mapped() {
	local origin=${PORTAL_URL#https://} path
	origin=${origin%/portal}
	for path in "$self" "/portal/sharing/rest/search?q=trees&f=json" "/portal/sharing/rest/info?f=pjson" /portal/home/ "/server/rest/services/Trees/FeatureServer?f=json"; do
		ask "$https$path"
		equal "status of $path" "$status" 200
		! grep -q "$origin" "$body" "$headers" || { grep -o ".\{60\}$origin.\{20\}" "$body" "$headers"; return 1; }
		ask --compressed "$https$path"
		! grep -q "$origin" "$body" "$headers" || { echo "compressed: $path"; return 1; }
	done
	ask -H 'X-Arcproxy-Mapping: off' "$https$self"
	grep -q "$origin" "$body"
	! grep -q "localhost:$PROXY_PORT" "$body"
}
# reader is a caller that may only read, however the request is made.
may_read() {
	local reader="X-Esri-Authorization: Bearer $READER_KEY"
	signed_in_as alice -H "$reader" "$https$self"
	ask -H "$reader" --get -d q=trees -d f=json "$https/portal/sharing/rest/search"
	equal total "$(field total <"$body")" 2
	ask -H "$reader" -d where=1=1 -d returnCountOnly=true -d f=json "$https/server/rest/services/Trees/FeatureServer/0/query"
	equal count "$(field count <"$body")" 3200
}
may_not() { # ARG…: refused, with an answer that says why
	ask -H "X-Esri-Authorization: Bearer $READER_KEY" "$@"
	equal "status of $*" "$status" 403
	[[ $(field error.message <"$body") = *"read"* ]] || { cat "$body"; return 1; }
}
may_not_write() {
	local layer=$https/server/rest/services/Trees/FeatureServer/0 content=$https/portal/sharing/rest/content/users/$ALICE_USERNAME
	may_not -d f=json --data-urlencode 'adds=[{"attributes":{"Species":"Ginkgo biloba"}}]' "$layer/applyEdits"
	may_not -d f=json -d where=1=1 "$layer/deleteFeatures"
	may_not --get -d f=json -d where=1=1 "$layer/deleteFeatures"
	may_not "$layer/deleteFeatures?f=json&objectIds=1"
	may_not "$layer/delete%46eatures?f=json&objectIds=1"
	may_not -d f=json -d title=Forbidden -d type=Code "$content/addItem"
	may_not -F f=json -F title=Forbidden -F type=Code -F "file=@$PROXY_ROOT" "$content/addItem"
	may_not -X DELETE "$layer/query"
	ask -H "X-Esri-Authorization: Bearer $CALLER_KEY" --get -d where=1=1 -d returnCountOnly=true -d f=json "$layer/query"
	equal "count afterwards" "$(field count <"$body")" 3200
	ask -H "X-Esri-Authorization: Bearer $CALLER_KEY" --get -d q=title:Forbidden -d f=json "$https/portal/sharing/rest/search"
	equal "such items afterwards" "$(field total <"$body")" 0
}
elsewhere() {
	ask "$https/elsewhere"
	equal status "$status" 404
	ask -H 'Host: attacker.example' "$http$self"
	[ "$status" -ge 400 ]
	! grep -q "$CAROL_USERNAME" "$body"
}

check "plain HTTP, known by address" plain
check "plain HTTP, by 127.0.0.1" by_ip
check "HTTPS on the same port" tls
check "HTTP/2" http2
check "the certificate needs the proxy's root" untrusted
check "the key as X-Esri-Authorization" esri_header
check "the key with a space behind it" esri_header_space
check "the key as Authorization: Bearer" bearer
check "the key as Basic password" basic
check "the key as password in the URL" basic_in_url
check "the key as token= in the query" token_in_query
check "the key as token= in a form" token_in_form
check "unknown keys are refused" unknown_keys
check "a real token is no key" real_token
check "a token of the proxy's own for the key" generate_token
check "no token for anything else" no_token
check "queries arrive byte for byte" features
check "no esri_auth cookie comes back" cookies
check "an upload of 64 MB arrives bit for bit" upload
check "a download of 256 MB arrives bit for bit" download1
check "the same by HTTP/2" download2
check "no address of the Portal's own is left in an answer, but on request" mapped
check "a caller that may only read reads" may_read
check "and is refused whatever writes" may_not_write
check "foreign paths and hosts get nothing" elsewhere
[ "$failures" -eq 0 ]
