#!/usr/bin/env bash
# A minute of load on the built program, whose tokens last three seconds: see
# test/soak/cmd/soak. It has a sandbox and a proxy of its own.
exec "$(dirname "$ARCPROXY")/soak" "$ARCPROXY"
