# SPDX-License-Identifier: Apache-2.0
"""Bounds (M) and raw TCP (K). What takes longer than ten seconds by its nature (M01, M02, M09's 60 s, M12) is measured elsewhere."""
import resource
import threading
import time

import pytest

from checks import assert_blocked, by_connect
from door import Reset, read_head, read_response
from proxyrun import allow
from ways import ALL, EVERY, FORWARD, PLAIN, TLS_PLAIN, Refused, connect

WAYS = [FORWARD, PLAIN, TLS_PLAIN]


@pytest.fixture
def open_proxy(proxy):
    proxy.policy([allow("ok.test")], tls="intercept")
    return proxy


SIZES = {
    # M04: (target, fields, length of each) and the status
    "target-max": (16000, 0, 0, 200), "target+": (16384 + 100, 0, 0, 414),
    "fields-max": (1, 120, 10, 200), "fields+": (1, 129, 10, 431),
    "head-max": (1, 60, 1000, 200), "head+": (1, 66, 1000, 431), "one-large": (1, 1, 66000, 431),
}


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("name", SIZES)
def test_heads(world, open_proxy, name, way):
    target, fields, length, status = SIZES[name]
    conn = way.open(open_proxy)
    head = way.line("GET", "/" + "x" * (target - 1)) + b"Host: ok.test\r\n"
    head += b"".join(b"F%d: %s\r\n" % (i, b"v" * length) for i in range(fields)) + b"\r\n"
    try:
        conn.send(head)
    except Reset:
        pass
    assert read_response(conn).status == status
    assert len(world.requests()) == (1 if status == 200 else 0)
    conn.close()


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("kind", ["fields", "head", "line"])
def test_heads_of_answers(world, open_proxy, kind, way):
    head = {"fields": b"".join(b"F%d: v\r\n" % i for i in range(300)), "head": b"".join(b"F%d: %s\r\n" % (i, b"v" * 1000) for i in range(140)),
            "line": b"F: " + b"v" * 140000 + b"\r\n"}[kind]
    world.reply["/r"] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + head + b"\r\n"
    assert way.ask(open_proxy, "GET", "/r").status == 502


LARGE = 24 << 20


@pytest.mark.parametrize("way", [PLAIN, TLS_PLAIN], ids=str)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_memory_stays_small_for_a_large_download(world, open_proxy, framing, way):
    """M05"""
    piece = bytes(65536)

    def send(sock, request):
        if framing == "length":
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
            for _ in range(LARGE // len(piece)):
                sock.sendall(piece)
        else:
            sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(LARGE // len(piece)):
                sock.sendall(b"10000\r\n" + piece + b"\r\n")
            sock.sendall(b"0\r\n\r\n")
        return True

    world.reply["/big"] = send
    way.ask(open_proxy)
    before = open_proxy.memory_kib()
    conn = way.open(open_proxy)
    conn.send(way.request("GET", "/big"))
    status, _, rest, _ = read_head(conn)
    got, peak = len(rest), 0
    while got < LARGE:
        got += len(conn.recv(1 << 20))
        peak = max(peak, open_proxy.memory_kib()) if got % (1 << 20) < 70000 else peak
    assert status == 200 and peak - before < 4096, (before, peak)
    conn.close()


@pytest.mark.parametrize("way", [PLAIN, TLS_PLAIN], ids=str)
def test_memory_stays_small_where_nobody_reads(world, open_proxy, way):
    """The origin is held up, not the memory filled."""
    def send(sock, request):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 30))
        sock.settimeout(3)
        sent = 0
        try:
            while sent < 1 << 27:
                sent += sock.send(bytes(65536))
        except TimeoutError:
            pass
        world.reply["sent"] = sent
        return False

    world.reply["/big"] = send
    before = open_proxy.memory_kib()
    open_proxy.door.hold = True
    try:
        conn = way.open(open_proxy)
        conn.send(way.request("GET", "/big"))
        world.wait(lambda: world.reply.get("sent"), 9)
    finally:
        open_proxy.door.hold = False
    assert world.reply["sent"] < 16 << 20
    assert open_proxy.memory_kib() - before < 4096
    conn.close()


@pytest.mark.parametrize("way", ALL, ids=str)
def test_events_are_passed_on_at_once(world, open_proxy, way):
    """M10"""
    go = threading.Event()
    times = []

    def events(sock, request):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for i in range(5):
            go.wait(5)
            go.clear()
            times.append(time.monotonic())
            sock.sendall(b"data: %d\n\n" % i)
        return False

    world.reply["/events"] = events
    conn = way.open(open_proxy)
    conn.send(way.request("GET", "/events"))
    _, _, rest, _ = read_head(conn)
    late = []
    for i in range(5):
        go.set()
        while b"data: %d" % i not in rest:
            rest += conn.recv()
        late.append(time.monotonic() - times[i])
    # A busy machine may hold one up; buffering would hold up all of them.
    assert sorted(late)[1] < 0.1, late
    conn.close()


