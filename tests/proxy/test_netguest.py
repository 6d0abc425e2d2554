#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_netguest.py [unittest options]: ordinary clients in a network namespace, the guest's real side of the network door
there (netguest: the same device, rules, name server and connections as in a machine), and a real sbx-proxy behind it.

SBX_NETGUEST and SBX_PROXY name the programs. The device is a veth, which the rules cannot tell from a machine's dummy.
"""
import contextlib
import os
import pathlib
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402
from harness import TOP, WAIT, Namespace, Server, echo  # noqa: E402

NETGUEST = os.environ.get("SBX_NETGUEST", str(TOP / "build/tests/netguest"))
OK4, OTHER4 = "93.184.216.10", "93.184.216.66"


class Inside:
    """A namespace whose only way out is the door, and programs in it."""

    def __init__(self, door):
        self.space = Namespace()
        self.resolv = pathlib.Path(f"/tmp/sbx-resolv.{os.getpid()}")
        self.resolv.write_text("nameserver 198.18.0.1\n")
        self.process = self.space.popen([NETGUEST, "--kind", "veth", "--fd", str(door.fileno())], pass_fds=(door.fileno(),),
                                        stdout=subprocess.PIPE, text=True)
        door.close()
        for word in ("ready", "open"):
            said = self.process.stdout.readline().strip()
            assert said == word, f"netguest said {said!r}, not {word!r}"

    def popen(self, *argv, space=None, **more):
        """Runs a program inside, with the name server in its /etc/resolv.conf."""
        script = f'mount --bind {self.resolv} /etc/resolv.conf && exec "$@"'
        return (space or self.space).popen(["unshare", "-m", "sh", "-c", script, "sh", *argv], stdout=subprocess.PIPE,
                                           stderr=subprocess.STDOUT, text=True, **more)

    def run(self, *argv, space=None):
        """(exit status, output)."""
        process = self.popen(*argv, space=space)
        out, _ = process.communicate(timeout=60)
        return process.returncode, out

    def connect(self, address, port):
        return self.space.run(socket.create_connection, (address, port), WAIT)

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
        self.resolv.unlink(missing_ok=True)
        self.space.close()


def page(connection):
    """One HTTP request, one page."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(65536)
    host = [line for line in head.split(b"\r\n") if line.lower().startswith(b"host:")][0]
    body = b"hello " + host.split(b": ")[1]
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


