# SPDX-License-Identifier: Apache-2.0
"""Deadlines (M01, M09): all that take long, at the same time."""
import threading
import time

import pytest

from door import Reset
from proxyrun import allow
from testrange import DEAD6
from ways import FORWARD, PLAIN, TLS_PLAIN


def drip(way, proxy, took):
    """A head at one byte a second; how long that is listened to."""
    conn = way.open(proxy)
    begin = time.monotonic()
    over = threading.Event()

    def feed():
        for byte in way.request("GET", "/slow", fields=["X: " + "y" * 100]):
            try:
                conn.send(bytes([byte]))
            except Exception:
                return
            if over.wait(1):
                return

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        answer = b""
        while True:
            got = conn.stream.recv(timeout=25) if way.tls else conn.recv(timeout=25)
            if not got:
                break
            answer += got
    except Reset:
        pass
    took[way.name] = time.monotonic() - begin
    over.set()
    thread.join()


def silent(proxy, took):
    """A connection that says nothing where something is allowed."""
    begin = time.monotonic()
    out, how = proxy.door.open("ok.test:443").outcome(45)
    took["silent"] = time.monotonic() - begin
    assert out == b"" and how in ("reset", "end")


def unreachable(way, proxy, took):
    begin = time.monotonic()
    conn = way.open(proxy, "dead.test")
    conn.send(way.request(host="dead.test"))
    answer = conn.recv(timeout=20)
    took["dead", way.name] = time.monotonic() - begin
    took["answer", way.name] = int(answer.split(b" ")[1])


@pytest.mark.odd_log
def test_deadlines(world, new_proxy):
    proxy = new_proxy
    world.zone["dead.test"] = [DEAD6]
    proxy.policy([allow("ok.test"), allow("dead.test")], tls="intercept")
    took = {}
    jobs = [(drip, (way, proxy, took)) for way in (PLAIN, FORWARD, TLS_PLAIN)]
    jobs += [(unreachable, (way, proxy, took)) for way in (PLAIN, FORWARD)] + [(silent, (proxy, took))]
    threads = [threading.Thread(target=job, args=args) for job, args in jobs]
    for t in threads:
        t.start()
    for t in threads:
        t.join(50)
    assert len(took) == 8, took
    for way in (PLAIN, FORWARD, TLS_PLAIN):
        assert 10 < took[way.name] < 20, took  # entry looks at the first word, then the head's time begins
    for way in (PLAIN, FORWARD):
        assert 8 < took["dead", way.name] < 13 and took["answer", way.name] == 504, took
    assert 28 < took["silent"] < 35, took
    assert world.requests() == []
    assert PLAIN.ask(proxy).status == 200
