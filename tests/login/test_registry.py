# SPDX-License-Identifier: Apache-2.0
"""Passwords of registries: Debian's docker-registry, doubles with a token service, and what a connection of sbx-login may ask of the
keeper."""
import base64
import json
import socket

import pytest

import double
import world

PASSWORD = "right-password"


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def sign_in(host, *more):
    return ["login", "--username", "user", "--password-stdin", *more, host]


def test_docker_registry(sbx, registry):
    sbx.fails("refuses these credentials", *sign_in(registry.host), said="wrong-password\n")
    assert sbx.document() == []
    status, out, err = sbx.run(*sign_in(registry.host), said=PASSWORD + "\n")
    assert (status, out, err) == (0, f"Signed in to {registry.host} as user\n", "")
    assert sbx.everywhere(PASSWORD) == ["logins.json"]
    entry, = sbx.listed()
    assert (entry["issuer"], entry["user"], entry["registries"], entry["expires"]) == (None, "user", [registry.host], 0)
    table = sbx.good("login")
    assert table.splitlines()[1].split() == [registry.host, "user", registry.host, "-"]
    assert sbx.good("login", "--check", registry.host) == f"{registry.host} accepts the credentials of user\n"
    registry.password("another-password")
    sbx.fails("refuses these credentials", "login", "--check", registry.host)
    sbx.good(*sign_in(registry.host), said="another-password")
    assert len(sbx.listed()) == 1 and sbx.everywhere(PASSWORD) == []
    sbx.good("login", "--check", registry.host)
    assert sbx.good("logout", registry.host) == f"Signed out of {registry.host}\n"
    assert sbx.listed() == [] and sbx.everywhere("another-password") == []
    sbx.fails("nobody is signed in to", "logout", registry.host)


@pytest.mark.parametrize("said,pattern", [("", "1 to 4096 bytes"), ("a\nb\n", "one line"), ("x" * 5000, "1 to 4096 bytes")])
def test_what_is_no_password(sbx, serve, said, pattern):
    asked = []
    server = serve(lambda *a: asked.append(a) or (200, {}, ""))
    sbx.fails(pattern, *sign_in(server.host), said=said)
    assert asked == []


class Tokens:
    """A registry that wants a token, and a service that gives one for the password; the two may be of one host."""

    def __init__(self, serve, apart=False, realm=None):
        self.asked = []
        self.registry = serve(self.answer)
        self.service = serve(self.answer) if apart else self.registry
        self.realm = realm or self.service.url + "/token"

    def answer(self, method, path, headers, body):
        given = headers.get("Authorization", "")
        if path.startswith("/token"):
            self.asked.append((path, given))
            return world.reply(200, token="a-token") if given == basic("user", PASSWORD) else world.reply(401, details="no")
        if given == "Bearer a-token":
            return 200, {}, "{}"
        assert not given, "the registry got a password"
        return 401, {"WWW-Authenticate": f'Bearer realm="{self.realm}",service="a registry"'}, ""


def test_a_token_service_of_the_registrys_own(sbx, serve):
    tokens = Tokens(serve)
    sbx.fails("refuses these credentials", *sign_in(tokens.registry.host), said="wrong-password")
    sbx.good(*sign_in(tokens.registry.host), said=PASSWORD)
    assert tokens.asked[-1] == ("/token?client_id=sbx&service=a%20registry", basic("user", PASSWORD))
    sbx.good("login", "--check", tokens.registry.host)


def test_a_token_service_elsewhere(sbx, serve):
    tokens = Tokens(serve, apart=True)
    sbx.fails(f"wants the password at {tokens.service.host}: .*--realm {tokens.service.host}", *sign_in(tokens.registry.host),
              said=PASSWORD)
    sbx.fails(f"wants the password at {tokens.service.host}", *sign_in(tokens.registry.host, "--realm", "localhost:1"), said=PASSWORD)
    assert tokens.asked == [] and sbx.document() == []
    sbx.good(*sign_in(tokens.registry.host, "--realm", tokens.service.host), said=PASSWORD)
    assert len(tokens.asked) == 1
    # It is kept with the password.
    sbx.good("login", "--check", tokens.registry.host)
    tokens.realm = "https://localhost:1/token"
    sbx.fails("wants the password at localhost:1", "login", "--check", tokens.registry.host)


def test_a_token_service_without_tls(sbx, serve):
    tokens = Tokens(serve, realm="http://localhost:1/token")
    sbx.fails("no https URL", *sign_in(tokens.registry.host, "--realm", "localhost:1"), said=PASSWORD)


@pytest.mark.parametrize("answer,pattern", [
    ((200, {}, "{}"), "asks for no credentials"),
    ((404, {}, ""), "is no registry"),
    ((302, {"Location": "https://localhost:1/v2/"}, ""), "is no registry"),
    ((401, {}, ""), "neither a password nor a token"),
    ((401, {"WWW-Authenticate": "Negotiate"}, ""), "neither a password nor a token"),
    ((401, {"WWW-Authenticate": 'Basic realm="open'}, ""), "neither a password nor a token"),
])
def test_what_is_no_registry(sbx, serve, answer, pattern):
    given = []

    def registry(method, path, headers, body):
        given.append(headers.get("Authorization"))
        return answer

    sbx.fails(pattern, *sign_in(serve(registry).host), said=PASSWORD)
    assert given == [None] and sbx.document() == []


