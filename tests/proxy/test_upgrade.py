# SPDX-License-Identifier: Apache-2.0
"""Upgrades (J, F26): a WebSocket after a handshake that both sides meant, frames that are frames; everything else stays HTTP."""
import base64
import hashlib
import ssl
import struct

import pytest

from door import Reset, read_head, read_response
from proxyrun import allow
from ways import FORWARD, PLAIN, TLS_CONNECT, TLS_PLAIN

WAYS = [FORWARD, PLAIN, TLS_CONNECT, TLS_PLAIN]
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
FIELDS = ["Connection: Upgrade", "Upgrade: websocket", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13"]


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


def frame(opcode, payload, mask=True, fin=True, rsv=0):
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    n = len(payload)
    bit = 0x80 if mask else 0
    head += bytes([bit | n]) if n < 126 else bytes([bit | 126]) + struct.pack(">H", n) if n < 65536 else bytes([bit | 127]) + struct.pack(">Q", n)
    if not mask:
        return head + payload
    key = b"mask"
    return head + key + bytes(b ^ key[i % 4] for i, b in enumerate(payload))


def origin(sock, request, answer="", more=""):
    """Answers the handshake, then sends whatever comes back, as it came."""
    key = request.get("sec-websocket-key")[0]
    sock.sendall(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 f"Sec-WebSocket-Accept: {answer or accept_of(key)}\r\n{more}\r\n".encode())
    while True:
        got = sock.recv(65536)
        if not got:
            return False
        with_data = request.conn
        with_data.data += got
        # A server's frames are not masked: the first byte and the payload's length are kept.
        sock.sendall(frame(2, got, mask=False))


@pytest.fixture
def ws(world, proxy):
    proxy.policy([allow("ok.test")], tls="intercept")
    world.reply["/ws"] = origin
    return proxy


def handshake(proxy, way, fields=FIELDS):
    conn = way.open(proxy)
    conn.send(way.line("GET", "/ws") + b"Host: ok.test\r\n" + "".join(f + "\r\n" for f in fields).encode() + b"\r\n")
    return conn


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_frames_both_ways(world, ws, way):
    conn = handshake(ws, way)
    status, fields, rest, _ = read_head(conn)
    assert status == 101 and dict(fields)["sec-websocket-accept"] == accept_of(KEY)
    sent = frame(1, b"hello")
    conn.send(sent)
    while len(rest) < 2 + len(sent):
        rest += conn.recv()
    assert rest == frame(2, sent, mask=False)
    request = world.requests()[0]
    assert [n.lower() for n, _ in request.fields].count("upgrade") == 1
    record = ws.record(event="decision", verdict="allow", method="GET")
    assert record["path"] == "/ws"
    conn.close()


BAD = {
    "no-key": [f for f in FIELDS if "Key" not in f],
    "short-key": [f.replace(KEY, "dGhlIHNhbXBsZQ==") for f in FIELDS],
    "odd-key": [f.replace(KEY, "!" * 22 + "==") for f in FIELDS],
    "two-keys": FIELDS + [f"Sec-WebSocket-Key: {KEY}"],
    "version-99": [f.replace("13", "99") for f in FIELDS],
    "no-version": [f for f in FIELDS if "Version" not in f],
    "body": FIELDS + ["Content-Length: 3"],
    "chunked": FIELDS + ["Transfer-Encoding: chunked"],
}


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("name", BAD)
def test_handshakes_that_are_none(world, ws, name, way):
    """J03"""
    conn = handshake(ws, way, BAD[name])
    assert read_response(conn).status == 400
    conn.close()
    assert world.requests() == []


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("start", ["POST /ws HTTP/1.1", "GET /ws HTTP/1.0"])
def test_other_requests_for_an_upgrade(world, ws, start, way):
    """J03, F26"""
    conn = way.open(ws)
    method, _, version = start.split(" ")
    conn.send(way.line(method, "/ws", version=version) + b"Host: ok.test\r\n" + "".join(f + "\r\n" for f in FIELDS).encode() + b"\r\n")
    assert read_response(conn).status == 400
    conn.close()
    assert world.requests() == []


NO_FRAMES = {
    "unmasked": frame(1, b"unmasked", mask=False), "opcode-3": frame(3, b"x"), "opcode-11": frame(11, b"x"), "rsv2": frame(1, b"x", rsv=2),
    "ssh": b"SSH-2.0-x\r\n", "cut-ping": frame(9, b"x", fin=False), "long-ping": frame(9, b"x" * 126),
    "http": b"GET /evil HTTP/1.1\r\nHost: ok.test\r\n\r\n",
}


@pytest.mark.parametrize("way", [PLAIN, TLS_PLAIN], ids=str)
@pytest.mark.parametrize("name", NO_FRAMES)
def test_what_is_no_frame_ends_it(world, ws, name, way):
    """J05"""
    conn = handshake(ws, way)
    assert read_head(conn)[0] == 101
    try:
        conn.send(NO_FRAMES[name])
        _, how = conn.outcome(5)
    except Reset:
        how = "reset"
    assert how in ("end", "reset")
    world.wait(lambda: all(a.over for a in world.arrivals))
    assert all(b"evil" not in a.data and b"SSH-" not in a.data and b"unmasked" not in a.data for a in world.arrivals)


@pytest.mark.parametrize("way", [PLAIN, TLS_PLAIN], ids=str)
@pytest.mark.parametrize("name", ["accept", "protocol", "extension"])
def test_answers_that_were_not_asked_for(world, ws, name, way):
    """J07"""
    answers = {"accept": ("AAAAAAAAAAAAAAAAAAAAAAAAAAA=", ""), "protocol": ("", "Sec-WebSocket-Protocol: other\r\n"),
               "extension": ("", "Sec-WebSocket-Extensions: permessage-deflate\r\n")}[name]
    world.reply["/ws"] = lambda sock, request: origin(sock, request, *answers)
    conn = handshake(ws, way)
    assert read_response(conn).status == 502
    conn.close()


@pytest.mark.parametrize("way", [PLAIN, TLS_PLAIN], ids=str)
def test_a_refused_upgrade_is_an_answer(world, ws, way):
    world.reply["/ws"] = b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno"
    conn = handshake(ws, way)
    response = read_response(conn)
    assert (response.status, response.body, response.get("upgrade")) == (426, b"no", "HTTP/1.1")
    conn.close()
    world.reply["/only"] = b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nno"
    response = way.ask(ws, path="/only")
    assert (response.status, response.get("upgrade"), response.get("connection")) == (426, "websocket", "Upgrade")


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("tls", ["auto", "intercept"])
def test_a_host_without_websockets(world, proxy, tls, way):
    """J04: the handshake is refused however else the host is allowed; its requests are not."""
    world.reply["/ws"] = origin
    proxy.policy([allow("ok.test", websocket="deny"), allow("ok.test:80"), allow("ok.test:443", methods=["GET"], path="/ws")], tls=tls)
    conn = handshake(proxy, way)
    response = read_response(conn)
    assert response.status == 403 and b"no WebSocket" in response.body
    record = proxy.record(event="decision", verdict="deny")
    assert (record["reason"], record["rule"], record["path"]) == ("websocket", "r0", "/ws")
    assert world.requests() == []
    conn.close()
    assert way.ask(proxy, path="/plain").status == 200


def test_a_websocket_is_cut_when_they_are_denied(world, ws):
    """J04, P01"""
    conn = handshake(ws, TLS_PLAIN)
    assert read_head(conn)[0] == 101
    ws.policy([allow("ok.test", websocket="deny")], tls="intercept")
    with pytest.raises((Reset, ssl.SSLError)):
        while True:
            conn.recv()
    assert ws.record(event="end")["error"] == "policy_changed"
