"""Slow callers against honest ones: slowhttptest holds 200 connections in each of
its four modes while 50 callers go on with requests, not one of which may fail.

Usage: check.py SLOWHTTPTEST, the program's path.
Prints "ok: NAME" or "FAILED: NAME: why" for each check, and exits with 1 if one failed.
"""

import collections
import csv
import http.client
import json
import os
import pathlib
import ssl
import subprocess
import sys
import threading
import time

PORT = int(os.environ["PROXY_PORT"])
RUN = pathlib.Path(os.environ["RUN"])
SELF = "/portal/sharing/rest/portals/self?f=json"
FILE = "/server/rest/directories/big?bytes="
CALLERS = 50
SLOW = 200  # connections that slowhttptest holds
SECONDS = 7  # that it goes on
PAUSE = 0.25  # between two requests of one caller
LONGEST = 5.0  # that an honest request may take

# What slowhttptest does in each mode. It draws the randomness of its requests itself.
MODES = {
    "headers that do not end (-H)": ["-H", "-i", "1", "-u", f"https://localhost:{PORT}{SELF}"],
    "forms that do not end (-B)": ["-B", "-i", "1", "-s", "8192", "-u", f"https://localhost:{PORT}/portal/sharing/rest/search?f=json"],
    "ranges by the thousand (-R)": ["-R", "-a", "10", "-b", "3000", "-u", f"http://localhost:{PORT}{FILE}{64 << 20}"],
    "answers that nobody reads (-X)": ["-X", "-w", "512", "-y", "1024", "-n", "2", "-z", "32", "-u", f"https://localhost:{PORT}{FILE}{4 << 20}"],
}

trust = ssl.create_default_context(cafile=os.environ["PROXY_ROOT"])
failed = 0


def say(name, wrong, detail):
    """Says that a check held, or what is wrong."""
    global failed
    if wrong:
        failed += 1
        print(f"FAILED: {name}: {'; '.join(wrong)[:1500]} ({detail})", flush=True)
    else:
        print(f"ok: {name}: {detail}", flush=True)


def connect(timeout):
    return http.client.HTTPSConnection("localhost", PORT, timeout=timeout, context=trust)


def ask(connection, with_key):
    """Asks who is signed in, and raises an error if the answer is not this caller's."""
    headers, user = {}, os.environ["CAROL_USERNAME"]
    if with_key:
        headers, user = {"X-Esri-Authorization": "Bearer " + os.environ["CALLER_KEY"]}, os.environ["ALICE_USERNAME"]
    connection.request("GET", SELF, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200 or json.loads(body)["user"]["username"] != user:
        raise ValueError(f"status {answer.status}, {body[:200]!r}")


class Callers:
    """Honest callers, each in a thread: every other one has a key, the rest are
    known by address; every fifth request is on a new connection."""

    def __init__(self):
        self.lock = threading.Lock()  # guards what follows
        self.done = collections.Counter()  # requests by caller
        self.slowest = 0.0
        self.wrong = []
        self.end = threading.Event()
        self.threads = [threading.Thread(target=self.go_on, args=(n,)) for n in range(CALLERS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        for thread in self.threads:
            thread.join()

    def go_on(self, n):
        connection, sent = None, 0
        while not self.end.wait(PAUSE):
            began = time.monotonic()
            try:
                if connection is None:
                    connection = connect(20)
                ask(connection, with_key=n % 2 == 1)
                sent += 1
                if sent % 5 == 0:
                    connection.close()
                    connection = None
                with self.lock:
                    self.done[n] += 1
                    self.slowest = max(self.slowest, time.monotonic() - began)
            except (OSError, ValueError, KeyError, http.client.HTTPException) as e:
                connection = None
                with self.lock:
                    self.wrong.append(f"{type(e).__name__}: {e}")

    def take(self):
        """What became of the requests since the last time: by caller, the slowest, the failed."""
        with self.lock:
            taken = self.done, self.slowest, self.wrong
            self.done, self.slowest, self.wrong = collections.Counter(), 0.0, []
        return taken


def attack(name, mode, callers):
    prefix = RUN / ("slow" + mode[0])
    ended = subprocess.run(
        [sys.argv[1], *mode, "-c", str(SLOW), "-r", "100", "-l", str(SECONDS - 1), "-p", "3", "-g", "-o", str(prefix)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=3 * SECONDS, check=False)
    done, slowest, wrong = callers.take()
    wrong = [f"{len(wrong)} requests failed: {wrong[0]}"] if wrong else []
    idle = [n for n in range(CALLERS) if done[n] == 0]
    if idle:
        wrong.append(f"callers {idle} had no answer")
    if slowest > LONGEST:
        wrong.append(f"the slowest request took {slowest:.1f} s")
    if ended.returncode:
        wrong.append(f"slowhttptest ended with {ended.returncode}: {ended.stdout[-300:]!r}")
    with open(f"{prefix}.csv", encoding="utf-8") as table:
        seconds = [{k: int(v) for k, v in row.items()} for row in csv.DictReader(table)]
    held = max((row["Connected"] for row in seconds), default=0)
    spoke = max((row["Connected"] + row["Closed"] for row in seconds), default=0)
    if spoke < SLOW / 2:  # the table has a line for each second only
        wrong.append("slowhttptest had too few connections for the rest to mean anything")
    if any(row["Service Available"] == 0 for row in seconds):
        wrong.append("slowhttptest found the service not available")
    say(name, wrong, f"{spoke} slow connections, {held} at a time; {done.total()} honest requests, the slowest {slowest * 1000:.0f} ms")


for key in False, True:  # the first request of each identity waits for its sign-in
    ask(connect(90), key)
with Callers() as everybody:
    time.sleep(1)  # all of them are under way
    quiet, longest, lost = everybody.take()
    say("50 callers alone", lost or ([] if len(quiet) == CALLERS else ["some had no answer"]), f"{quiet.total()} requests, the slowest {longest * 1000:.0f} ms")
    for title, arguments in MODES.items():
        attack(title, arguments, everybody)
sys.exit(1 if failed else 0)
