# SPDX-License-Identifier: Apache-2.0
"""The device flow: with npm's oidc-provider from the beginning to the end, and with doubles that misbehave."""
import os
import pathlib
import re
import signal
import subprocess
import threading

import pytest
import requests

import double
import world


def seen(sbx, issuer, out, err):
    """No token is shown, nor in any file but the keeper's."""
    secrets = [d["secrets"] for d in sbx.document() if d["login"]["issuer"] == issuer][0]
    for name in ("access", "refresh", "id"):
        assert secrets[name] and secrets[name] not in out + err
        assert sbx.everywhere(secrets[name]) == ["logins.json"]
    return secrets


def who_is(provider, pki):
    """A registry that takes whatever token the provider says is somebody's."""
    def answer(method, path, headers, body):
        token = headers.get("Authorization", "")
        asked = requests.get(provider + "/me", headers={"Authorization": token}, verify=str(pki.ca), timeout=10)
        good = token.startswith("Bearer ") and asked.status_code == 200 and asked.json()["sub"] == "alice"
        return (200, {}, "{}") if good else (401, {"WWW-Authenticate": 'Bearer realm="https://elsewhere.test/token"'}, "")
    return answer


def test_the_whole_way(provider, pki, sbx, serve):
    registry = serve(who_is(provider, pki))
    process = sbx.start("login", "--issuer", provider, "--registry", registry.host)
    uri, code, complete = world.read_code(process)
    assert uri == provider + "/device" and code in complete
    assert "Success" in world.User(pki).open(complete, "alice")
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0 and out == f"Signed in to {provider} as alice@example.test\n", err
    before = seen(sbx, provider, out, err)
    entry, = sbx.listed()
    assert (entry["issuer"], entry["user"], entry["email"], entry["registries"]) == (provider, "alice", "alice@example.test",
                                                                                   [registry.host])
    store = sbx.place / "STATE_HOME" / "sbx" / "keeper" / "secrets"
    assert (store.stat().st_mode & 0o777, (store / "logins.json").stat().st_mode & 0o777) == (0o700, 0o600)
    # The access token ends soon, so it is renewed first, and the registry has the new one's word.
    status, out, err = sbx.run("login", "--check", registry.host)
    assert (status, out) == (0, f"{registry.host} accepts the credentials of alice@example.test\n"), err
    assert "renewed" in err
    after = seen(sbx, provider, out, err)
    assert after["access"] != before["access"] and sbx.listed()[0]["email"] == "alice@example.test"
    # A registry that it was not made for gets nothing.
    sbx.fails("nobody is signed in", "login", "--check", "localhost:1")
    err = sbx.fails("uses the sign-in to", "logout", registry.host)
    assert f"try: sbx logout {provider}" in err
    status, out, err = sbx.run("logout")
    assert (status, out, err) == (0, f"Signed out of {provider}\n", "") and sbx.listed() == []
    again = requests.post(provider + "/token", verify=str(pki.ca), timeout=10, data={
        "grant_type": "refresh_token", "client_id": "sbx", "refresh_token": after["refresh"]})
    assert again.status_code == 400 and again.json()["error"] == "invalid_grant", "the token was not revoked"


def test_somebody_says_no(provider, pki, sbx):
    process = sbx.start("login", "--issuer", provider)
    world.User(pki).open(world.read_code(process)[2])
    out, err = process.communicate(timeout=20)
    sbx.is_failure("the sign-in was refused", process.returncode, out, err)
    assert sbx.listed() == []


def test_nobody_enters_the_code(provider, sbx):
    sbx.fails("the code was not entered in time", "login", "--issuer", provider, "--client-id", "sbx-brief")


def test_an_unknown_client(provider, sbx):
    sbx.fails("refuses to give a code: invalid_client", "login", "--issuer", provider, "--client-id", "stranger")


def test_an_authority_that_is_not_trusted(provider):
    sbx = world.World()
    try:
        sbx.fails("localhost has no certificate that this host trusts", "login", "--issuer", provider)
    finally:
        sbx.close()


