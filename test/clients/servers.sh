# Sourced by run: starts the simulation and the program, and ends them.

declare -A servers=() # process ids by name

# own_surroundings takes out of the environment what would make a client trust
# other authorities, take another way, or find settings of this machine's user.
own_surroundings() {
	unset CURL_CA_BUNDLE REQUESTS_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR NODE_EXTRA_CA_CERTS
	unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY ARCPROXY_CONFIG
	export NO_PROXY='*' no_proxy='*' HOME=$run/home
	mkdir -p "$run/answers"
	mkdir -m 700 "$HOME"
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
	for file in "$run"/sandbox.err "$run"/engine.err "$run"/koop.out "$run"/koop.err "$run"/arcproxy.out "$run"/arcproxy.err "$run"/demo.out "$run"/demo.err \
		"$run"/console-sandbox.err "$run"/console-proxy.out "$run"/console-proxy.err "$run"/keys-sandbox.err "$run"/keys-proxy.out "$run"/keys-proxy.err; do
		[ -s "$file" ] || continue
		echo "=== the last lines of $(basename "$file")"
		tail -n 40 "$file" | cut -c 1-600
	done
}

# addresses FILE PREFIX prints what a sandbox's line of JSON says as exports of
# variables, whose names begin with the prefix.
addresses() {
	python3 - "$@" <<'PY'
import json, shlex, sys
with open(sys.argv[1], encoding="utf-8") as f:
    world = json.load(f)
prefix = "".join(sys.argv[2:])
values = {"SANDBOX_CONTROL": world["control"], "SANDBOX_SEED": world["seed"]}
for name in "okta", "portal", "server", "other":
    values[name.upper() + "_URL"] = world[name]
for user in world["users"]:
    for key, name in {"login": "LOGIN", "password": "PASSWORD", "totpSecret": "TOTP", "username": "USERNAME", "fullName": "FULLNAME", "token": "TOKEN"}.items():
        values[user["name"].upper() + "_" + name] = user.get(key, "")
for name, value in values.items():
    print(f"export {prefix}{name}={shlex.quote(str(value))}")
PY
}

# start_sandbox starts the simulated Okta and ArcGIS Enterprise, with TLS, and
# exports their addresses and accounts.
start_sandbox() {
	local assets=()
	[ ! -d "$work/browser/node_modules" ] || assets=(-assets "$work/browser/node_modules")
	[ ! -d "$work/okta-signin-widget/node_modules" ] || assets+=(-widget "$work/okta-signin-widget/node_modules")
	export SANDBOX_CA=$run/sandbox-ca.pem
	start sandbox "$bin/sandbox" -tls -ca-out "$SANDBOX_CA" -tokens -verbose -seed "${SANDBOX_SEED:-0}" "${assets[@]}"
	await sandbox "$run/sandbox.out" '^\{.*\}$'
	eval "$(addresses "$run/sandbox.out")"
	echo "simulated Okta $OKTA_URL, Portal $PORTAL_URL, SANDBOX_SEED=$SANDBOX_SEED"
}

# start_engine starts another simulation, whose Okta runs the Identity Engine.
start_engine() {
	local widget=()
	[ ! -d "$work/okta-signin-widget/node_modules" ] || widget=(-widget "$work/okta-signin-widget/node_modules")
	start engine "$bin/sandbox" -tls -ca-out "$run/engine-ca.pem" -verbose -pipeline idx -seed "$SANDBOX_SEED" "${widget[@]}"
	await engine "$run/engine.out" '^\{.*\}$'
	cat "$SANDBOX_CA" "$run/engine-ca.pem" >"$run/engines.pem"
}

# start_koop starts Koop as one more federated server, which asks the Portal about
# each token, and exports its address.
start_koop() {
	mkdir -p "$run/koop"
	start koop env -C "$run/koop" GEOSERVICES_HTTP=true PORTAL_URL="$PORTAL_URL" NODE_EXTRA_CA_CERTS="$SANDBOX_CA" \
		SUPPRESS_NO_CONFIG_WARNING=true node "$work/koop/server.js"
	await koop "$run/koop.out" '^listening on '
	KOOP_URL=$(sed -n 's/^listening on //p' "$run/koop.out")
	export KOOP_URL
	echo "Koop $KOOP_URL"
}

