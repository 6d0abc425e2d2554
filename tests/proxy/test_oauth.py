# SPDX-License-Identifier: Apache-2.0
"""Signing in inside a sandbox (H19): the real sbx-keeper and sbx-proxy, and a server that hands out tokens and takes them. The guest must
see no token, whatever the server says."""
import base64
import gzip
import json
import os
import signal
import threading
import time
import urllib.parse
import uuid

import pytest

from door import read_response
from proxyrun import allow
from test_secrets import Admin
from ways import FORWARD, H2_PLAIN, PLAIN, TLS_CONNECT, TLS_PLAIN

ACCESS, REFRESH = "sk-acc01-proxy-managed", "sk-ref01-proxy-managed"
JWT_ACCESS, JWT_REFRESH = "sbxproxymanagedsignature", "rt_sbx-proxy-managed-refresh"
TOKEN, API = "/v1/oauth/token", "/v1/messages"
POLICY = [allow("ok.test"), allow("cdn.test"), allow("evil.test")]

OPAQUE = {
    "service": "demo-oauth", "token": ["https://ok.test/v1/oauth/token", "https://cdn.test/v1/oauth/token"],
    "revoke": ["https://ok.test/v1/oauth/revoke"], "refuse": ["https://ok.test/v1/create_key"],
    "access": {"placeholder": ACCESS, "form": "opaque", "hosts": ["ok.test/v1/**"], "header": "authorization", "format": "Bearer %s"},
    "refresh": {"placeholder": REFRESH}}
JWT = {
    "service": "jwt-oauth", "token": ["https://cdn.test/oauth/token"],
    "access": {"placeholder": JWT_ACCESS, "form": "jwt", "hosts": ["cdn.test"], "header": "authorization", "format": "Bearer %s"},
    "refresh": {"placeholder": JWT_REFRESH}, "claims": ["exp", "email", "https://example.test/auth"]}
SIGNINS = [OPAQUE, JWT]
CODE = {"grant_type": "authorization_code", "code": "abc#def", "client_id": "c", "code_verifier": "v" * 43, "redirect_uri": "http://localhost:1455/cb"}
DEVICE = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": "d", "client_id": "c"}


def jwt(claims):
    parts = [json.dumps(p).encode() for p in ({"alg": "RS256"}, claims)] + [b"SIGNATURE-" + uuid.uuid4().bytes * 4]
    return ".".join(base64.urlsafe_b64encode(p).decode().rstrip("=") for p in parts)


class Server:
    """Hands out tokens, each once; a refresh token is good once."""

    def __init__(self, world, paths=(TOKEN,)):
        self.world, self.lock = world, threading.Lock()
        self.tokens, self.seen, self.good, self.bodies, self.api = [], [], set(), [], []
        self.shape = lambda tokens: {"token_type": "Bearer", "expires_in": 3600, "scope": "a b", "account": {"uuid": "u", "email_address": "e@x"}, **tokens}
        self.write = self.plain
        self.rotates, self.gate = True, None
        for path in paths:
            world.reply[path] = self.hand_out
        world.reply[API] = self.resource

    def new(self, kind):
        token = f"real-{kind}-{uuid.uuid4().hex}"
        self.tokens.append(token)
        return token

    @staticmethod
    def plain(sock, body, status="200 OK", kind="application/json"):
        sock.sendall(f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    def make(self):
        return {"access_token": self.new("access"), "refresh_token": self.new("refresh")}

    def hand_out(self, sock, request):
        kind = request.get("content-type")[0]
        body = json.loads(request.body) if "json" in kind else dict(urllib.parse.parse_qsl(request.body.decode(), strict_parsing=True))
        self.bodies.append(body)
        if self.gate:
            assert self.gate.wait(15)
        with self.lock:
            if body["grant_type"] == "refresh_token" and body["refresh_token"] not in self.good:
                self.plain(sock, b'{"error":"invalid_grant"}', "400 Bad Request")
                return True
            tokens = self.make()
            if body["grant_type"] == "refresh_token":
                if self.rotates:
                    self.good.discard(body["refresh_token"])
                else:
                    del tokens["refresh_token"]
            self.good |= {tokens.get("refresh_token")}
            self.seen.append(tokens)
        self.write(sock, json.dumps(self.shape(tokens)).encode())
        return True

    def resource(self, sock, request):
        self.api.append(request.get("authorization"))
        self.plain(sock, b'{"you":"' + ",".join(request.get("authorization")).encode() + b'"}')
        return True


@pytest.fixture
def range_of(make_proxy, keeper, world):
    """Proxies of sandboxes in which one can sign in; at the end no token was in a log or in what they gave to their guests."""
    made, secrets = [], []

    def make(**how):
        proxy = make_proxy(signins=how.pop("signins", SIGNINS), **how)
        proxy.policy(POLICY)
        end = time.monotonic() + 5
        while "event=credentials n=" not in (proxy.place / "proxy.log").read_text() and time.monotonic() < end:
            time.sleep(0.01)
        proxy.admin = Admin(keeper, proxy)
        made.append(proxy)
        return proxy

    make.server = Server(world)
    yield make
    for proxy in made:
        proxy.admin.ask({"op": "forget", "sandbox": proxy.id})
    for grant in made[0].admin.ask({"op": "oauth-list"})["secrets"]:
        made[0].admin.ask({"op": "secret-rm", "name": grant["name"], "sandbox": grant["sandbox"]})
    for token in make.server.tokens:
        for proxy in made:
            for log in (proxy.place / "proxy.log", proxy.journal, keeper.place / "keeper.log"):
                assert token not in log.read_text(errors="replace"), f"{log.name} has a token"


def post(way, proxy, body, path=TOKEN, host="ok.test", kind="json", fields=()):
    data = json.dumps(body) if kind == "json" else urllib.parse.urlencode(body)
    kind = "application/json" if kind == "json" else "application/x-www-form-urlencoded"
    data = data.encode()
    return way.ask(proxy, "POST", path, host=host, fields=(f"Content-Type: {kind}", f"Content-Length: {len(data)}", *fields) if way is H2_PLAIN else
                   (f"Content-Type: {kind}", *fields), body=data)


def refresh(way, proxy, token=REFRESH, **more):
    return post(way, proxy, {"grant_type": "refresh_token", "refresh_token": token, "client_id": "c"}, **more)


def sign_in(proxy, way=TLS_PLAIN, **more):
    response = post(way, proxy, CODE, **more)
    assert response.status == 200, response.body
    proxy.admin.settle()
    return json.loads(response.body)


def call(proxy, way=TLS_PLAIN, token=ACCESS, path=API, host="ok.test"):
    return way.ask(proxy, path=path, host=host, fields=(f"Authorization: Bearer {token}",))


def clean(server, response):
    text = (str(response.fields) if hasattr(response, "fields") else "").encode() + response.head + response.body
    assert not [t for t in server.tokens if t.encode() in text]


WRITES = {
    "plain": Server.plain,
    "chunked": lambda sock, body: sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n" +
                                               b"".join(b"%x\r\n%b\r\n" % (len(body[i:i + 7]), body[i:i + 7]) for i in range(0, len(body), 7)) + b"0\r\n\r\n"),
    "early-hints": lambda sock, body: (sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), Server.plain(sock, body)),
}


