# SPDX-License-Identifier: Apache-2.0
"""Names and how they match (A): one spelling after the first reader, or none."""
import pytest

from checks import assert_blocked, by_absolute, by_connect, by_door
from door import read_response
from proxyrun import allow, deny
from testrange import OK4
from ways import ALL, EVERY, FORWARD, PLAIN, TLS_CONNECT, TLS_PLAIN, connect

RULES = [allow("ok.test:80"), allow("ok.test:443"), allow("*.wild.test:443"), allow("*.wild.test:80"), deny("deny.wild.test"),
         allow("**.deep.test:443"), allow("**.deep.test:80")]


@pytest.fixture
def names(world, proxy):
    proxy.policy(RULES)
    for name in ("a.wild.test", "xn--bcher-kva.wild.test", "a.b.c.deep.test", "-.wild.test", "wild.test", "a.b.wild.test"):
        world.zone[name] = [OK4]
    return proxy


@pytest.mark.parametrize("name", ["OK.TeSt", "ok.test.", "OK.test."])
def test_spellings_are_one_name(world, new_proxy, name):
    """A01, A02: in every later stage."""
    names = new_proxy
    names.policy(RULES)
    stream = connect(names, f"{name}:443")
    conn = names.tls(stream, "ok.test")
    conn.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n")
    assert read_response(conn).status == 200
    assert world.arrivals[0].sni == "ok.test"
    assert by_absolute(names, f"http://{name}/".encode(), name.encode()).status == 200
    assert by_door(names, f"{name}:80", f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()).status == 200
    assert {r.host for r in world.requests()} == {"ok.test"}
    assert {d["host"] for d in names.decisions()} == {"ok.test"}
    assert {n for n, _ in world.queries} == {"ok.test"}


@pytest.mark.parametrize("name", ["deny.wild.test", "DENY.wild.test", "deny.wild.test.", "Deny.Wild.Test."])
@pytest.mark.parametrize("order", [1, -1])
def test_deny_wins_for_every_spelling(world, proxy, name, order):
    """A02, A13"""
    proxy.policy([allow("**.wild.test:443"), deny("deny.wild.test")][::order])
    assert_blocked(world, proxy, by_connect(proxy, f"{name}:443"), "rule")


BAD_HOSTS = {
    "NUL": b"evil.test\0.wild.test", "userinfo": b"u:p@ok.test", "utf-8": "bücher.wild.test".encode(), "dot-3002": "ok。test".encode(),
    "dot-ff0e": "ok．test".encode(), "fullwidth": "ｏｋ.test".encode(), "soft-hyphen": b"ok\xc2\xad.test", "leading-dot": b".wild.test",
    "star": b"*.wild.test", "label-64": b"a" * 64 + b".wild.test", "name-254": b".".join([b"a" * 49] * 5) + b".test",
    "two-dots": b"a..wild.test", "empty": b"", "percent": b"ok%2etest", "backslash": b"ok\\test", "space": b"ok .test",
    "127.1": b"127.1", "hex": b"0x7f.0.0.1", "zone": b"[fe80::1%25eth0]", "zone-raw": b"[fe80::1%eth0]", "lo": b"[::1%lo]",
    "future": b"[v1.fe80]", "v6-bare": b"::1", "bracket": b"[::1", "v4-in-brackets": b"[127.0.0.1]",
}