# write_config writes the config file as an operator would: alice, who has a
# password and a TOTP authenticator, for the callers that have a key, one of which
# may only read, and carol, who has a password only, for callers from this machine.
write_config() {
	local dir=$run/config made readers
	mkdir -p "$dir"
	made=$("$bin/arcproxy" key nightly 2>/dev/null)
	readers=$("$bin/arcproxy" key reader 2>/dev/null)
	CALLER_KEY=$(head -n 1 <<<"$made")
	READER_KEY=$(head -n 1 <<<"$readers")
	export CALLER_KEY READER_KEY
	(umask 077 && printf '%s\n' "$ALICE_TOTP" >"$dir/alice.totp" && printf '%s\n' "$CAROL_PASSWORD" >"$dir/carol.password")
	cat >"$dir/config.toml" <<TOML
listen    = "127.0.0.1:0"
state_dir = "$run/state"

[portal]
url       = "$PORTAL_URL"
client_id = "arcproxytest"

[[servers]]
url = "$SERVER_URL"

[[servers]]
url = "$OTHER_URL"

[[servers]]
url = "$KOOP_URL"

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
name      = "reader"
identity  = "alice"
read_only = true
$(tail -n 1 <<<"$readers")

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

# port_of FILE prints the port that the program's log says it listens on.
port_of() { grep -Eo '"address":"[^"]*"' "$1" | head -n 1 | grep -Eo '[0-9]+"' | tr -d '"'; }

# start_proxy starts the program and exports where it is and its authority's root.
start_proxy() {
	start arcproxy "$bin/arcproxy" serve
	await arcproxy "$run/arcproxy.err" '"msg":"listening"'
	PROXY_PORT=$(port_of "$run/arcproxy.err")
	PROXY_ROOT=$run/root.pem
	"$bin/arcproxy" trust >"$PROXY_ROOT" 2>"$run/trust.err"
	grep -q 'BEGIN CERTIFICATE' "$PROXY_ROOT"
	export PROXY_PORT PROXY_ROOT
	echo "arcproxy listens on port $PROXY_PORT"
}

# start_keys starts another simulation and the program before it, whose one caller has a
# key: nobody is known by an address.
start_keys() {
	local dir=$run/keys made
	mkdir -p "$dir"
	start keys-sandbox "$bin/sandbox" -tls -ca-out "$dir/ca.pem" -verbose -seed "${SANDBOX_SEED:-0}"
	await keys-sandbox "$run/keys-sandbox.out" '^\{.*\}$'
	eval "$(addresses "$run/keys-sandbox.out" KEYS_)"
	made=$("$bin/arcproxy" key courier 2>/dev/null)
	cat >"$dir/config.toml" <<TOML
listen    = "127.0.0.1:0"
state_dir = "$dir/state"

[portal]
url       = "$KEYS_PORTAL_URL"
client_id = "arcproxytest"

[[servers]]
url = "$KEYS_SERVER_URL"

[okta]
url = "$KEYS_OKTA_URL"

[[identities]]
name     = "carol"
username = "$KEYS_CAROL_LOGIN"
password = "env:KEYS_CAROL_PASSWORD"

[[callers]]
name     = "courier"
identity = "carol"
$(tail -n 1 <<<"$made")

[network]
ca_file = "$dir/ca.pem"

[log]
format = "json"
level  = "debug"
TOML
	start keys-proxy "$bin/arcproxy" serve --config "$dir/config.toml"
	await keys-proxy "$run/keys-proxy.err" '"msg":"listening"'
	KEYS_PORT=$(port_of "$run/keys-proxy.err")
	KEYS_ROOT=$run/keys-root.pem
	"$bin/arcproxy" trust --config "$dir/config.toml" >"$KEYS_ROOT" 2>"$run/keys-trust.err"
	KEYS_KEY=$(head -n 1 <<<"$made")
	export KEYS_PORT KEYS_ROOT KEYS_KEY
}

# start_console starts a simulation in which people have to do something, and the
# program before it: bob has a phone, on which he picks a number, dora is sent codes,
# by text message or by e-mail, and carol's password is wrong. Each has a caller, whose
# key is in CONSOLE_KEY_NAME.
start_console() {
	local dir=$run/console made name
	mkdir -p "$dir"
	start console-sandbox "$bin/sandbox" -tls -ca-out "$dir/ca.pem" -number -verbose -seed "${SANDBOX_SEED:-0}"
	await console-sandbox "$run/console-sandbox.out" '^\{.*\}$'
	eval "$(addresses "$run/console-sandbox.out" CONSOLE_)"
	export CONSOLE_CA=$dir/ca.pem CONSOLE_WRONG_PASSWORD="not carol's"
	{
		cat <<TOML
listen    = "127.0.0.1:0"
state_dir = "$dir/state"

[portal]
url       = "$CONSOLE_PORTAL_URL"
client_id = "arcproxytest"

[[servers]]
url = "$CONSOLE_SERVER_URL"

[okta]
url = "$CONSOLE_OKTA_URL"

[[identities]]
name     = "bob"
username = "$CONSOLE_BOB_LOGIN"
password = "env:CONSOLE_BOB_PASSWORD"
factor   = "push"

[[identities]]
name     = "dora"
username = "$CONSOLE_DORA_LOGIN"
password = "env:CONSOLE_DORA_PASSWORD"
factor   = "sms"

[[identities]]
name     = "carol"
username = "$CONSOLE_CAROL_LOGIN"
password = "env:CONSOLE_WRONG_PASSWORD"

[network]
ca_file = "$dir/ca.pem"

[log]
format = "json"
level  = "debug"
TOML
		for name in bob dora carol; do
			made=$("$bin/arcproxy" key "$name" 2>/dev/null)
			export "CONSOLE_KEY_${name^^}=$(head -n 1 <<<"$made")"
			printf '\n[[callers]]\nname = "%s"\nidentity = "%s"\n%s\n' "$name" "$name" "$(tail -n 1 <<<"$made")"
		done
	} >"$dir/config.toml"
	start console-proxy "$bin/arcproxy" serve --config "$dir/config.toml"
	await console-proxy "$run/console-proxy.err" '"msg":"listening"'
	CONSOLE_PORT=$(port_of "$run/console-proxy.err")
	CONSOLE_ROOT=$dir/root.pem
	"$bin/arcproxy" trust --config "$dir/config.toml" >"$CONSOLE_ROOT" 2>"$run/console-trust.err"
	export CONSOLE_CONFIG=$dir/config.toml CONSOLE_LOG=$run/console-proxy.err
	export CONSOLE_PORT CONSOLE_ROOT CONSOLE_PID=${servers[console-proxy]}
}

# start_demo starts the program before a simulation of its own.
start_demo() {
	start demo "$bin/arcproxy" demo --port 0
	await demo "$run/demo.out" 'Stop with Ctrl-C'
	export DEMO_PID=${servers[demo]}
}