@pytest.mark.parametrize("way", [TLS_PLAIN, TLS_CONNECT, H2_PLAIN], ids=str)
@pytest.mark.parametrize("kind", ["json", "form"])
@pytest.mark.parametrize("grant", [CODE, DEVICE], ids=["code", "device"])
@pytest.mark.parametrize("write", WRITES)
def test_the_guest_gets_placeholders(range_of, way, kind, grant, write):
    """H19: sign-in, both ways to write it, all ways to answer"""
    proxy, server = range_of(), range_of.server
    server.write = WRITES[write]
    response = post(way, proxy, grant, kind=kind)
    assert response.status == 200
    got = json.loads(response.body)
    assert got == {"token_type": "Bearer", "expires_in": 3600, "scope": "a b", "account": {"uuid": "u", "email_address": "e@x"}, "access_token": ACCESS,
                   "refresh_token": REFRESH}
    assert server.bodies == [grant]
    clean(server, response)
    assert proxy.record(event="decision", method="POST")["injected"] == "none:sign_in"


@pytest.mark.parametrize("way", [TLS_PLAIN, H2_PLAIN], ids=str)
def test_the_token_is_written_into_requests(range_of, way):
    """H01 for grants; I01: a token that comes back does not reach the guest"""
    proxy, server = range_of(), range_of.server
    sign_in(proxy)
    response = call(proxy, way)
    assert response.status == 200
    assert server.api == [[f"Bearer {server.seen[0]['access_token']}"]]
    clean(server, response)
    assert b"****" in response.body
    assert proxy.record(event="decision", method="GET")["injected"] == "demo-oauth"


def test_only_in_place_of_its_placeholder(range_of, world):
    proxy, server = range_of(), range_of.server
    sign_in(proxy)
    assert TLS_PLAIN.ask(proxy, path=API).status == 200
    assert server.api == [[]]
    assert proxy.record(event="decision", method="GET")["injected"] == "none:no_placeholder"
    for fields in (("Authorization: Bearer ATTACKER",), ("x-api-key: ATTACKER",), (f"Authorization: Bearer {REFRESH}",), (f"Authorization: Bearer {ACCESS}x",)):
        assert TLS_PLAIN.ask(proxy, path=API, fields=fields).status == 403
    assert call(proxy, path="/v2/other").status == 403  # not among its paths
    assert server.api == [[]]


@pytest.mark.parametrize("way, host, where", [
    (TLS_PLAIN, "evil.test", "header"), (PLAIN, "evil.test", "header"), (FORWARD, "ok.test", "header"), (PLAIN, "evil.test", "query"),
    (PLAIN, "evil.test", "refresh-header"), (PLAIN, "evil.test", "refresh-query"),
], ids=str)
def test_placeholders_elsewhere_are_refused(range_of, world, way, host, where):
    """H08 for grants"""
    proxy = range_of()
    sign_in(proxy)
    if way is TLS_PLAIN:  # else it would be spliced
        proxy.admin.set(name="evil", host="evil.test", path="/none", value="other-value-0123456789", placeholder="sbx-cs-ffffffffffffffffffffffff")
    before = len(world.requests())
    token = REFRESH if "refresh" in where else ACCESS
    response = way.ask(proxy, host=host, path=f"/x?t={token}" if "query" in where else "/x",
                       fields=() if "query" in where else (f"Authorization: Bearer {token}",))
    assert response.status == 403
    assert proxy.record(event="decision", reason="placeholder_wrong_host")
    assert len(world.requests()) == before


@pytest.mark.parametrize("way", [TLS_PLAIN, H2_PLAIN], ids=str)
@pytest.mark.parametrize("kind", ["json", "form"])
def test_refresh_with_rotation(range_of, way, kind):
    proxy, server = range_of(), range_of.server
    sign_in(proxy)
    for n in range(1, 4):
        response = refresh(way, proxy, kind=kind)
        assert response.status == 200
        got = json.loads(response.body)
        assert (got["access_token"], got["refresh_token"]) == (ACCESS, REFRESH)
        clean(server, response)
        assert server.bodies[n] == {"grant_type": "refresh_token", "refresh_token": server.seen[n - 1]["refresh_token"], "client_id": "c"}
        assert call(proxy).status == 200
        assert server.api[-1] == [f"Bearer {server.seen[n]['access_token']}"]
    assert [r["injected"] for r in proxy.decisions(method="POST")] == ["none:sign_in"] + ["demo-oauth"] * 3


