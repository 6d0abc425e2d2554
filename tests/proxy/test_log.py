# SPDX-License-Identifier: Apache-2.0
"""The decision log (N): complete, written before anything is forwarded, safe to read."""
import collections
import hashlib
import json
import random
import select

import pytest

from checks import by_absolute, by_door
from door import read_response
from proxyrun import allow, deny
from ways import ALL, EVERY, FORWARD, PLAIN, TLS_PLAIN

FIELDS = {"v", "event", "seq", "time", "sandbox", "conn", "req", "entry", "protocol", "host", "port", "method", "path", "verdict", "reason", "rule",
          "origin", "inspect", "injected"}


@pytest.mark.parametrize("way", EVERY, ids=str)
def test_one_request_one_decision_one_end(world, new_proxy, way):
    proxy = new_proxy
    proxy.policy([allow("ok.test", methods=["GET"])])
    assert way.ask(proxy, "GET", "/a/b?c=d").status == 200
    proxy.record(event="end")
    decision, = proxy.decisions()
    assert FIELDS <= set(decision) and decision["sandbox"] == proxy.id
    assert (decision["host"], decision["port"], decision["method"], decision["entry"], decision["verdict"], decision["rule"]) == (
        "ok.test", way.port, "GET", way.entry, "allow", "r0")
    assert decision["path"].startswith("/a/b")
    end, = proxy.records(event="end")
    assert (end["conn"], end["req"], end["status"], end["error"]) == (decision["conn"], decision["req"], 200, None)
    assert end["bytes_in"] > 0 and end["duration_ms"] >= 0 and end["seq"] > decision["seq"]


@pytest.mark.odd_log
def test_random_requests_are_all_there(world, new_proxy):
    """N01"""
    proxy = new_proxy
    proxy.policy([allow("ok.test", path="/a/**"), allow("cdn.test"), deny("cdn.test", methods=["POST"])], tls="intercept")
    chance = random.Random(1)
    expected, answered = collections.Counter(), collections.Counter()
    for i in range(250):
        way, host = chance.choice(EVERY), chance.choice(["ok.test", "cdn.test", "evil.test"])
        path, method = chance.choice(["/a/", "/b/"]) + str(i), chance.choice(["GET", "POST"])
        good = (host == "ok.test" and path[1] == "a") or (host == "cdn.test" and method == "GET")
        answer = way.ask(proxy, method, path, host, body=b"x" if method == "POST" else b"")
        assert answer.status == (200 if good else 403), (way, method, host, path, answer)
        if good:
            expected[method, host, path] += 1
    for r in world.requests():
        answered[r.method, r.host, r.target] += 1
    assert answered == expected
    allowed = collections.Counter((d["method"], d["host"], d["path"]) for d in proxy.decisions(verdict="allow") if d["method"])
    assert allowed == expected
    assert wait_count(proxy, 250 - sum(expected.values())) == 250 - sum(expected.values())


def breaks(lines):
    """Where a log, as lines of bytes, does not go on from the record before."""
    prev = None
    for number, line in enumerate(lines):
        if json.loads(line)["prev"] != (prev or "0" * 16):
            yield number
        prev = hashlib.sha256(line).hexdigest()[:16]


def test_each_record_names_the_one_before(world, new_proxy):
    """N05: a line that is taken out, changed or put elsewhere shows at the next one; a decision says under which policy."""
    proxy = new_proxy
    proxy.policy([allow("ok.test")], tls="intercept")
    for way in EVERY:
        assert way.ask(proxy, "GET", "/1").status == 200
        assert way.ask(proxy, "GET", "/2", "evil.test").status == 403
    proxy.policy([deny("ok.test")], tls="intercept")
    assert EVERY[0].ask(proxy, "GET", "/3").status == 403
    proxy.record(verdict="deny", host="ok.test")
    lines = proxy.journal.read_bytes().splitlines()
    assert len(lines) > 2 * len(EVERY) and not list(breaks(lines))
    for number in range(1, len(lines) - 1):
        assert list(breaks(lines[:number] + lines[number + 1:])) == [number]
        assert list(breaks(lines[:number] + [lines[number].replace(b'"v":1', b'"v":2')] + lines[number + 1:])) == [number + 1]
    generations = [d["generation"] for d in proxy.decisions()]
    assert generations == sorted(generations) and len(set(generations)) == 2


