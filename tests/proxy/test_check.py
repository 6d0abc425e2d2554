# SPDX-License-Identifier: Apache-2.0
"""P04: what `sbx policy check` says is what the proxy does: a policy written by the command line, questions to the daemon, and the same as real
connections and requests, verdict and rule compared. SBX_CHECK_SEED repeats a run."""
import http.client
import json
import os
import random
import socket
import subprocess

import pytest

from door import Reset
from proxyrun import BUILD
from testrange import CDN4, EVIL4, OK4
from ways import FORWARD, PLAIN, TLS_CONNECT, TLS_PLAIN

SEED = int(os.environ.get("SBX_CHECK_SEED", "4"))
COUNT = int(os.environ.get("SBX_CHECK_COUNT", "250"))  # for each way of TLS
RULES = """allow ok.test:443
allow ok.test:80
allow --method GET,HEAD cdn.test
allow --method POST --path /v1/** cdn.test:443
deny --path /v1/secret/** cdn.test
allow *.wild.test:443
allow **.deep.test
deny deny.wild.test
deny --method DELETE ok.test
allow --path /open/** evil.test:8080
allow tcp ssh.test:22
allow --expect ssh tcp git.test:22
deny both.test
allow both.test:443
allow --no-websocket chat.test
allow 93.184.216.20:8001
deny 93.184.216.66:8443
allow x.deep.test:8443""".split("\n")
HOSTS = {"ok.test": OK4, "cdn.test": CDN4, "evil.test": EVIL4, "deny.wild.test": EVIL4, "a.wild.test": OK4, "a.b.wild.test": OK4, "x.deep.test": EVIL4, "a.b.deep.test": CDN4,
         "deep.test": OK4, "ssh.test": OK4, "git.test": OK4, "both.test": OK4, "chat.test": OK4, "none.test": OK4}
PATHS = ["/", "/v1/x", "/v1/secret/x", "/v1/%73ecret/x", "/v2", "/open/a/b", "/open", "/a%2fb"]
METHODS = ["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """(a function that asks the daemon, the rules that it has)."""
    place = tmp_path_factory.mktemp("d")
    env = {"PATH": "/usr/bin:/bin", "HOME": str(place), **{f"XDG_{n}": str(place / n) for n in ("STATE_HOME", "RUNTIME_DIR", "CONFIG_HOME", "CACHE_HOME")}}
    for name in ("STATE_HOME", "RUNTIME_DIR", "CONFIG_HOME", "CACHE_HOME"):
        (place / name).mkdir(mode=0o700)

    def sbx(*argv):
        return subprocess.run([BUILD / "bin/sbx", *argv], env=env, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60).stdout

    try:
        sbx("policy", "init", "locked-down")
        for rule in RULES:
            sbx("policy", *rule.split(" "))
        rules = [{k: v for k, v in r.items() if k != "created_at"} for r in json.loads(sbx("policy", "ls", "--json"))["rules"]]
        connection = Unix(place / "RUNTIME_DIR/sbx/sandboxd.sock")

        def check(**question):
            connection.request("POST", "/v1/policy/check", json.dumps(question), {"Content-Type": "application/json"})
            response = connection.getresponse()
            said = json.loads(response.read())
            assert response.status == 200, (question, said)
            return said

        yield check, rules
    finally:
        subprocess.run([BUILD / "bin/sbx", "daemon", "stop"], env=env, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)


def tuples():
    dice = random.Random(SEED)
    for _ in range(COUNT):
        scheme = dice.choice(("http", "http", "https", "https", "tcp"))
        host = dice.choice(list(HOSTS) + [OK4, CDN4, EVIL4])
        port = dice.choice({"http": (80, 80, 8080, 8001), "https": (443, 443, 8443), "tcp": (22, 22, 8001, 443)}[scheme])
        yield scheme, host, port, dice.choice(METHODS), dice.choice(PATHS)


def really(proxy, scheme, host, port, method, path, number):
    """Does it, and gives the record of the decision."""
    before = len(proxy.decisions())
    if scheme == "tcp":
        stream = proxy.door.open(f"{host}:{port}")
        try:
            stream.send(b"SSH-2.0-x\r\n" if port == 22 else b"\0\1\2\3")
            stream.recv()
        except (Reset, TimeoutError):
            pass
        stream.close()
    else:
        way = {"http": (FORWARD, PLAIN), "https": (TLS_PLAIN, TLS_CONNECT)}[scheme][number % 2]
        way.ask(proxy, method, path, host, port)
    found = proxy.decisions()[before:]
    assert len(found) >= 1, (scheme, host, port, proxy.said())
    return found[-1]


@pytest.mark.parametrize("tls", ["auto", "intercept"])
def test_check_says_what_happens(world, proxy, daemon, tls):
    check, rules = daemon
    world.zone.update({name: [address] for name, address in HOSTS.items()})
    proxy.generation += 1
    proxy.load({"schema": 1, "generation": proxy.generation, "default": "deny", "tls": tls, "rules": rules})
    proxy.wait(lambda e: e["event"] == "policy" and e["generation"] == proxy.generation)
    seen, differ = {}, []
    for number, (scheme, host, port, method, path) in enumerate(tuples()):
        question = {"target": f"tcp {host}:{port}"} if scheme == "tcp" else {"target": f"{scheme}://{host}:{port}", "method": method, "path": path}
        said = check(**question)
        if said["allowed"] and host in HOSTS:  # only then its name is resolved
            said = check(**question, address=HOSTS[host])
        did = really(proxy, scheme, host, port, method, path, number)
        same = (did["verdict"], did["rule"]) == (said["action"], said["rule"])
        # What allows HTTP or TLS there makes bytes that are neither a mistake of the client's, which is said so.
        same = same or (scheme == "tcp" and did["verdict"] == said["action"] == "deny" and did["reason"] == "not_tls")
        if not same:
            differ.append((scheme, host, port, method, path, said["action"], said["rule"], said["reason"], did["verdict"], did["rule"], did["reason"]))
        seen[said["rule"]] = seen.get(said["rule"], 0) + 1
    assert not differ, (SEED, len(differ), differ[:10])
    # Nearly every rule had its say, and so had none.
    assert len(seen) >= len(RULES) * 3 // 4 and "default-deny" in seen, seen