class Clients(unittest.TestCase):
    def setUp(self):
        self.net = harness.Range()
        self.addCleanup(self.net.close)
        self.net.names["ok.test"] = [OK4]
        self.proxy = harness.Proxy(self.net, ["ok.test:80", "tcp ok.test:9000", f"tcp {OTHER4}:9000"], guest=Inside)
        self.addCleanup(self.proxy.close)
        self.inside = self.proxy.guest

    def serve(self, address, port, handler):
        s = Server(self.net.world.listen(address, port), handler)
        self.addCleanup(s.close)
        return s

    def test_curl_transparently_and_by_the_forward_proxy(self):
        self.serve(OK4, 80, page)
        self.assertEqual(self.inside.run("curl", "-s", "--noproxy", "*", "http://ok.test/"), (0, "hello ok.test"))
        self.assertEqual(self.inside.run("curl", "-s", "-x", "http://gateway.docker.internal:3128", "http://ok.test/"),
                         (0, "hello ok.test"))
        entries = sorted(r["entry"] for r in self.proxy.records("decision", verdict="allow"))
        self.assertEqual(entries, ["forward", "transparent"])
        code, out = self.inside.run("curl", "-s", "--noproxy", "*", "http://no.test/")
        self.assertEqual(code, 0)
        self.assertIn("no.test:80", out)
        self.assertEqual(self.proxy.records("decision", host="no.test")[0]["verdict"], "deny")

    def test_a_name_and_an_address_keep_their_meaning(self):
        self.serve(OK4, 9000, echo)
        self.serve(OTHER4, 9000, echo)
        code, out = self.inside.run("getent", "ahostsv4", "ok.test")
        self.assertEqual(code, 0)
        address = out.split()[0]
        self.assertEqual(socket.inet_aton(address)[0:1], b"\xc6")
        for to, host in ((address, "ok.test"), (OTHER4, OTHER4)):
            with self.inside.connect(to, 9000) as s:
                s.sendall(b"first")
                self.assertEqual(s.recv(100), b"first")
                s.shutdown(socket.SHUT_WR)
                self.assertEqual(s.recv(100), b"")
            self.assertEqual(self.proxy.wait_record("decision", host=host)["verdict"], "allow")

    def test_any_bytes_also_where_tls_is_always_terminated(self):
        self.serve(OTHER4, 9000, echo)
        self.proxy.set_policy([f"tcp {OTHER4}:9000"], tls="intercept")
        with self.inside.connect(OTHER4, 9000) as s:
            s.sendall(b"neither TLS nor HTTP")
            self.assertEqual(s.recv(100), b"neither TLS nor HTTP")
        d = self.proxy.wait_record("decision", host=OTHER4)
        self.assertEqual((d["verdict"], d["protocol"], d["inspect"]), ("allow", "tcp", "none"))

    def test_nothing_else_gets_out(self):
        def udp(address):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(WAIT)
                s.connect((address, 443))
                s.send(b"x")
                s.recv(10)

        began = time.monotonic()
        with self.assertRaises((PermissionError, ConnectionRefusedError)):
            self.inside.space.run(udp, OK4)
        for address, problem in (("2606:2800:220:1::10", OSError), ("198.18.0.1", ConnectionRefusedError),
                                 ("127.0.0.1", ConnectionRefusedError)):
            with self.assertRaises(problem):
                self.inside.connect(address, 443).close()
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(self.proxy.records(), [])
        self.assertEqual(self.net.dns.asked, [])

    def test_name_servers_elsewhere_are_ours(self):
        query = bytes.fromhex("abcd01000001000000000000") + b"\2ok\4test\0\0\1\0\1"

        def udp():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(WAIT)
                s.sendto(query, ("8.8.8.8", 53))
                return s.recvfrom(512)

        answer, source = self.inside.space.run(udp)
        self.assertEqual(source, ("8.8.8.8", 53))
        with self.inside.connect("8.8.4.4", 53) as s:
            s.sendall(struct.pack(">H", len(query)) + query)
            self.assertEqual(s.recv(600)[2:], answer)
        self.assertEqual(answer[-4:-2], b"\xc6\x12")

    def test_from_a_nested_container(self):
        self.serve(OK4, 80, page)
        nested = Namespace()
        self.addCleanup(nested.close)
        where = f"/proc/{os.getpid()}/fd/{nested.fd}"
        self.inside.space.ip(f"link add docker0 type veth peer name eth0 netns {where}")
        self.inside.space.ip("addr add 172.17.0.1/16 dev docker0")
        self.inside.space.ip("link set docker0 up")
        for line in ("link set lo up", "addr add 172.17.0.2/16 dev eth0", "link set eth0 up", "route add default via 172.17.0.1"):
            nested.ip(line)
        self.assertEqual(self.inside.run("sysctl", "-qw", "net.ipv4.ip_forward=1"), (0, ""))
        self.assertEqual(self.inside.run("curl", "-s", "--noproxy", "*", "http://ok.test/", space=nested), (0, "hello ok.test"))
        self.assertEqual(self.inside.run("curl", "-s", "-x", "http://gateway.docker.internal:3128", "http://ok.test/",
                                         space=nested), (0, "hello ok.test"))

        def udp():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(WAIT)
                s.connect((OK4, 443))
                s.send(b"x")
                s.recv(10)

        with self.assertRaises(ConnectionRefusedError):
            nested.run(udp)

    def test_many_bytes_and_many_connections(self):
        size = 64 << 20

        def source(connection):
            connection.recv(1)
            chunk = b"x" * 65536
            for _ in range(size // len(chunk)):
                connection.sendall(chunk)

        self.serve(OK4, 9000, source)
        self.serve(OTHER4, 9000, echo)
        address = self.inside.run("getent", "ahostsv4", "ok.test")[1].split()[0]
        began, got = time.monotonic(), 0
        with self.inside.connect(address, 9000) as s:
            s.sendall(b"g")
            while True:
                n = len(s.recv(1 << 18))
                got += n
                if n == 0:
                    break
        self.assertEqual(got, size)
        print(f"{size / (time.monotonic() - began) / 1e6:.0f} MB/s through netguest and sbx-proxy", file=sys.stderr)
        problems = []

        def one(number):
            try:
                with self.inside.connect(OTHER4, 9000) as s:
                    text = b"%d" % number * 100
                    s.sendall(text)
                    s.shutdown(socket.SHUT_WR)
                    back = b""
                    while len(back) < len(text):
                        data = s.recv(65536)
                        assert data, "ended early"
                        back += data
                    assert back == text, "other bytes"
            except Exception as problem:  # noqa: BLE001
                problems.append(problem)

        threads = [threading.Thread(target=one, args=(i,)) for i in range(200)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(problems, [])

    def test_more_connections_than_there_may_be(self):
        """M03: 1,024 at a time; the next ones are reset at once, and come through when others have gone."""
        self.serve(OTHER4, 9000, echo)

        def many():
            kept, refused = [], 0
            for _ in range(1200):
                s = socket.socket()
                s.settimeout(WAIT)
                kept.append(s)
                with contextlib.suppress(ConnectionError):
                    s.connect((OTHER4, 9000))
            alive = []
            for s in kept:
                try:
                    s.sendall(b"x")
                    assert s.recv(1) == b"x"
                    alive.append(s)
                except OSError:
                    refused += 1
            for s in kept:
                s.close()
            return len(alive), refused

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(8192, hard)), hard))
        began = time.monotonic()
        alive, refused = self.inside.space.run(many)
        self.assertEqual(alive + refused, 1200)
        self.assertTrue(900 <= alive <= 1024, alive)
        print(f"{alive} connections at once, {refused} reset, in {time.monotonic() - began:.1f} s", file=sys.stderr)

        def again():
            try:
                with socket.create_connection((OTHER4, 9000), WAIT) as s:
                    s.sendall(b"y")
                    return s.recv(1)
            except ConnectionError:
                return b""

        harness.wait_for(lambda: self.inside.space.run(again) == b"y", "a connection after the others", 20)

    def test_the_doors_end_resets_what_is_open(self):
        self.serve(OK4, 9000, echo)
        address = self.inside.run("getent", "ahostsv4", "ok.test")[1].split()[0]
        with self.inside.connect(address, 9000) as s:
            s.sendall(b"x")
            self.assertEqual(s.recv(1), b"x")
            self.proxy.process.kill()
            self.proxy.process.wait()
            with self.assertRaises(ConnectionResetError):
                s.recv(1)
        self.assertEqual(self.inside.process.stdout.readline().strip(), "lost")


if __name__ == "__main__":
    unittest.main()
