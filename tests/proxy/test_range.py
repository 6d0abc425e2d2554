# SPDX-License-Identifier: Apache-2.0
"""The range itself: what the tests take for granted about it."""
import socket

import pytest

from testrange import DNS4, EVIL4, GUA6, LAN4, META4, NEIGHBOUR4, OK4, OK6


def ask(world, sock):
    sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    data = b""
    while True:
        got = sock.recv(65536)
        if not got:
            return data
        data += got


@pytest.mark.parametrize("address", [OK4, OK6, EVIL4])
def test_world_is_reached_from_host(world, address):
    assert b"200 OK" in ask(world, world.host.connect(address, 80))
    assert [a.address for a in world.arrivals] == [address]
    assert world.requests()[0].line == "GET / HTTP/1.1"


@pytest.mark.parametrize("address,port", [("127.0.0.1", 8001), ("::1", 8001), (LAN4, 8001), (GUA6, 8001), (META4, 80),
                                          (NEIGHBOUR4, 80)])
def test_canaries_sing(world, address, port):
    ask(world, world.host.connect(address, port))
    assert len(world.canaries) == 1


def test_name_server_records(world):
    import dnslib
    with world.host.inside():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(3)
    s.sendto(dnslib.DNSRecord.question("ok.test").pack(), (DNS4, 53))
    assert str(dnslib.DNSRecord.parse(s.recv(4096)).rr[0].rdata) == OK4
    assert world.queries == [("ok.test", "A")]