def test_a_refresh_token_that_does_not_rotate_stays(range_of):
    proxy, server = range_of(), range_of.server
    server.rotates = False
    sign_in(proxy)
    for _ in range(2):
        response = refresh(TLS_PLAIN, proxy)
        assert response.status == 200 and "refresh_token" not in json.loads(response.body)
    assert {b["refresh_token"] for b in server.bodies[1:]} == {server.seen[0]["refresh_token"]}


def test_a_real_refresh_token_that_comes_back_in_an_error(range_of, world):
    """An error is the client's, but not what it echoes."""
    proxy, server = range_of(), range_of.server
    sign_in(proxy)

    def echo(sock, request):
        body = b"no good: " + json.loads(request.body)["refresh_token"].encode()
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\nX-Echo: %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % (body[9:], len(body)) + body)
        return True

    world.reply[TOKEN] = echo
    response = refresh(TLS_PLAIN, proxy)
    assert response.status == 400 and response.body.startswith(b"no good: ****") and response.get("x-echo") == REFRESH
    clean(server, response)


@pytest.mark.parametrize("status, kind, body", [
    ("400 Bad Request", "application/json", b'{ "error" : "invalid_grant", "error_description" : "\\u00fc" }'),
    ("429 Too Many Requests", "text/html", b"<h1>slow down</h1>"),
    ("500 Internal Server Error", "text/plain", b""),
    ("200 OK", "application/json", b'{"error": "authorization_pending", "interval": 5}'),
    ("302 Found", "text/plain", b"there"),
], ids=["invalid_grant", "html", "empty", "pending", "redirect"])
@pytest.mark.parametrize("way", [TLS_PLAIN, H2_PLAIN], ids=str)
def test_errors_pass_unchanged(range_of, world, way, status, kind, body):
    proxy = range_of()
    world.reply[TOKEN] = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nX-Id: 7\r\nContent-Length: %d\r\n\r\n" % (status.encode(), kind.encode(), len(body)) + body
    response = post(way, proxy, CODE)
    assert response.status == int(status.split()[0]) and response.body == body and response.get("x-id") == "7"
    assert not proxy.admin.ask({"op": "oauth-list"})["secrets"]


def test_a_redirect_is_not_followed_with_a_code(range_of, world):
    """Where it leads nobody knows the endpoint."""
    proxy = range_of()
    world.reply[TOKEN] = b"HTTP/1.1 307 Moved\r\nLocation: https://evil.test/token#access_token=real-access-0123456789\r\nContent-Length: 0\r\n\r\n"
    response = post(TLS_PLAIN, proxy, CODE)
    assert response.status == 502 and b"real-" not in response.head


def test_of_an_answer_with_tokens_no_cookie_passes(range_of, world):
    proxy, server = range_of(), range_of.server
    server.write = lambda sock, body: server.plain(sock, body, kind="application/json\r\nSet-Cookie: session=abc\r\nX-Id: 7")
    response = post(TLS_PLAIN, proxy, CODE)
    assert response.status == 200 and response.get("x-id") == "7" and response.get("set-cookie") is None


def test_the_token_of_before_does_not_come_back_with_the_next(range_of):
    proxy, server = range_of(), range_of.server
    sign_in(proxy)
    server.shape = lambda tokens: {**tokens, "note": "in place of " + server.bodies[-1]["refresh_token"]}
    response = refresh(TLS_PLAIN, proxy)
    assert response.status == 200 and json.loads(response.body)["note"].startswith("in place of ****")
    clean(server, response)


