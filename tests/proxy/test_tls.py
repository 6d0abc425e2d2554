# SPDX-License-Identifier: Apache-2.0
"""TLS (E): spliced bytes arrive as they were sent, and a name that differs from the destination's arrives nowhere. ClientHellos here are
a real one's bytes with other extensions in them."""
import ssl
import struct

import pytest

from checks import assert_blocked
from door import GATEWAY, Reset, Tls, read_response
from proxyrun import allow
from testrange import OK4
from ways import TLS_CONNECT, TLS_PLAIN, connect

SPLICE, INTERCEPT = "auto", "intercept"
UNRECOGNIZED_NAME = 112


def real_hello(name="ok.test", alpn=("h2", "http/1.1")):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def hello(drop=(), add=(), name="ok.test", **how):
    """A ClientHello without the extensions in drop, and with (type, bytes) of add in front."""
    record = real_hello(name, **how)
    body = record[9:]
    at = 2 + 32
    at += 1 + body[at]
    at += 2 + struct.unpack(">H", body[at:at + 2])[0]
    at += 1 + body[at]
    fixed, rest = body[:at], body[at + 2:]
    extensions = list(add)
    while rest:
        kind, n = struct.unpack(">HH", rest[:4])
        if kind not in drop:
            extensions.append((kind, rest[4:4 + n]))
        rest = rest[4 + n:]
    packed = b"".join(struct.pack(">HH", k, len(v)) + v for k, v in extensions)
    return frame(fixed + struct.pack(">H", len(packed)) + packed)


def frame(body):
    message = b"\x01" + struct.pack(">I", len(body))[1:] + body
    return b"\x16\x03\x01" + struct.pack(">H", len(message)) + message


def names(*entries):
    """A server_name extension of (type, name) entries."""
    inner = b"".join(bytes([kind]) + struct.pack(">H", len(name)) + name for kind, name in entries)
    return 0, struct.pack(">H", len(inner)) + inner


def sni(name):
    return hello(drop=(0,), add=[names((0, name))])


def offer(proxy, way, data, host="ok.test"):
    """What is answered to a ClientHello's bytes: ("alert", number), "hello", "reset" or "end"."""
    stream = connect(proxy, f"{host}:443") if way.tunnel else proxy.door.open(f"{host}:443")
    stream.send(data)
    try:
        got = stream.recv(timeout=6)
    except Reset:
        return "reset"
    stream.close()
    if got[:1] == b"\x15":
        return "alert", got[6]
    return "hello" if got[:1] == b"\x16" else "end"


@pytest.mark.parametrize("way", [TLS_CONNECT, TLS_PLAIN], ids=str)
def test_splice(world, proxy, way):
    proxy.policy([allow("ok.test:443")])
    response = way.ask(proxy)
    assert response.status == 200 and response.body == b"ok\n"
    arrival = world.arrivals[0]
    assert (arrival.address, arrival.sni) == (OK4, "ok.test")
    record = proxy.record(event="decision")
    assert (record["verdict"], record["inspect"], record["protocol"], record["entry"]) == ("allow", "splice", "tls", way.entry)


@pytest.mark.parametrize("way", [TLS_CONNECT, TLS_PLAIN], ids=str)
def test_a_spliced_hello_arrives_byte_for_byte(world, proxy, way):
    """E15"""
    proxy.policy([allow("ok.test:443")])
    data = hello(add=[(0x1a1a, b""), (0xff77, b"odd")])
    assert offer(proxy, way, data) == "hello"
    assert world.arrivals[0].raw == data


@pytest.mark.parametrize("way", [TLS_CONNECT, TLS_PLAIN], ids=str)
@pytest.mark.parametrize("mode", [SPLICE, INTERCEPT])
@pytest.mark.parametrize("name", ["front.test", "evil.test", "a.cdn.test", "dn.test"])
def test_another_name_in_the_handshake(world, proxy, name, mode, way):
    """E01: an allowed host's connection cannot carry another name, whatever the origin serves."""
    proxy.policy([allow("cdn.test:443")], tls=mode)
    assert offer(proxy, way, sni(name.encode()), host="cdn.test") == ("alert", UNRECOGNIZED_NAME)
    assert_blocked(world, proxy, "alert", "sni_mismatch")