@pytest.mark.parametrize("name", BAD_HOSTS)
def test_hosts_that_are_none(world, names, name):
    """A04, A06, A07, A10, B16: 400, whatever asks for them."""
    host = BAD_HOSTS[name]
    for ask in (lambda: raw_connect(names, host + b":443"), lambda: by_absolute(names, b"http://" + host + b"/", host),
                lambda: by_door(names, "ok.test:80", b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")):
        answer = ask()
        assert answer.status == 400, answer
    assert world.arrivals == [] and world.queries == []
    assert {d["verdict"] for d in names.decisions()} == {"deny"}


def raw_connect(proxy, authority):
    stream = proxy.door.forward()
    stream.send(b"CONNECT " + authority + b" HTTP/1.1\r\nHost: " + authority + b"\r\n\r\n")
    return read_response(stream, "CONNECT")


@pytest.mark.parametrize("name", BAD_HOSTS)
def test_authorities_of_the_door_that_are_none(world, names, name):
    host = BAD_HOSTS[name].decode("latin-1")
    if "\0" in host or " " in host or not host.isascii():
        pytest.skip("nghttp2 refuses the byte before the proxy sees it")
    stream = names.door.open(f"{host}:80")
    assert stream.outcome() == (b"", "reset")
    assert world.arrivals == [] and world.queries == []
    assert names.tls(connect(names, "ok.test:443"), "ok.test")  # the door lives on


@pytest.mark.parametrize("target", [b"http://ok.test@evil.test/", b"http://evil.test@ok.test/", b"http://ok.test:80@evil.test/",
                                    b"http://ok.test\\@evil.test/", b"http://ok.test#@evil.test/", b"http://evil.test?@ok.test/",
                                    b"http://evil.test;@ok.test/"])
def test_userinfo_in_targets(world, names, target):
    """A06"""
    answer = by_absolute(names, target)
    assert answer.status in (400, 403), answer
    assert world.arrivals == [] and world.queries == []


@pytest.mark.parametrize("authority", ["ok.test", "ok.test:", "ok.test:443:80", "ok.test:+443", "ok.test: 443", "ok.test:0443", "ok.test:65979",
                                       "ok.test:-1", "ok.test:https", "ok.test:0", "ok.test:4 43", "ok.test:443 "])
def test_ports_that_are_none(world, names, authority):
    """A12"""
    assert raw_connect(names, authority.encode()).status == 400
    assert world.arrivals == [] and world.queries == []


@pytest.mark.parametrize("way", EVERY, ids=str)
def test_another_port_is_another_destination(world, names, way):
    answer = way.ask(names, "GET", "/", port=8443 if way.tls else 8080)
    assert_blocked(world, names, answer, "port")


@pytest.mark.parametrize("way", ALL, ids=str)
@pytest.mark.parametrize("name", ["a.wild.test", "-.wild.test", "xn--bcher-kva.wild.test", "a.b.c.deep.test"])
def test_wildcards_pass(world, names, name, way):
    """A09, A07"""
    assert way.ask(names, host=name).status == 200
    assert [r.host for r in world.requests()] == [name]


@pytest.mark.parametrize("way", EVERY, ids=str)
@pytest.mark.parametrize("name", ["wild.test", "a.b.wild.test", "deep.test", "evil.test", "xok.test", "ok.test.evil.test", "a.ok.test"])
def test_wildcards_block(world, names, name, way):
    assert_blocked(world, names, way.ask(names, host=name), ("no_rule", "rule"))


@pytest.mark.parametrize("way", EVERY, ids=str)
@pytest.mark.parametrize("state", ["none", "empty", "broken"])
def test_without_a_policy_nothing_passes(world, new_proxy, state, way):
    """A16"""
    proxy = new_proxy
    if state == "empty":
        proxy.policy([])
    elif state == "broken":
        proxy.load(b'{"schema": 1, "default": "allow"')
        assert proxy.wait(lambda e: e["event"] == "policy_error")["message"]
    answer = way.ask(proxy)
    assert_blocked(world, proxy, answer)


@pytest.mark.parametrize("content", [b"", b"[]", b'\xef\xbb\xbf{"schema":1}', b'{"schema":1,"schema":1,"generation":1,"default":"allow","tls":"auto","rules":[]}',
                                     b'{"schema":2,"generation":1,"default":"allow","tls":"auto","rules":[]}',
                                     b'{"schema":1,"generation":1,"default":"allow","tls":"auto","rules":[{}]}'])
def test_a_broken_policy_never_replaces_a_good_one(world, proxy, content):
    """P02"""
    proxy.policy([allow("ok.test:443")])
    proxy.load(content)
    assert proxy.wait(lambda e: e["event"] == "policy_error")["message"]
    assert TLS_PLAIN.ask(proxy).status == 200
    assert TLS_PLAIN.ask(proxy, host="evil.test").status == 403
    assert [r.host for r in world.requests()] == ["ok.test"]