TOKENS = b'{"access_token":"real-access-0123456789","refresh_token":"real-refresh-0123456789"}'
BAD = {
    "gzip": (b"Content-Encoding: gzip\r\nContent-Type: application/json", gzip.compress(TOKENS)),
    "type": (b"Content-Type: text/html", TOKENS),
    "no-type": (b"X: y", TOKENS),
    "not-json": (b"Content-Type: application/json", b"access_token=real-access-0123456789"),
    "array": (b"Content-Type: application/json", b"[" + TOKENS + b"]"),
    "twice": (b"Content-Type: application/json", b'{"access_token":"real-access-0123456789","access_token":"real-access-9876543210"}'),
    "nested": (b"Content-Type: application/json", b'{"access_token":"real-access-0123456789","data":{"access_token":"real-access-0123456789"}}'),
    "other-name": (b"Content-Type: application/json", b'{"access_token":"real-access-0123456789","apiKey":"real-other-0123456789"}'),
    "copied": (b"Content-Type: application/json", b'{"access_token":"real-access-0123456789","note":"it is real-access-0123456789"}'),
    "number": (b"Content-Type: application/json", b'{"access_token":123456789012}'),
    "none": (b"Content-Type: application/json", b'{"expires_in":3600}'),
    "line": (b"Content-Type: application/json", b'{"access_token":"real-access\\r\\nx: 0123456789"}'),
    "trailing": (b"Content-Type: application/json", TOKENS + b"real-access-0123456789"),
    "deep": (b"Content-Type: application/json", b'{"access_token":"real-access-0123456789","a":' + b"[" * 1000 + b"]" * 1000 + b"}"),
    "oversized": (b"Content-Type: application/json", b'{"access_token":"real-access-0123456789","pad":"' + b"x" * (300 << 10) + b'"}'),
    "empty": (b"Content-Type: application/json", b""),
    "list": (b"Content-Type: application/json", b'{"access_token":"real-access-0123456789","api_keys":["real-other-0123456789"]}'),
    "object": (b"Content-Type: application/json", b'{"access_token":"real-access-0123456789","secret":{"raw":"real-other-0123456789"}}'),
    "two-types": (b"Content-Type: application/json\r\nContent-Type: text/plain", TOKENS),
    "two-encodings": (b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Type: application/json", gzip.compress(TOKENS)),
    "head": (b"Content-Type: application/json\r\nX-Token: Bearer real-access-0123456789", TOKENS),
    "head-base64": (b"Content-Type: application/json\r\nX-Token: " + base64.b64encode(b'{"a":"real-refresh-0123456789"}'), TOKENS),
    "copied-base64": (b"Content-Type: application/json",
                      b'{"access_token":"real-access-0123456789","note":"' + base64.b64encode(b"?real-access-0123456789") + b'"}'),
}
KEPT = ("copied", "head", "head-base64", "copied-base64")  # and withheld


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("way", [TLS_PLAIN, H2_PLAIN], ids=str)
def test_what_cannot_be_read_is_refused(range_of, world, way, what):
    """H19: an unknown shape is no way around"""
    proxy = range_of()
    head, body = BAD[what]
    world.reply[TOKEN] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n%b\r\n\r\n" % (len(body), head) + body
    response = post(way, proxy, CODE)
    assert response.status == 502, (what, response.status)
    assert b"real-" not in response.body + response.head
    assert proxy.record(event="end", status=502)["error"] == "oauth"
    if what not in KEPT:
        assert not proxy.admin.ask({"op": "oauth-list"})["secrets"]


@pytest.mark.parametrize("status", [400, 500])
def test_an_error_with_a_token_in_it_is_refused(range_of, world, status):
    proxy = range_of()
    world.reply[TOKEN] = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(TOKENS)) + TOKENS
    assert post(TLS_PLAIN, proxy, CODE).status == 502


@pytest.mark.parametrize("body, kind, reason", [
    ({"grant_type": "client_credentials", "client_secret": "s"}, "json", "oauth"),
    ({"grant_type": "password", "username": "u", "password": "p"}, "form", "oauth"),
    ({"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token": ACCESS}, "form", "oauth"),
    ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "a.b.c"}, "form", "oauth"),
    ({"code": "x"}, "json", "oauth"),
    ({"grant_type": 7}, "json", "oauth"),
    ({**CODE, "refresh_token": "x" * 20}, "json", "oauth"),
    ({"grant_type": "refresh_token", "refresh_token": "the-attackers-own-token"}, "json", "foreign_credential"),
    ({"grant_type": "refresh_token", "refresh_token": REFRESH + "x"}, "form", "foreign_credential"),
    ({"grant_type": "refresh_token"}, "form", "foreign_credential"),
    ({"grant_type": "refresh_token", "refresh_token": ACCESS}, "json", "placeholder_wrong_host"),
    ({"grant_type": "refresh_token", "refresh_token": JWT_REFRESH}, "json", "placeholder_wrong_host"),
], ids=lambda v: None)
@pytest.mark.parametrize("way", [TLS_PLAIN, H2_PLAIN], ids=str)
def test_other_grants_are_refused(range_of, world, way, body, kind, reason):
    proxy = range_of()
    sign_in(proxy)
    before = len(world.requests())
    assert post(way, proxy, body, kind=kind).status == 403
    assert proxy.record(event="decision", verdict="deny", reason=reason)
    assert len(world.requests()) == before


def test_a_sandbox_is_told_what_it_is_to_have_of_its_own_sign_in(range_of, keeper):
    """Its supervisor writes an agent's files by that."""
    one, two = range_of(), range_of()
    sign_in(one)

    def ask(sandbox, of):
        with keeper.attach(sandbox)[0] as s:
            s.send(json.dumps({"op": "oauth-give", "service": "demo-oauth", "sandbox": of}).encode())
            return json.loads(s.recv(1 << 16))
    assert ask(one.id, one.id) == {"ok": True, "access": ACCESS, "refresh": REFRESH, "id": None}
    assert ask(two.id, one.id)["error"]["kind"] == "denied"
    assert ask(two.id, two.id)["error"]["kind"] == "not_found"


def basic(text):
    return f"Authorization: Basic {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize("kind", ["form", "json"])
@pytest.mark.parametrize("more, fields", [({"client_secret": "GOCSPX-of-a-program"}, ()), ({}, (basic("c:GOCSPX-of-a-program"),))], ids=["body", "basic"])
def test_a_client_may_say_who_it_is(range_of, world, more, fields, kind):
    """Gemini CLI's has a client_secret, which is in everybody's copy of it."""
    proxy = range_of()
    assert post(TLS_PLAIN, proxy, {**CODE, **more}, kind=kind, fields=fields).status == 200
    assert post(TLS_PLAIN, proxy, {"grant_type": "refresh_token", "refresh_token": REFRESH, "client_id": "c", **more}, kind=kind, fields=fields).status == 200
    server, requests = range_of.server, [r for r in world.requests() if r.target == TOKEN]
    assert [b["grant_type"] for b in server.bodies] == ["authorization_code", "refresh_token"]
    assert all(b.get("client_secret") == more.get("client_secret") for b in server.bodies)
    assert server.bodies[1]["refresh_token"] == server.seen[0]["refresh_token"]
    assert all([f"Authorization: {v}" for v in r.get("authorization")] == list(fields) for r in requests)