@pytest.mark.parametrize("way", [TLS_CONNECT, TLS_PLAIN], ids=str)
def test_another_host_inside(world, proxy, way):
    """E03, H07 in HTTP/1.1: where requests are seen, Host must be the connection's."""
    proxy.policy([allow("cdn.test:443"), allow("ok.test:443")], tls=INTERCEPT)
    conn = way.open(proxy, "cdn.test")
    conn.send(b"GET /a HTTP/1.1\r\nHost: ok.test\r\n\r\n")
    assert read_response(conn).status == 421
    assert world.requests() == []
    conn.close()


@pytest.mark.parametrize("way", [TLS_CONNECT, TLS_PLAIN], ids=str)
@pytest.mark.parametrize("mode", [SPLICE, INTERCEPT])
def test_no_name_in_the_handshake(world, proxy, mode, way):
    """E04: the destination's name is known; the certificate is for it."""
    proxy.policy([allow("ok.test:443")], tls=mode)
    stream = connect(proxy, "ok.test:443") if way.tunnel else proxy.door.open("ok.test:443")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=proxy.ca)
    context.check_hostname = False
    conn = Tls(stream, None, [], context=context)
    assert ("DNS", "ok.test") in conn.tls.getpeercert()["subjectAltName"]
    conn.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n")
    assert read_response(conn).status == 200
    assert world.arrivals[0].sni == "ok.test"
    conn.close()


BAD_NAMES = {
    "address": b"93.184.216.10", "v6": b"[::1]", "v6-bare": b"::1", "long": b"a" * 256, "NUL": b"ok.test\0", "utf-8": "ök.test".encode(),
    "empty": b"", "dots": b"..", "port": b"ok.test:443", "space": b"ok.test ", "star": b"*.test", "at": b"u@ok.test",
}


@pytest.mark.parametrize("way", [TLS_CONNECT, TLS_PLAIN], ids=str)
@pytest.mark.parametrize("mode", [SPLICE, INTERCEPT])
@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_are_none(world, proxy, name, mode, way):
    """E05"""
    proxy.policy([allow("ok.test:443")], tls=mode)
    answer = offer(proxy, way, sni(BAD_NAMES[name]))
    assert answer[0] == "alert", answer
    assert_blocked(world, proxy, "alert")


@pytest.mark.parametrize("way", [TLS_CONNECT, TLS_PLAIN], ids=str)
@pytest.mark.parametrize("mode", [SPLICE, INTERCEPT])
@pytest.mark.parametrize("name", [b"OK.TEST", b"Ok.Test"])
def test_spellings_of_the_name(world, proxy, name, mode, way):
    """E05"""
    proxy.policy([allow("ok.test:443")], tls=mode)
    assert offer(proxy, way, sni(name)) == "hello"


MALFORMED = {
    "two-extensions": hello(drop=(0,), add=[names((0, b"ok.test")), names((0, b"evil.test"))]),
    "same-twice": hello(drop=(0,), add=[names((0, b"ok.test")), names((0, b"ok.test"))]),
    "two-names": hello(drop=(0,), add=[names((0, b"ok.test"), (0, b"evil.test"))]),
    "type-1": hello(drop=(0,), add=[names((1, b"ok.test"))]),
    "nothing": hello(drop=(0,), add=[(0, b"")]),
    "empty-list": hello(drop=(0,), add=[(0, b"\0\0")]),
    "overrun": hello(drop=(0,), add=[(0, b"\0\xff\0\0\x07ok.test")]),
    "rest": hello(drop=(0,), add=[(0, names((0, b"ok.test"))[1] + b"x")]),
    "short-record": b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
    "zero-record": b"\x16\x03\x01\x00\x00",
    "server-hello": b"\x16\x03\x03\x00\x04\x02\x00\x00\x00",
    "huge": b"\x16\x03\x01\x40\x01\x01\xff\xff\xff" + b"a" * 20000,
}


@pytest.mark.parametrize("way", [TLS_CONNECT, TLS_PLAIN], ids=str)
@pytest.mark.parametrize("mode", [SPLICE, INTERCEPT])
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_hellos(world, proxy, name, mode, way):
    """E07"""
    proxy.policy([allow("ok.test:443")], tls=mode)
    answer = offer(proxy, way, MALFORMED[name])
    assert answer[0] == "alert" or answer in ("reset", "end"), answer
    assert_blocked(world, proxy, "alert")


