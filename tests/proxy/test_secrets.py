# SPDX-License-Identifier: Apache-2.0
"""Secrets (H, I, L01): the real sbx-keeper and sbx-proxy, and origins that say what they got."""
import base64
import json
import select
import socket
import time
import uuid

import pytest

from proxyrun import allow
from ways import EVERY, FORWARD, H2_PLAIN, PLAIN, TLS_CONNECT, TLS_PLAIN

REAL = "sk-real-0123456789+abc/def~XYZ"
OTHER = "sk-other-9876543210-abcdefgh"
PH = "sbx-cs-00112233445566778899aabb"
TLS_WAYS = [w for w in EVERY if w.tls]
POLICY = [allow("ok.test"), allow("cdn.test"), allow("evil.test")]


class Admin:
    """The command line's side of the keeper."""

    def __init__(self, keeper, proxy):
        self.keeper, self.proxy, self.set_names = keeper, proxy, []
        self.seen = self.news()

    def ask(self, message):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(5)
            s.connect(str(self.keeper.place / "run/sbx/keeper.sock"))
            s.send(json.dumps(message).encode())
            return json.loads(s.recv(1 << 16))

    def news(self):
        return (self.proxy.place / "proxy.log").read_text(errors="replace").count("event=credentials n=")

    def settle(self):
        """Until the proxy knows."""
        end = time.monotonic() + 1  # what is promised
        while self.news() <= self.seen:
            assert time.monotonic() < end, self.proxy.said()
            select.select([], [], [], 0.01)
        self.seen = self.news()

    def set(self, name="inj", value=REAL, host="ok.test", port=443, path="/**", header="authorization", fmt="Bearer %s", sandbox="",
            placeholder=PH, where="header"):
        sandbox = self.proxy.id if sandbox == "" else sandbox
        reply = self.ask({"op": "secret-set", "value": value, "secret": {
            "name": name, "sandbox": sandbox, "env": ["INJ_KEY"], "placeholder": placeholder,
            "bindings": [{"host": host, "port": port, "path": path, where: header, "format": fmt}]}})
        if reply.get("ok"):
            self.set_names.append((name, sandbox))
            self.settle()
        return reply

    def remove(self, name, sandbox):
        reply = self.ask({"op": "secret-rm", "name": name, "sandbox": sandbox})
        if reply.get("ok"):
            self.settle()
        return reply

    def done(self):
        for name, sandbox in dict.fromkeys(self.set_names):
            self.remove(name, sandbox)


@pytest.fixture
def admin(keeper, proxy):
    proxy.policy(POLICY)
    admin = Admin(keeper, proxy)
    yield admin
    admin.done()
    for secret in (REAL, OTHER, ESCAPED):
        for log in (proxy.place / "proxy.log", proxy.journal, keeper.place / "keeper.log"):
            assert secret not in log.read_text(errors="replace"), f"{log.name} has the secret"


def arrived(world):
    return [r for r in world.requests()]


@pytest.mark.parametrize("way", TLS_WAYS, ids=str)
@pytest.mark.parametrize("fields", [(), (f"Authorization: Bearer {PH}",), (f"Authorization: {PH}",)], ids=["nothing", "bearer", "bare"])
def test_the_value_takes_the_place_of_the_placeholder_or_of_nothing(world, proxy, admin, way, fields):
    """H01"""
    admin.set()
    assert way.ask(proxy, path="/v1/me", fields=fields).status == 200
    request, = arrived(world)
    assert request.get("authorization") == [f"Bearer {REAL}"]
    assert PH not in request.head.decode()
    assert proxy.record(event="decision", method="GET")["injected"] == "inj"


