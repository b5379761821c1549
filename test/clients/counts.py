"""What the simulated Okta and Portal were asked to do by the program's own commands and
all clients together.

Usage: counts.py FILE, where FILE holds the counters from before all of that.
"""

import json
import os
import sys
import urllib.request

with open(sys.argv[1], encoding="utf-8") as f:
    before = json.load(f)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with opener.open(os.environ["SANDBOX_CONTROL"] + "/counts", timeout=20) as answer:
    after = json.load(answer)


def grown(system, name):
    return after[system][name] - before[system][name]


failed = 0


def check(what, got, want):
    global failed
    if got in want:
        print(f"ok: {what}: {got}")
    else:
        failed = 1
        print(f"FAILED: {what}: {got}, not {' or '.join(map(str, want))}")


# Two identities were used, alice's by the keys and carol's by the address. What the
# commands signed in before, the proxy goes on with.
check("sign-ins at the Portal, one for each identity", grown("portal", "SignIns"), [2])
check("grants, one for each sign-in", grown("portal", "TokenGrants"), [2])
check("passwords sent to Okta", grown("okta", "Primary"), [2])
check("passwords refused", grown("okta", "BadPasswords"), [0])
check("pushes sent", grown("okta", "Pushes"), [0])
# The code of this half minute may have been used up.
check("TOTP codes sent", grown("okta", "Passcodes"), [1, 2])
check("answers that Okta limited", grown("okta", "Limited"), [0])
check("assertions refused", grown("portal", "AssertionsBad"), [0])
check("requests with two tokens", grown("portal", "DuplicateTokens"), [0])
check("requests with an esri_auth cookie", grown("portal", "EsriAuthCookies"), [0])
check("requests with X-Forwarded-* or Forwarded", grown("portal", "Forwarded"), [0])
check("requests for a foreign Host", grown("portal", "WrongHosts"), [0])
check("tokens refused", grown("portal", "Refusals498"), [0])
check("tokens demanded", grown("portal", "Refusals499"), [0])
check("tokens sent to a server that is not federated", grown("portal", "OpenTokens"), [0])
check("there were requests", grown("portal", "Authorized") > 20, [True])
sys.exit(failed)