# --- the keeper ---

class Keeper:
    def __init__(self, sbx):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.s.connect(str(sbx.place / "RUNTIME_DIR" / "sbx" / "keeper.sock"))
        self.s.settimeout(10)

    def ask(self, op, **members):
        self.s.send(json.dumps({"op": op, **members}).encode())
        return json.loads(self.s.recv(70000))

    def denied(self, op, **members):
        return self.ask(op, **members).get("error", {}).get("kind") == "denied"


def test_a_connection_of_a_login_is_this_logins_only(sbx, serve):
    one, two = Tokens(serve), Tokens(serve)
    for t in (one, two):
        sbx.good(*sign_in(t.registry.host), said=PASSWORD)
    anybody = Keeper(sbx)
    assert anybody.ask("registry-credential", registry=one.registry.host)["authorization"] == basic("user", PASSWORD)
    assert anybody.ask("registry-credential", registry="localhost:1")["error"]["kind"] == "not_found"
    assert anybody.denied("login-secrets") and "secrets" not in json.dumps(anybody.ask("login-list"))
    own = Keeper(sbx)
    assert own.ask("login-use", name=one.registry.host)["login"]["user"] == "user"
    assert own.ask("login-secrets")["secrets"]["password"] == PASSWORD
    assert own.ask("registry-credential", registry=one.registry.host)["ok"]
    assert own.denied("registry-credential", registry=two.registry.host)
    for op, members in (("login-list", {}), ("login-use", {"name": two.registry.host}), ("login-rm", {"name": two.registry.host}),
                        ("secret-list", {}), ("version", {}), ("attach", {"sandbox": "00000000-0000-4000-8000-00000000000a"})):
        assert own.denied(op, **members), op
    secrets = {"access": "", "refresh": "", "id": "", "password": "other"}
    assert own.denied("login-put", user="somebody", email=None, expires=0, secrets=secrets)
    # One that has only begun sees no secret, not even of a login that is there.
    new = Keeper(sbx)
    login = {"issuer": None, "client": None, "user": "user", "email": None, "registries": [one.registry.host], "realm": None,
             "since": 0, "expires": 0}
    assert new.ask("login-begin", login=login) == {"ok": True}
    assert new.denied("login-secrets") and new.denied("registry-credential", registry=one.registry.host)
    # One whose login was removed meanwhile does not bring it back.
    sbx.good("logout", one.registry.host)
    assert own.ask("login-put", user="user", email=None, expires=0, secrets=secrets)["error"]["kind"] == "not_found"
    assert [e["registries"] for e in sbx.listed()] == [[two.registry.host]]


def test_a_sandboxs_connection_has_no_logins(sbx, serve):
    tokens = Tokens(serve)
    sbx.good(*sign_in(tokens.registry.host), said=PASSWORD)
    sandbox = Keeper(sbx)
    assert sandbox.ask("attach", sandbox="00000000-0000-4000-8000-00000000000a")["ok"]
    for op, members in (("login-list", {}), ("registry-credential", {"registry": tokens.registry.host}),
                        ("login-use", {"name": tokens.registry.host}), ("login-secrets", {})):
        assert sandbox.denied(op, **members), op


def test_a_registry_has_one_sign_in(sbx, serve):
    tokens, issuer = Tokens(serve), double.Issuer(serve)
    sbx.good(*sign_in(tokens.registry.host), said=PASSWORD)
    sbx.fails(f"{tokens.registry.host} uses the sign-in to", "login", "--issuer", issuer.url, "--registry", tokens.registry.host)
    assert issuer.asked == []
    sbx.good("login", "--issuer", issuer.url, "--registry", "localhost:1")
    sbx.fails("there are 2 sign-ins", "logout")
    assert sbx.good("logout", "--all").count("Signed out of") == 2


def test_encrypted_and_locked(sbx, serve):
    tokens = Tokens(serve)
    sbx.good(*sign_in(tokens.registry.host), said=PASSWORD)
    assert sbx.everywhere(PASSWORD) == ["logins.json"]
    keeper, key = Keeper(sbx), "5a" * 32
    assert keeper.ask("store-protect", protection="service", id="0123456789abcdef" * 2, kdf=None, key=key) == {"ok": True}
    assert sbx.everywhere(PASSWORD) == [] and sbx.everywhere(tokens.registry.host) == ["keeper.log"]
    sbx.good("login", "--check", tokens.registry.host)
    assert keeper.ask("store-lock") == {"ok": True}
    sbx.fails("locked", "login")
    # Before anything is said to anybody.
    asked = len(tokens.asked)
    sbx.fails("locked", *sign_in(tokens.registry.host), said=PASSWORD)
    assert len(tokens.asked) == asked
    assert "error" in keeper.ask("registry-credential", registry=tokens.registry.host)
    assert keeper.ask("store-unlock", key=key, expires=0) == {"ok": True}
    assert sbx.listed()[0]["user"] == "user"
