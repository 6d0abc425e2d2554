# SPDX-License-Identifier: Apache-2.0
"""Ordinary programs in a namespace whose only way out is the network door (netguest), and what they can ask the name server there (C)."""
import os
import select
import shutil
import socket
import struct
import subprocess
import time

import dnslib
import pytest

from proxyrun import BUILD, allow, deny
from testrange import OK4, Netns

GATEWAY = "http://gateway.docker.internal:3128"


class Guest:
    def __init__(self, proxy, place):
        self.space, self.place = Netns(), place
        door = proxy.door_socket
        self.process = self.space.popen(BUILD / "tests/netguest", "--kind", "veth", "--fd", str(door.fileno()), pass_fds=(door.fileno(),),
                                        stdout=subprocess.PIPE, text=True)
        for word in ("ready", "open"):
            assert self.process.stdout.readline().strip() == word
        (place / "resolv.conf").write_text("nameserver 198.18.0.1\n")
        (place / "ca.pem").write_text(proxy.ca + proxy.world.ca.pem().decode())

    def run(self, *argv, proxied=False, timeout=20, **env):
        """(exit status, output) of a program."""
        script = f'mount --bind {self.place}/resolv.conf /etc/resolv.conf && exec "$@"'
        ca = str(self.place / "ca.pem")
        env.update(PATH=os.environ["PATH"], HOME=str(self.place), SSL_CERT_FILE=ca, CURL_CA_BUNDLE=ca, NODE_EXTRA_CA_CERTS=ca,
                   GIT_SSL_CAINFO=ca, GIT_TERMINAL_PROMPT="0")
        if proxied:
            env.update(dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), GATEWAY))
        done = self.space.run("unshare", "-m", "sh", "-c", script, "sh", *argv, check=False, env=env, timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout.decode(errors="replace")

    def udp(self, packet, address="198.18.0.1", port=53, timeout=2):
        with self.space.inside():
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with s:
            s.settimeout(timeout)
            try:
                s.connect((address, port))
                s.send(packet)
                return s.recv(4096)
            except (TimeoutError, ConnectionRefusedError, PermissionError):
                return None

    def ask(self, name, kind="A"):
        return dnslib.DNSRecord.parse(self.udp(dnslib.DNSRecord.question(name, kind).pack()))

    def stop(self):
        self.process.terminate()
        self.process.wait(5)
        self.process.stdout.close()


@pytest.fixture
def guest(new_proxy, tmp_path):
    if not (BUILD / "tests/netguest").exists():
        pytest.fail("build/tests/netguest is not built")
    guest = Guest(new_proxy, tmp_path)
    guest.proxy = new_proxy
    yield guest
    guest.stop()


RULES = [allow("ok.test"), allow("*.wild.test:443")]


@pytest.mark.parametrize("mode", ["auto", "intercept"])
@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize("url", ["http://ok.test/x", "https://ok.test/x"])
def test_curl(world, guest, url, proxied, mode):
    guest.proxy.policy(RULES, tls=mode)
    code, out = guest.run("curl", "-sS", "-w", "%{http_code}", url, proxied=proxied)
    assert (code, out) == (0, "ok\n200")
    assert [(r.target, r.host) for r in world.requests()] == [("/x", "ok.test")]
    record = guest.proxy.record(event="decision", verdict="allow")
    assert record["entry"] == ("forward" if proxied else "transparent") and record["host"] == "ok.test"


@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize("url", ["http://evil.test/x", "https://evil.test/x"])
def test_curl_is_told_why(world, guest, url, proxied):
    guest.proxy.policy(RULES)
    code, out = guest.run("curl", "-sS", url, proxied=proxied)
    assert "evil.test" in out and "olicy" in out and code == 0, out
    assert world.arrivals == [] and world.queries == []


PYTHON = "import urllib.request as u, sys; print(u.urlopen(sys.argv[1], timeout=10).read())"
NODE = "fetch(process.argv[1]).then(r => r.text()).then(t => console.log(JSON.stringify(t)))"


@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize("url", ["http://ok.test/py", "https://ok.test/py"])
def test_python(world, guest, url, proxied):
    """Its CONNECT is HTTP/1.0 and has no Host."""
    guest.proxy.policy(RULES, tls="intercept")
    assert guest.run("/usr/bin/python3", "-c", PYTHON, url, proxied=proxied) == (0, "b'ok\\n'\n")
    assert [r.target for r in world.requests()] == ["/py"]


@pytest.mark.parametrize("url", ["http://ok.test/js", "https://ok.test/js"])
def test_node(world, guest, url):
    if not shutil.which("node"):
        pytest.skip("there is no node on this machine")
    guest.proxy.policy(RULES, tls="intercept")
    assert guest.run("node", "-e", NODE, url) == (0, '"ok\\n"\n')
    assert [r.target for r in world.requests()] == ["/js"]


@pytest.mark.parametrize("proxied", [False, True])
def test_an_upload_with_expect(world, guest, proxied):
    """curl waits for 100 before it sends a large body."""
    guest.proxy.policy(RULES, tls="intercept")
    (guest.place / "data").write_bytes(bytes(3 << 20))
    code, out = guest.run("curl", "-sS", "-H", "Expect: 100-continue", "--data-binary", f"@{guest.place}/data", "https://ok.test/up", proxied=proxied)
    assert (code, out) == (0, "ok\n")
    assert len(world.requests()[0].body) == 3 << 20


def test_http2_of_curl(world, guest):
    guest.proxy.policy(RULES, tls="intercept")
    code, out = guest.run("curl", "-sS", "--http2", "-w", "%{http_version}", "https://ok.test/h2")
    assert (code, out) == (0, "ok\n2")


def test_a_name_without_rule_is_looked_up_by_nobody(world, guest):
    """C01: the answer is made up in the guest."""
    guest.proxy.policy(RULES)
    for name in ("evil.test", "data.evil.test", "dns.google"):
        reply = guest.ask(name)
        assert all(str(rr.rdata).startswith("198.1") for rr in reply.rr)
    assert world.queries == [] and guest.proxy.records() == []


def test_a_thousand_names_leave_nothing(world, guest):
    """C03: a name that carries data reaches no name server before something is really connected to."""
    guest.proxy.policy(RULES)
    answers = {}
    for i in range(1000):
        name = f"{i:08x}.wild.test"
        answers[name] = str(guest.ask(name).rr[0].rdata)
    assert len(set(answers.values())) == 1000
    assert str(guest.ask("00000007.wild.test").rr[0].rdata) == answers["00000007.wild.test"]
    assert world.queries == []
    world.zone["00000007.wild.test"] = [OK4]
    assert guest.run("curl", "-sS", "https://00000007.wild.test/")[0] == 0
    assert {n for n, _ in world.queries} == {"00000007.wild.test"} and len(world.queries) <= 2


@pytest.mark.parametrize("kind", ["AAAA", "TXT", "MX", "SRV", "NS", "SOA", "CAA", "CNAME", "NULL", "ANY"])
def test_other_types(world, guest, kind):
    """C07, C08: no data, at once."""
    guest.proxy.policy(RULES)
    begin = time.monotonic()
    packet = dnslib.DNSRecord.question("ok.test", "A").pack()
    number = {"NULL": 10, "ANY": 255}.get(kind) or dnslib.QTYPE.reverse[kind]
    reply = dnslib.DNSRecord.parse(guest.udp(packet[:-4] + struct.pack(">HH", number, 1)))
    assert reply.header.rcode in (0, 4, 5) and reply.rr == []
    assert time.monotonic() - begin < 0.5 and world.queries == []


@pytest.mark.parametrize("number", [64, 65])
def test_service_bindings(world, guest, number):
    """C07: no ECH keys, no hint of HTTP/3."""
    packet = dnslib.DNSRecord.question("ok.test", "A").pack()
    reply = dnslib.DNSRecord.parse(guest.udp(packet[:-4] + struct.pack(">HH", number, 1)))
    assert (reply.header.rcode, reply.rr) == (0, [])


@pytest.mark.parametrize("name", ["ok", "wpad", "localhost2"])
def test_single_labels(world, guest, name):
    """C11"""
    assert guest.ask(name).header.rcode == 3 and world.queries == []


HEAD = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0)
BAD_QUERIES = {
    "random": bytes((i * 89 + 7) & 255 for i in range(400)), "answer": struct.pack(">HHHHHH", 7, 0x8180, 1, 0, 0, 0) + b"\2ok\4test\0\0\1\0\1",
    "no-question": struct.pack(">HHHHHH", 7, 0x100, 0, 0, 0, 0), "two": struct.pack(">HHHHHH", 7, 0x100, 2, 0, 0, 0) + b"\2ok\4test\0\0\1\0\1" * 2,
    "65535": struct.pack(">HHHHHH", 7, 0x100, 65535, 0, 0, 0) + b"\2ok\4test\0\0\1\0\1", "loop": HEAD + b"\xc0\x0c\0\1\0\1",
    "cut-pointer": HEAD + b"\2ok\xc0", "opcode-5": struct.pack(">HHHHHH", 7, 0x2900, 1, 0, 0, 0) + b"\2ok\4test\0\0\6\0\1", "empty": b"",
    "short": b"\0\1", "long-label": HEAD + b"\x7f" + b"a" * 127 + b"\0\0\1\0\1",
}


