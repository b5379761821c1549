"""sslscan on the proxy's port: nothing that it knows to be weak.

Prints "ok: NAME" or "FAILED: NAME: why" for each check, and exits with 1 if one failed.
"""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET

NAME = "localhost:" + os.environ["PROXY_PORT"]
WEAK = ("NULL", "EXP", "RC4", "RC2", "DES", "MD5", "anon", "ADH", "IDEA", "SEED")

said = subprocess.run(["sslscan", "--xml=-", "--show-certificate", NAME],
                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60, check=True).stdout
scan = ET.fromstring(said).find("ssltest")
failed = 0


def check(name, wrong, seen):
    """Says that a check held, or what is wrong."""
    global failed
    if wrong or not seen:
        failed += 1
        print(f"FAILED: {name}: {'; '.join(wrong) or 'sslscan says nothing of it'}", flush=True)
    else:
        print(f"ok: {name}: {', '.join(seen)}", flush=True)


versions = {f"{p.get('type').upper()} {p.get('version')}": p.get("enabled") == "1" for p in scan.findall("protocol")}
wanted = {"SSL 2": False, "SSL 3": False, "TLS 1.0": False, "TLS 1.1": False, "TLS 1.2": True, "TLS 1.3": True}
check("protocol versions", [f"{v} is {'on' if versions.get(v) else 'off'}" for v in wanted if versions.get(v) != wanted[v]],
      [v for v in versions if versions[v]])

ciphers = [c for c in scan.findall("cipher") if c.get("status") in ("preferred", "accepted")]
check("ciphers", [f"{c.get('cipher')} ({c.get('strength')}, {c.get('bits')} bits)" for c in ciphers
                  if c.get("strength") not in ("strong", "acceptable") or int(c.get("bits")) < 128
                  or not c.get("ecdhebits") or any(weak in c.get("cipher") for weak in WEAK)],
      sorted({c.get("cipher") for c in ciphers}))

groups = scan.findall("group")
check("key exchange groups", [g.get("name") for g in groups if int(g.get("bits")) < 112], sorted({g.get("name") for g in groups}))

renegotiation = scan.findall("renegotiation")
check("renegotiation", ["insecure" for r in renegotiation if r.get("supported") == "1" and r.get("secure") != "1"],
      ["none" if r.get("supported") == "0" else "secure" for r in renegotiation])

heartbleed = scan.findall("heartbleed")
check("heartbleed", [h.get("sslversion") for h in heartbleed if h.get("vulnerable") != "0"], [h.get("sslversion") for h in heartbleed])

# The element is there only if sslscan's OpenSSL can compress; Debian's cannot.
compression = scan.find("compression")
if compression is not None:
    check("compression", ["is on"] if compression.get("supported") != "0" else [], ["none"])

wrong, seen = [], []
for c in scan.iter("certificate"):
    if c.get("type") != "short":
        continue
    key, signature = c.find("pk"), c.findtext("signature-algorithm", "")
    least = {"EC": 128, "RSA": 2048}.get(key.get("type"), 1 << 16)  # sslscan tells an EC key's strength, not its size
    seen.append(f"{signature}, {key.get('type')} {key.get('bits')}")
    if key.get("error") != "false" or int(key.get("bits")) < least:
        wrong.append("its key is weak")
    if "sha1" in signature.lower() or "md5" in signature.lower():
        wrong.append(f"it is signed with {signature}")
    wrong += [f"it is {name}" for name in ("expired", "self-signed") if c.findtext(name) != "false"]
    if "DNS:localhost" not in c.findtext("altnames", ""):
        wrong.append("it does not name localhost")
check("certificate", wrong, seen)
sys.exit(1 if failed else 0)
