#!/usr/bin/env bash
# The lines that "arcproxy demo" prints for pasting do what they say. Its output is
# in $RUN/demo.out, its process is $DEMO_PID.
. "$(dirname "${BASH_SOURCE[0]}")/../checks.sh"

# pasted PATTERN runs the one printed line that matches, as a person would.
pasted() {
	local line
	line=$(grep -E "$1" "$RUN/demo.out")
	equal "number of such lines" "$(wc -l <<<"$line")" 1
	timeout 60 bash -c "$line"
}
greeting() { grep -Eq '^GET .*portals/self is signed in as [^ ]+ \(Alice Example\); the Portal counts 1 sign-in\.$' "$RUN/demo.out"; }
plain() { equal "full name" "$(pasted "^ *curl 'http:" | field user.fullName)" "Alice Example"; }
key() { equal "full name" "$(pasted '^ *curl --cacert ' | field fullName)" "Alice Example"; }
gdal() { pasted '^ *ogrinfo ' | grep -x 'Feature Count: 3200'; }
python() {
	local block said
	block=$(sed -n "/^python3 - <<'END'\$/,/^END\$/p" "$RUN/demo.out")
	[ -n "$block" ] || { echo "no block for Python that could be pasted"; return 1; }
	said=$(timeout 90 bash -c "$block")
	echo "$said"
	grep -q '^<User username:alice' <<<"$said"
	grep -qx '3200 trees' <<<"$said"
}
console() {
	local address root
	address=$(grep -Eo '^ *https://localhost:[0-9]+/_arcproxy/' "$RUN/demo.out" | tr -d ' ')
	root=$(grep -Eo '[^ ]*/root\.pem' "$RUN/demo.out" | head -n 1)
	curl -sS --fail --max-time 20 --cacert "$root" "$address" | grep -q 'Signed in'
}
end() {
	local root deadline=$((SECONDS + 20))
	root=$(grep -Eo '[^ ]*/root\.pem' "$RUN/demo.out" | head -n 1)
	[ -f "$root" ]
	kill "$DEMO_PID"
	while [ -e "$(dirname "$root")" ]; do
		[ "$SECONDS" -lt "$deadline" ] || { echo "$root is still there"; return 1; }
		sleep 0.1
	done
}

check "arcproxy demo says who is signed in" greeting
check "its curl line for callers known by address" plain
check "its curl line with the key" key
check "its ogrinfo line" gdal
check "its lines of Python" python
check "its console" console
check "it leaves nothing behind" end
[ "$failures" -eq 0 ]
