# SPDX-License-Identifier: Apache-2.0
"""Addresses (B): what is not on the internet is not dialled, whatever spelling, name or answer leads there; and what is dialled is
what was checked."""
import time

import pytest

from checks import assert_blocked, by_absolute, by_connect, by_door
from proxyrun import allow, deny
from testrange import CLOSED4, DEAD6, EVIL4, GUA6, GUA_NEIGHBOUR6, LAN4, META4, NEIGHBOUR4, OK4, OK6
from ways import ALL, EVERY, PLAIN, TLS_CONNECT, TLS_PLAIN

BALANCED = [allow("ok.test"), allow("*.wild.test")]


def every_way(proxy, host, port):
    """To host by each way in; answers."""
    http = f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    return [by_connect(proxy, f"{host}:{port}", tls=False, speak=http),
            by_absolute(proxy, f"http://{host}:{port}/".encode(), f"{host}:{port}".encode()),
            by_door(proxy, f"{host}:{port}", http)]


def assert_none_passes(world, proxy, answers):
    for answer in answers:
        assert answer in ("reset", "end") or answer.status in (400, 403, 502), answer
    assert world.arrivals == [], world.arrivals
    assert [d for d in proxy.decisions() if d["verdict"] != "deny"] == []


@pytest.mark.parametrize("way", EVERY, ids=str)
def test_raw_addresses_where_names_are_allowed(world, proxy, way):
    """B01"""
    proxy.policy(BALANCED)
    assert_blocked(world, proxy, way.ask(proxy, host=EVIL4), "raw_ip")


def test_raw_address_with_an_allowed_name_in_sni(world, proxy):
    """B01: the name in the ClientHello opens nothing."""
    proxy.policy(BALANCED)
    answer = by_connect(proxy, f"{EVIL4}:443", name="ok.test")
    assert_blocked(world, proxy, answer, "raw_ip")


NOT_CANONICAL = ["127.1", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "017700000001", "127.0.0.1.", "0", "00000000", "127.0.1",
                 "127.0.0.01", "1.2.3.4.5", "256.0.0.1"]
LOOPBACK = ["127.0.0.1", "0.0.0.0", "127.255.255.254", "localhost", "localhost.", "LOCALHOST", "a.localhost", "ip6-localhost", "[::1]", "[::]",
            "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:7f00:1]"]


@pytest.mark.parametrize("host", NOT_CANONICAL + LOOPBACK)
def test_loopback_in_open_mode(world, proxy, host):
    """B02"""
    proxy.policy([], default="allow")
    answers = every_way(proxy, host, 8001)
    assert_none_passes(world, proxy, answers)
    if host in NOT_CANONICAL:
        assert [a.status for a in answers[:2]] == [400, 400] and answers[2] == "reset"
    assert world.queries == []


V4 = ["0.1.2.3", "10.0.0.5", "100.64.0.1", "100.100.100.200", "127.0.0.53", META4, "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.1",
      "192.0.2.1", LAN4, NEIGHBOUR4, "192.168.0.1", "198.18.0.1", "198.19.255.254", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1",
      "255.255.255.255", "168.63.129.16"]
V6 = ["::", "::1", "::7f00:1", "::ffff:10.0.0.1", f"::ffff:{META4}", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1",
      "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "2002:7f00:1::1", "2002:a9fe:a9fe::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254",
      "fe80::1", "fec0::1", "ff02::1", "ff05::1:3", GUA6, GUA_NEIGHBOUR6]


@pytest.mark.parametrize("address", V4 + V6)
def test_addresses_in_open_mode(world, proxy, address):
    """B03, B04, B09, B10: also the host's own addresses and its neighbours on the link."""
    proxy.policy([], default="allow")
    host = f"[{address}]" if ":" in address else address
    answers = every_way(proxy, host, 80)
    assert_none_passes(world, proxy, answers)
    assert {d["reason"] for d in proxy.decisions()} <= {"address", "self"}


