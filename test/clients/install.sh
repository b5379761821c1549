# Sourced by run: brings in what the clients need, and builds the program.

# retry TRIES COMMAND… runs a command that a registry or another package manager
# may hinder for a while.
retry() {
	local tries=$1 try
	shift
	for ((try = 1; ; try++)); do
		"$@" && return 0
		if [ "$try" -ge "$tries" ]; then
			echo "gave up after $tries tries: $*" >&2
			return 1
		fi
		sleep $((5 * try))
	done
}

# debian PACKAGE… installs Debian packages.
debian() {
	local as=()
	if ! command -v apt-get >/dev/null; then
		echo "these are missing and there is no apt-get to install them: $*" >&2
		return 1
	fi
	[ "$(id -u)" -eq 0 ] || as=(sudo -n env DEBIAN_FRONTEND=noninteractive)
	export DEBIAN_FRONTEND=noninteractive
	# The lists have a lock of their own, which apt-get does not wait for.
	retry 6 timeout 300 "${as[@]}" apt-get -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update
	retry 4 timeout 900 "${as[@]}" apt-get -qq -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 install --no-install-recommends "$@"
}

# install_for CLIENT… installs what these clients need and what is not there yet,
# and builds the program.
install_for() {
	local tool missing=()
	for tool in go python3; do
		command -v $tool >/dev/null || { echo "$tool is not installed" >&2; return 1; }
	done
	command -v curl >/dev/null || missing+=(curl ca-certificates)
	if needs "gdal demo" "$@" && ! { command -v ogr2ogr && command -v ogrinfo; } >/dev/null; then
		missing+=(gdal-bin)
	fi
	if needs "arcgis-python demo" "$@" && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
		missing+=(python3-venv)
	fi
	if needs qgis "$@" && ! { /usr/bin/python3 -c 'import qgis.core' && command -v qgis_process.bin; } >/dev/null 2>&1; then
		missing+=(python3-qgis qgis)
	fi
	if needs "browser console okta-signin-widget" "$@"; then
		command -v chromium >/dev/null || missing+=(chromium)
		command -v certutil >/dev/null || missing+=(libnss3-tools)
	fi
	if needs testssl "$@" && ! command -v testssl >/dev/null; then
		missing+=(testssl.sh)
	fi
	for tool in slowhttptest sslscan; do
		if needs $tool "$@" && ! command -v $tool >/dev/null; then
			missing+=($tool)
		fi
	done
	[ ${#missing[@]} -eq 0 ] || debian "${missing[@]}"
	local steps=("install_node koop @koopjs/koop-core" build)
	if needs "arcgis-python demo" "$@"; then steps+=(install_arcgis); fi
	if needs rest-js "$@"; then steps+=("install_node rest-js @esri/arcgis-rest-request"); fi
	if needs browser "$@"; then steps+=("install_node browser @arcgis/core"); fi
	if needs console "$@"; then steps+=("install_node console axe-core"); fi
	if needs okta-auth-js "$@"; then steps+=("install_node okta-auth-js @okta/okta-auth-js"); fi
	if needs okta-signin-widget "$@"; then steps+=("install_node okta-signin-widget @okta/okta-signin-widget"); fi
	if needs h2spec "$@"; then steps+=(install_h2spec); fi
	together "${steps[@]}"
}

# together runs commands at the same time, each with its own output, and fails if
# one of them does.
together() {
	local logs pids=() i status=0
	logs=$(mktemp -d)
	for ((i = 1; i <= $#; i++)); do
		(set -e; ${!i}) >"$logs/$i" 2>&1 &
		pids+=($!)
	done
	for ((i = 1; i <= $#; i++)); do
		wait "${pids[i - 1]}" || status=1
		cat "$logs/$i"
	done
	rm -rf "$logs"
	return "$status"
}

# needs NAMES CLIENT… is true if one of the clients is among the names.
needs() {
	local names=" $1 " client
	shift
	for client in "$@"; do
		[[ $names != *" $client "* ]] || return 0
	done
	return 1
}

# install_arcgis makes a virtual environment with exactly the pinned packages.
install_arcgis() {
	local pins=$here/arcgis-python/requirements.txt venv=$work/venv wanted
	wanted=$(python3 --version && sha256sum <"$pins")
	if [ "$(cat "$venv/.made-from" 2>/dev/null)" != "$wanted" ]; then
		echo "installing the ArcGIS API for Python"
		rm -rf "$venv"
		python3 -m venv "$venv"
		retry 4 timeout 900 "$venv/bin/pip" install --quiet --no-input --retries 5 --timeout 60 \
			--only-binary :all: --no-deps --requirement "$pins"
		"$venv/bin/pip" check
		echo "$wanted" >"$venv/.made-from"
	fi
	"$venv/bin/pip" list 2>/dev/null | grep '^arcgis '
}

# install_node NAME PACKAGE installs what a client in JavaScript needs, as its lock
# file says, outside of the source tree, and says which version of the package it is.
install_node() {
	local from=$here/$1 to=$work/$1 wanted
	command -v npm >/dev/null || { echo "Node.js with npm is not installed" >&2; return 1; }
	wanted=$(node --version && sha256sum <"$from/package-lock.json")
	if [ "$(cat "$to/.made-from" 2>/dev/null)" != "$wanted" ]; then
		echo "installing $2"
		rm -rf "$to"
		mkdir -p "$to"
		cp "$from/package.json" "$from/package-lock.json" "$to"
		[ ! -f "$from/.npmrc" ] || cp "$from/.npmrc" "$to"
		(cd "$to" && retry 4 timeout 300 npm ci --no-audit --no-fund --ignore-scripts --fetch-retries=5)
		echo "$wanted" >"$to/.made-from"
	fi
	cp "$from"/*.*js "$here"/*.mjs "$to"
	echo "$2 $(node -p "JSON.parse(fs.readFileSync('$to/node_modules/$2/package.json')).version")"
}

# install_h2spec builds h2spec in a module of its own: its versions have tags that
# Go takes in a module only, and the program has no need of it.
install_h2spec() {
	local version=v2.2.1+incompatible module=$work/h2spec
	if [ "$(cat "$module/.made-from" 2>/dev/null)" != "$version" ] || [ ! -x "$work/bin/h2spec" ]; then
		echo "building h2spec"
		rm -rf "$module"
		mkdir -p "$module" "$work/bin"
		(cd "$module" && go mod init h2spec.test && retry 4 go get "github.com/summerwind/h2spec/cmd/h2spec@$version" &&
			go build -o "$work/bin/h2spec" github.com/summerwind/h2spec/cmd/h2spec) 2>"$module/log" ||
			{ cat "$module/log" >&2; return 1; }
		echo "$version" >"$module/.made-from"
	fi
}

# build builds the program and the simulation in $bin.
build() {
	mkdir -p "$bin"
	(cd "$root" && retry 3 go mod download &&
		go build -buildvcs=false -o "$bin/arcproxy" ./cmd/arcproxy &&
		go build -buildvcs=false -o "$bin/sandbox" ./test/sandbox/cmd/sandbox &&
		go build -buildvcs=false -o "$bin/soak" ./test/soak/cmd/soak)
}
