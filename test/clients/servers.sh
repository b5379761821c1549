# Sourced by run: starts the simulation and the program, and ends them.

declare -A servers=() # process ids by name

# own_surroundings takes out of the environment what would make a client trust
# other authorities, take another way, or find settings of this machine's user.
own_surroundings() {
	unset CURL_CA_BUNDLE REQUESTS_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR NODE_EXTRA_CA_CERTS
	unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY ARCPROXY_CONFIG
	export NO_PROXY='*' no_proxy='*' HOME=$run/home
	mkdir -p "$HOME" "$run/answers"
	export RUN=$run ARCPROXY=$bin/arcproxy
}

# start NAME COMMAND… runs a server in the background, its output in files.
start() {
	local name=$1
	shift
	"$@" >"$run/$name.out" 2>"$run/$name.err" &
	servers[$name]=$!
}

# await NAME FILE PATTERN waits until a server has written a line that matches.
await() {
	local name=$1 file=$2 pattern=$3 deadline=$((SECONDS + 60))
	until grep -Eq "$pattern" "$file" 2>/dev/null; do
		if ! kill -0 "${servers[$name]}" 2>/dev/null; then
			echo "$name ended before it was ready" >&2
			return 1
		fi
		if [ "$SECONDS" -ge "$deadline" ]; then
			echo "$name was not ready after 60 seconds" >&2
			return 1
		fi
		sleep 0.1
	done
}

# stop NAME ends one server and returns its exit status, 137 if it had to be killed.
stop() {
	local pid=${servers[$1]} status=0 deadline=$((SECONDS + 40)) # the program drains for up to 30 seconds
	unset "servers[$1]"
	kill "$pid" 2>/dev/null || true
	while kill -0 "$pid" 2>/dev/null; do
		if [ "$SECONDS" -ge "$deadline" ]; then
			echo "$1 did not end by itself"
			kill -9 "$pid" 2>/dev/null || true
			break
		fi
		sleep 0.1
	done
	wait "$pid" 2>/dev/null || status=$?
	return "$status"
}

# stop_servers ends what start began, and nothing else.
stop_servers() {
	local name
	for name in "${!servers[@]}"; do
		stop "$name" || true
	done
}

# tails prints the ends of the servers' logs.
tails() {
	local file
	for file in "$run"/sandbox.err "$run"/arcproxy.out "$run"/arcproxy.err "$run"/demo.out "$run"/demo.err; do
		[ -s "$file" ] || continue
		echo "=== the last lines of $(basename "$file")"
		tail -n 40 "$file" | cut -c 1-600
	done
}

# start_sandbox starts the simulated Okta and ArcGIS Enterprise, with TLS, and
# exports their addresses and accounts.
start_sandbox() {
	export SANDBOX_CA=$run/sandbox-ca.pem
	start sandbox "$bin/sandbox" -tls -ca-out "$SANDBOX_CA" -tokens -verbose -seed "${SANDBOX_SEED:-0}"
	await sandbox "$run/sandbox.out" '^\{.*\}$'
	eval "$(python3 - "$run/sandbox.out" <<'PY'
import json, shlex, sys
world = json.load(open(sys.argv[1], encoding="utf-8"))
values = {"SANDBOX_CONTROL": world["control"], "SANDBOX_SEED": world["seed"]}
for name in "okta", "portal", "server":
    values[name.upper() + "_URL"] = world[name]
for user in world["users"]:
    for key, name in {"login": "LOGIN", "password": "PASSWORD", "totpSecret": "TOTP", "username": "USERNAME", "fullName": "FULLNAME", "token": "TOKEN"}.items():
        values[user["name"].upper() + "_" + name] = user.get(key, "")
for name, value in values.items():
    print(f"export {name}={shlex.quote(str(value))}")
PY
	)"
	echo "simulated Okta $OKTA_URL, Portal $PORTAL_URL, SANDBOX_SEED=$SANDBOX_SEED"
}

# write_config writes the config file as an operator would: alice, who has a
# password and a TOTP authenticator, for the caller that has a key, and carol, who
# has a password only, for callers from this machine.
write_config() {
	local dir=$run/config made
	mkdir -p "$dir"
	made=$("$bin/arcproxy" key nightly 2>/dev/null)
	CALLER_KEY=$(head -n 1 <<<"$made")
	export CALLER_KEY
	(umask 077 && printf '%s\n' "$ALICE_TOTP" >"$dir/alice.totp" && printf '%s\n' "$CAROL_PASSWORD" >"$dir/carol.password")
	cat >"$dir/config.toml" <<TOML
listen    = "127.0.0.1:0"
state_dir = "$run/state"

[portal]
url       = "$PORTAL_URL"
client_id = "arcproxytest"

[[servers]]
url = "$SERVER_URL"

[okta]
url = "$OKTA_URL"

[[identities]]
name        = "alice"
username    = "$ALICE_LOGIN"
password    = "env:ALICE_PASSWORD"
factor      = "totp"
totp_secret = "file:alice.totp"

[[identities]]
name     = "carol"
username = "$CAROL_LOGIN"
password = "file:$dir/carol.password"

[[callers]]
name     = "nightly"
identity = "alice"
$(tail -n 1 <<<"$made")

[[callers]]
name     = "this machine"
identity = "carol"
from     = ["127.0.0.0/8", "::1/128"]

[tls]
mode = "local"

[network]
ca_file = "$SANDBOX_CA"

[audit]
file = "$run/audit.jsonl"

[log]
format = "json"
level  = "debug"
TOML
	export ARCPROXY_CONFIG=$dir/config.toml
}

# start_proxy starts the program and exports where it is and its authority's root.
start_proxy() {
	start arcproxy "$bin/arcproxy" serve
	await arcproxy "$run/arcproxy.err" '"msg":"listening"'
	PROXY_PORT=$(grep -Eo '"address":"[^"]*"' "$run/arcproxy.err" | head -n 1 | grep -Eo '[0-9]+"' | tr -d '"')
	PROXY_ROOT=$run/root.pem
	"$bin/arcproxy" trust >"$PROXY_ROOT" 2>"$run/trust.err"
	grep -q 'BEGIN CERTIFICATE' "$PROXY_ROOT"
	export PROXY_PORT PROXY_ROOT
	echo "arcproxy listens on port $PROXY_PORT"
}

# start_demo starts the program before a simulation of its own.
start_demo() {
	start demo "$bin/arcproxy" demo --port 0
	await demo "$run/demo.out" 'Stop with Ctrl-C'
	export DEMO_PID=${servers[demo]}
}