@pytest.mark.parametrize("way", [TLS_PLAIN, H2_PLAIN], ids=str)
@pytest.mark.parametrize("fields, path", [
    (("Authorization: Bearer ATTACKER",), "/v1/files"),
    (("x-api-key: sk-ant-ATTACKER",), "/v1/files"),
    (("x-goog-api-key: AIzaATTACKER",), "/v1/files"),
    (("api-key: ATTACKER",), "/v1/files"),
    (("Cookie: session=ATTACKER",), "/v1/files"),
    (("Cookie: __cf_bm=x; session=ATTACKER",), "/v1/files"),
    ((f"Authorization: Bearer {PH}", "x-api-key: ATTACKER"), "/v1/files"),
    ((), "/v1/files?key=ATTACKER"),
    ((), "/v1/files?a=1&access_token=ATTACKER"),
    ((), "/v1/files?a=%00&%6bey=ATTACKER"),
    ((f"Authorization: Bearer {PH}x",), "/v1/files"),
    ((f"Authorization: Bearer {PH[:-1]}",), "/v1/files"),
    ((f"Authorization: Bearer {PH}{PH}",), "/v1/files"),
    ((f"Authorization: Bearer {PH.upper()}",), "/v1/files"),
    (("Authorization: Bearer sbx-cs-00112233445566778899aabc",), "/v1/files"),
], ids=lambda v: None)
def test_another_credential_is_refused(world, proxy, admin, way, fields, path):
    """H02, H10, L01"""
    admin.set()
    if way is H2_PLAIN and PH.upper() in str(fields):
        way = TLS_CONNECT  # the client for HTTP/2 writes values in lower case
    response = way.ask(proxy, "POST", path, fields=fields, body=b"the file")
    assert response.status == 403 and b"foreign_credential" in response.head + response.body + str(response.fields).encode()
    assert proxy.record(event="decision", verdict="deny", reason="foreign_credential")
    assert not arrived(world)


ESCAPED = "".join(c if c.isalnum() or c in "-._~" else f"%{ord(c):02X}" for c in REAL)


@pytest.mark.parametrize("way", TLS_WAYS, ids=str)
@pytest.mark.parametrize("query, arrives", [
    (f"key={PH}", f"key={ESCAPED}"),
    (f"a=%zz&key={PH}&b=2;c", f"a=%zz&key={ESCAPED}&b=2;c"),
    ("%6Bey=" + "".join(f"%{ord(c):02x}" for c in PH), f"%6Bey={ESCAPED}"),
], ids=["alone", "among", "escaped"])
def test_in_a_query(world, proxy, admin, way, query, arrives):
    admin.set(where="query", header="key", fmt="%s")
    assert way.ask(proxy, path=f"/v1/me?{query}").status == 200
    request, = arrived(world)
    assert request.target == f"/v1/me?{arrives}"
    assert request.get("authorization") == []
    record = proxy.record(event="decision", method="GET")
    assert record["injected"] == "inj" and record["path"] == "/v1/me"


@pytest.mark.parametrize("way", [TLS_PLAIN, H2_PLAIN], ids=str)
@pytest.mark.parametrize("what", [
    dict(path="/v1?key=ATTACKER"), dict(path=f"/v1?key={PH}&key={PH}"), dict(path=f"/v1?key={PH}&k%65y=ATTACKER"),
    dict(path=f"/v1?key={PH};key=ATTACKER"), dict(path=f"/v1?a=%26key=ATTACKER&key={PH}"), dict(path=f"/v1?key={PH}x"),
    dict(path=f"/v1?key={PH}&api_key=ATTACKER"), dict(path=f"/v1?key={PH}", fields=("Authorization: Bearer ATTACKER",)),
    dict(path="/other?key=ATTACKER"),
], ids=str)
def test_another_credential_than_that_of_the_query_is_refused(world, proxy, admin, way, what):
    admin.set(where="query", header="key", fmt="%s", path="/v1/**")
    assert way.ask(proxy, **what).status == 403
    assert proxy.record(event="decision", verdict="deny", reason="foreign_credential")
    assert not arrived(world)