def children(pid):
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_confined_and_interrupted(provider, sbx):
    process = subprocess.Popen(["sbx", "login", "--issuer", provider], env=sbx.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, start_new_session=True)
    world.read_code(process)
    login = [p for p in children(process.pid) if pathlib.Path(f"/proc/{p}/comm").read_text() == "sbx-login\n"][0]
    status = dict(re.findall(r"^(\w+):\s*(.*)$", pathlib.Path(f"/proc/{login}/status").read_text(), re.M))
    assert (int(status["CapEff"], 16), int(status["CapPrm"], 16), status["NoNewPrivs"], status["Seccomp"]) == (0, 0, "1", "2")
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == -signal.SIGINT
    world.wait_until(lambda: not pathlib.Path(f"/proc/{login}").exists())
    assert sbx.listed() == []


# --- doubles ---

def test_slow_down_is_obeyed(sbx, serve):
    issuer = double.Issuer(serve, polls=["authorization_pending", "slow_down", "tokens"])
    assert sbx.good("login", "--issuer", issuer.url) == f"Signed in to {issuer.url} as alice\n"
    first, second = (b - a for a, b in zip(issuer.asked, issuer.asked[1:]))
    assert 0.9 < first < 3 and 5.9 < second < 9, issuer.asked
    assert issuer.forms[0] == {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": "sbx",
                               "device_code": "device-0123456789"}


def test_an_issuer_that_is_busy(sbx, serve):
    issuer = double.Issuer(serve, polls=[503, "tokens"])
    sbx.good("login", "--issuer", issuer.url)
    assert issuer.asked[1] - issuer.asked[0] > 1.9


@pytest.mark.parametrize("error,pattern", [
    ("access_denied", "refused"), ("expired_token", "not entered in time"), ("invalid_grant", "refuses the sign-in: invalid_grant"),
])
def test_each_end(sbx, serve, error, pattern):
    issuer = double.Issuer(serve, polls=[error])
    sbx.fails(pattern, "login", "--issuer", issuer.url)
    assert sbx.document() == []


def test_es256(sbx, serve):
    issuer = double.Issuer(serve)
    issuer.signing = {"alg": "ES256", "kid": "ec"}
    sbx.good("login", "--issuer", issuer.url)
    assert sbx.listed()[0]["user"] == "alice"


@pytest.mark.parametrize("signing,claims,pattern", [
    ({"key": double.OTHER}, {}, "signature is not the issuer's"),
    ({"alg": "none"}, {}, "algorithm is 'none'"),
    ({"alg": "HS256"}, {}, "algorithm is 'HS256'"),
    ({"kid": "other"}, {}, "a key that the issuer does not publish"),
    ({"kid": "enc"}, {}, "a key that the issuer does not publish"),
    ({"crit": ["x"], "x": 1}, {}, "critical"),
    ({}, {"iss": "https://other.test"}, "of another issuer"),
    ({}, {"aud": "another"}, "another client"),
    ({}, {"aud": ["sbx", "another"]}, "another client"),
    ({}, {"exp": 1700000000}, "has expired"),
    ({}, {"iat": 4000000000}, "of the future"),
    ({}, {"sub": "\x1b[2J"}, "no valid subject"),
])
def test_an_id_token_that_is_not_good(sbx, serve, signing, claims, pattern):
    issuer = double.Issuer(serve, **claims)
    issuer.signing = signing
    sbx.fails(pattern, "login", "--issuer", issuer.url)
    assert sbx.document() == []


def bad_discovery(**members):
    return lambda i: i.discovery.update(members)


def bad_device(**members):
    return lambda i: i.device.update(members)


def special(path, *answer):
    return lambda i: i.special.update({path: answer})


WELL_KNOWN = "/.well-known/openid-configuration"