@pytest.mark.parametrize("fields, reason", [
    ((basic("c:s"), basic("c:t")), None), ((basic(f"c:{ACCESS}"),), "placeholder_wrong_host"), ((basic(f"{ACCESS}:"),), "placeholder_wrong_host"),
    ((basic(f"c:{REFRESH}"),), "placeholder_wrong_host"),
    ((basic("no colon"),), "foreign_credential"), ((basic(":s"),), "foreign_credential"), (("Authorization: Bearer abc",), "foreign_credential"),
    (("Authorization: Basic ????",), "foreign_credential"), ((basic("c:s"), "x-api-key: abc"), "foreign_credential"), ((basic("c:s"), "Cookie: session=1"), "foreign_credential"),
], ids=lambda v: None)
def test_what_is_not_a_client(range_of, world, fields, reason):
    proxy = range_of()
    sign_in(proxy)
    before = len(world.requests())
    assert post(TLS_PLAIN, proxy, CODE, fields=fields).status in (400, 403)
    assert len(world.requests()) == before
    if reason:
        assert proxy.record(event="decision", verdict="deny", reason=reason)


@pytest.mark.parametrize("body", [{"grant_type": "client_credentials"}, {"grant_type": "refresh_token", "refresh_token": "the-attackers-own-token"}])
def test_a_client_is_not_a_grant(range_of, world, body):
    proxy = range_of()
    assert post(TLS_PLAIN, proxy, body, kind="form", fields=(basic("c:s"),)).status == 403
    assert not world.requests()


RAW = {
    "duplicate": (b"application/json", b'{"grant_type":"authorization_code","grant_type":"refresh_token","refresh_token":"x"}'),
    "form-duplicate": (b"application/x-www-form-urlencoded", b"grant_type=authorization_code&grant%5ftype=password"),
    "semicolon": (b"application/x-www-form-urlencoded", b"grant_type=authorization_code;grant_type=password"),
    "escape": (b"application/x-www-form-urlencoded", b"grant_type=authorization_code&x=%4"),
    "nul": (b"application/x-www-form-urlencoded", b"grant_type=authorization_code&x=%00"),
    "json-nul": (b"application/json", b'{"grant_type":"authorization_code","x":"\\u0000"}'),
    "multipart": (b"multipart/form-data; boundary=x", b"--x--"),
    "text": (b"text/plain", b"grant_type=authorization_code"),
    "utf8": (b"application/json", b'{"grant_type":"authorization_code","x":"\xff"}'),
    "empty": (b"application/json", b"{}"),
}


@pytest.mark.parametrize("what", RAW)
def test_requests_that_could_be_read_in_two_ways(range_of, world, what):
    proxy = range_of()
    kind, body = RAW[what]
    assert TLS_PLAIN.ask(proxy, "POST", TOKEN, fields=(f"Content-Type: {kind.decode()}",), body=body).status == 403
    assert proxy.record(event="decision", reason="oauth") and not world.requests()


@pytest.mark.parametrize("method, path, fields, status", [
    ("GET", TOKEN, (), 405), ("PUT", TOKEN, (), 405), ("HEAD", TOKEN, (), 405),
    ("POST", TOKEN + "?grant_type=authorization_code", (), 400),
    ("POST", TOKEN, ("Authorization: Bearer YTpi",), 403), ("POST", TOKEN, ("Cookie: session=1",), 403),
    ("POST", TOKEN, ("Content-Encoding: gzip",), 415), ("POST", TOKEN, ("Content-Encoding: identity", "Content-Encoding: gzip"), 415),
    ("POST", TOKEN, ("Content-Type: application/x-www-form-urlencoded",), 415),
    ("POST", "/v1%2Foauth%2ftoken", (), 403), ("POST", "/v1/oauth/token%2F", (), 403), ("POST", "/v1/oauth%2F/token", (), 403),
    ("POST", "/v1/oauth/Token", (), 403), ("POST", "/v1/oauth/token/", (), 403), ("POST", "//v1/oauth/token", (), 403),
    ("POST", "/v1/oauth/token;x", (), 403), ("POST", "/v1/oauth/%2574oken", (), 403), ("POST", "/v1/x/../oauth/token", (), 403),
    ("POST", "/v1/create_key", (), 403), ("GET", "/V1/create_key", (), 403),
], ids=lambda v: None)
def test_other_ways_to_the_endpoint(range_of, world, method, path, fields, status):
    proxy = range_of()
    body = json.dumps(CODE).encode() if method in ("POST", "PUT") else b""
    response = TLS_PLAIN.ask(proxy, method, path, fields=(*fields, "Content-Type: application/json"), body=body)
    assert response.status == status and not world.requests()


def test_an_escaped_path_is_the_endpoint_s(range_of, world):
    proxy, server = range_of(), range_of.server
    response = post(TLS_PLAIN, proxy, CODE, path="/v1/o%61uth/%74oken")
    assert response.status == 200 and json.loads(response.body)["access_token"] == ACCESS
    assert [r.target for r in world.requests()] == [TOKEN]
    clean(server, response)


def test_elsewhere_on_the_host_nothing_changes(range_of, world):
    """Without a sign-in a program may bring its own credentials, and paths that are no endpoint's are ordinary ones."""
    proxy = range_of()
    assert TLS_PLAIN.ask(proxy, "POST", "/v1/oauth/tokens", fields=("Authorization: Bearer own",), body=b"x").status == 200
    assert world.requests()[0].get("authorization") == ["Bearer own"]


def test_not_in_the_clear_nor_on_another_port(range_of, world):
    """Endpoints are those of https: elsewhere nothing is kept, and placeholders are refused."""
    proxy = range_of()
    sign_in(proxy)
    before = len(world.requests())
    assert FORWARD.ask(proxy, "POST", TOKEN, fields=("Content-Type: application/json", f"X-Token: {REFRESH}"), body=b"{}").status == 403
    assert len(world.requests()) == before