def test_a_member_of_any_name(world, proxy, admin):
    """Its name is a credential's at this host, because a secret goes there, also where the path is outside."""
    admin.set(where="query", header="sig-2.x", fmt="%s", path="/v1/**")
    assert TLS_PLAIN.ask(proxy, path="/v1/x?sig-2.x=ATTACKER").status == 403
    assert TLS_PLAIN.ask(proxy, path="/v2/x?sig-2.x=ATTACKER").status == 403
    assert TLS_PLAIN.ask(proxy, host="cdn.test", path="/v1/x?sig-2.x=word").status == 200
    assert TLS_PLAIN.ask(proxy, path="/v1/x?SIG-2.x=word").status == 200
    assert TLS_PLAIN.ask(proxy, path=f"/v1/x?sig-2.x={PH}").status == 200
    assert [r.target for r in arrived(world)] == ["/v1/x?sig-2.x=word", "/v1/x?SIG-2.x=word", f"/v1/x?sig-2.x={ESCAPED}"]
    assert [d["injected"] for d in proxy.decisions()][-2:] == ["none:no_placeholder", "inj"]


@pytest.mark.odd_log
def test_a_query_that_comes_back(world, proxy, admin):
    admin.set(where="query", header="key", fmt="%s")
    world.reply["/v1"] = (b"HTTP/1.1 302 Found\r\nLocation: https://evil.test/v1?key=" + ESCAPED.encode() + b"\r\nContent-Length: 3\r\n\r\nabc")
    response = TLS_PLAIN.ask(proxy, path=f"/v1?key={PH}")
    assert response.get("location") == f"https://evil.test/v1?key={PH}"


def test_a_query_that_would_be_too_long(world, proxy, admin):
    admin.set(where="query", header="key", fmt="%s", value="/" * 8192)
    assert TLS_PLAIN.ask(proxy, path=f"/v1?key={PH}").status == 431
    assert not arrived(world)


FORM, JSON = "Content-Type: application/x-www-form-urlencoded", "Content-Type: application/json; charset=utf-8"


@pytest.mark.parametrize("way", TLS_WAYS, ids=str)
@pytest.mark.parametrize("kind, body, arrives", [
    (FORM, f"a=1&token={PH}&b=%zz", f"a=1&token={ESCAPED}&b=%zz"),
    (FORM, f"token={PH}", f"token={ESCAPED}"),
    (JSON, '{"n": 1.10, "token":"%s", "x":{"token":"y"}}' % PH, '{"n": 1.10, "token":"%s", "x":{"token":"y"}}' % REAL),
    (JSON, '{"x":{"token":"%s"}}' % PH, '{"x":{"token":"%s"}}' % PH),
    (FORM, "a=1", "a=1"),
    ("Content-Type: text/plain", f"token={PH}", f"token={PH}"),
], ids=["form", "alone", "json", "deeper", "absent", "text"])
def test_in_a_body(world, proxy, admin, way, kind, body, arrives):
    admin.set(where="body", header="token", fmt="%s")
    assert way.ask(proxy, "POST", "/v1/login", fields=(kind, "Content-Digest: x"), body=body.encode()).status == 200
    request, = arrived(world)
    assert request.body.decode() == arrives and request.get("authorization") == []
    injected = "inj" if body != arrives else "none:body_type" if "text" in kind else "none:no_placeholder"
    assert proxy.record(event="decision", method="POST")["injected"] == injected


