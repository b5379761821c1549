"""Searches what the proxy answered curl, what it logged and what it recorded of
requests for every secret that the simulated systems know or have issued, and for
the callers' keys; and looks at whose requests the record says they were.

A user's own details are no secret; passwords, codes, cookies, assertions, tokens are.
"""

import json
import os
import pathlib
import sys
import urllib.request

run = pathlib.Path(os.environ["RUN"])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with opener.open(os.environ["SANDBOX_CONTROL"] + "/secrets", timeout=20) as answer:
    secrets = {s for s in json.load(answer) if len(s) >= 8}
keys = {os.environ["CALLER_KEY"], os.environ["READER_KEY"]}
failed = 0


def search(what, files, wanted):
    """Fails if a file holds one of the wanted texts. It does not print them."""
    global failed
    files = list(files)
    held = []
    for file in files:
        text = file.read_bytes()
        held += [f"{file.name} holds a secret of {len(s)} characters" for s in wanted if s.encode() in text]
    if not files:
        held = ["there was nothing to search"]
    if held:
        failed = 1
        print(f"FAILED: {what}: {'; '.join(held[:5])}")
    else:
        print(f"ok: {what}: {len(wanted)} secrets, {len(files)} files")


if len(secrets) < 10:
    failed = 1
    print(f"FAILED: the simulation knows only {len(secrets)} secrets")
answers = run / "answers"
if (run / "curl.log").exists():  # curl was among the chosen clients
    search("no secret in a header of an answer", answers.glob("*.headers"), secrets | keys)
    search("no secret in a body of an answer", answers.glob("*.body"), secrets | keys)
search("no secret in what the proxy printed", [run / "arcproxy.out", run / "arcproxy.err", run / "trust.err"], secrets | keys)
audit = run / "audit.jsonl"
search("no secret in the record of requests", [audit], secrets | keys)
with open(audit, encoding="utf-8") as f:
    requests = [json.loads(line) for line in f]
whose = {(r["caller"], r["identity"]) for r in requests}
known = {("nightly", "alice"), ("reader", "alice"), ("this machine", "carol")}
if whose == known or whose < known and not (run / "curl.log").exists():
    print(f"ok: the record of requests says whose they were: {len(requests)} requests")
else:
    failed = 1
    print(f"FAILED: the record of requests says whose they were: {len(requests)} requests of {whose}")
state = [f for f in (run / "state").rglob("*") if f.is_file()]
search("no secret in the state directory", state, secrets | keys)
loose = [f for f in [run / "state", *(run / "state").rglob("*")] if f.stat().st_mode & 0o077]
if loose:
    failed = 1
    print(f"FAILED: the state directory is its owner's alone: {loose[0].name} is not")
else:
    print("ok: the state directory is its owner's alone")
sys.exit(failed)