def test_the_endpoint_s_path_on_another_port_is_refused(range_of, world):
    """The same server may listen there."""
    proxy = range_of()
    data = json.dumps(CODE).encode()
    response = TLS_PLAIN.ask(proxy, "POST", TOKEN, port=8443, fields=("Content-Type: application/json",), body=data)
    assert response.status == 403 and proxy.record(event="decision", reason="oauth") and not world.requests()


def test_a_long_request(range_of, world):
    proxy = range_of()
    assert post(TLS_PLAIN, proxy, {**CODE, "x": "y" * (65 << 10)}).status == 413
    assert not world.requests()
    assert post(TLS_PLAIN, proxy, {**CODE, "x": "y" * (60 << 10)}).status == 200


def test_another_sandbox_has_nothing_of_it(range_of, world):
    """H10"""
    one, server = range_of(), range_of.server
    sign_in(one)
    two = range_of()
    assert refresh(TLS_PLAIN, two).status == 403
    assert two.record(event="decision", verdict="deny", reason="oauth")
    before = len(server.api)
    call(two)
    assert all(a != [f"Bearer {server.seen[0]['access_token']}"] for a in server.api[before:])
    sign_in(two)
    assert [g["sandbox"] for g in one.admin.ask({"op": "oauth-list"})["secrets"]] == [one.id, two.id]
    assert call(one).status == 200 and call(two).status == 200
    assert server.api[-2:] == [[f"Bearer {server.seen[n]['access_token']}"] for n in (0, 1)]


def test_removal_acts_at_once(range_of, world):
    """H16"""
    proxy, server = range_of(), range_of.server
    sign_in(proxy)
    conn = TLS_PLAIN.open(proxy)

    def ask():
        conn.send(TLS_PLAIN.request(path=API, fields=(f"Authorization: Bearer {ACCESS}",)))
        return read_response(conn).status

    assert ask() == 200
    assert proxy.admin.remove("demo-oauth", proxy.id) == {"ok": True}
    assert ask() == 403
    assert refresh(TLS_PLAIN, proxy).status == 403
    assert len(server.api) == 1 and len(server.bodies) == 1


def test_sharing_is_the_user_s(range_of, world):
    one, server = range_of(), range_of.server
    sign_in(one)
    two = range_of()
    assert one.admin.ask({"op": "oauth-share", "service": "demo-oauth", "sandbox": two.id})["error"]["kind"] == "not_found"
    assert one.admin.ask({"op": "oauth-share", "service": "demo-oauth", "sandbox": one.id}) == {"ok": True}
    one.admin.settle()
    two.admin.settle()
    assert one.admin.ask({"op": "oauth-give", "service": "demo-oauth", "sandbox": two.id}) == \
        {"ok": True, "access": ACCESS, "refresh": REFRESH, "id": None}
    assert call(two).status == 200 and server.api == [[f"Bearer {server.seen[0]['access_token']}"]]
    assert refresh(TLS_PLAIN, two).status == 200
    assert call(one).status == 200 and server.api[-1] == [f"Bearer {server.seen[1]['access_token']}"]
    # Nobody signs in over it, and nobody ends it for the others.
    assert post(TLS_PLAIN, two, CODE).status == 403
    assert post(TLS_PLAIN, two, {"token": REFRESH}, path="/v1/oauth/revoke").status == 403


def test_where_there_is_a_key_nobody_signs_in(range_of, world):
    """A sandbox that was given a credential cannot bring one of its own."""
    proxy = range_of()
    proxy.admin.set(name="inj", header="x-api-key", fmt="%s", value="the-users-key-0123456789")
    before = len(world.requests())
    response = post(TLS_PLAIN, proxy, CODE)
    assert response.status == 403 and b"inj" in response.body
    assert proxy.record(event="decision", reason="foreign_credential")
    assert len(world.requests()) == before
    proxy.admin.remove("inj", proxy.id)
    sign_in(proxy)


def test_what_the_client_sends_decides(range_of):
    """A key and a sign-in for one host: the placeholder says which; without one it is the key."""
    proxy, server = range_of(), range_of.server
    sign_in(proxy)
    proxy.admin.set(name="inj", header="authorization", fmt="Bearer %s", value="the-users-key-0123456789")
    assert call(proxy).status == 200
    assert call(proxy, token="sbx-cs-00112233445566778899aabb").status == 200
    assert TLS_PLAIN.ask(proxy, path=API).status == 200
    assert server.api == [[f"Bearer {server.seen[0]['access_token']}"]] + [["Bearer the-users-key-0123456789"]] * 2


@pytest.mark.parametrize("token", [ACCESS, REFRESH])
@pytest.mark.parametrize("kind", ["json", "form"])
def test_revocation(range_of, world, token, kind):
    proxy, server = range_of(), range_of.server
    got = []

    def end(sock, request):
        got.append(request.body.decode())
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    world.reply["/v1/oauth/revoke"] = end
    assert post(TLS_PLAIN, proxy, {"token": token}, path="/v1/oauth/revoke", kind=kind).status == 403
    sign_in(proxy)
    assert post(TLS_PLAIN, proxy, {"token": "foreign-token-0123456789"}, path="/v1/oauth/revoke", kind=kind).status == 403
    assert post(TLS_PLAIN, proxy, {"token": token}, path="/v1/oauth/revoke", kind=kind).status == 200
    real = server.seen[0]["access_token" if token == ACCESS else "refresh_token"]
    assert len(got) == 1 and real in got[0]
    proxy.admin.settle()
    assert not proxy.admin.ask({"op": "oauth-list"})["secrets"]


