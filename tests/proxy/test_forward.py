# SPDX-License-Identifier: Apache-2.0
"""The forward proxy's own protocol (D), and that every way out meets the same decision."""
import pytest

from checks import assert_blocked, by_absolute, by_connect
from door import Reset, read_response
from proxyrun import allow, deny
from ways import EVERY, connect

RULES = [allow("ok.test"), allow("cdn.test")]


def say(proxy, data):
    """Bytes to the proxy's address; (status or None, everything that came, how it ended)."""
    stream = proxy.door.forward()
    stream.send(data)
    out, how = b"", "open"
    try:
        while how == "open":
            got = stream.recv(timeout=1)
            out += got
            how = "open" if got else "end"
    except Reset:
        how = "reset"
    except TimeoutError:
        pass
    return (int(out.split(b" ", 2)[1]) if out.startswith(b"HTTP/1.1 ") else None), out, how


def test_plain_http_in_a_tunnel_to_443(world, proxy):
    """D01"""
    proxy.policy(RULES)
    answer = by_connect(proxy, "ok.test:443", tls=False, speak=b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n")
    assert_blocked(world, proxy, answer, "not_tls")


@pytest.mark.parametrize("field", ["Content-Length: 5", "Transfer-Encoding: chunked", "Expect: 100-continue", "Upgrade: websocket", "Upgrade: foo",
                                   "Content-Length: 0"])
def test_connect_with_a_body_or_more(world, proxy, field):
    """D03"""
    proxy.policy(RULES)
    status, _, how = say(proxy, f"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\n{field}\r\n\r\nhello".encode())
    assert status == 400 and how == "end"
    assert_blocked(world, proxy, "end", "bad_request")


def test_bytes_behind_an_allowed_connect_are_the_tunnels_first(world, proxy):
    """D04"""
    proxy.policy([allow("ok.test:80")])
    stream = connect(proxy, "ok.test:80", extra=b"GET /extra HTTP/1.1\r\nHost: ok.test\r\n\r\n" + b"GET /more HTTP/1.1\r\nHost: ok.test\r\n\r\n")
    first = read_response(stream)
    assert first.status == 200 and read_response(stream, buffered=first.rest).status == 200
    assert [r.target for r in world.requests()] == ["/extra", "/more"]
    stream.close()


def test_bytes_behind_a_refused_connect_are_no_request(world, proxy):
    """D04"""
    proxy.policy(RULES)
    status, out, how = say(proxy, b"CONNECT evil.test:80 HTTP/1.1\r\nHost: evil.test:80\r\n\r\nGET http://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n")
    # The tunnel may be granted so that a page in it says no.
    assert out.count(b"HTTP/1.1 200 OK") == 0 and (b" 403 " in out or b" 421 " in out)
    assert world.arrivals == [] and world.queries == []
    assert {d["verdict"] for d in proxy.decisions()} == {"deny"}


@pytest.mark.parametrize("host", ["evil.test", "evil.test:443", "ok.test:80", "gateway.docker.internal:3128"])
def test_connect_with_another_host(world, proxy, host):
    """D05: the target alone says where to; Node's http.request names the proxy in Host."""
    proxy.policy(RULES)
    stream = proxy.door.forward()
    stream.send(f"CONNECT ok.test:443 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert read_response(stream, "CONNECT").status == 200
    conn = proxy.tls(stream, "ok.test")
    conn.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n")
    assert read_response(conn).status == 200
    conn.close()
    assert {d["host"] for d in proxy.decisions()} == {"ok.test"}
    assert {n for n, _ in world.queries} <= {"ok.test"} and all(a.data.count(b"evil") == 0 for a in world.arrivals)


def test_connect_to_a_denied_host_that_names_an_allowed_one(world, proxy):
    """D05, the other way round"""
    proxy.policy(RULES)
    status, out, _ = say(proxy, b"CONNECT evil.test:80 HTTP/1.1\r\nHost: ok.test:443\r\n\r\nGET / HTTP/1.1\r\nHost: ok.test\r\n\r\n")
    assert b" 403 " in out or b" 421 " in out
    assert world.arrivals == [] and world.queries == [] and {d["verdict"] for d in proxy.decisions()} == {"deny"}


@pytest.mark.parametrize("fields", ["Host: ok.test:443\r\nHost: evil.test:443", "Host: evil.test/x", "Host: a b", "Host:"])
def test_connect_with_no_host_that_is_one(world, proxy, fields):
    """D05"""
    proxy.policy(RULES)
    status, _, _ = say(proxy, f"CONNECT ok.test:443 HTTP/1.1\r\n{fields}\r\n\r\n".encode())
    assert status == 400
    assert_blocked(world, proxy, "end", "bad_request")


def test_connect_of_http10_clients(world, proxy):
    """Python's http.client writes it so: no Host, HTTP/1.0, and keeps the tunnel."""
    proxy.policy([allow("ok.test:443")])
    stream = proxy.door.forward()
    stream.send(b"CONNECT ok.test:443 HTTP/1.0\r\n\r\n")
    assert read_response(stream, "CONNECT").status == 200
    conn = proxy.tls(stream, "ok.test")
    conn.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n")
    assert read_response(conn).status == 200
    conn.close()


def test_absolute_form_with_another_host(world, proxy):
    """D06: refused; the origin would hear nothing of evil in any case."""
    proxy.policy(RULES)
    answer = by_absolute(proxy, b"http://ok.test/x", b"evil.test")
    assert answer.status == 400
    assert_blocked(world, proxy, answer, "bad_request")


def test_absolute_form_of_https(world, proxy):
    """D07: never in clear to 443, and never without rules."""
    proxy.policy(RULES)
    answer = by_absolute(proxy, b"https://ok.test/", b"ok.test")
    assert answer.status in (200, 400, 501)
    if answer.status == 200:
        assert world.arrivals[0].tls and world.arrivals[0].sni == "ok.test"
    else:
        assert world.arrivals == []
    answer = by_absolute(proxy, b"https://evil.test/", b"evil.test")
    assert answer.status in (400, 403, 501)
    assert [a for a in world.arrivals if a.address != "93.184.216.10"] == []


@pytest.mark.parametrize("way", EVERY, ids=str)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PROPFIND"])
def test_a_method_rule_by_every_way(world, proxy, method, way):
    """D08: the same refusal, the same reason."""
    proxy.policy([allow("ok.test:80", methods=["GET", "HEAD"]), allow("ok.test:443", methods=["GET", "HEAD"])])
    answer = way.ask(proxy, method, "/x", body=b"data")
    assert answer.status == 403
    assert_blocked(world, proxy, answer, "method")
    record = proxy.decisions()[0]
    assert (record["method"], record["path"], record["host"], record["entry"], record["inspect"]) == (
        method, "/x", "ok.test", way.entry, "intercept" if way.tls else record["inspect"])


@pytest.mark.parametrize("way", EVERY, ids=str)
def test_a_method_rule_lets_the_method_pass(world, proxy, way):
    proxy.policy([allow("ok.test:80", methods=["GET"]), allow("ok.test:443", methods=["GET"])])
    assert way.ask(proxy, "GET", "/x").status == 200
    assert [r.line for r in world.requests()] == ["GET /x HTTP/1.1"]
    assert proxy.record(event="decision", method="GET")["verdict"] == "allow"


@pytest.mark.parametrize("way", EVERY, ids=str)
def test_a_path_deny_by_every_way(world, proxy, way):
    proxy.policy([allow("ok.test"), deny("ok.test", path="/secret/**")])
    assert way.ask(proxy, "GET", "/public").status == 200
    for path in ("/secret/x", "/secret", "/%73ecret/x", "/public/../secret/x", "//secret/x", "/secret%2fx"):
        assert way.ask(proxy, "GET", path).status in (400, 403), path
    assert [r.target for r in world.requests()] == ["/public"]


@pytest.mark.parametrize("way", EVERY, ids=str)
def test_a_refused_name_by_every_way(world, proxy, way):
    proxy.policy(RULES)
    answer = way.ask(proxy, "GET", "/", host="evil.test")
    assert answer.status == 403 and b"evil.test" in answer.body
    assert_blocked(world, proxy, answer, "no_rule")


def test_a_tunnel_in_a_tunnel(world, proxy):
    """D09: what is in a tunnel to an allowed host is a request to that host, however deep."""
    proxy.policy(RULES)
    stream = connect(proxy, "ok.test:80")
    stream.send(b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n")
    answer = read_response(stream, "CONNECT")
    assert answer.status in (400, 405, 421)
    assert world.arrivals == []


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: ok.test\r\n\r\n",
                                  b"GET /healthz HTTP/1.1\r\nHost: gateway.docker.internal:3128\r\n\r\n",
                                  b"GET http://gateway.docker.internal:3128/ HTTP/1.1\r\nHost: gateway.docker.internal:3128\r\n\r\n",
                                  b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"POST /v1/policy HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 0\r\n\r\n"])
def test_no_page_of_its_own(world, proxy, head):
    """D11"""
    proxy.policy([], default="allow")
    status, out, _ = say(proxy, head)
    assert status in (400, 403), out
    assert world.arrivals == []


@pytest.mark.parametrize("greeting", [b"\x05\x01\x00", b"\x04\x01\x01\xbb\x5d\xb8\xd8\x0a\x00", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\n\r\n",
                                      b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12), b"\x16\x03\x01\x00\x01\x00", b"SSH-2.0-x\r\n",
                                      b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_other_protocols_at_the_proxys_address(world, proxy, greeting):
    """D12"""
    proxy.policy([], default="allow")
    status, out, how = say(proxy, greeting)
    assert status in (None, 400, 405, 505) and how in ("end", "reset"), (status, how)
    assert world.arrivals == []


def test_one_connection_for_several_hosts(world, proxy):
    """Each absolute-form request is decided by its own host."""
    proxy.policy(RULES)
    stream = proxy.door.forward()
    for host, status in (("ok.test", 200), ("cdn.test", 200), ("evil.test", 403)):
        stream.send(f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert read_response(stream).status == status
    assert [r.host for r in world.requests()] == ["ok.test", "cdn.test"]
    stream.close()


@pytest.mark.odd_log
@pytest.mark.parametrize("way", EVERY, ids=str)
def test_nobody_listens(world, proxy, way):
    """The failure is told at once, in words where there are any."""
    proxy.policy([allow("closed.test")])
    answer = way.ask(proxy, host="closed.test", port=8009)
    assert answer in ("reset", "alert", "end") or answer.status == 502, answer
    assert proxy.record(event="end")["error"] == "unreachable"
    assert world.arrivals == []
