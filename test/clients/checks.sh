# Sourced by checks that are written in bash.
set -euo pipefail

# check NAME FUNCTION runs a function, which fails like a script with "set -e",
# and says what became of it.
check() {
	local name=$1 output status
	set +e
	output=$(set -euo pipefail && exec 2>&1 && "$2")
	status=$?
	set -e
	if [ "$status" -eq 0 ]; then
		echo "ok: $name"
	else
		echo "FAILED: $name: status $status"
		sed 's/^/    /' <<<"$output" | cut -c 1-2000 | head -n 40
		failures=$((failures + 1))
	fi
}
failures=0

# equal WHAT GOT WANT fails if the two differ.
equal() {
	if [ "$2" != "$3" ]; then
		echo "$1 is \"$2\", not \"$3\""
		return 1
	fi
}

# field PATH prints one value of the JSON on standard input: user.username, error.code.
field() {
	python3 -c '
import json, sys
value = json.load(sys.stdin)
for key in sys.argv[1].split("."):
    value = value[int(key)] if key.isdigit() else value[key]
print(value)' "$1"
}