def test_a_revocation_that_fails_changes_nothing(range_of, world):
    proxy = range_of()
    sign_in(proxy)
    world.reply["/v1/oauth/revoke"] = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
    assert post(TLS_PLAIN, proxy, {"token": REFRESH}, path="/v1/oauth/revoke").status == 503
    assert refresh(TLS_PLAIN, proxy).status == 200


@pytest.mark.parametrize("sandboxes", [1, 2])
def test_refreshes_at_the_same_time_wait_for_each_other(range_of, sandboxes):
    """Two connections of one sandbox, and two sandboxes that share: a token that was taken out of use is never used again."""
    one, server = range_of(), range_of.server
    sign_in(one)
    two = one
    if sandboxes == 2:
        two = range_of()
        one.admin.ask({"op": "oauth-share", "service": "demo-oauth", "sandbox": one.id})
        two.admin.settle()
    server.gate = threading.Event()
    answers = []
    threads = [threading.Thread(target=lambda p=p: answers.append(refresh(TLS_PLAIN, p).status)) for p in (one, two)]
    for t in threads:
        t.start()
    end = time.monotonic() + 5
    while len(server.bodies) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    assert len(server.bodies) == 2  # the sign-in, and one of the two
    server.gate.set()
    for t in threads:
        t.join(20)
    assert answers == [200, 200]
    assert len({b["refresh_token"] for b in server.bodies[1:]}) == 2
    assert refresh(TLS_PLAIN, one).status == 200


@pytest.mark.odd_log
def test_a_guest_that_goes_while_it_refreshes_loses_nothing(range_of):
    """The server has taken the old token out of use: what it answers must be kept."""
    proxy, server = range_of(), range_of.server
    sign_in(proxy)
    server.gate = threading.Event()
    conn = TLS_PLAIN.open(proxy)
    body = json.dumps({"grant_type": "refresh_token", "refresh_token": REFRESH}).encode()
    conn.send(TLS_PLAIN.request("POST", TOKEN, fields=("Content-Type: application/json",), body=body))
    end = time.monotonic() + 5
    while len(server.bodies) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    conn.close()
    while "stays=true" not in (proxy.place / "proxy.log").read_text() and time.monotonic() < end:
        time.sleep(0.01)
    server.gate.set()
    while "stored=refreshed" not in (proxy.place / "proxy.log").read_text() and time.monotonic() < end:
        time.sleep(0.01)
    assert refresh(TLS_PLAIN, proxy).status == 200
    assert call(proxy).status == 200 and server.api[-1] == [f"Bearer {server.seen[-1]['access_token']}"]


def test_a_guest_that_goes_before_it_has_a_ticket(range_of, keeper):
    """The keeper gives one to nobody: it comes back, and the next refresh need not wait until it is void."""
    proxy = range_of()
    sign_in(proxy)
    conn = TLS_PLAIN.open(proxy)
    body = json.dumps({"grant_type": "refresh_token", "refresh_token": REFRESH}).encode()
    os.kill(keeper.process.pid, signal.SIGSTOP)
    try:
        conn.send(TLS_PLAIN.request("POST", TOKEN, fields=("Content-Type: application/json",), body=body))
        time.sleep(0.5)
        conn.close()
        time.sleep(0.5)
    finally:
        os.kill(keeper.process.pid, signal.SIGCONT)
    begun = time.monotonic()
    assert refresh(TLS_PLAIN, proxy).status == 200
    assert time.monotonic() - begun < 5
    assert len(range_of.server.bodies) == 2


def test_a_server_that_goes_while_it_refreshes(range_of, world):
    """The ticket comes back: the next refresh need not wait."""
    proxy, server = range_of(), range_of.server
    sign_in(proxy)
    world.reply[TOKEN] = lambda sock, request: False
    assert refresh(TLS_PLAIN, proxy).status == 502
    world.reply[TOKEN] = server.hand_out
    began = time.monotonic()
    assert refresh(TLS_PLAIN, proxy).status == 200 and time.monotonic() - began < 3


CLAIMS = {"exp": 2000000000, "email": "e@x.test", "sub": "not told", "https://example.test/auth": {"account_id": "a", "plan": "pro"}}


@pytest.fixture
def jwt_server(range_of, world):
    world.reply["/oauth/token"] = range_of.server.hand_out
    world.reply["/backend"] = range_of.server.resource

    def make():
        tokens = {"access_token": jwt(CLAIMS), "refresh_token": range_of.server.new("refresh"), "id_token": jwt(CLAIMS)}
        range_of.server.tokens += [tokens["access_token"].split(".")[2], tokens["id_token"].split(".")[2]]
        return tokens

    range_of.server.make = make
    return range_of.server


def told(token):
    head, claims, signature = token.split(".")
    assert signature == JWT_ACCESS
    assert json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": "none", "typ": "JWT"}
    return json.loads(base64.urlsafe_b64decode(claims + "=="))


def test_of_a_jwt_the_guest_has_some_claims_and_no_signature(range_of, jwt_server):
    proxy = range_of()
    got = sign_in(proxy, host="cdn.test", path="/oauth/token", kind="form")
    assert told(got["access_token"]) == told(got["id_token"]) == {k: v for k, v in CLAIMS.items() if k != "sub"}
    assert got["refresh_token"] == JWT_REFRESH
    assert call(proxy, token=got["access_token"], path="/backend", host="cdn.test").status == 200
    assert jwt_server.api == [[f"Bearer {jwt_server.seen[0]['access_token']}"]]
    again = json.loads(refresh(TLS_PLAIN, proxy, token=JWT_REFRESH, host="cdn.test", path="/oauth/token").body)
    assert told(again["id_token"]) and call(proxy, token=got["access_token"], path="/backend", host="cdn.test").status == 200
    assert jwt_server.api[-1] == [f"Bearer {jwt_server.seen[1]['access_token']}"]
    # Claims of the guest's own are nobody's.
    for wrong in (jwt(CLAIMS), got["access_token"][:-1], got["access_token"] + "x", JWT_ACCESS + ".x"):
        assert call(proxy, token=wrong, path="/backend", host="cdn.test").status == 403
    assert PLAIN.ask(proxy, host="evil.test", fields=(f"X-Note: {got['id_token']}",)).status == 403