@pytest.mark.parametrize("name", sorted(BAD_QUERIES))
def test_queries_that_are_none(world, guest, name):
    """C05: an error or nothing; the server lives on."""
    answer = guest.udp(BAD_QUERIES[name], timeout=0.3)
    if answer:
        assert answer[3] & 15 in (1, 4, 5) and answer[6:8] == b"\0\0", answer
    assert len(guest.ask("ok.test").rr) == 1 and world.queries == []


def test_a_tcp_query_that_ends_too_soon(world, guest):
    """C05"""
    with guest.space.inside():
        s = socket.create_connection(("198.18.0.1", 53), 3)
    with s:
        s.sendall(b"\xff\xff\0\0")
        select.select([s], [], [], 0.2)
    assert len(guest.ask("ok.test").rr) == 1


@pytest.mark.parametrize("port", [443, 123, 4433, 51820])
def test_udp_is_refused_at_once(world, guest, port):
    """K01: so that QUIC falls back."""
    begin = time.monotonic()
    assert guest.udp(b"x" * 1200, OK4, port) is None
    assert time.monotonic() - begin < 1
    code, out = guest.run("ping", "-c", "1", "-W", "1", OK4) if shutil.which("ping") else (1, "")
    assert code != 0 and world.arrivals == []


def test_without_proxy_variables_nothing_changes(world, guest):
    """D10: NO_PROXY=* is no way past."""
    guest.proxy.policy([allow("ok.test", methods=["GET"]), deny("ok.test", path="/secret")])
    for environment in ({}, {"NO_PROXY": "*", "no_proxy": "*"}):
        code, out = guest.run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} ", "-X", "POST", "https://ok.test/", "-o", "/dev/null", "http://ok.test/",
                              proxied=bool(environment), **environment)
        assert out == "403 403 ", out
    assert world.requests() == []


def test_ipv6_fails_at_once(world, guest):
    """C08"""
    begin = time.monotonic()
    assert guest.run("curl", "-6", "-sS", "https://ok.test/")[0] != 0
    assert guest.run("curl", "-sS", "http://[2606:2800:220:1::10]/")[0] != 0
    assert time.monotonic() - begin < 3 and world.arrivals == []