def test_hello_in_many_records(world, proxy):
    """A ClientHello may be cut anywhere, into records too."""
    proxy.policy([allow("ok.test:443")])
    message = hello()[5:]
    data = b"".join(b"\x16\x03\x01" + struct.pack(">H", len(message[i:i + 50])) + message[i:i + 50] for i in range(0, len(message), 50))
    assert offer(proxy, TLS_PLAIN, data) == "hello"
    assert world.arrivals[0].raw[:40] == data[:40]


@pytest.mark.parametrize("way", [TLS_CONNECT, TLS_PLAIN], ids=str)
def test_hidden_names(world, proxy, way):
    """E08: the outer name is not what decides; a spliced connection would carry the inner one past us."""
    ech = (0xfe0d, b"\0\0\x01\0\x01\x42\0\x20" + bytes(32) + b"\0\x10" + bytes(16))
    proxy.policy([allow("ok.test:443", tls="splice")])
    assert offer(proxy, way, hello(add=[ech])) == ("alert", UNRECOGNIZED_NAME)
    assert_blocked(world, proxy, "alert", "ech")


@pytest.mark.parametrize("way", [TLS_CONNECT, TLS_PLAIN], ids=str)
def test_hidden_names_are_answered_by_the_interceptor(world, proxy, way):
    ech = (0xfe0d, b"\0\0\x01\0\x01\x42\0\x20" + bytes(32) + b"\0\x10" + bytes(16))
    proxy.policy([allow("ok.test:443")], tls=INTERCEPT)
    assert offer(proxy, way, hello(add=[ech])) == "hello"
    assert [a for a in world.arrivals if a.sni not in (None, "ok.test")] == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions(world, proxy, version):
    """E11"""
    proxy.policy([allow("ok.test:443")], tls=INTERCEPT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with pytest.raises((ssl.SSLError, Reset)):
        Tls(proxy.door.open("ok.test:443"), "ok.test", [], context=context)
    assert world.requests() == []


@pytest.mark.parametrize("cipher", ["NULL-SHA256", "AES128-SHA", "DHE-RSA-AES128-SHA"])
def test_weak_ciphers(world, proxy, cipher):
    """E11: no forward secrecy, no encryption, CBC with SHA-1."""
    proxy.policy([allow("ok.test:443")], tls=INTERCEPT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher + ":@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, Reset)):
        Tls(proxy.door.open("ok.test:443"), "ok.test", [], context=context)
    assert world.requests() == []


def client(proxy, alpn):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=proxy.ca)
    context.set_alpn_protocols(alpn)
    return Tls(proxy.door.open("ok.test:443"), "ok.test", [], context=context)


@pytest.mark.parametrize("alpn,speak", [(["h2"], b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n"), (["http/1.1"], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
                                        (["http/1.1"], b"SSH-2.0-x\r\n\r\n"), (["h2"], b"\0" * 64), ([], b"\x05\x01\x00")])
def test_other_bytes_than_the_chosen_protocol(world, proxy, alpn, speak):
    """E16: never a raw tunnel."""
    proxy.policy([allow("ok.test:443")], tls=INTERCEPT)
    try:
        conn = client(proxy, alpn)
        conn.send(speak)
        out, how = conn.outcome(6)
    except Reset:
        out, how = b"", "reset"
    assert b" 200 " not in out and how in ("end", "reset")
    assert world.requests() == []


@pytest.mark.parametrize("alpn", [["foo"], ["acme-tls/1"], ["ssh"], ["h2c"], ["http/1.0"]])
def test_protocols_that_are_not_spoken(world, proxy, alpn):
    """E16"""
    proxy.policy([allow("ok.test:443")], tls=INTERCEPT)
    with pytest.raises((ssl.SSLError, Reset)):
        client(proxy, alpn)
    assert world.requests() == []


NO_HANDSHAKE = {
    "heartbeat": b"\x18\x03\x01\0\x03\x01\x40\0", "empty": b"\x16\x03\x01\0\0" * 40, "empty-data": b"\x17\x03\x01\0\0" * 40,
    "CCS": b"\x14\x03\x03\0\x01\x01" * 2000,
}


@pytest.mark.parametrize("way", [TLS_CONNECT, TLS_PLAIN], ids=str)
@pytest.mark.parametrize("mode", [SPLICE, INTERCEPT])
@pytest.mark.parametrize("name", NO_HANDSHAKE)
def test_records_that_belong_to_no_handshake(world, proxy, name, mode, way):
    """E16: instead of a ClientHello nothing of them goes anywhere."""
    proxy.policy([allow("ok.test:443")], tls=mode)
    answer = offer(proxy, way, NO_HANDSHAKE[name])
    assert answer[0] == "alert" or answer in ("reset", "end"), answer
    assert_blocked(world, proxy, "alert")


@pytest.mark.parametrize("name", NO_HANDSHAKE)
def test_records_in_the_middle_of_a_handshake(world, proxy, name):
    """E16: behind a ClientHello they end the handshake, or it waits for its end; there is no tunnel, and nothing grows."""
    proxy.policy([allow("ok.test:443")], tls=INTERCEPT)
    TLS_PLAIN.ask(proxy)
    world.reset()
    before = proxy.memory_kib()
    stream = proxy.door.open("ok.test:443")
    out, how = b"", "open"
    try:
        stream.send(hello())
        out = stream.recv(timeout=6)
        stream.send(NO_HANDSHAKE[name])
        stream.end()
        how = stream.outcome(6)[1]
    except Reset:
        how = "reset"
    assert out[:1] in (b"", b"\x16") and how in ("end", "reset")
    assert world.requests() == [] and all(a.data == b"" for a in world.arrivals)
    assert proxy.memory_kib() - before < 2048


def test_a_ticket_of_another_sandbox(world, make_proxy):
    """E13: its interceptor has keys of its own."""
    def handshake(proxy, session=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2 if tls12 else ssl.TLSVersion.TLSv1_3
        stream = proxy.door.open("ok.test:443")
        tls = contexts.setdefault(tls12, context)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        conn = Tls.__new__(Tls)
        conn.stream, conn.incoming, conn.outgoing = stream, incoming, outgoing
        conn.tls = tls.wrap_bio(incoming, outgoing, server_hostname="ok.test", session=session)
        conn._loop(conn.tls.do_handshake)
        conn.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n")
        assert read_response(conn).status == 200
        found = conn.tls.session, conn.tls.session_reused
        conn.close()
        return found

    contexts = {}
    one, two = make_proxy(), make_proxy()
    for p in (one, two):
        p.policy([allow("ok.test:443")], tls=INTERCEPT)
    for tls12 in (True, False):
        ticket, _ = handshake(one)
        assert ticket.has_ticket
        assert handshake(one, ticket)[1] is True
        assert handshake(two, ticket)[1] is False


@pytest.mark.odd_log
def test_an_origin_that_asks_for_a_certificate(world, proxy):
    """E14: none is sent; what the origin makes of that is the guest's answer. Spliced, the guest's own arrives."""
    proxy.policy([allow("ok.test:443")], tls=INTERCEPT)

    def ask(context):
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=world.ca.pem().decode())

    world.tls["ok.test"] = ask
    response = TLS_PLAIN.ask(proxy)
    assert response.status == 200


@pytest.mark.parametrize("host,why", [("expired", dict(begin=-9, end=-2)), ("early", dict(begin=2, end=9)), ("other", None), ("nocert", "unknown")])
def test_bad_certificates_of_origins(world, proxy, host, why):
    """E09, the short form: 502 in words, and nothing of the request arrives."""
    name = f"{host}.test"
    world.zone[name] = [OK4]
    if why == "unknown":
        from testrange import Authority
        world.certs[name] = Authority("Somebody").leaf([name])
    elif why is None:
        world.certs[name] = world.ca.leaf(["another.test"])
    else:
        world.certs[name] = world.ca.leaf([name], **why)
    proxy.policy([allow(f"{name}:443")], tls=INTERCEPT)
    response = TLS_PLAIN.ask(proxy, host=name, fields=["Authorization: Bearer secret"])
    assert response.status == 502 and b"certificate" in response.body.lower(), response
    assert all(a.data == b"" for a in world.arrivals)
    assert [r for r in proxy.records() if r.get("error") == "upstream_cert" or r.get("reason") == "upstream_cert"]


def test_the_gateway_speaks_no_tls(world, proxy):
    proxy.policy([], default="allow")
    stream = proxy.door.open(GATEWAY)
    stream.send(hello())
    out, how = stream.outcome()
    assert how in ("end", "reset") and b"HTTP/1.1 2" not in out
    assert world.arrivals == []