@pytest.mark.parametrize("address", [OK6, OK4])
def test_public_addresses_in_open_mode(world, proxy, address):
    proxy.policy([], default="allow")
    host = f"[{address}]" if ":" in address else address
    assert PLAIN.ask(proxy, host=host).status == 200
    assert world.arrivals[0].address == address and world.queries == []


@pytest.mark.parametrize("address", V4 + V6)
def test_addresses_by_name(world, proxy, address):
    """B05: the same after resolving an allowed name."""
    proxy.policy(BALANCED)
    name = f"p{(V4 + V6).index(address)}.wild.test"
    world.zone[name] = [address]
    assert_blocked(world, proxy, TLS_PLAIN.ask(proxy, host=name), ("address", "self"), looked_up=(name,))


MIXED = [["127.0.0.1", OK4], [OK4, "127.0.0.1"], [OK4, "::1"], [LAN4, OK4, "10.0.0.5"]]


@pytest.mark.parametrize("way", ALL, ids=str)
@pytest.mark.parametrize("answers", MIXED)
def test_mixed_answers(world, proxy, answers, way):
    """B07: the private one is never tried."""
    proxy.policy(BALANCED)
    name = f"m{MIXED.index(answers)}.wild.test"
    world.zone[name] = answers
    answer = way.ask(proxy, host=name)
    assert answer in ("reset", "alert", "end") or answer.status in (200, 403, 502)
    assert {a.address for a in world.arrivals} <= {OK4}


@pytest.mark.odd_log
@pytest.mark.parametrize("way", [PLAIN, TLS_CONNECT], ids=str)
def test_no_fallback_to_a_private_address(world, proxy, way):
    """B07: nothing listens at the public one on this port."""
    proxy.policy(BALANCED)
    world.zone["f.wild.test"] = [CLOSED4, "10.0.0.5", "127.0.0.1", GUA_NEIGHBOUR6]
    answer = way.ask(proxy, host="f.wild.test", port=8009)
    assert answer in ("reset", "alert", "end") or answer.status in (403, 502)
    assert world.arrivals == []


def test_alias_to_metadata(world, proxy):
    """B08"""
    proxy.policy(BALANCED)
    world.zone["c.wild.test"] = ["=metadata.google.internal"]
    world.zone["metadata.google.internal"] = [META4]
    answer = TLS_PLAIN.ask(proxy, host="c.wild.test")
    assert_blocked(world, proxy, answer, "address", looked_up=("c.wild.test", "metadata.google.internal"))


@pytest.mark.parametrize("way", [TLS_CONNECT, TLS_PLAIN], ids=str)
def test_alias_to_another_server(world, proxy, way):
    """B08: who an allowed name leads to must still prove to be that name; of the request it hears nothing."""
    proxy.policy(BALANCED, tls="intercept")
    world.zone["other.wild.test"] = ["=evil.test"]
    world.certs["other.wild.test"] = world.ca.leaf(["evil.test"])
    answer = way.ask(proxy, host="other.wild.test", fields=["Authorization: Bearer secret"])
    assert answer.status == 502 and b"upstream_cert" in answer.body
    assert all(a.data == b"" for a in world.arrivals) and {a.address for a in world.arrivals} == {EVIL4}
    assert proxy.record(event="end")["error"] == "upstream_cert"


@pytest.mark.parametrize("host", ["metadata.google.internal", "instance-data", "metadata", "gateway.docker.internal", "kubernetes.docker.internal"])
def test_names_of_the_platform(world, proxy, host):
    """B09, B11"""
    proxy.policy([], default="allow")
    world.zone[host] = [META4]
    answers = every_way(proxy, host, 80)
    assert_none_passes(world, proxy, answers)


def test_the_proxy_through_the_proxy(world, proxy):
    """B11, D09: no recursion."""
    proxy.policy([], default="allow")
    for authority in ("gateway.docker.internal:3128", "198.18.0.1:3128", "198.18.0.1:53"):
        answer = by_connect(proxy, authority, tls=False, speak=b"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\n\r\n")
        assert answer in ("reset", "end") or answer.status in (403, 405), answer
    assert world.arrivals == []
    assert {d["verdict"] for d in proxy.decisions()} == {"deny"}


