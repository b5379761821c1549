"""testssl.sh on the proxy's port: nothing that it calls worse than LOW.

Prints "ok: NAME" or "FAILED: NAME: why" for each check, and exits with 1 if one failed.
"""

import collections
import json
import os
import pathlib
import subprocess
import sys

NAME = "localhost:" + os.environ["PROXY_PORT"]
RUN = pathlib.Path(os.environ["RUN"])
BELOW = {"OK", "INFO", "LOW"}

# The scan in parts that go on at the same time, because it mostly waits: what it is
# asked for, and some of what it then has to speak of.
PARTS = {
    "protocols, ciphers, certificate, headers": (
        ["--protocols", "--standard", "--pfs", "--server-preference", "--server-defaults", "--headers"],
        {"SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3", "cipherlist_NULL", "cipherlist_aNULL", "cipherlist_EXPORT", "cipherlist_LOW",
         "cipherlist_3DES_IDEA", "cipherlist_AVERAGE", "cipherlist_STRONG", "PFS", "cipher_order", "cert_signatureAlgorithm", "cert_keySize",
         "cert_chain_of_trust", "cert_trust", "cert_expirationStatus", "banner_server", "HTTP_status_code"}),
    "vulnerabilities": (
        ["--vulnerable"],
        {"heartbleed", "CCS", "ticketbleed", "ROBOT", "secure_renego", "secure_client_renego", "CRIME_TLS", "BREACH", "POODLE_SSL", "SWEET32",
         "FREAK", "DROWN", "LOGJAM", "BEAST", "LUCKY13", "RC4"}),
}

# What is worse to testssl.sh than LOW, by the rules for certificates of public authorities, and why it isn't here.
EXPECTED = {
    "cert_revocation": "an authority that a machine has for itself says nowhere what it revoked; its certificates live for 30 days",
}
# It calls a certificate's end near 30 days before, which is all the time that ours have; they are renewed 10 days before.
SURROUNDINGS = {**os.environ, "DAYS2WARN1": "20", "DAYS2WARN2": "10"}


def scan(number, options):
    report = RUN / f"testssl-{number}.json"
    return report, subprocess.Popen(
        ["testssl", "--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none", "--ip", "127.0.0.1", "--add-ca", os.environ["PROXY_ROOT"],
         "--jsonfile", str(report), *options, "https://" + NAME],
        env=SURROUNDINGS, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=RUN)


failed = 0
scans = [(name, wanted, *scan(number, options)) for number, (name, (options, wanted)) in enumerate(PARTS.items(), 1)]
for name, wanted, report, process in scans:
    complaints = process.communicate()[1].decode(errors="replace")
    findings = json.loads(report.read_text(encoding="utf-8"))
    # What it says of itself has port 443 and no address.
    findings = [f for f in findings if f["ip"].startswith("localhost/")]
    wrong = [f"{f['id']} is {f['severity']}: {f['finding']}" for f in findings if f["severity"] not in BELOW and f["id"] not in EXPECTED]
    silent = wanted - {f["id"].split(" ")[0] for f in findings}
    if silent:
        wrong.append(f"it says nothing of {', '.join(sorted(silent))} (status {process.returncode}): {complaints[-300:]}")
    if wrong:
        failed = 1
        print(f"FAILED: {name}: {'; '.join(wrong)}")
    else:
        seen = collections.Counter(f["severity"] for f in findings)
        print(f"ok: {name}: {len(findings)} findings, {', '.join(f'{n} {s}' for s, n in sorted(seen.items()))}")
sys.exit(failed)