@pytest.mark.parametrize("way", [TLS_PLAIN, H2_PLAIN], ids=str)
@pytest.mark.parametrize("kind, body, status", [
    (FORM, b"token=ATTACKER", 403), (FORM, f"token={PH}&token=x".encode(), 403), (FORM, f"token={PH}x".encode(), 403),
    (JSON, b'{"token":"ATTACKER"}', 403), (JSON, b'{"token":["%s"]}' % PH.encode(), 403), (JSON, b'{"token":1}', 403),
    (JSON, b'{"token":"%s","token":"%s"}' % (PH.encode(), PH.encode()), 400), (JSON, b'{"t\\u006fken":"%s"}' % PH.encode(), 400),
    (JSON, b"{", 400), (JSON, b'{"token":"%s","TOKEN":"ATTACKER"}' % PH.encode(), 403), (FORM, f"token={PH}&a=1;token=ATTACKER".encode(), 403),
], ids=range(11))
def test_another_credential_in_the_body_is_refused(world, proxy, admin, way, kind, body, status):
    admin.set(where="body", header="token", fmt="%s")
    assert way.ask(proxy, "POST", "/v1/login", fields=(kind,), body=body).status == status
    assert proxy.record(event="decision", verdict="deny")["injected"] == "none:refused"
    assert not arrived(world)


def test_a_body_that_cannot_be_searched(world, proxy, admin):
    admin.set(where="body", header="token", fmt="%s")
    assert TLS_PLAIN.ask(proxy, "POST", "/", fields=(FORM, "Content-Encoding: gzip"), body=b"x").status == 415
    assert TLS_PLAIN.ask(proxy, "POST", "/", fields=(FORM, "Content-Encoding: identity", "Content-Encoding: gzip"), body=b"x").status == 415
    assert TLS_PLAIN.ask(proxy, "POST", "/", fields=(FORM, JSON), body=f"token={PH}".encode()).status == 415
    assert TLS_PLAIN.ask(proxy, "POST", "/", fields=(FORM, "Expect: 100-continue"), body=b"x").status == 417
    assert TLS_PLAIN.ask(proxy, "POST", "/", fields=(FORM, "Cookie: a=b"), body=b"x").status == 403
    assert TLS_PLAIN.ask(proxy, "POST", "/", fields=(FORM,), body=f"token={PH}&a=".encode() + b"a" * 65536).status == 413
    assert not arrived(world)


@pytest.mark.odd_log
def test_bodies_in_pieces_one_after_the_other(world, proxy, admin):
    """Chunks, a large one, and the value changed between two requests of one connection."""
    from door import read_response
    admin.set(where="body", header="token", fmt="%s")
    conn = TLS_PLAIN.open(proxy)
    for value, pad in ((REAL, 10), (REAL, 60000), (OTHER, 10)):
        if value == OTHER:
            admin.set(where="body", header="token", fmt="%s", value=OTHER)
        conn.send(f"POST /v1 HTTP/1.1\r\nHost: ok.test\r\n{FORM}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for piece in (b"tok", f"en={PH[:9]}".encode(), PH[9:].encode(), b"&a=" + b"a" * pad):
            conn.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        conn.send(b"0\r\n\r\n")
        assert read_response(conn).status == 200
    assert [(r.body[:len(ESCAPED) + 8], len(r.body)) for r in arrived(world)][:2] == [
        (f"token={ESCAPED}&a".encode(), 6 + len(ESCAPED) + 13), (f"token={ESCAPED}&a".encode(), 6 + len(ESCAPED) + 60003)]
    assert arrived(world)[2].body == f"token={OTHER}&a=aaaaaaaaaa".encode()


def test_a_body_that_comes_back(world, proxy, admin):
    admin.set(where="body", header="token", fmt="%s")

    def echo(sock, request):
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(request.body), request.body))
        return True

    world.reply["/v1/echo"] = echo
    response = TLS_PLAIN.ask(proxy, "POST", "/v1/echo", fields=(FORM,), body=f"token={PH}&b=2".encode())
    assert response.body == b"token=" + b"*" * len(ESCAPED) + b"&b=2"


def test_cookies_of_a_network_in_front_are_none(world, proxy, admin):
    admin.set()
    assert TLS_PLAIN.ask(proxy, fields=("Cookie: __cf_bm=abc; _cfuvid=def",)).status == 200
    assert arrived(world)[0].get("authorization") == [f"Bearer {REAL}"]