@pytest.mark.odd_log
def test_few_descriptors(world, make_proxy):
    """M07: it refuses what it has no descriptor for, and recovers."""
    proxy = make_proxy(limits={resource.RLIMIT_NOFILE: 128})
    proxy.policy([allow("tcp ssh.test:22"), allow("ok.test")])
    streams = [proxy.door.open("ssh.test:22") for _ in range(200)]
    good = bad = 0
    for stream in streams:
        try:
            good += stream.recv(timeout=12) == b"SSH-2.0-range\r\n"
        except Reset:
            bad += 1
    assert good > 50 and bad > 0 and good + bad == 200
    for stream in streams:
        stream.close()
    world.wait(lambda: all(a.over for a in world.arrivals), 5)
    assert PLAIN.ask(proxy).status == 200


# --- K: raw TCP ---

@pytest.mark.parametrize("tunnel", [False, True])
def test_raw_tcp_with_a_rule(world, proxy, tunnel):
    """K03: the server speaks first."""
    proxy.policy([allow("tcp ssh.test:22")])
    stream = connect(proxy, "ssh.test:22") if tunnel else proxy.door.open("ssh.test:22")
    assert stream.recv() == b"SSH-2.0-range\r\n"
    stream.send(b"SSH-2.0-client\r\n")
    assert stream.recv() == b"SSH-2.0-client\r\n"
    record = proxy.record(event="decision")
    assert (record["protocol"], record["verdict"], record["inspect"]) == ("tcp", "allow", "none")
    stream.close()


@pytest.mark.parametrize("tunnel", [False, True])
@pytest.mark.parametrize("rules", [[], [allow("ssh.test:22")], [allow("tcp ssh.test:23")], [allow("tcp ok.test:22")]])
def test_raw_tcp_without_one(world, proxy, rules, tunnel):
    """K03: a rule for HTTP and TLS opens no other protocol."""
    proxy.policy(rules)
    try:
        stream = connect(proxy, "ssh.test:22") if tunnel else proxy.door.open("ssh.test:22")
        stream.send(b"SSH-2.0-client\r\n")
        out, how = stream.outcome(6)
        assert out == b"" and how in ("reset", "end")
    except Refused as e:
        assert e.response.status == 403
    except Reset:
        pass
    assert_blocked(world, proxy, "reset")


def test_raw_tcp_in_open_mode_needs_a_rule(world, proxy):
    proxy.policy([], default="allow")
    stream = proxy.door.open("ssh.test:22")
    stream.send(b"SSH-2.0-client\r\n")
    assert stream.outcome(6) == (b"", "reset")
    assert_blocked(world, proxy, "reset", ("tcp", "not_tls"))


@pytest.mark.parametrize("port", [53, 853, 5353, 5355, 137, 25])
def test_ports_of_other_services(world, proxy, port):
    """C04, C06: name servers of the world, too."""
    proxy.policy([], default="allow")
    for host in ("8.8.8.8", "1.1.1.1", "[2001:4860:4860::8888]", "dns.google"):
        stream = proxy.door.open(f"{host}:{port}")
        try:
            stream.send(b"\0\x1d\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01a\x04test\0\0\x01\0\x01")
            out, how = stream.outcome(6)
        except Reset:
            out, how = b"", "reset"
        assert (out, how) == (b"", "reset")
    assert world.queries == [] and world.arrivals == []


@pytest.mark.parametrize("way", EVERY, ids=str)
def test_many_connections_at_once(world, open_proxy, way):
    """Fifty programs ask at the same time; each has its answer."""
    answers = []
    threads = [threading.Thread(target=lambda i=i: answers.append(way.ask(open_proxy, "GET", f"/n{i}"))) for i in range(50)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(20)
    assert [a if isinstance(a, str) else a.status for a in answers] == [200] * 50
    assert sorted(r.target for r in world.requests()) == sorted(f"/n{i}" for i in range(50))


def test_plain_http_to_the_port_of_ssh(world, proxy):
    """K04 by the policy that exists: without a tcp rule HTTP to another port is HTTP, and decided as such."""
    proxy.policy([allow("tcp ssh.test:22")])
    answer = by_connect(proxy, "ok.test:22", tls=False, speak=b"GET / HTTP/1.1\r\nHost: ok.test:22\r\n\r\n")
    assert_blocked(world, proxy, answer)