def test_a_service_of_the_host(world, proxy):
    """B13"""
    proxy.policy([allow("localhost:11434")])
    http = b"GET / HTTP/1.1\r\nHost: host.docker.internal:11434\r\n\r\n"
    assert by_door(proxy, "host.docker.internal:11434", http).status == 200
    assert [(a.address, a.port) for a in world.arrivals] == [("127.0.0.1", 11434)]
    assert world.queries == []


@pytest.mark.parametrize("authority", ["host.docker.internal:11435", "127.0.0.1:11434", "localhost:11434", "gateway.docker.internal:11434",
                                       "[::1]:11434", f"{LAN4}:11434", "host.docker.internal:8001"])
def test_other_services_of_the_host(world, proxy, authority):
    proxy.policy([allow("localhost:11434")])
    answer = by_door(proxy, authority, f"GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    assert_blocked(world, proxy, answer)


def test_a_range_that_a_rule_opens(world, proxy):
    proxy.policy([allow(f"{NEIGHBOUR4}:8080")])
    assert by_door(proxy, f"{NEIGHBOUR4}:8080", f"GET / HTTP/1.1\r\nHost: {NEIGHBOUR4}:8080\r\n\r\n".encode()).status == 200
    world.canaries.clear()
    assert_none = by_door(proxy, f"{NEIGHBOUR4}:80", f"GET / HTTP/1.1\r\nHost: {NEIGHBOUR4}\r\n\r\n".encode())
    assert assert_none in ("reset", "end") or assert_none.status == 403
    assert len(world.arrivals) == 1


@pytest.mark.parametrize("way", EVERY, ids=str)
def test_a_deny_of_a_range_concerns_names(world, proxy, way):
    proxy.policy(BALANCED + [deny("93.184.216.0/28")])
    assert_blocked(world, proxy, way.ask(proxy), "rule", looked_up=("ok.test",))


def test_rebinding(world, new_proxy):
    """The name's second answer is another one: each connection is checked by the answer that it dials."""
    proxy = new_proxy
    proxy.policy(BALANCED)
    given = iter([[OK4]])
    world.zone["rebind.wild.test"] = lambda kind: next(given, ["127.0.0.1"]) if kind == "A" else []
    first = PLAIN.ask(proxy, host="rebind.wild.test")
    assert first.status == 200
    for _ in range(3):
        PLAIN.ask(proxy, host="rebind.wild.test")
    assert {a.address for a in world.arrivals} == {OK4}


@pytest.mark.parametrize("way", [PLAIN, TLS_PLAIN], ids=str)
def test_dual_stack_with_a_dead_first_family(world, proxy, way):
    """B15"""
    proxy.policy(BALANCED)
    world.zone["d.wild.test"] = [DEAD6, OK4]
    begin = time.monotonic()
    assert way.ask(proxy, host="d.wild.test").status == 200
    assert time.monotonic() - begin < 1.5
    assert [a.address for a in world.arrivals] == [OK4]


def test_unresolved_names(world, proxy):
    proxy.policy(BALANCED)
    answer = PLAIN.ask(proxy, host="nosuch.wild.test")
    assert answer.status in (403, 502, 504), answer
    assert b"unresolved" in answer.body or b"nosuch.wild.test" in answer.body
    assert world.arrivals == []


def test_no_name_is_looked_up_for_a_refusal(world, new_proxy):
    """C01, C03: what is not dialled is not resolved, and the host's search list and hosts file do not count."""
    proxy = new_proxy
    proxy.policy(BALANCED)
    for host in ("evil.test", "secret-data.evil.test", "dns.google", "cloudflare-dns.com", "ok", "wpad", "_ldap._tcp.dc._msdcs", "localhost"):
        by_door(proxy, f"{host}:80", f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert world.queries == []
    assert TLS_CONNECT.ask(proxy).status == 200
    assert {n for n, _ in world.queries} == {"ok.test"} and len(world.queries) <= 2