def test_only_below_the_path(world, proxy, admin):
    """H04"""
    admin.set(path="/v1/**")
    assert TLS_PLAIN.ask(proxy, path="/v2/x").status == 200
    assert arrived(world)[0].get("authorization") == []
    assert proxy.record(event="decision")["injected"] == "none:path"
    assert TLS_PLAIN.ask(proxy, path="/v2/x", fields=(f"Authorization: Bearer {PH}",)).status == 403
    for spelling in ("/v1/../v2/x", "/v1/%2e%2e/v2", "//v1/x", "/v1;x/y"):
        TLS_PLAIN.ask(proxy, path=spelling)
    assert not [r for r in arrived(world) if r.get("authorization")]
    assert TLS_PLAIN.ask(proxy, path="/v%31/x").status == 200
    assert [(r.target, r.get("authorization")) for r in arrived(world)][-1] == ("/v1/x", [f"Bearer {REAL}"])


@pytest.mark.parametrize("way, port", [(PLAIN, 80), (FORWARD, 80), (TLS_PLAIN, 8443)], ids=["http", "forward", "port"])
def test_not_over_http_nor_on_another_port(world, proxy, admin, way, port):
    """H05"""
    admin.set()
    way.ask(proxy, port=port)
    assert not [r for r in arrived(world) if r.get("authorization")]
    assert not [r for r in proxy.decisions() if r["injected"] == "inj"]


@pytest.mark.parametrize("way", [PLAIN, FORWARD], ids=str)
def test_a_placeholder_does_not_leave_in_the_clear(world, proxy, admin, way):
    """H05, H08"""
    admin.set()
    assert way.ask(proxy, fields=(f"Authorization: Bearer {PH}",)).status == 403
    assert proxy.record(event="decision", reason="placeholder_wrong_host")
    assert not arrived(world)


def test_another_host_on_the_same_connection(world, proxy, admin):
    """H07"""
    admin.set()
    admin.set(name="cdn", host="cdn.test", value=OTHER, placeholder="sbx-cs-ffffffffffffffffffffffff")
    conn = TLS_PLAIN.open(proxy, "cdn.test")
    conn.send(b"GET /v1/me HTTP/1.1\r\nHost: ok.test\r\n\r\n")
    from door import read_response
    assert read_response(conn).status == 421
    assert not arrived(world)


@pytest.mark.parametrize("what", [
    dict(fields=(f"Authorization: Bearer {PH}",)),
    dict(fields=(f"X-Whatever: a {PH} b",)),
    dict(fields=("Authorization: Basic " + base64.b64encode(f"x:{PH}".encode()).decode(),)),
    dict(path=f"/x?t={PH}"),
    dict(path="/x?t=" + "".join(f"%{ord(c):02x}" for c in PH)),
    dict(path="/x?t=" + "".join(f"%25{ord(c):02x}" for c in PH)),
], ids=["bearer", "header", "basic", "query", "escaped", "twice"])
def test_a_placeholder_for_another_host_is_refused(world, proxy, admin, what):
    """H08: where the proxy sees requests; bodies are not searched"""
    admin.set()
    admin.set(name="evil", host="evil.test", path="/none", value=OTHER, placeholder="sbx-cs-ffffffffffffffffffffffff")
    response = PLAIN.ask(proxy, host="evil.test", **what)
    assert response.status == 403
    assert proxy.record(event="decision", reason="placeholder_wrong_host")
    assert not arrived(world)


def test_a_prefix_is_ordinary_text(world, proxy, admin):
    """H10"""
    admin.set()
    assert PLAIN.ask(proxy, path="/x?t=sbx-cs-001122", fields=("X-Note: sbx-cs- is a prefix",)).status == 200


