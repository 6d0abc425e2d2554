# SPDX-License-Identifier: Apache-2.0
"""HTTP/1 framing (F01-F26, and the 27 payloads that no proxy of the distribution passes): what two readers could read in two ways reaches
no origin."""
import ssl

import pytest

from door import Reset, read_response
from proxyrun import allow
from testrange import OK4
from ways import ALL, CONNECT, FORWARD, IN_CLEAR, IN_TLS, PLAIN, TLS_CONNECT, TLS_PLAIN, send_raw

POLICY = [allow("ok.test:80"), allow("ok.test:443")]
WAYS = [FORWARD, PLAIN, TLS_CONNECT]


@pytest.fixture
def open_proxy(proxy):
    proxy.policy(POLICY, tls="intercept")
    return proxy


def post(rest, version="HTTP/1.1"):
    return lambda way: way.line("POST", "/v1/x", version=version) + b"Host: ok.test\r\n" + rest


def get(rest, version="HTTP/1.1"):
    return lambda way: way.line("GET", "/v1/x", version=version) + rest


def line(text):
    return lambda way: text + b"\r\nHost: ok.test\r\n\r\n"


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"

# The payloads of the comparison, all of which must reach nobody: (what, statuses).
REFUSED = {
    "CL+TE": (post(b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nZ\r\n0\r\n\r\n"), {400}),
    "CLx2-diff": (post(b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"), {400}),
    "CLx2-same": (post(b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd"), {400}),
    "CL:4,4": (post(b"Content-Length: 4, 4\r\n\r\nabcd"), {400}),
    "CL:+4": (post(b"Content-Length: +4\r\n\r\nabcd"), {400}),
    "TE-sp-colon": (post(b"Transfer-Encoding : chunked\r\n\r\n" + LAST), {400}),
    "TE:xchunked": (post(b"Transfer-Encoding: xchunked\r\n\r\n" + LAST), {400, 501}),
    "TE-chunked,id": (post(b"Transfer-Encoding: chunked, identity\r\n\r\n" + LAST), {400, 501}),
    "TEx2": (post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + LAST), {400, 501}),
    "TE-obsfold": (post(b"Transfer-Encoding:\r\n chunked\r\n\r\n" + LAST), {400}),
    "TE-vtab": (post(b"Transfer-Encoding: \x0bchunked\r\n\r\n" + LAST), {400}),
    "TE-http1.0": (post(CHUNKED + LAST, "HTTP/1.0"), {400}),
    "bareLF-head": (lambda way: way.line("GET", "/v1/x").replace(b"\r\n", b"\n") + b"Host: ok.test\n\n", {400}),
    "bareCR-value": (get(b"Host: ok.test\r\nX: a\rb\r\n\r\n"), {400}),
    "NUL-value": (get(b"Host: ok.test\r\nX: a\0b\r\n\r\n"), {400}),
    "empty-name": (get(b"Host: ok.test\r\n: x\r\n\r\n"), {400}),
    "HostX2": (get(b"Host: ok.test\r\nHost: evil.test\r\n\r\n"), {400}),
    "userinfo": (get(b"Host: ok.test@evil.test\r\n\r\n"), {400}),
    # F03-F06
    "CL:-0": (post(b"Content-Length: -0\r\n\r\n"), {400}),
    "CL:0x4": (post(b"Content-Length: 0x4\r\n\r\nabcd"), {400}),
    "CL:4;": (post(b"Content-Length: 4;\r\n\r\nabcd"), {400}),
    "CL:4 4": (post(b"Content-Length: 4 4\r\n\r\nabcd"), {400}),
    "CL:04": (post(b"Content-Length: 04\r\n\r\nabcd"), {400}),
    "CL-empty": (post(b"Content-Length:\r\n\r\n"), {400}),
    "CL-2^63": (post(b"Content-Length: 9223372036854775808\r\n\r\n"), {400}),
    "CL-2^64+4": (post(b"Content-Length: 18446744073709551620\r\n\r\nabcd"), {400}),
    "TE:identity": (post(b"Transfer-Encoding: identity\r\n\r\n"), {400, 501}),
    "TE:gzip,chunked": (post(b"Transfer-Encoding: gzip, chunked\r\n\r\n" + LAST), {400, 501}),
    "TE:chunked,chunked": (post(b"Transfer-Encoding: chunked, chunked\r\n\r\n" + LAST), {400, 501}),
    "TE:,chunked": (post(b"Transfer-Encoding: ,chunked\r\n\r\n" + LAST), {400, 501}),
    "TE:chunked;q=1": (post(b"Transfer-Encoding: chunked;q=1\r\n\r\n" + LAST), {400, 501}),
    "TE-quoted": (post(b'Transfer-Encoding: "chunked"\r\n\r\n' + LAST), {400, 501}),
    # F08, F09
    "fold-first": (get(b" X: a\r\nHost: ok.test\r\n\r\n"), {400}),
    "fold-host": (get(b"Host: ok\r\n .test\r\n\r\n"), {400}),
    "LFCR": (get(b"Host: ok.test\n\r\n\r"), {400}),
    "CRCRLF": (get(b"Host: ok.test\r\r\n\r\n"), {400}),
    # F14
    "expect-x": (post(b"Expect: x\r\nContent-Length: 4\r\n\r\nabcd"), {417}),
    "expect-y-100": (post(b"Expect: y 100-continue\r\nContent-Length: 4\r\n\r\nabcd"), {417}),
    # F17, F18
    "name-space": (get(b"Host: ok.test\r\nA B: c\r\n\r\n"), {400}),
    "name-paren": (get(b"Host: ok.test\r\nA(b): c\r\n\r\n"), {400}),
    "name-80": (get(b"Host: ok.test\r\n\x80: c\r\n\r\n"), {400}),
    "name-long": (get(b"Host: ok.test\r\n" + b"a" * 65536 + b": b\r\n\r\n"), {400, 431}),
    "no-colon": (get(b"Host: ok.test\r\nA\r\n\r\n"), {400}),
    "value-DEL": (get(b"Host: ok.test\r\nX: \x7f\r\n\r\n"), {400}),
    "value-01": (get(b"Host: ok.test\r\nX: \x01\r\n\r\n"), {400}),
    # F19
    "no-host": (get(b"\r\n"), {400}),
    "host-twice": (get(b"Host: ok.test\r\nHost: ok.test\r\n\r\n"), {400}),
    "host-list": (get(b"Host: ok.test, ok.test\r\n\r\n"), {400}),
    "host-path": (get(b"Host: ok.test/x\r\n\r\n"), {400}),
    "host-empty": (get(b"Host:\r\n\r\n"), {400}),
    "host-port": (get(b"Host: ok.test:8443\r\n\r\n"), {400, 421}),
    "host-other": (get(b"Host: evil.test\r\n\r\n"), {400, 421}),
    "host-latin1": (get(b"Host: ok.test\xff\r\n\r\n"), {400}),
    # F25, F26
    "conn-host": (get(b"Host: ok.test\r\nConnection: close, Host\r\n\r\n"), {400}),
    "conn-CL": (post(b"Content-Length: 1\r\nConnection: Content-Length\r\n\r\nx"), {400}),
    "conn-TE": (post(b"Connection: Transfer-Encoding\r\n" + CHUNKED + LAST), {400}),
}

# F20: request lines; the forward proxy's own forms are tested with it.
LINES = {
    "two-spaces": b"GET  /v1/x HTTP/1.1", "tab": b"GET\t/v1/x HTTP/1.1", "no-version": b"GET /v1/x",
    "1.2": b"GET /v1/x HTTP/1.2", "2.0": b"GET /v1/x HTTP/2.0", "http": b"GET /v1/x http/1.1",
    "01.1": b"GET /v1/x HTTP/01.1", "get": b"get /v1/x HTTP/1.1", "long-method": b"A" * 100 + b" /v1/x HTTP/1.1",
    "NUL": b"G\0T /v1/x HTTP/1.1", "fragment": b"GET /#f HTTP/1.1", "space": b"GET /a b HTTP/1.1",
    "utf-8": b"GET /\xc3\xa9 HTTP/1.1", "star": b"GET * HTTP/1.1", "file": b"GET file:///etc/passwd HTTP/1.1",
    "CRLFx2": b"\r\n\r\nGET /v1/x HTTP/1.1", "PRI": b"PRI * HTTP/2.0\r\n\r\nSM", "TRACE": b"TRACE /v1/x HTTP/1.1",
    "TRACK": b"TRACK /v1/x HTTP/1.1", "CONNECT": b"CONNECT ok.test:443 HTTP/1.1",
    "trailing": b"GET /v1/x HTTP/1.1 ", "abs-other": b"GET http://evil.test/ HTTP/1.1",
}


def nothing_arrived(world):
    assert world.requests() == []
    assert [a for a in world.arrivals if a.data] == []


def check_refused(world, proxy, way, payload, statuses, entry=None):
    status, answer, how = send_raw(way, proxy, payload)
    assert status in statuses, (status, answer, how, proxy.said())
    # 421 answers what is well-formed, only not for here: other requests may follow.
    assert how in ("end", "reset") or status == 421, "the connection stays open after a malformed request"
    nothing_arrived(world)
    assert [a for a in world.arrivals if not way.tls] == []
    assert proxy.record(event="decision", verdict="deny")["entry"] == way.entry


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("name", REFUSED)
def test_refused(world, open_proxy, name, way):
    make, statuses = REFUSED[name]
    if way is FORWARD and name == "host-port":
        pytest.skip("the absolute form names the port; hosts that differ from it are test_forward's")
    check_refused(world, open_proxy, way, make(way), statuses)


@pytest.mark.parametrize("way", [PLAIN, TLS_PLAIN], ids=str)
@pytest.mark.parametrize("name", LINES)
def test_request_lines(world, open_proxy, name, way):
    payload = LINES[name] + b"\r\nHost: ok.test\r\n\r\n"
    status, answer, how = send_raw(way, open_proxy, payload)
    # What does not even begin like a request is no HTTP at all and may be cut.
    assert status in {400, 405, 421, 505} or (not way.tls and status is None and how in ("end", "reset")), (status, answer)
    nothing_arrived(world)


BROKEN_BODIES = {
    "chunk-0x": b"0x1\r\nZ\r\n0\r\n\r\n",
    "chunk-ext-LF": b"1;a\nZ\r\n0\r\n\r\n",
    "chunk-LF-term": b"1\nZ\n0\n\n",
    "no-CRLF": b"1\r\nZ0\r\n\r\n",
    "spill": b"1\r\nZZ\r\n0\r\n\r\n",
    "plus": b"+1\r\nZ\r\n0\r\n\r\n",
    "space": b"1 \r\nZ\r\n0\r\n\r\n",
    "huge": b"10000000000000001\r\nZ\r\n0\r\n\r\n",
    "trailer-fold": b"1\r\nZ\r\n0\r\nA: b\r\n c\r\n\r\n",
}


@pytest.mark.odd_log
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("name", BROKEN_BODIES)
def test_broken_bodies(world, open_proxy, name, way):
    """F11: no origin sees a complete request, and the connection to it is never used again."""
    payload = post(CHUNKED + BROKEN_BODIES[name])(way)
    status, answer, how = send_raw(way, open_proxy, payload)
    assert status in {400, 502, None}, (status, answer)
    assert how in ("end", "reset")
    assert world.requests() == []
    assert way.ask(open_proxy, "GET", "/next").status == 200
    assert [r.target for r in world.requests()] == ["/next"]
    broken = [a for a in world.arrivals if a.data and not a.requests]
    for arrival in broken:
        world.wait(lambda a=arrival: a.over)
        assert b"/next" not in arrival.data


FIRST = {"chunk-0x", "chunk-ext-LF", "chunk-LF-term"}


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("name", sorted(FIRST))
def test_broken_from_the_first_chunk(world, open_proxy, name, way):
    """A body that is broken where it begins, and is there with its head, reaches nobody at all."""
    status, answer, how = send_raw(way, open_proxy, post(CHUNKED + BROKEN_BODIES[name])(way))
    assert status == 400, (status, answer, how)
    nothing_arrived(world)


def only_request(world):
    requests = world.requests()
    assert len(requests) == 1, requests
    return requests[0]


PASSES = {
    # what: (bytes, method, target, body)
    "CL": (post(b"Content-Length: 4\r\n\r\nabcd"), "POST", "/v1/x", b"abcd"),
    "chunked": (post(CHUNKED + b"1;ext=1\r\na\r\n3\r\nbcd\r\n0\r\n\r\n"), "POST", "/v1/x", b"abcd"),
    "CL-0": (post(b"Content-Length: 0\r\n\r\n"), "POST", "/v1/x", b""),
    "no-body": (post(b"\r\n"), "POST", "/v1/x", b""),
    "GET+CLbody": (get(b"Host: ok.test\r\nContent-Length: 38\r\n\r\nGET /evil HTTP/1.1\r\nHost: evil.test\r\n\r"), "GET", "/v1/x",
                   b"GET /evil HTTP/1.1\r\nHost: evil.test\r\n\r"),
    "trailer-Auth": (post(b"Trailer: Authorization\r\n" + CHUNKED + b"4\r\nabcd\r\n0\r\nAuthorization: evil\r\nHost: evil.test\r\n"
                          b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\nCookie: evil\r\n\r\n"), "POST", "/v1/x", b"abcd"),
    "Conn:Auth": (get(b"Host: ok.test\r\nConnection: Authorization, X-Api-Key\r\nAuthorization: evil\r\nX-Api-Key: evil\r\n\r\n"),
                  "GET", "/v1/x", b""),
    "CRLF-pct": (lambda way: way.line("GET", "/x?a=%0d%0aEvil:%201") + b"Host: ok.test\r\n\r\n", "GET", "/x?a=%0d%0aEvil:%201", b""),
    "expect": (post(b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\nabcd"), "POST", "/v1/x", b"abcd"),
    "upgrade-foo": (get(b"Host: ok.test\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n"), "GET", "/v1/x", b""),
    # F23, and h2c-upgrade of Appendix A: what Java's HttpClient sends by default. One clean request without it.
    "h2c-upgrade": (get(b"Host: ok.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"),
                    "GET", "/v1/x", b""),
    "h2c-upgrade-list": (get(b"Host: ok.test\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n"), "GET", "/v1/x", b""),
    "h2c-upgrade-body": (post(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 4\r\n\r\nabcd"),
                         "POST", "/v1/x", b"abcd"),
    "connection-upgrade": (get(b"Host: ok.test\r\nConnection: upgrade\r\n\r\n"), "GET", "/v1/x", b""),
    "hop-by-hop": (get(b"Host: ok.test\r\nProxy-Authorization: evil\r\nProxy-Connection: evil\r\nKeep-Alive: evil\r\nTE: evil\r\n"
                       b"Proxy-Authenticate: evil\r\n\r\n"), "GET", "/v1/x", b""),
    "one-CRLF": (lambda way: b"\r\n" + way.line("GET", "/v1/x") + b"Host: ok.test\r\n\r\n", "GET", "/v1/x", b""),
    "latin1": (get(b"Host: ok.test\r\nX: \xff\xfe\r\n\r\n"), "GET", "/v1/x", b""),
    "host-spelling": (get(b"hOST: OK.TeSt.\r\n\r\n"), "GET", "/v1/x", b""),
    "http1.0": (get(b"Host: ok.test\r\n\r\n", "HTTP/1.0"), "GET", "/v1/x", b""),
}


@pytest.mark.parametrize("way", ALL, ids=str)
@pytest.mark.parametrize("name", PASSES)
def test_passes_in_one_form(world, open_proxy, name, way):
    """Exactly one clean request arrives: no word that was to be dropped, nothing smuggled."""
    make, method, target, body = PASSES[name]
    conn = way.open(open_proxy)
    conn.send(make(way))
    assert read_response(conn, method).status == 200
    request = only_request(world)
    assert (request.method, request.target, request.body) == (method, target, body)
    assert request.host == "ok.test" and request.trailers == b""
    assert b"evil" not in request.head or name == "GET+CLbody"
    names = [n.lower() for n, _ in request.fields]
    assert len(names) == len(set(names)), "a field came twice"
    assert not {"te", "trailer", "upgrade", "keep-alive", "proxy-connection", "via", "forwarded", "x-forwarded-for"} & set(names)
    record = open_proxy.record(event="decision", verdict="allow", method=method)
    assert (record["host"], record["entry"]) == ("ok.test", way.entry)
    conn.close()


@pytest.mark.parametrize("way", ALL, ids=str)
def test_keep_alive(world, open_proxy, way):
    conn = way.open(open_proxy)
    for i in range(5):
        conn.send(way.request("POST", f"/k{i}", body=b"b" * i))
        assert read_response(conn).status == 200
    assert [r.target for r in world.requests()] == [f"/k{i}" for i in range(5)]
    assert len([d for d in open_proxy.decisions(verdict="allow") if d["req"] > 0]) == 5
    conn.close()


@pytest.mark.parametrize("way", [FORWARD, PLAIN, TLS_PLAIN], ids=str)
def test_pipelined_requests_are_answered_in_order(world, open_proxy, way):
    conn = way.open(open_proxy)
    conn.send(b"".join(way.request("GET", f"/p{i}") for i in range(4)))
    rest = b""
    for _ in range(4):
        response = read_response(conn, buffered=rest)
        assert response.status == 200
        rest = response.rest
    assert [r.target for r in world.requests()] == [f"/p{i}" for i in range(4)]
    conn.close()


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_bytes_after_a_refused_head(world, proxy, way):
    """F16"""
    proxy.policy([allow("ok.test:80", methods=["GET"]), allow("ok.test:443", methods=["GET"])])
    conn = way.open(proxy)
    conn.send(way.request("POST", "/a", body=b"GET /b HTTP/1.1\r\nHost: ok.test\r\n\r\n") + way.request("GET", "/c"))
    assert read_response(conn).status == 403
    assert conn.outcome()[0].count(b"HTTP/1.1 200") == 0
    nothing_arrived(world)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_expect_continue(world, open_proxy, way):
    """F14: the body is withheld until 100."""
    conn = way.open(open_proxy)
    conn.send(way.line("POST", "/e") + b"Host: ok.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    interim = []
    assert conn.recv().startswith(b"HTTP/1.1 100 ")
    conn.send(b"abcd")
    assert read_response(conn, interim=interim).status == 200
    assert only_request(world).body == b"abcd" and interim in ([], [100])
    conn.close()


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_expect_of_a_refused_request(world, proxy, way):
    proxy.policy([allow("ok.test:80", methods=["GET"]), allow("ok.test:443", methods=["GET"])])
    conn = way.open(proxy)
    conn.send(way.line("POST", "/e") + b"Host: ok.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    assert conn.recv().startswith(b"HTTP/1.1 403 ")
    conn.close()
    nothing_arrived(world)


RESPONSES = {
    # what an origin says: (bytes, status to the client, body)
    "CL": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nhi\r\n0\r\nX: y\r\n\r\n", 200, b"hi"),
    "until-end": (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi", 200, b"hi"),
    "http1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", 200, b"hi"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b""),
    "103": (b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
    # F14
    "100x2": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
    "100-after-final": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 100 Continue\r\n\r\n", 200, b"hi"),
    "CL+TE": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502, None),
    "CLx2": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!", 502, None),
    "fold": (b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nhi", 502, None),
    "bare-LF": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", 502, None),
    "no-http": (b"SSH-2.0-x\r\n\r\n", 502, None),
    "101": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n", 502, None),
    "NUL": (b"HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 2\r\n\r\nhi", 502, None),
    "nothing": (b"", 502, None),
}


@pytest.mark.parametrize("way", [FORWARD, PLAIN, TLS_PLAIN], ids=str)
@pytest.mark.parametrize("name", RESPONSES)
def test_responses(world, open_proxy, name, way):
    said, status, body = RESPONSES[name]
    end = name in ("until-end", "http1.0", "nothing", "no-http")
    world.reply["/r"] = lambda sock, request: (sock.sendall(said), not end)[1]
    conn = way.open(open_proxy)
    conn.send(way.request("GET", "/r"))
    response = read_response(conn)
    assert response.status == status, response
    if body is not None:
        assert response.body == body
    names = [n for n, _ in response.fields]
    assert names.count("content-length") + names.count("transfer-encoding") <= 1
    conn.close()


@pytest.mark.odd_log
@pytest.mark.parametrize("way", [FORWARD, PLAIN, TLS_PLAIN], ids=str)
@pytest.mark.parametrize("name", ["length", "chunk", "broken"])
def test_a_response_that_breaks_off_is_broken_for_the_client(world, open_proxy, name, way):
    said = {"length": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi",
            "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi",
            "broken": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhiX"}[name]
    world.reply["/r"] = lambda sock, request: (sock.sendall(said), False)[1]
    conn = way.open(open_proxy)
    conn.send(way.request("GET", "/r"))
    with pytest.raises((EOFError, Reset, ssl.SSLError)):
        read_response(conn)


@pytest.mark.parametrize("way", [PLAIN, TLS_PLAIN], ids=str)
def test_head_has_no_body(world, open_proxy, way):
    world.reply["/h"] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    conn = way.open(open_proxy)
    conn.send(way.request("HEAD", "/h"))
    response = read_response(conn, "HEAD")
    assert response.get("content-length") == "1000"
    conn.send(way.request("GET", "/next"))
    assert read_response(conn, buffered=response.rest).body == b"ok\n"
    conn.close()


def test_alt_svc_is_dropped(world, open_proxy):
    """I09: it would lead to a way past the proxy; cookies and security policies pass (I10)."""
    world.reply["/a"] = (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAlt-Svc: h3=\":443\"\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n"
                         b"Strict-Transport-Security: max-age=1\r\n\r\n")
    for way in (PLAIN, TLS_PLAIN):
        response = way.ask(open_proxy, "GET", "/a")
        names = [n for n, _ in response.fields]
        assert "alt-svc" not in names and names.count("set-cookie") == 2 and "strict-transport-security" in names


PATHS = {
    # F21, with a rule for /v1/** only: None: refused; else what may arrive.
    "/v1/x": "/v1/x", "/v1/../admin": None, "/v1/%2e%2e/admin": None, "/v1/.%2e/admin": None, "/v1/..;/admin": None,
    "/v1/..%2fadmin": None, "/v1\\..\\admin": None, "/v1/%252e%252e/admin": None, "//v1/x": None, "/v1/x%00": None,
    "/%76%31/x": "/v1/x", "/admin": None, "/v1": "/v1", "/V1/x": None, "/v1/x?a=../b": "/v1/x?a=../b",
}


@pytest.mark.parametrize("way", [FORWARD, PLAIN, TLS_PLAIN], ids=str)
@pytest.mark.parametrize("path", PATHS)
def test_paths_are_decided_and_sent_in_one_form(world, proxy, path, way):
    proxy.policy([allow("ok.test:80", path="/v1/**"), allow("ok.test:443", path="/v1/**")])
    response = way.ask(proxy, "GET", path)
    arrives = PATHS[path]
    if arrives is None:
        assert response.status in (400, 403), response
        nothing_arrived(world)
        record = proxy.record(event="decision", verdict="deny")
        assert record["reason"] in ("path", "ambiguous_path", "bad_request")
    else:
        assert response.status == 200
        assert only_request(world).target == arrives


@pytest.mark.parametrize("way", [PLAIN, TLS_PLAIN], ids=str)
def test_an_escaped_slash_where_the_rule_writes_one(world, proxy, way):
    proxy.policy([allow("ok.test:80", path="/@scope%2F*"), allow("ok.test:443", path="/@scope%2F*")])
    assert way.ask(proxy, "GET", "/@scope%2fname").status == 200
    assert only_request(world).target.lower() == "/@scope%2fname"


def test_addresses_match(world, open_proxy):
    PLAIN.ask(open_proxy)
    assert open_proxy.record(event="end", status=200)["address"] == OK4


# Used as a table elsewhere.
assert CONNECT in IN_CLEAR and TLS_CONNECT in IN_TLS