@pytest.mark.parametrize("spoil,pattern", [
    (bad_discovery(issuer="https://other.test"), "calls itself 'https://other.test'"),
    (bad_discovery(device_authorization_endpoint=None), "no sign-in for devices"),
    (bad_discovery(token_endpoint="http://localhost/token"), 'no valid "token_endpoint"'),
    (bad_discovery(jwks_uri="file:///etc/passwd"), 'no valid "jwks_uri"'),
    (special(WELL_KNOWN, 302, {"Location": "https://other.test/"}, ""), "redirects are not followed"),
    (special(WELL_KNOWN, 200, {}, "x" * 300000), "more than 256 KiB"),
    (special(WELL_KNOWN, 200, {}, "<html>"), "not a JSON object"),
    (special(WELL_KNOWN, 404, {}, ""), "status 404"),
    (special("/jwks", 500, {}, ""), "status 500"),
    (special("/jwks", 200, {}, '{"keys":1}'), "set of keys"),
    (special("/token", 200, {}, '{"access_token":"a"}'), 'no valid "token_type"'),
    (bad_device(user_code="\x1b]0;x\x07"), 'no valid "user_code"'),
    (bad_device(verification_uri="javascript:x"), 'no valid "verification_uri"'),
    (bad_device(expires_in=0), 'no valid "expires_in"'),
    (bad_device(expires_in=1), "not entered in time"),
    (lambda i: i.tokens.update(id_token=None), "gives no ID token"),
    (lambda i: i.tokens.update(access_token="a b"), 'no valid "access_token"'),
])
def test_an_issuer_that_is_not_one(sbx, serve, spoil, pattern):
    issuer = double.Issuer(serve)
    spoil(issuer)
    status, out, err = sbx.run("login", "--issuer", issuer.url)
    sbx.is_failure(pattern, status, out, err)
    assert "\x1b" not in err and sbx.document() == []


def test_a_token_is_not_renewed_for_somebody_else(sbx, serve):
    registry = serve(lambda *_: (200, {}, "{}"))
    issuer = double.Issuer(serve)
    issuer.tokens = {"expires_in": 1}
    sbx.good("login", "--issuer", issuer.url, "--registry", registry.host)
    issuer.claims["sub"] = "mallory"
    sbx.fails("somebody else's", "login", "--check", registry.host)
    assert [d["login"]["user"] for d in sbx.document()] == ["alice"]
    issuer.polls = ["invalid_grant"]
    sbx.fails("refuses new tokens: invalid_grant", "login", "--check", registry.host)
    issuer.server.close()
    status, out, err = sbx.run("logout", "--all")
    assert status == 0 and "The token was not revoked: localhost cannot be reached" in err and sbx.document() == []


def test_the_hosts_own_proxy(sbx, serve):
    import http.server
    import socket
    asked = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self):
            asked.append(self.path)
            host, port = self.path.split(":")
            far = socket.create_connection((host, int(port)))
            self.send_response(200)
            self.send_header("WWW-Authenticate", "Basic realm=\"the proxy's own\"")
            self.end_headers()
            threading.Thread(target=pump, args=(far, self.connection), daemon=True).start()
            pump(self.connection, far)

        def log_message(self, *_):
            pass

    def pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        b.close()

    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    proxy.daemon_threads = True
    threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
    url = f"http://127.0.0.1:{proxy.server_port}"
    issuer = double.Issuer(serve)
    try:
        sbx.good("login", "--issuer", issuer.url, HTTPS_PROXY=url)
        assert set(asked) == {issuer.server.host}
        asked.clear()
        sbx.good("login", "--issuer", issuer.url, HTTPS_PROXY=url, NO_PROXY="localhost")
        assert asked == []
        # The settings come before the environment.
        (sbx.place / "CONFIG_HOME" / "sbx" / "settings.json").write_text(
            '{"network.extraCaFile":"%s","network.httpsProxy":"%s"}' % (issuer_ca(sbx), url))
        sbx.good("login", "--issuer", issuer.url, HTTPS_PROXY="http://127.0.0.1:1")
        assert set(asked) == {issuer.server.host}
    finally:
        proxy.shutdown()
        proxy.server_close()


def issuer_ca(sbx):
    import json
    return json.loads((sbx.place / "CONFIG_HOME" / "sbx" / "settings.json").read_text())["network.extraCaFile"]


@pytest.mark.parametrize("args,pattern", [
    (["--issuer", "http://localhost:1"], "no https URL"),
    (["--issuer", "https://user@localhost"], "no https URL"),
    (["--issuer", "https://localhost/?x"], "no query"),
    (["--issuer", "https://localhost", "x.test"], "--issuer goes with"),
    (["--client-id", "x"], "need --issuer"),
    (["x.test"], "--username USER --password-stdin REGISTRY"),
    (["--username", "a:b", "--password-stdin", "x.test"], "colon"),
    (["--username", "a", "--password-stdin", "x.test/y"], "the registry 'x.test/y'"),
])
def test_usage(sbx, args, pattern):
    sbx.fails(pattern, "login", *args)
