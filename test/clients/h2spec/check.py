"""h2spec on the proxy's TLS port: it breaks HTTP/2's rules where Go's net/http does,
and nowhere else.

Usage: check.py H2SPEC, the program's path.
Prints "ok: NAME" or "FAILED: NAME: why" for each check, and exits with 1 if one failed.
"""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

# What fails against a bare net/http server, by section of RFC 7540 and number of the test.
BASELINE = {"http2/4.2/3", "http2/6.5.3/1", "http2/8.1.2.2/1", "http2/8.1.2.2/2"}
LEAST = 140  # of the 145 tests that there are with this kind of resource

report = os.path.join(os.environ["RUN"], "h2spec.xml")
ended = subprocess.run(
    [sys.argv[1], "--tls", "--host", "localhost", "--port", os.environ["PROXY_PORT"],
     "--path", "/portal/sharing/rest/portals/self?f=json", "--junit-report", report],
    env={**os.environ, "SSL_CERT_FILE": os.environ["PROXY_ROOT"]},
    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False)
last = ended.stdout.decode(errors="replace").strip().splitlines()[-1:]
print(*last)

passed, bad = 0, {}
with open(report, encoding="utf-8", errors="replace") as f:  # frames are quoted in it as they are
    root = ET.fromstring(re.sub("[\x00-\x08\x0b-\x1f\ufffe\uffff]", "?", f.read()).encode())
for suite in root.iter("testsuite"):
    for number, case in enumerate(suite.findall("testcase"), 1):
        trouble = case.find("error") if case.find("error") is not None else case.find("failure")
        if trouble is not None:
            bad[f"{case.get('package')}/{number}"] = f"{case.get('classname')}: {' | '.join((trouble.text or '').split(chr(10)))}"
        elif case.find("skipped") is None:
            passed += 1

failed = 0
new = sorted(set(bad) - BASELINE)
for test in new:
    failed = 1
    print(f"FAILED: {test}: {bad[test]}")
if not new:
    print(f"ok: no test of h2spec fails that holds against bare net/http: {passed} held, {len(bad)} failed: {' '.join(sorted(bad))}")
if passed >= LEAST:
    print(f"ok: {passed} tests of h2spec hold")
else:
    failed = 1
    print(f"FAILED: only {passed} tests of h2spec hold")
sys.exit(failed)