@pytest.mark.parametrize("fields, status", [
    ((), 200),
    (("Authorization: Basic " + base64.b64encode(f"x-access-token:{PH}".encode()).decode(),), 200),
    (("Authorization: Basic " + base64.b64encode(f"x-access-token:{PH}".encode()).decode().rstrip("="),), 200),
    (("Authorization: Basic " + base64.b64encode(f"a:b:{PH}".encode()).decode(),), 403),
    (("Authorization: Basic " + base64.b64encode(b"x-access-token:ghp_ATTACKER").decode(),), 403),
    (("Authorization: Basic " + base64.b64encode(b"\xff\xfe:" + PH.encode() + b"\0").decode(),), 403),
    (("Authorization: Basic !!!",), 403),
], ids=["nothing", "placeholder", "unpadded", "colons", "foreign", "binary", "nonsense"])
def test_basic(world, proxy, admin, fields, status):
    """H11"""
    admin.set(fmt="Basic x-access-token:%s")
    response = TLS_PLAIN.ask(proxy, path="/org/repo.git/info/refs", fields=fields)
    if "=" not in "".join(fields) and len(fields) == 1 and status == 200:
        assert response.status in (200, 403)  # without its padding it is exact or nothing
    else:
        assert response.status == status
    want = "Basic " + base64.b64encode(f"x-access-token:{REAL}".encode()).decode()
    assert [r.get("authorization") for r in arrived(world)] in ([], [[want]])
    assert bool(arrived(world)) == (response.status == 200)


@pytest.mark.parametrize("value", ["a\r\nb: c12345", "line\n12345678", "nul\0byte1", "x" * 8193, "schlüssel-123", "short", ""],
                         ids=["crlf", "lf", "nul", "long", "ascii", "short", "empty"])
def test_values_that_are_none(admin, value):
    """H12"""
    assert admin.set(value=value)["error"]["kind"] == "invalid"


@pytest.mark.parametrize("change", [
    dict(header="host"), dict(header="cookie"), dict(header="Authorization"), dict(header="x y"), dict(header="transfer-encoding"),
    dict(fmt="no place"), dict(fmt="%s %s"), dict(fmt="%d"), dict(path="v1"), dict(path="/a/../b"), dict(host="10.0.0.1"),
    dict(host="OK.test"), dict(port=0), dict(name="A b"), dict(placeholder="tiny"), dict(sandbox="../x"),
], ids=str)
def test_descriptions_that_are_none(admin, change):
    assert admin.set(**change)["error"]["kind"] == "invalid"


def test_other_sandboxes_get_nothing(world, proxy, admin):
    """H10, H15: a secret of another sandbox, and what a sandbox's own connection may not ask"""
    admin.set()
    other, _ = proxy.keeper.attach(str(uuid.uuid4()))
    with other:
        def ask(message):
            other.send(json.dumps(message).encode())
            return json.loads(other.recv(1 << 16))

        assert ask({"op": "bindings"}) == {"ok": True, "secrets": []}
        assert ask({"op": "inject", "host": "ok.test", "port": 443, "path": "/"}) == {"ok": True, "none": "no_secret"}
        assert ask({"op": "secret-list"})["error"]["kind"] == "denied"
        assert ask({"op": "secret-rm", "name": "inj", "sandbox": proxy.id})["error"]["kind"] == "denied"
    assert admin.ask({"op": "bindings"})["error"]["kind"] == "denied"
    assert admin.ask({"op": "inject", "host": "ok.test", "port": 443, "path": "/"})["error"]["kind"] == "denied"
    assert REAL not in json.dumps(admin.ask({"op": "secret-list"}))


def test_the_sandbox_s_own_comes_before_that_for_all(world, proxy, admin):
    admin.set(sandbox=None, value=OTHER)
    assert TLS_PLAIN.ask(proxy).status == 200
    admin.set()
    assert TLS_PLAIN.ask(proxy).status == 200
    assert [r.get("authorization") for r in arrived(world)] == [[f"Bearer {OTHER}"], [f"Bearer {REAL}"]]