def wait_count(proxy, wanted):
    """How many refusals the log tells of; further ones of a kind are counted, and the count is written within a second."""
    for _ in range(150):
        n = sum(d.get("repeated", 1) for d in proxy.decisions(verdict="deny"))
        if n >= wanted:
            break
        select.select([], [], [], 0.02)
    return n


@pytest.mark.parametrize("way", ALL, ids=str)
def test_nothing_leaves_without_a_log(world, new_proxy, way):
    """N04: a full disk, and no log at all."""
    proxy = new_proxy
    proxy.policy([allow("ok.test")], tls="intercept")
    proxy.tell({"op": "log"}, "/dev/full", 1)
    answer = way.ask(proxy)
    assert answer in ("reset", "alert", "end") or answer.status in (403, 503), answer
    assert world.requests() == [] and all(a.data == b"" for a in world.arrivals)
    # It comes back with the disk.
    proxy.set_log()
    assert way.ask(proxy).status == 200


HOSTILE = [b"/\x1b[31m", b"/a\"b", b"/a\\b", b"/%0a%0d", b"/%00", b"/<script>", b"/" + b"x" * 5000, b"/%e2%80%a8", b"/'\"$(id)"]


@pytest.mark.parametrize("path", HOSTILE, ids=range(len(HOSTILE)))
def test_what_a_guest_says_is_escaped(world, proxy, path):
    proxy.policy([deny("ok.test"), allow("cdn.test")])
    by_door(proxy, "ok.test:80", b"GET " + path + b" HTTP/1.1\r\nHost: ok.test\r\n\r\n")
    by_absolute(proxy, b"http://ok.test" + path, b"ok.test")
    records = proxy.decisions()
    assert records and {r["verdict"] for r in records} == {"deny"}
    raw = proxy.journal.read_bytes()
    assert raw.endswith(b"\n") and len(raw.splitlines()) == len(records)
    assert not any(c < 0x20 and c != 0x0a or c == 0x7f for c in raw)
    assert max(len(line) for line in raw.splitlines()) < 4096


def test_secrets_are_not_in_the_log(world, new_proxy):
    """N03"""
    proxy = new_proxy
    proxy.policy([allow("ok.test"), deny("cdn.test")], tls="intercept")
    secret = "S3CRET0123456789"
    for way in ALL:
        for host in ("ok.test", "cdn.test"):
            way.ask(proxy, "POST", "/x", host, fields=[f"Authorization: Bearer {secret}", f"Cookie: a={secret}", f"X-Api-Key: {secret}"],
                    body=secret.encode())
    assert len(world.requests()) == len(ALL)
    assert secret not in proxy.journal.read_text() and secret not in proxy.said()


def test_a_flood_of_refusals_is_counted(world, new_proxy):
    proxy = new_proxy
    proxy.policy([allow("cdn.test")])
    stream = proxy.door.forward()
    for i in range(200):
        stream.send(f"GET http://evil.test/{i} HTTP/1.1\r\nHost: evil.test\r\n\r\n".encode())
    rest = b""
    for _ in range(200):
        response = read_response(stream, buffered=rest)
        rest = response.rest
    assert wait_count(proxy, 200) == 200
    assert len(proxy.decisions(verdict="deny")) < 100
    stream.close()


def test_another_log_from_now_on(world, new_proxy, tmp_path):
    proxy = new_proxy
    proxy.policy([allow("ok.test")])
    PLAIN.ask(proxy)
    proxy.record(event="end")
    before = len(proxy.records())
    proxy.set_log(tmp_path / "second.jsonl")
    TLS_PLAIN.ask(proxy)
    FORWARD.ask(proxy)
    proxy.record(event="decision", protocol="http", entry="forward")
    assert min(r["seq"] for r in proxy.records()) > before - 1
    assert len((tmp_path / "proxy0/network.jsonl").read_text().splitlines()) == before
