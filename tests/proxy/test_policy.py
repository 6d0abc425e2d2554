# SPDX-License-Identifier: Apache-2.0
"""Live policy (P, M11): what is not allowed any more ends at once, whatever it is; what still is goes on."""
import threading
import time

import pytest

from door import Reset, read_head, read_response
from proxyrun import allow, deny, rule
from test_upgrade import FIELDS, origin
from ways import ALL, EVERY, PLAIN, TLS_PLAIN

OPEN = [allow("ok.test"), allow("tcp ssh.test:22"), allow("cdn.test")]


def ends(conn, seconds=2):
    """How a connection ended in that time."""
    begin = time.monotonic()
    try:
        while conn.recv(timeout=seconds):
            pass
        how = "end"
    except Reset:
        how = "reset"
    except Exception as e:  # TLS: cut off
        how = type(e).__name__
        assert how != "TimeoutError", "it is still open"
    assert time.monotonic() - begin < seconds
    return how


def raw(proxy):
    stream = proxy.door.open("ssh.test:22")
    assert stream.recv() == b"SSH-2.0-range\r\n"
    return stream


def spliced(proxy):
    conn = TLS_PLAIN.open(proxy)
    conn.send(TLS_PLAIN.request())
    read_response(conn)
    return conn


def websocket(proxy):
    proxy.world.reply["/ws"] = origin
    conn = PLAIN.open(proxy)
    conn.send(b"GET /ws HTTP/1.1\r\nHost: ok.test\r\n" + "".join(f + "\r\n" for f in FIELDS).encode() + b"\r\n")
    assert read_head(conn)[0] == 101
    return conn


def download(proxy):
    def slowly(sock, request):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbeginning")
        while sock.recv(1):
            pass
        return False

    proxy.world.reply["/slow"] = slowly
    conn = PLAIN.open(proxy)
    conn.send(PLAIN.request("GET", "/slow"))
    assert read_head(conn)[0] == 200
    return conn


@pytest.mark.odd_log
@pytest.mark.parametrize("change", ["removed", "denied"])
@pytest.mark.parametrize("kind", [raw, spliced, websocket, download], ids=lambda f: f.__name__)
def test_a_change_ends_what_is_open(world, proxy, kind, change):
    """P01, J06"""
    proxy.policy(OPEN)
    conn = kind(proxy)
    proxy.policy([allow("cdn.test")] if change == "removed" else OPEN + [deny("ok.test"), deny("ssh.test")])
    assert ends(conn) in ("end", "reset", "SSLEOFError", "SSLError")
    world.wait(lambda: all(a.over for a in world.arrivals), 3)
    assert proxy.record(event="end", error="policy_changed")


@pytest.mark.parametrize("kind", [raw, spliced], ids=lambda f: f.__name__)
def test_a_change_that_does_not_concern_it(world, proxy, kind):
    proxy.policy(OPEN)
    conn = kind(proxy)
    proxy.policy(OPEN[:2])
    if kind is raw:
        conn.send(b"still here")
        assert conn.recv() == b"still here"
    else:
        conn.send(TLS_PLAIN.request("GET", "/again"))
        assert read_response(conn).status == 200
    conn.close()


@pytest.mark.odd_log
def test_a_spliced_connection_that_would_be_inspected_now(world, proxy):
    proxy.policy(OPEN)
    conn = spliced(proxy)
    proxy.policy([allow("ok.test", methods=["GET"])])
    assert ends(conn) in ("end", "reset", "SSLEOFError", "SSLError")


@pytest.mark.parametrize("way", [w for w in ALL], ids=str)
def test_an_idle_connection_after_a_change(world, proxy, way):
    """The next request on it is decided by the new policy, if the connection is still there at all."""
    proxy.policy([allow("ok.test")], tls="intercept")
    conn = way.open(proxy)
    conn.send(way.request("GET", "/a"))
    assert read_response(conn).status == 200
    proxy.policy([allow("cdn.test")], tls="intercept")
    try:
        conn.send(way.request("GET", "/b"))
        assert read_response(conn).status == 403
    except (Reset, EOFError, OSError):
        pass
    assert [r.target for r in world.requests()] == ["/a"]


@pytest.mark.parametrize("way", EVERY, ids=str)
@pytest.mark.parametrize("yes", [True, False])
def test_asking(world, proxy, yes, way):
    """A question parks the connection; the answer decides, by every way."""
    proxy.policy([rule("ask", "ok.test")], tls="intercept")
    asked, over = [], threading.Event()

    def answer():
        while not over.is_set():
            try:
                event = proxy.wait(lambda e: e["event"] == "ask", 0.2)
            except AssertionError:
                continue
            asked.append(event)
            proxy.tell({"op": "answer", "ask": event["ask"], "allow": yes})

    thread = threading.Thread(target=answer)
    thread.start()
    answered = way.ask(proxy, "GET", "/q")
    over.set()
    thread.join()
    if yes:
        assert not isinstance(answered, str) and answered.status == 200, answered
    else:
        assert answered in ("reset", "alert", "end") or answered.status == 403, answered
    assert asked and "ok.test" in asked[0]["dest"]
    assert len(world.requests()) == (1 if yes else 0)


@pytest.mark.odd_log
def test_a_killed_proxy_lets_nothing_pass(world, make_proxy, keeper):
    """M11"""
    proxy = make_proxy()
    proxy.policy(OPEN)
    conn = raw(proxy)
    proxy.process.kill()
    proxy.process.wait()
    assert ends(conn) == "reset"
    with pytest.raises(Reset):
        proxy.door.open("ok.test:80").recv()
    world.wait(lambda: all(a.over for a in world.arrivals), 3)
    begin = time.monotonic()
    second = make_proxy()
    second.policy(OPEN)
    assert PLAIN.ask(second).status == 200
    assert time.monotonic() - begin < 3
    proxy.process.returncode = 0  # it was meant to go


def test_the_end_of_the_control_socket_is_the_end(world, make_proxy):
    proxy = make_proxy()
    proxy.policy(OPEN)
    conn = raw(proxy)
    proxy.control.close()
    assert ends(conn) in ("reset", "end")
    assert proxy.process.wait(3) == 0
    assert proxy.record(event="end")