@pytest.mark.odd_log
def test_a_change_and_a_removal_act_on_open_connections(world, proxy, admin):
    """H16"""
    from door import read_response
    admin.set()
    conn = TLS_PLAIN.open(proxy)

    def ask(fields=()):
        conn.send(TLS_PLAIN.request(fields=fields))
        return read_response(conn).status

    assert ask() == 200
    admin.set(value=OTHER)
    assert ask((f"Authorization: Bearer {PH}",)) == 200
    admin.remove("inj", proxy.id)
    assert ask((f"Authorization: Bearer {PH}",)) == 403
    assert ask() == 200
    assert [r.get("authorization") for r in arrived(world)] == [[f"Bearer {REAL}"], [f"Bearer {OTHER}"], []]


@pytest.mark.odd_log
def test_a_locked_store_refuses_what_it_cannot_fill_in(world, proxy, admin):
    """H16"""
    from door import read_response
    admin.set()
    key = "ab" * 32
    kdf = {"salt": "00" * 16, "n": 1024, "r": 8, "p": 1}
    conn = TLS_PLAIN.open(proxy)

    def store(**message):
        assert admin.ask(message) == {"ok": True}
        admin.settle()

    def ask():
        conn.send(TLS_PLAIN.request())
        return read_response(conn).status

    try:
        store(op="store-protect", protection="passphrase", id="01" * 16, kdf=kdf, key=key)
        assert ask() == 200
        store(op="store-lock")
        assert ask() == 503
        store(op="store-unlock", key=key, expires=0)
        conn = TLS_PLAIN.open(proxy)
        assert ask() == 200
    finally:
        store(op="store-unlock", key=key, expires=0)
        store(op="store-protect", protection="none", id="", kdf=None, key=None)
        for name in ("secrets.index.json", "grants.index.json", "key.json"):
            (proxy.keeper.place / "state/sbx/keeper/secrets" / name).unlink()
    assert [r.get("authorization") for r in arrived(world)] == [[f"Bearer {REAL}"]] * 2


@pytest.mark.odd_log
def test_what_was_spliced_is_cut_when_a_secret_comes(world, proxy, admin):
    from test_policy import ends, spliced
    conn = spliced(proxy)
    admin.set()
    assert ends(conn)


ENCODINGS = {
    "plain": REAL.encode(),
    "base64": base64.b64encode(REAL.encode()),
    "base64-in-more": base64.b64encode(b"{\"k\":\"" + REAL.encode() + b"\"}"),
    "base64-shifted": base64.b64encode(b"ab" + REAL.encode() + b"tail"),
    "base64url": base64.urlsafe_b64encode(b"x" + REAL.encode()),
    "percent": "".join(c if c.isalnum() or c in "-_.~" else f"%{ord(c):02X}" for c in REAL).encode(),
    "percent-lower": REAL.replace("/", "%2f").replace("+", "%2b").encode(),
    "json": REAL.replace("/", "\\/").encode(),
    "json-u": REAL.replace("/", "\\u002f").replace("+", "\\u002B").encode(),
    "json-base64": base64.b64encode(b"??>" + REAL.encode() + b"~?~?~?").replace(b"/", b"\\/"),
    "html": REAL.replace("/", "&#x2f;").encode(),
}


def leaks(data):
    """Whether eight bytes in a row of the value can be read out of data."""
    text = data if isinstance(data, bytes) else data.encode()
    return any(REAL[i:i + 16].encode() in text for i in range(len(REAL) - 15)) or \
        any(core in text for core in (base64.b64encode(REAL.encode()[i:])[4:24] for i in range(3)))


