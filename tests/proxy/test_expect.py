# SPDX-License-Identifier: Apache-2.0
"""A rule for raw TCP that expects SSH (K04): nothing of either side reaches the other before it has said what SSH says first."""
import contextlib

import pytest

from door import Reset
from proxyrun import allow, rule
from testrange import OK4
from ways import Refused, connect

SSH = [allow("tcp ssh.test:22", expect="ssh")]
HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(194)


@pytest.fixture(params=["auto", "intercept"])
def ssh(world, proxy, request):
    """Where TLS is always terminated, first bytes are looked at before anybody is dialled."""
    proxy.policy(SSH, tls=request.param)
    return proxy


def by_stream(proxy):
    return proxy.door.open("ssh.test:22")


def by_connect(proxy):
    return connect(proxy, "ssh.test:22")


WAYS = pytest.mark.parametrize("open_it", [by_stream, by_connect])


def outcome(stream):
    try:
        return stream.outcome(8)
    except Reset:
        return b"", "reset"


def until(stream, wanted):
    """What comes, as soon as it is all that is wanted."""
    got = b""
    while len(got) < len(wanted):
        got += stream.recv()
    assert got == wanted


@WAYS
def test_ssh_passes(world, ssh, open_it):
    stream = open_it(ssh)
    stream.send(b"SSH-2.0-Test_1.0 comment\r\n\0\0\1\x2crest")
    until(stream, b"SSH-2.0-range\r\nSSH-2.0-Test_1.0 comment\r\n\0\0\1\x2crest")
    stream.end()
    assert stream.rest() == b""
    record = ssh.record(event="decision", verdict="allow")
    assert (record["reason"], record["rule"], record["protocol"]) == ("rule", "r0", "tcp")
    assert ssh.record(event="end")["error"] is None


@WAYS
def test_in_pieces_and_the_server_first(world, ssh, open_it):
    """Who waits for the server's words gets them; ours go on only once they are whole."""
    stream = open_it(ssh)
    assert stream.recv() == b"SSH-2.0-range\r\n"
    for piece in (b"S", b"SH-2.", b"0-x", b"\r"):
        stream.send(piece)
    arrival = world.wait(lambda: world.arrivals)[0]
    assert arrival.data == b""
    stream.send(b"\n")
    assert stream.recv() == b"SSH-2.0-x\r\n"


OTHERS = {"http": b"GET / HTTP/1.1\r\nHost: ssh.test:22\r\nConnection: close\r\n\r\n", "post": b"POST /x HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 3\r\n\r\nabc", "tls": HELLO,
          "old": b"SSH-1.5-x\r\n", "line": b"hello\r\nSSH-2.0-x\r\n", "nul": b"SSH-2.0-x\0\r\n", "long": b"SSH-2.0-" + b"x" * 300 + b"\r\n", "zeros": bytes(100)}


@WAYS
@pytest.mark.parametrize("name", OTHERS)
def test_other_bytes_reach_nobody(world, ssh, name, open_it):
    try:
        stream = open_it(ssh)
        stream.send(OTHERS[name])
        got, how = outcome(stream)
    except (Reset, Refused):
        got, how = b"", "reset"
    assert how in ("end", "reset") and b"200 OK" not in got
    # A server may have been dialled, for it may be the one that speaks first; it hears nothing.
    world.wait(lambda: all(a.over for a in world.arrivals))
    assert all(a.data == b"" for a in world.arrivals)
    record = ssh.records(event="end") or ssh.decisions(verdict="deny")
    assert record and (record[0].get("error") in ("not_ssh", "client_closed") or record[0].get("reason") in ("expect", "not_tls", "client_tls", "bad_request", "host_mismatch")), record


@pytest.mark.parametrize("banner", [b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"x" * 9000, b"SSH-1.5-old\r\n", b"220 mail\0\r\n", b"SSH-2.0-\r\n"])
def test_a_server_that_is_none(world, ssh, banner):
    world.banner[22] = banner
    stream = by_stream(ssh)
    with contextlib.suppress(Reset):  # the server may have been quicker
        stream.send(b"SSH-2.0-x\r\n")
    got, how = outcome(stream)
    assert (got, how) == (b"", "reset")
    assert ssh.record(event="end")["error"] == "not_ssh"


def test_lines_before_the_banner(world, ssh):
    world.banner[22] = b"Welcome to\r\nthe range\r\nSSH-1.99-range\r\n"
    stream = by_stream(ssh)
    stream.send(b"SSH-2.0-x\r\n")
    until(stream, world.banner[22] + b"SSH-2.0-x\r\n")


def test_an_address_and_a_port_of_the_host(world, proxy):
    proxy.policy([allow(f"{OK4}:22", expect="ssh")])
    stream = proxy.door.open(f"{OK4}:22")
    stream.send(b"GET / HTTP/1.1\r\n\r\n")
    assert outcome(stream)[1] == "reset"
    assert all(a.data == b"" for a in world.arrivals)


def test_what_lives_is_cut_when_it_was_never_looked_at(world, proxy):
    """A connection that began under a rule without expectation may be anything."""
    proxy.policy([allow("tcp ssh.test:22")])
    plain = by_stream(proxy)
    assert plain.recv() == b"SSH-2.0-range\r\n"
    plain.send(b"anything")
    assert plain.recv() == b"anything"
    proxy.policy(SSH)
    assert outcome(plain)[1] == "reset"
    assert proxy.record(event="end")["error"] == "policy_changed"
    looked_at = by_stream(proxy)
    looked_at.send(b"SSH-2.0-x\r\n")
    until(looked_at, b"SSH-2.0-range\r\nSSH-2.0-x\r\n")
    proxy.policy(SSH + [allow("cdn.test")])
    looked_at.send(b"some")
    until(looked_at, b"some")
    proxy.policy([allow("tcp ssh.test:22")])
    looked_at.send(b"more")
    until(looked_at, b"more")


def test_asking(world, proxy):
    proxy.policy([rule("ask", "tcp ssh.test:22", expect="ssh")])
    stream = by_stream(proxy)
    ask = proxy.wait(lambda e: e["event"] == "ask")
    proxy.tell({"op": "answer", "ask": ask["ask"], "allow": True})
    stream.send(b"GET / HTTP/1.1\r\n\r\n")
    assert outcome(stream)[1] == "reset"
    assert all(a.data == b"" for a in world.arrivals)