def test_tokens_that_are_no_jwts_where_one_is_expected(range_of, jwt_server):
    jwt_server.make = lambda: {"access_token": jwt_server.new("access"), "id_token": "a.b.c-real-id", "refresh_token": jwt_server.new("refresh")}
    got = sign_in(range_of(), host="cdn.test", path="/oauth/token")
    assert got["access_token"] == got["id_token"] == JWT_ACCESS


# --- the keeper ---

def asker(keeper, sandbox, define=None):
    import socket
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(5)
    s.connect(str(keeper.place / "run/sbx/keeper.sock"))

    def ask(message):
        s.send(json.dumps(message).encode())
        while True:
            reply = json.loads(s.recv(1 << 16))
            if "event" not in reply:
                return reply

    if sandbox:
        assert ask({"op": "attach", "sandbox": sandbox})["ok"]
    if define is not None:
        assert ask({"op": "oauth-define", "services": define}) == {"ok": True}
    return ask


def test_what_can_be_signed_in_at_is_said_first_and_once(range_of, keeper):
    """A proxy that was taken over must not name other hosts for a grant."""
    range_of()
    ask = asker(keeper, str(uuid.uuid4()))
    assert ask({"op": "bindings"})["ok"]
    assert ask({"op": "oauth-define", "services": [OPAQUE]})["error"]["kind"] == "denied"
    ask = asker(keeper, str(uuid.uuid4()), [])
    assert ask({"op": "oauth-define", "services": [OPAQUE]})["error"]["kind"] == "denied"
    assert ask({"op": "oauth-store", "service": "demo-oauth", "ticket": 0, "access": "x" * 20, "refresh": None, "id": None})["error"]["kind"] == "denied"
    for op in ({"op": "oauth-list"}, {"op": "oauth-share", "service": "demo-oauth", "sandbox": str(uuid.uuid4())}):
        assert ask(op)["error"]["kind"] == "denied"
    user = asker(keeper, None)
    for op in ({"op": "oauth-define", "services": []}, {"op": "oauth-begin", "service": "demo-oauth", "for": "refresh"}, {"op": "oauth-services"}):
        assert user(op)["error"]["kind"] == "denied"


def test_tickets(range_of, keeper):
    """One at a time; void when its owner goes; nobody else's."""
    proxy = range_of()
    ask, other = asker(keeper, proxy.id, SIGNINS), asker(keeper, proxy.id, SIGNINS)
    store = {"op": "oauth-store", "service": "demo-oauth", "access": "real-access-1", "refresh": "real-refresh-1", "id": None}
    begin = {"op": "oauth-begin", "service": "demo-oauth", "for": "refresh"}
    assert ask(begin)["error"]["kind"] == "not_found"
    assert ask({**store, "ticket": 5})["error"]["kind"] == "not_found"
    assert ask({**store, "ticket": 0}) == {"ok": True, "access": ACCESS, "refresh": REFRESH, "id": None}
    ticket = ask(begin)["ticket"]
    assert other(begin) == {"ok": True, "busy": True}
    assert other({**store, "ticket": ticket})["error"]["kind"] == "not_found"
    assert ask({**store, "ticket": ticket, "refresh": None})["ok"]
    begun = other(begin)
    assert begun["refresh"] == "real-refresh-1" and ask(begin) == {"ok": True, "busy": True}
    assert other({"op": "oauth-end", "service": "demo-oauth", "ticket": begun["ticket"], "revoked": False}) == {"ok": True}
    assert ask(begin)["ticket"]
    del ask  # its connection ends
    end = time.monotonic() + 5
    while other(begin).get("busy"):
        assert time.monotonic() < end


@pytest.mark.parametrize("change", [
    {"token": [], "refuse": []}, {"token": ["http://ok.test/t"]}, {"token": ["https://ok.test"]}, {"token": ["https://ok.test:8443/t"]}, {"token": ["https://OK.test/t"]},
    {"token": ["https://10.0.0.1/t"]}, {"token": ["https://ok.test/t?x"]}, {"token": ["https://ok.test/a/../t"]}, {"service": "A b"},
    {"access": {**OPAQUE["access"], "placeholder": "short"}}, {"access": {**OPAQUE["access"], "hosts": []}},
    {"access": {**OPAQUE["access"], "hosts": ["*.test"]}}, {"access": {**OPAQUE["access"], "header": "cookie"}},
    {"access": {**OPAQUE["access"], "form": "other"}}, {"refresh": {"placeholder": ACCESS}}, {"fields": {"access": "x", "refresh": "x"}},
    {"claims": []}, {"more": 1},
], ids=str)
def test_definitions_that_are_none(range_of, keeper, change):
    range_of()
    ask = asker(keeper, str(uuid.uuid4()))
    assert ask({"op": "oauth-define", "services": [{**OPAQUE, **change}]})["error"]["kind"] == "invalid"


def test_the_file_is_the_user_s_alone(range_of, keeper):
    proxy = range_of()
    sign_in(proxy)
    place = keeper.place / "state/sbx/keeper/secrets"
    assert {p.stat().st_mode & 0o777 for p in place.iterdir()} == {0o600}
    assert proxy.admin.ask({"op": "forget", "sandbox": proxy.id}) == {"ok": True}
    assert not proxy.admin.ask({"op": "oauth-list"})["secrets"]
