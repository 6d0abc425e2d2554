# SPDX-License-Identifier: Apache-2.0
"""The rest of H and I: what test_secrets, test_oauth and test_http1 do not have. Which case is where:

    H01 H02 H04 H05 H07 H08 H10 H11 H12 H15 H16  test_secrets        H14  tests/unit/test_h2head.c (never indexed)
    H17 H18 H21 H23                              here                H19  test_oauth
    H20                                          tests/cli/secret.bats: a value from a command is read once, when it is set
    I01 I03 I05 I07                              test_secrets        I04  here: docs/secrets.md says that it is not found
    I08                                          tests/login: realms I09 I10 I11 I12  here, and test_http1
"""
import gzip
import pathlib

import pytest

import test_upgrade
from proxyrun import allow
from test_secrets import PH, REAL, admin, arrived  # noqa: F401
from ways import H2_PLAIN, TLS_PLAIN

HERE = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.odd_log  # a GET that was replayed stands in it once
@pytest.mark.parametrize("method, most", [("POST", 1), ("GET", 2)])
def test_a_server_that_goes_without_an_answer(world, proxy, admin, method, most):
    """H17: what may do harm twice is not sent twice, and no credential goes out by a decision that was none"""
    admin.set()
    assert TLS_PLAIN.ask(proxy).status == 200
    world.reply["/v1/x"] = lambda sock, request: False
    assert TLS_PLAIN.ask(proxy, method, "/v1/x", body=b"12345" if method == "POST" else b"").status == 502
    assert 1 <= len([r for r in arrived(world) if r.target == "/v1/x"]) <= most
    assert len(proxy.decisions(method=method, path="/v1/x")) <= 1


@pytest.mark.parametrize("path, status", [
    ("/org/repo.git/info/refs?service=git-receive-pack", 200), ("/org/repo.git/git-upload-pack", 200),
    ("/attacker/x.git/info/refs?service=git-receive-pack", 403), ("/org/repo.git/../../attacker/x.git/git-receive-pack", 403),
    ("/org/repo.gitx/git-receive-pack", 403),
], ids=lambda v: None)
def test_git_is_kept_to_its_repository(world, proxy, admin, path, status):
    """H18: by the policy's paths and the secret's"""
    admin.set(fmt="Basic x-access-token:%s", path="/org/repo.git/**")
    proxy.policy([allow("ok.test", path="/org/repo.git/**")])
    response = TLS_PLAIN.ask(proxy, "POST" if path.endswith("pack") and "refs" not in path else "GET", path)
    assert response.status == status
    assert all(r.target.startswith("/org/repo.git/") and len(r.get("authorization")) == 1 for r in arrived(world))
    assert bool(arrived(world)) == (status == 200)


def test_a_websocket_brings_no_placeholder(world, proxy, admin):
    """H21"""
    admin.set()
    world.reply["/ws"] = test_upgrade.origin
    conn = test_upgrade.handshake(proxy, TLS_PLAIN, test_upgrade.FIELDS + [f"Authorization: Bearer {PH}"])
    refused = test_upgrade.read_response(conn)
    assert refused.status == 426 and refused.get("upgrade") == "HTTP/1.1" and "Upgrade" in refused.get("connection")
    conn = test_upgrade.handshake(proxy, TLS_PLAIN, test_upgrade.FIELDS + ["Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.mine"])
    assert test_upgrade.read_response(conn).status == 403
    assert not arrived(world)
    conn = test_upgrade.handshake(proxy, TLS_PLAIN)
    assert conn.recv().startswith(b"HTTP/1.1 101")
    assert not [r for r in arrived(world) if r.get("authorization")]


def test_where_everything_is_allowed_the_secret_stays_bound(world, proxy, admin):
    """H23"""
    admin.set(path="/v1/**")
    proxy.policy([], default="allow")
    for host, path, port in (("evil.test", "/v1/x", None), ("ok.test", "/v2/x", None), ("ok.test", "/v1/x", 8443), ("cdn.test", "/v1/x", None)):
        TLS_PLAIN.ask(proxy, host=host, path=path, port=port)
    assert not [r for r in arrived(world) if r.get("authorization")]
    assert TLS_PLAIN.ask(proxy, path="/v1/x").status == 200
    assert [r.get("authorization") for r in arrived(world) if r.get("authorization")] == [[f"Bearer {REAL}"]]


def test_what_is_not_found_in_an_answer_is_documented():
    """I04: nothing can find every form that a server may give to it"""
    text = (HERE / "docs/secrets.md").read_text()
    assert "Not found: the value reversed, in hexadecimal" in text


@pytest.mark.parametrize("way", [TLS_PLAIN, H2_PLAIN], ids=str)
def test_fields_of_a_server_with_a_credential(world, proxy, admin, way):
    """I09, I10: no way past the proxy; cookies pass, and none is kept"""
    admin.set()
    world.reply["/c"] = (b'HTTP/1.1 200 OK\r\nAlt-Svc: h3=":443"\r\nSet-Cookie: session=1; Secure\r\nStrict-Transport-Security: max-age=9\r\n'
                         b"Content-Length: 2\r\n\r\nok")
    response = way.ask(proxy, path="/c")
    assert response.get("alt-svc") is None and response.get("set-cookie") == "session=1; Secure"
    assert way.ask(proxy, path="/c").status == 200
    assert all(r.get("cookie") == [] for r in arrived(world))


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_refusal_tells_nothing(world, proxy, admin, method):
    """I11: a reason, and neither a secret nor an address; what the guest sent is escaped"""
    admin.set()
    response = TLS_PLAIN.ask(proxy, method, "/v1/<b>?t=x", fields=("Authorization: Bearer ATTACKER",), body=b"x" if method == "POST" else b"")
    assert response.status == 403
    assert len(response.body) == (0 if method == "HEAD" else int(response.get("content-length")))
    text = response.head + response.body
    assert REAL.encode() not in text and b"93.184." not in text and b"<b>" not in text
    assert method == "HEAD" or b"reason: foreign_credential" in response.body


def test_a_compressed_answer_is_not_unpacked(world, proxy, admin):
    """I12: it cannot be searched; refused before its size matters"""
    admin.set()
    body = gzip.compress(bytes(10 << 20))
    world.reply["/bomb"] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    before = proxy.memory_kib()
    assert TLS_PLAIN.ask(proxy, path="/bomb").status == 502
    assert proxy.memory_kib() - before < 4096