@pytest.mark.parametrize("way", [TLS_PLAIN, H2_PLAIN], ids=str)
@pytest.mark.parametrize("how", ENCODINGS)
def test_reflected_in_the_head(world, proxy, admin, way, how):
    """I01, I07"""
    admin.set()
    world.reply["/v1/echo"] = (b"HTTP/1.1 302 Found\r\nX-Echo: Bearer " + ENCODINGS[how] + b"\r\nLocation: https://evil.test/?t=" + ENCODINGS[how] +
                               b"\r\nContent-Length: 0\r\n\r\n")
    response = way.ask(proxy, path="/v1/echo")
    assert response.status == 302
    assert not leaks(str(response.fields))
    assert PH in response.get("x-echo") and PH in response.get("location")


@pytest.mark.parametrize("way", [TLS_PLAIN, TLS_CONNECT, H2_PLAIN], ids=str)
@pytest.mark.parametrize("how", ENCODINGS)
@pytest.mark.parametrize("pieces", [1, 7, 100000])
def test_reflected_in_the_body(world, proxy, admin, way, how, pieces):
    """I01: whole, in pieces, at the end of a body that only the connection's end ends"""
    admin.set()
    body = b"before " + ENCODINGS[how] + b" between " * 3 + ENCODINGS[how]

    def echo(sock, request):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for at in range(0, len(body), pieces):
            sock.sendall(body[at:at + pieces])
        return False

    world.reply["/v1/echo"] = echo
    response = way.ask(proxy, path="/v1/echo")
    assert len(response.body) == len(body) and response.body.startswith(b"before ") and b" between  between " in response.body
    assert not leaks(response.body) and b"****" in response.body


def test_ordinary_bodies_pass_byte_for_byte(world, proxy, admin):
    """I03, in small"""
    admin.set()
    body = (REAL[:-1].encode() + b"!" + bytes(range(256)) + b"sk-real-") * 4000
    world.reply["/big"] = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    for way in (TLS_PLAIN, H2_PLAIN):
        if way is TLS_PLAIN:
            assert way.ask(proxy, path="/big").body == body
    request = arrived(world)[0]
    assert request.get("accept-encoding") == ["identity"]


def test_parts_and_compression_are_not_asked_for_nor_taken(world, proxy, admin):
    admin.set()
    TLS_PLAIN.ask(proxy, fields=("Range: bytes=0-7", "Accept-Encoding: gzip, br"))
    request = arrived(world)[0]
    assert request.get("range") == [] and request.get("accept-encoding") == ["identity"]
    world.reply["/gz"] = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
    assert TLS_PLAIN.ask(proxy, path="/gz").status == 502


def test_a_redirect_is_the_client_s(world, proxy, admin):
    """I05"""
    admin.set()
    world.reply["/r"] = b"HTTP/1.1 302 Found\r\nLocation: https://evil.test/?t=x\r\nContent-Length: 0\r\n\r\n"
    response = TLS_PLAIN.ask(proxy, path="/r")
    assert response.status == 302 and response.get("location") == "https://evil.test/?t=x"
    assert {r.host for r in arrived(world)} == {"ok.test"}


def test_not_before_the_origin_has_proved_who_it_is(world, proxy, admin):
    admin.set()
    world.certs["ok.test"] = world.ca.leaf(["evil.test"])
    assert TLS_PLAIN.ask(proxy).status == 502
    assert not arrived(world)


def test_the_file_is_the_user_s_alone(proxy, admin):
    admin.set()
    place = proxy.keeper.place / "state/sbx/keeper/secrets"
    assert place.stat().st_mode & 0o777 == 0o700
    assert place / "secrets.json" in list(place.iterdir())
    assert {p.stat().st_mode & 0o777 for p in place.iterdir()} == {0o600}


def test_forgetting_a_sandbox_forgets_its_secrets(admin):
    sandbox = str(uuid.uuid4())
    admin.set(sandbox=sandbox)
    assert admin.ask({"op": "forget", "sandbox": sandbox}) == {"ok": True}
    admin.settle()
    admin.set_names.clear()
    assert not [s for s in admin.ask({"op": "secret-list"})["secrets"] if s["sandbox"] == sandbox]
