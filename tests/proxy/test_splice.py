#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_splice.py [unittest options]: sbx-proxy's ways in, its decisions, addresses, log, and spliced connections. SBX_PROXY names the
program. A test that forbids something looks at the origin, the name server and the log, not only at what the guest is told."""
import os
import pathlib
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402
from harness import Gone, Server, Tls, client_hello, echo, says, wait_for  # noqa: E402

OK4, OK6, OTHER4 = "93.184.216.10", "2606:2800:220:1::10", "93.184.216.66"
CLOSED = b"\x15\x03\x03\x00\x02\x02"  # a fatal alert, less its description


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.net = harness.Range()
        cls.addClassCleanup(cls.net.close)

    def setUp(self):
        self.net.names.clear()
        self.net.names["ok.test"] = [OK4]
        self.net.dns.asked.clear()

    def proxy(self, *rules, **more):
        p = harness.Proxy(self.net, rules, **more)
        self.addCleanup(p.close)
        return p

    def serve(self, address, port, handler=echo):
        s = Server(self.net.world.listen(address, port), handler)
        self.addCleanup(s.close)
        return s

    def serve_host(self, address, port, handler=echo):
        s = Server(self.net.host.listen(address, port), handler)
        self.addCleanup(s.close)
        return s

    def refused(self, p, authority, first=b"", reason=None, answer=None):
        """A connection that is refused: its record, the only one."""
        stream = p.guest.connect(authority)
        try:
            if first:
                stream.send(first)
            got = stream.recv_all()
        except Gone:
            got = None
        self.assertEqual(got, answer)
        record = p.wait_record("decision", verdict="deny")
        self.assertEqual(len(p.records("decision")), 1)
        if reason:
            self.assertEqual(record["reason"], reason)
        self.assertEqual(p.records("end"), [])
        return record


class Splice(Case):
    def test_tls_is_relayed_as_it_came(self):
        heard = []

        def handler(connection):
            heard.append(connection.recv(65536))
            connection.sendall(b"answer")

        self.serve(OK4, 443, handler)
        p = self.proxy("ok.test:443")
        hello = client_hello("ok.test")
        stream = p.guest.connect("OK.test.:443")
        self.assertEqual(stream.wait_status(), 200)
        stream.send(hello[:7])
        stream.send(hello[7:])
        self.assertEqual(stream.recv_all(), b"answer")
        self.assertEqual(heard, [hello])
        stream.shutdown()
        d = p.wait_record("decision")
        self.assertEqual((d["verdict"], d["host"], d["port"], d["protocol"], d["inspect"], d["entry"], d["rule"], d["reason"]),
                         ("allow", "ok.test", 443, "tls", "splice", "transparent", "r0", "rule"))
        e = p.wait_record("end")
        self.assertEqual((e["address"], e["bytes_out"], e["bytes_in"], e["error"]), (OK4, len(hello), 6, None))
        self.assertEqual((d["sandbox"], d["conn"], e["conn"], e["seq"] - d["seq"]), ("box1", "c1", "c1", 1))
        self.assertEqual(p.stop(), 0)

    def test_a_whole_tls_session(self):
        directory = self.enterContext(__import__("tempfile").TemporaryDirectory())
        pem, key = harness.certificate(directory, "ok.test")
        self.serve(OK4, 443, harness.tls_server(pem, key, lambda c: c.sendall(c.recv(100)[::-1])))
        p = self.proxy("ok.test:443")
        tls = Tls(p.guest.connect("ok.test:443"), "ok.test", ca=pem).handshake()
        tls.send(b"stressed")
        self.assertEqual(tls.recv(), b"desserts")

    def test_bytes_both_ways(self):
        size = 8 << 20
        self.serve(OK4, 22)
        p = self.proxy("tcp ok.test:22")
        stream = p.guest.connect("ok.test:22")
        sent, got = os.urandom(size), bytearray()
        writer = threading.Thread(target=lambda: (stream.send(sent), stream.shutdown()))
        writer.start()
        while True:
            data = stream.recv()
            if not data:
                break
            got += data
        writer.join()
        self.assertEqual(len(got), size)
        self.assertEqual(bytes(got), sent)
        e = p.wait_record("end")
        self.assertEqual((e["bytes_out"], e["bytes_in"], e["error"]), (size, size, None))

    def test_each_direction_ends_on_its_own(self):
        def handler(connection):
            connection.sendall(b"first")
            connection.shutdown(socket.SHUT_WR)
            heard.append(b"".join(iter(lambda: connection.recv(65536), b"")))

        heard = []
        self.serve(OK4, 22, handler)
        p = self.proxy("tcp ok.test:22")
        stream = p.guest.connect("ok.test:22")
        self.assertEqual(stream.recv_all(), b"first")
        stream.send(b"still here")
        stream.shutdown()
        wait_for(lambda: heard == [b"still here"], "the origin hears what comes after its own end")
        self.assertIsNone(p.wait_record("end")["error"])

    def test_the_server_may_speak_first(self):
        self.serve(OK4, 22, says(b"SSH-2.0-here\r\n", after=False))
        p = self.proxy("tcp ok.test:22")
        self.assertEqual(p.guest.connect("ok.test:22").recv(), b"SSH-2.0-here\r\n")
        self.assertEqual(p.wait_record("decision")["protocol"], "tcp")

    def test_raw_bytes_where_requests_would_be_looked_into(self):
        heard = []

        def handler(connection):
            connection.sendall(b"SSH-2.0-here\r\n")
            heard.append(connection.recv(100))

        self.serve(OK4, 22, handler)
        p = self.proxy("tcp ok.test:22", {"resource": "ok.test", "methods": ["GET"]}, tls="intercept")
        silent, speaking = (p.guest.connect("ok.test:22") for _ in range(2))
        speaking.send(b"SSH-2.0-client\r\n")
        self.assertEqual(speaking.recv(), b"SSH-2.0-here\r\n")
        self.assertEqual(silent.recv(), b"SSH-2.0-here\r\n")
        tls = p.guest.connect("ok.test:22")
        tls.send(client_hello("ok.test"))
        wait_for(lambda: heard == [b"SSH-2.0-client\r\n"], "the client's bytes")
        wait_for(lambda: len(p.records("decision")) == 3, "the records")
        self.assertEqual(sorted((r["protocol"], r["inspect"], r["verdict"]) for r in p.records("decision")),
                         [("tcp", "none", "allow"), ("tcp", "none", "allow"), ("tls", "intercept", "deny")])

    def test_a_reset_goes_on_as_a_reset(self):
        def abort(connection):
            connection.recv(10)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        self.serve(OK4, 22, abort)
        p = self.proxy("tcp ok.test:22")
        stream = p.guest.connect("ok.test:22")
        stream.send(b"x")
        with self.assertRaises(Gone):
            stream.recv_all()
        self.assertEqual(p.wait_record("end")["error"], "reset")

    def test_a_guests_reset_reaches_the_origin(self):
        ends = []

        def handler(connection):
            connection.sendall(b"x")
            try:
                ends.append(connection.recv(10))
            except ConnectionResetError:
                ends.append("reset")

        self.serve(OK4, 22, handler)
        p = self.proxy("tcp ok.test:22")
        stream = p.guest.connect("ok.test:22")
        stream.recv()
        stream.close()
        wait_for(lambda: ends == ["reset"], "the reset")

    def test_a_stream_that_is_not_read_holds_up_no_other(self):
        def flood(connection):
            try:
                while True:
                    connection.sendall(bytes(65536))
                    counted[0] += 65536
            except OSError:
                pass

        counted = [0]
        self.serve(OK4, 22, flood)
        self.serve(OK4, 23)
        p = self.proxy("tcp ok.test:22", "tcp ok.test:23")
        stuck = p.guest.connect("ok.test:22")
        stuck.recv(1)
        wait_for(lambda: [counted[0], time.sleep(0.3)][0] == counted[0] and counted[0] > 0, "the flood stands")
        before = p.rss_kib()
        for _ in range(20):
            other = p.guest.connect("ok.test:23")
            other.send(bytes(100000))
            self.assertEqual(len(other.recv_exactly(100000)), 100000)
            other.close()
        self.assertLess(p.rss_kib() - before, 16384)
        self.assertLess(len(stuck.inbox), 300 << 10)


class Refusals(Case):
    def test_without_a_rule(self):
        origin = self.serve(OK4, 443)
        p = self.proxy("other.test:443")
        self.refused(p, "ok.test:443", client_hello("ok.test"), "no_rule", CLOSED + b"\x31")
        self.assertEqual((origin.accepted, self.net.dns.asked), (0, []))

    def test_before_any_policy(self):
        p = harness.Proxy(self.net, ready=False)
        self.addCleanup(p.close)
        p.expect("keeper_lost")
        stream = p.guest.connect("ok.test:443")
        stream.send(client_hello("ok.test"))
        self.assertEqual(stream.recv_all(), CLOSED + b"\x31")

    def test_another_name_in_the_handshake(self):
        origin = self.serve(OK4, 443)
        p = self.proxy("ok.test:443", "front.test:443")
        self.refused(p, "ok.test:443", client_hello("front.test"), "sni_mismatch", CLOSED + bytes([112]))
        self.assertEqual((origin.accepted, self.net.dns.asked), (0, []))

    def test_no_name_in_the_handshake(self):
        p = self.proxy("ok.test:443")
        self.refused(p, "ok.test:443", client_hello(None), "no_sni", CLOSED + bytes([112]))
        self.assertEqual(self.net.dns.asked, [])

    def test_a_hidden_name(self):
        p = self.proxy("ok.test:443")
        hello = bytearray(client_hello("ok.test"))
        # One more extension, 0xfe0d, at the end: all lengths grow by it.
        ech = b"\0" + b"\0\1\0\1" + b"\7" + b"\0\x20" + bytes(32) + b"\0\x10" + bytes(16)
        ech = b"\xfe\x0d" + len(ech).to_bytes(2, "big") + ech
        hello += ech
        at = 9 + 2 + 32
        at += 1 + hello[at]
        at += 2 + int.from_bytes(hello[at:at + 2], "big")
        at += 1 + hello[at]
        for place, size in ((3, 2), (6, 3), (at, 2)):
            value = int.from_bytes(hello[place:place + size], "big") + len(ech)
            hello[place:place + size] = value.to_bytes(size, "big")
        self.refused(p, "ok.test:443", bytes(hello), "ech", CLOSED + bytes([112]))

    def test_neither_tls_nor_http(self):
        origin = self.serve(OK4, 443)
        p = self.proxy("ok.test:443")
        self.refused(p, "ok.test:443", b"SSH-2.0-client\r\n", "not_tls")
        self.assertEqual((origin.accepted, self.net.dns.asked), (0, []))

    def test_plain_http_to_the_tls_port(self):
        p = self.proxy("ok.test:443")
        stream = p.guest.connect("ok.test:443")
        stream.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n")
        self.assertRegex(stream.recv(), rb"^HTTP/1\.1 403 ")
        self.assertEqual([r["reason"] for r in p.records("decision")], ["not_tls"])
        self.assertEqual(self.net.dns.asked, [])

    def test_another_port(self):
        p = self.proxy("ok.test:443")
        self.refused(p, "ok.test:8443", client_hello("ok.test"), "port", CLOSED + b"\x31")

    def test_raw_bytes_where_the_rule_is_for_tls(self):
        p = self.proxy("ok.test:443")
        self.refused(p, "ok.test:22", b"SSH-2.0-client\r\n", "port")

    def test_a_silent_connection_to_a_refused_port_ends(self):
        p = self.proxy("ok.test:443")
        started = time.monotonic()
        self.refused(p, "ok.test:22", b"", "port")
        self.assertLess(time.monotonic() - started, 5)

    def test_a_bare_address(self):
        origin = self.serve(OTHER4, 443)
        p = self.proxy("ok.test:443")
        self.refused(p, OTHER4 + ":443", client_hello("ok.test"), "raw_ip", CLOSED + b"\x31")
        self.assertEqual(origin.accepted, 0)

    def test_a_denied_name_by_its_address(self):
        origin = self.serve(OTHER4, 443)
        p = self.proxy(("deny", "evil.test"), default="allow")
        self.refused(p, OTHER4 + ":443", client_hello("evil.test"), "sni_mismatch", CLOSED + bytes([112]))
        self.assertEqual(origin.accepted, 0)

    def test_authorities_that_are_none(self):
        p = self.proxy(default="allow")
        for authority in ("", "ok.test", "ok.test:", "ok.test:0443", "ok.test:65536", "ok.test:443:80", "u@ok.test:443", "a..b:1",
                          "127.1:80", "0x7f000001:80", "[fe80::1%eth0]:80", "[v1.fe80]:80", "b\u00fccher.test:443",
                          "a" * 64 + ".test:443", "a" * 300 + ":443", "ok.test\u0000.x:443"):
            with self.subTest(authority), self.assertRaises(Gone):
                p.guest.connect(authority).wait_status()
        with self.assertRaises(Gone):
            p.guest.connect("ok.test:443", method="GET").wait_status()
        self.assertEqual(p.records(), [])
        self.assertEqual(p.guest.connect("ok.test:443").wait_status(), 200)

    def test_many_refusals_are_counted(self):
        p = self.proxy()
        hello = client_hello("evil.test")
        for _ in range(300):
            p.guest.connect("evil.test:443").send(hello)
        wait_for(lambda: sum(r.get("repeated", 1) for r in p.records("decision")) == 300, "all of them are in the log")
        self.assertLess(len(p.records("decision")), 200)
        self.assertEqual([r["seq"] for r in p.records()], list(range(1, len(p.records()) + 1)))


class Addresses(Case):
    """Names that resolve to what must not be reached, and literals."""
    NEVER = ("127.0.0.1", "0.0.0.0", "10.0.0.5", "169.254.169.254", "100.64.0.1", "192.0.2.1", "224.0.0.1", "255.255.255.255",
             "::1", "::", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1",
             harness.Range.HOST, harness.Range.HOST6, harness.Range.LAN, harness.Range.LAN_NEIGHBOUR, harness.Range.HOST_GLOBAL,
             harness.Range.GLOBAL_NEIGHBOUR)

    def test_an_allowed_name_leads_to_none_of_them(self):
        canaries = [self.serve_host(a, 8001) for a in ("127.0.0.1", "::1", harness.Range.LAN, harness.Range.HOST_GLOBAL)]
        canaries += [self.serve(a, 8001) for a in (harness.Range.LAN_NEIGHBOUR, harness.Range.GLOBAL_NEIGHBOUR)]
        p = self.proxy("tcp **.wild.test:8001", default="allow")
        for number, address in enumerate(self.NEVER):
            self.net.names[f"p{number}.wild.test"] = [address]
        for number, address in enumerate(self.NEVER):
            with self.subTest(address), self.assertRaises(Gone):
                p.guest.connect(f"p{number}.wild.test:8001").recv_all()
        wait_for(lambda: len(p.records("decision")) == len(self.NEVER), "the records")
        self.assertEqual({r["reason"] for r in p.records("decision")}, {"address"})
        self.assertEqual([c.accepted for c in canaries], [0] * len(canaries))

    def test_literals_do_not_lead_there_either(self):
        canaries = [self.serve_host(a, 8001) for a in ("127.0.0.1", "::1", harness.Range.HOST_GLOBAL)]
        p = self.proxy(default="allow")
        for address in self.NEVER:
            with self.subTest(address):
                stream = p.guest.connect(f"[{address}]:8001" if ":" in address else f"{address}:8001")
                stream.send(client_hello(None))
                self.assertEqual(stream.recv_all(), CLOSED + b"\x31")
        for name in ("localhost", "a.localhost", "ip6-localhost", "metadata.google.internal", "gateway.docker.internal"):
            with self.subTest(name):
                stream = p.guest.connect(f"{name}:8001")
                stream.send(client_hello(None))
                self.assertEqual(stream.recv_all(), CLOSED + b"\x31")
        self.assertEqual({r["reason"] for r in p.records("decision")}, {"address", "self"})
        self.assertEqual([c.accepted for c in canaries], [0] * len(canaries))
        self.assertEqual(self.net.dns.asked, [])

    def test_a_private_address_is_no_fallback(self):
        canary = self.serve_host("127.0.0.1", 443)
        origin = self.serve(OK4, 443, says(b"public"))
        p = self.proxy("ok.test:443")
        for answers in (["127.0.0.1", OK4, "::1"], [OK4, "127.0.0.1"], ["10.0.0.5", OK4]):
            self.net.names[f"ok.test"] = answers
            p.send({"op": "resolver", "servers": [harness.Range.ROUTER]})  # forgets the answers
            stream = p.guest.connect("ok.test:443")
            stream.send(client_hello("ok.test"))
            self.assertEqual(stream.recv_all(), b"public")
        self.net.names["ok.test"] = ["93.184.216.77", "10.0.0.5"]  # the public one refuses
        p.send({"op": "resolver", "servers": [harness.Range.ROUTER]})
        stream = p.guest.connect("ok.test:443")
        stream.send(client_hello("ok.test"))
        self.assertEqual(stream.recv_all(), CLOSED + b"\x50")
        self.assertEqual(p.wait_record("end", error="unreachable")["address"], None)
        self.assertEqual((canary.accepted, origin.accepted), (0, 3))

    def test_the_dialled_address_is_opened_by_a_range(self):
        neighbour = self.serve(harness.Range.LAN_NEIGHBOUR, 5432, says(b"db", after=False))
        p = self.proxy("192.168.77.0/24:5432")
        stream = p.guest.connect(f"{harness.Range.LAN_NEIGHBOUR}:5432")
        self.assertEqual(stream.recv_all(), b"db")
        stream.shutdown()
        self.assertEqual(neighbour.accepted, 1)
        self.assertEqual(p.wait_record("end")["address"], harness.Range.LAN_NEIGHBOUR)

    def test_services_of_the_host(self):
        self.serve_host("127.0.0.1", 11434, says(b"service", after=False))
        other = self.serve_host("127.0.0.1", 11435, says(b"service", after=False))
        p = self.proxy("localhost:11434")
        self.assertEqual(p.guest.connect("host.docker.internal:11434").recv_all(), b"service")
        with self.assertRaises(Gone):
            p.guest.connect("host.docker.internal:11435").recv_all()
        self.assertEqual(p.wait_record("decision", verdict="deny")["reason"], "localhost")
        for authority in ("127.0.0.1:11434", "localhost:11434", "gateway.docker.internal:11434"):
            with self.assertRaises(Gone):
                p.guest.connect(authority).recv_all()
        self.assertEqual((other.accepted, self.net.dns.asked), (0, []))

    def test_a_default_route_without_a_router(self):
        self.serve(OK4, 22, says(b"far", after=False))
        neighbour = self.serve(harness.Range.LAN_NEIGHBOUR, 22, says(b"near", after=False))
        self.net.host.ip("route replace default dev up0")
        self.addCleanup(self.net.host.ip, f"route replace default via {harness.Range.ROUTER}")
        self.net.names["near.test"] = [harness.Range.LAN_NEIGHBOUR, harness.Range.GLOBAL_NEIGHBOUR]
        p = self.proxy("tcp near.test:22", "tcp ok.test:22")
        self.assertEqual(p.guest.connect("ok.test:22").recv_all(), b"far")
        with self.assertRaises(Gone):
            p.guest.connect("near.test:22").recv()
        self.assertEqual((neighbour.accepted, p.wait_record("decision", verdict="deny")["reason"]), (0, "address"))

    def test_only_ipv6_answers(self):
        self.serve(OK6, 443, says(b"six"))
        self.net.names["ok.test"] = [OK6]
        p = self.proxy("ok.test:443")
        stream = p.guest.connect("ok.test:443")
        stream.send(client_hello("ok.test"))
        self.assertEqual(stream.recv_all(), b"six")
        stream.shutdown()
        self.assertEqual(p.wait_record("end")["address"], OK6)

    def test_a_black_hole_costs_a_quarter_of_a_second(self):
        self.serve(OK4, 443, says(b"four"))
        self.net.names["ok.test"] = ["2001:67c::1", OK4]  # no such place: the router drops it
        self.net.world.ip("-6 route add blackhole 2001:67c::/32")
        self.addCleanup(self.net.world.ip, "-6 route del blackhole 2001:67c::/32")
        p = self.proxy("ok.test:443")
        started = time.monotonic()
        stream = p.guest.connect("ok.test:443")
        stream.send(client_hello("ok.test"))
        self.assertEqual(stream.recv_all(), b"four")
        self.assertLess(time.monotonic() - started, 1)

    def test_nobody_listens(self):
        p = self.proxy("ok.test:443")
        stream = p.guest.connect("ok.test:443")
        stream.send(client_hello("ok.test"))
        self.assertEqual(stream.recv_all(), CLOSED + b"\x50")
        self.assertEqual(p.wait_record("decision")["verdict"], "allow")
        self.assertEqual(p.wait_record("end")["error"], "unreachable")


class Names(Case):
    def test_what_is_asked_and_how_often(self):
        self.serve(OK4, 22, says(b"x", after=False))
        p = self.proxy("tcp ok.test:22")
        for _ in range(5):
            self.assertEqual(p.guest.connect("ok.test:22").recv_all(), b"x")
        self.assertEqual(sorted(self.net.dns.asked), [("ok.test", "A"), ("ok.test", "AAAA")])

    def test_no_such_name(self):
        p = self.proxy("tcp none.test:22")
        self.refused(p, "none.test:22", b"", "unresolved")

    def test_a_silent_name_server(self):
        self.net.names["slow.test"] = None
        p = self.proxy("tcp slow.test:22")
        started = time.monotonic()
        self.refused(p, "slow.test:22", b"", "unresolved")
        self.assertLess(time.monotonic() - started, 7)

    def test_single_labels_are_not_looked_up(self):
        p = self.proxy("tcp ok:22", "tcp wpad:22")
        for name in ("ok", "wpad"):
            with self.assertRaises(Gone):
                p.guest.connect(f"{name}:22").recv_all()
        self.assertEqual(self.net.dns.asked, [])
        self.assertEqual(len(p.records("decision", reason="unresolved")), 2)

    def test_without_name_servers(self):
        p = self.proxy("tcp ok.test:22", servers=[])
        self.refused(p, "ok.test:22", b"", "unresolved")
        self.assertEqual(self.net.dns.asked, [])

    def test_too_many_new_names(self):
        p = self.proxy("tcp **.wild.test:22")
        for number in range(500):
            p.guest.connect(f"n{number}.wild.test:22")
        wait_for(lambda: len(p.records("decision", reason="limit")) > 0, "the limit")
        self.assertLess(len({name for name, _ in self.net.dns.asked}), 450)


class Policy(Case):
    def test_a_connection_that_is_no_longer_allowed_is_cut(self):
        self.serve(OK4, 22)
        p = self.proxy("tcp ok.test:22", "tcp ok.test:23")
        stream = p.guest.connect("ok.test:22")
        stream.send(b"x")
        stream.recv_exactly(1)
        p.set_policy(["tcp ok.test:22"])
        stream.send(b"y")
        stream.recv_exactly(1)
        p.set_policy(["tcp ok.test:23"])
        with self.assertRaises(Gone):
            stream.recv()
        e = p.wait_record("end")
        self.assertEqual((e["error"], e["bytes_out"], e["bytes_in"]), ("policy_changed", 2, 2))

    def test_a_broken_policy_replaces_nothing(self):
        self.serve(OK4, 22)
        p = self.proxy("tcp ok.test:22")
        for text in ("{", "{}", '{"schema": 1}', '{"schema":1,"generation":2,"default":"allow","tls":"auto","rules":[],"x":1}'):
            p.send_file({"op": "policy"}, text)
            self.assertTrue(p.expect("policy_error")["message"])
        stream = p.guest.connect("ok.test:22")
        stream.send(b"x")
        stream.recv_exactly(1)

    def test_asking(self):
        self.serve(OK4, 22, says(b"in", after=False))
        p = self.proxy(("ask", "tcp ok.test:22"))
        first, second = p.guest.connect("ok.test:22"), p.guest.connect("ok.test:22")
        ask = p.expect("ask")
        self.assertEqual((ask["dest"], ask["method"], ask["path"], ask["rule"], ask["seconds"]), ("ok.test:22", None, None, "r0", 60))
        self.assertEqual((p.records(), self.net.dns.asked), ([], []))
        p.send({"op": "answer", "ask": ask["ask"] + 7, "allow": True})
        p.send({"op": "answer", "ask": ask["ask"], "allow": True})
        self.assertEqual((first.recv_all(), second.recv_all()), (b"in", b"in"))
        self.assertEqual(p.expect("ask_over")["ask"], ask["ask"])
        self.assertEqual([r["reason"] for r in p.records("decision")], ["ask", "ask"])
        third = p.guest.connect("ok.test:22")
        p.send({"op": "answer", "ask": p.expect("ask")["ask"], "allow": False})
        with self.assertRaises(Gone):
            third.recv()
        self.assertEqual(p.wait_record("decision", verdict="deny")["reason"], "ask")

    def test_a_question_that_the_policy_answers(self):
        self.serve(OK4, 22, says(b"in", after=False))
        p = self.proxy(("ask", "tcp ok.test:22"))
        stream = p.guest.connect("ok.test:22")
        ask = p.expect("ask")
        p.send_file({"op": "policy"}, harness.json.dumps(harness.snapshot(["tcp ok.test:22"], generation=2)))
        self.assertEqual(p.expect("ask_over")["ask"], ask["ask"])
        self.assertEqual(stream.recv_all(), b"in")

    def test_a_question_that_nobody_answers(self):
        p = self.proxy(("ask", "tcp ok.test:22"), config={"ask_seconds": 1})
        stream = p.guest.connect("ok.test:22")
        ask = p.expect("ask")
        self.assertEqual(ask["seconds"], 1)
        with self.assertRaises(Gone):
            stream.recv()
        self.assertEqual(p.expect("ask_over")["ask"], ask["ask"])
        self.assertEqual(p.wait_record("decision")["reason"], "ask")

    def test_an_abandoned_question(self):
        p = self.proxy(("ask", "tcp ok.test:22"))
        stream = p.guest.connect("ok.test:22")
        ask = p.expect("ask")
        stream.close()
        self.assertEqual(p.expect("ask_over")["ask"], ask["ask"])


class Log(Case):
    def test_nothing_leaves_without_a_log(self):
        origin = self.serve(OK4, 22)
        p = self.proxy("tcp ok.test:22", log=os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC))
        with self.assertRaises(Gone):
            p.guest.connect("ok.test:22").recv()
        self.assertEqual(origin.accepted, 0)
        # With a log again, it goes on.
        log = os.open(p.log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        p.send({"op": "log"}, log)
        os.close(log)
        stream = p.guest.connect("ok.test:22")
        stream.send(b"x")
        stream.recv_exactly(1)

    def test_a_full_log_is_told_once(self):
        p = self.proxy()
        p.log_path.write_bytes(b" " * (10 << 20) + b"\n")
        log = os.open(p.log_path, os.O_WRONLY | os.O_APPEND)
        p.send({"op": "log"}, log)
        os.close(log)
        for _ in range(3):
            p.guest.connect("evil.test:443").send(client_hello("evil.test"))
        self.assertEqual(p.expect("log_full"), {"event": "log_full"})
        p.control.settimeout(0.5)
        with self.assertRaises(TimeoutError):
            p.expect("log_full")


class Forward(Case):
    """CONNECT to the forward proxy, by the door and by a listening socket."""

    def begin(self, p, request):
        stream = p.guest.connect("gateway.docker.internal:3128")
        stream.send(request)
        return stream

    def test_connect(self):
        heard = []

        def handler(connection):
            heard.append(connection.recv(65536))
            connection.sendall(b"answer")

        self.serve(OK4, 443, handler)
        p = self.proxy("ok.test:443")
        hello = client_hello("ok.test")
        stream = self.begin(p, b"CONNECT OK.test.:443 HTTP/1.1\r\nHost: ok.test:443\r\nProxy-Connection: x\r\n\r\n" + hello)
        self.assertEqual(stream.recv_all(), b"HTTP/1.1 200 Connection established\r\n\r\nanswer")
        self.assertEqual(heard, [hello])
        self.assertEqual(p.wait_record("decision")["entry"], "forward")

    def test_connect_that_the_server_begins(self):
        self.serve(OK4, 22, says(b"SSH-2.0-x\r\n", after=False))
        p = self.proxy("tcp ok.test:22")
        stream = self.begin(p, b"CONNECT ok.test:22 HTTP/1.1\r\nHost: ok.test:22\r\n\r\n")
        self.assertEqual(stream.recv_all(), b"HTTP/1.1 200 Connection established\r\n\r\nSSH-2.0-x\r\n")

    def test_http_inside_a_tunnel(self):
        heard = []

        def handler(connection):
            heard.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

        self.serve(OK4, 80, handler)
        p = self.proxy({"resource": "ok.test:80", "methods": ["GET"]})
        stream = self.begin(p, b"CONNECT ok.test:80 HTTP/1.1\r\nHost: ok.test:80\r\n\r\nGET /x HTTP/1.1\r\nHost: ok.test\r\n\r\n")
        got = stream.recv()
        while not got.endswith(b"hi"):
            got += stream.recv()
        self.assertTrue(heard[0].startswith(b"GET /x HTTP/1.1\r\nHost: ok.test\r\n"), heard)
        stream.send(b"POST /x HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 0\r\n\r\n")
        self.assertRegex(stream.recv(), rb"^HTTP/1\.1 403 ")
        self.assertEqual([(r["verdict"], r["reason"], r["entry"], r["method"]) for r in p.records("decision")],
                         [("allow", "rule", "forward", "GET"), ("deny", "method", "forward", "POST")])

    def test_a_refused_connect(self):
        origin = self.serve(OK4, 443)
        p = self.proxy("other.test:443")
        stream = self.begin(p, b"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\n\r\nGET http://other.test/ HTTP/1.1\r\n"
                               b"Host: other.test\r\n\r\n" + bytes(200))
        head, body = stream.recv_all().split(b"\r\n\r\n", 1)
        self.assertTrue(head.startswith(b"HTTP/1.1 403 Blocked by network policy: rule "), head)
        self.assertIn(b"Content-Length: %d" % len(body), head)
        self.assertIn(b"Blocked by network policy: domain ok.test:443\nrule: default-deny\n", body)
        self.assertIn(b"sbx policy allow network ok.test:443 --sandbox box", body)
        self.assertEqual((len(p.records()), p.records()[0]["reason"], origin.accepted), (1, "no_rule", 0))

    def test_what_is_no_connect_request(self):
        p = self.proxy(default="allow")
        host = b"Host: ok.test:443\r\n"
        for number, request in enumerate((
                b"CONNECT ok.test:443 HTTP/1.1\r\n" + host + b"Content-Length: 5\r\n\r\n",
                b"CONNECT ok.test:443 HTTP/1.1\r\n" + host + b"Content-Length: 0\r\n\r\n",
                b"CONNECT ok.test:443 HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n",
                b"CONNECT ok.test:443 HTTP/1.1\r\n" + host + b"Host: evil.test\r\n\r\n",
                b"CONNECT ok.test:443 HTTP/1.1\r\n\r\n", b"CONNECT ok.test:443\r\n\r\n", b"CONNECT  ok.test:443 HTTP/1.1\r\n" + host + b"\r\n",
                b"CONNECT u:p@ok.test:443 HTTP/1.1\r\n" + host + b"\r\n", b"CONNECT http://ok.test:443 HTTP/1.1\r\n" + host + b"\r\n",
                b"CONNECT ok.test HTTP/1.1\r\nHost: ok.test\r\n\r\n", b"CONNECT evil.test\0.ok.test:443 HTTP/1.1\r\n" + host + b"\r\n",
                b"CONNECT ok.test:443 HTTP/1.1\n" + host + b"\n", b"CONNECT ok.test:443 HTTP/1.1\r\n" + host + b" folded: x\r\n\r\n",
                b"CONNECT ok.test:443 HTTP/2.0\r\n" + host + b"\r\n",
                b"CONNECT ok.test:443 HTTP/1.1\r\n" + host + b"X: " + b"a" * 70000 + b"\r\n\r\n")):
            with self.subTest(request[:80]):
                got = self.begin(p, request).recv_all()
                self.assertRegex(got, rb"^HTTP/1\.1 4\d\d ")
                wait_for(lambda: len(p.records("decision", reason="bad_request")) == number + 1, "the record")
        self.assertEqual(self.net.dns.asked, [])

    def test_a_proxy_through_the_proxy(self):
        p = self.proxy("ok.test:443", default="allow")
        stream = self.begin(p, b"CONNECT gateway.docker.internal:3128 HTTP/1.1\r\nHost: gateway.docker.internal:3128\r\n\r\n")
        self.assertIn(b"HTTP/1.1 403 ", stream.recv_all())
        self.assertEqual(p.wait_record("decision")["reason"], "self")

    def test_a_listening_socket(self):
        self.serve(OK4, 22)
        p = self.proxy("tcp ok.test:22")
        port = p.listen()
        s = self.net.host.run(socket.create_connection, ("127.0.0.1", port), 10)
        self.addCleanup(s.close)
        s.sendall(b"CONNECT ok.test:22 HTTP/1.1\r\nHost: ok.test:22\r\n\r\nhello")
        got = b""
        while not got.endswith(b"hello"):
            got += s.recv(1000)
        self.assertEqual(got, b"HTTP/1.1 200 Connection established\r\n\r\nhello")
        s.shutdown(socket.SHUT_WR)
        self.assertEqual(s.recv(10), b"")
        self.assertEqual(p.wait_record("end")["bytes_out"], 5)

    def test_a_peer_that_stays_does_not_hold_up_the_end(self):
        """It was told off and keeps its end open; the next proxy begins only when this one is gone."""
        p = self.proxy("ok.test:443")
        s = self.net.host.run(socket.create_connection, ("127.0.0.1", p.listen()), 10)
        self.addCleanup(s.close)
        s.sendall(b"CONNECT ok.test HTTP/1.1\r\n\r\n")
        while s.recv(4096):
            pass
        begun = time.monotonic()
        p.control.close()
        self.assertEqual(p.process.wait(harness.WAIT), 0)
        self.assertLess(time.monotonic() - begun, 2)


class Upstream(Case):
    """The host's own proxy."""
    WHERE = "93.184.216.200"

    def serve_proxy(self, answer=b"HTTP/1.1 200 OK\r\n\r\n"):
        def handler(connection):
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(1)
            heads.append(head)
            connection.sendall(answer + b"hello")
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1000)

        heads = []
        self.serve(self.WHERE, 8080, handler)
        return heads

    def config(self, **more):
        return {"upstream": {"http": None, "https": f"http://us%65r:pa:ss@{self.WHERE}:8080", "no_proxy": "direct.test,10.0.0.0/8", **more}}

    def test_by_the_address_that_passed(self):
        heads = self.serve_proxy()
        p = self.proxy("tcp ok.test:22", config=self.config())
        self.assertEqual(p.guest.connect("ok.test:22").recv_all(), b"hello")
        self.assertEqual(heads, [f"CONNECT {OK4}:22 HTTP/1.1\r\nHost: {OK4}:22\r\nProxy-Authorization: Basic dXNlcjpwYTpzcw==\r\n\r\n"
                                 .encode()])
        self.assertNotIn("dXNlcjpwYTpzcw", p.stderr() + p.log_path.read_text())

    def test_by_name_where_only_the_proxy_knows_it(self):
        heads = self.serve_proxy()
        p = self.proxy("tcp inside.test:22", config=self.config())
        self.assertEqual(p.guest.connect("inside.test:22").recv_all(), b"hello")
        self.assertTrue(heads[0].startswith(b"CONNECT inside.test:22 HTTP/1.1\r\n"))

    def test_private_addresses_are_not_asked_for(self):
        heads = self.serve_proxy()
        self.net.names["ok.test"] = ["10.0.0.5", "169.254.169.254"]
        p = self.proxy("tcp ok.test:22", config=self.config())
        self.refused(p, "ok.test:22", b"", "address")
        self.assertEqual(heads, [])

    def test_never_past_it(self):
        origin = self.serve(OK4, 22)
        for answer in (b"HTTP/1.1 407 No\r\n\r\n", b"HTTP/1.1 200", b"what?\r\n\r\n"):
            with self.subTest(answer):
                self.serve_proxy(answer)
                p = self.proxy("tcp ok.test:22", config=self.config())
                with self.assertRaises(Gone):
                    p.guest.connect("ok.test:22").recv()
                self.assertEqual(p.wait_record("end")["error"], "unreachable")
                self.doCleanups()
        self.assertEqual(origin.accepted, 0)

    def test_exceptions_go_directly(self):
        heads = self.serve_proxy()
        self.serve(OK4, 22, says(b"direct", after=False))
        self.net.names["a.direct.test"] = [OK4]
        p = self.proxy("tcp a.direct.test:22", config=self.config())
        self.assertEqual(p.guest.connect("a.direct.test:22").recv_all(), b"direct")
        self.assertEqual(heads, [])


class Life(Case):
    def test_it_ends_with_the_control_socket(self):
        self.serve(OK4, 22)
        p = self.proxy("tcp ok.test:22")
        stream = p.guest.connect("ok.test:22")
        stream.send(b"x")
        stream.recv_exactly(1)
        self.assertEqual(p.stop(), 0)
        self.assertEqual(len(p.records("end")), 1)

    def test_it_ends_with_the_door(self):
        p = self.proxy()
        p.door.shutdown(socket.SHUT_RDWR)
        self.assertEqual(p.process.wait(harness.WAIT), 0)

    def test_rubbish_at_the_door(self):
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        settings = b"\0\0\0\4\0\0\0\0\0"
        for bytes_in in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(4096), preface + os.urandom(4096), preface + settings + b"\xff" * 100,
                         preface + settings + b"\0\0\5\0\0\0\0\0\1hello", preface + settings + b"\0\0\4\1\5\0\0\0\1\x88\x88\x88\xff",
                         preface + settings + (b"\0\0\1\1\0\0\0\0\1\x82" + b"\0\0\1\x09\0\0\0\0\1\x82" * 100000)):
            p = self.proxy(guest=lambda door: door, default="allow")
            try:
                p.door.sendall(bytes_in)
            except OSError:
                pass
            p.door.shutdown(socket.SHUT_WR)
            self.assertEqual(p.process.wait(harness.WAIT), 0)
            self.assertEqual(p.records(), [])

    def test_control_messages_that_are_none(self):
        p = self.proxy("tcp ok.test:22")
        self.serve(OK4, 22)
        for message in (b"", b"{", b"[]", b'{"op":"x"}', b'{"op":"policy"}', b'{"op":"config"}', b'{"op":"resolver","servers":["x"]}',
                        b'{"op":"answer"}', b'{"op":"log","op":"log"}', b"x" * 65537):
            if message:
                p.send(message)
        p.send({"op": "listen", "entry": "forward"}, 0)
        p.send({"op": "resolver", "servers": [harness.Range.ROUTER]})
        stream = p.guest.connect("ok.test:22")
        stream.send(b"x")
        stream.recv_exactly(1)
        self.assertEqual(p.stderr().count("control_refused"), 10)

    def test_a_thousand_connections(self):
        self.serve(OK4, 22)
        p = self.proxy("tcp ok.test:22")
        streams = [p.guest.connect("ok.test:22") for _ in range(1024)]
        for stream in streams[:100]:
            stream.wait_status()
        with self.assertRaises(Gone):
            p.guest.connect("ok.test:22").wait_status()
        p.wait_record("decision", conn="c1")
        streams[0].close()
        p.wait_record("end", conn="c1")
        self.assertEqual(p.guest.connect("ok.test:22").wait_status(), 200)

    def test_connections_that_end_in_resets(self):
        p = self.proxy("ok.test:443")
        for _ in range(3000):
            p.guest.connect("ok.test:443").close()
        self.assertEqual(p.guest.connect("ok.test:443").wait_status(), 200)

    def test_without_descriptors_to_spare(self):
        self.serve(OK4, 22)
        p = self.proxy("tcp ok.test:22", wrap=["prlimit", "--nofile=48:48", "--"])
        streams = [p.guest.connect("ok.test:22") for _ in range(100)]
        wait_for(lambda: len(p.records("end", error="unreachable")) > 0, "a refusal")
        for stream in streams:
            stream.close()
        wait_for(lambda: len(p.records("end")) == len(p.records("decision", verdict="allow")), "all have ended")
        stream = p.guest.connect("ok.test:22")
        stream.send(b"x")
        stream.recv_exactly(1)

    def test_without_descriptors(self):
        self.assertEqual(harness.subprocess.run([harness.PROXY], capture_output=True).returncode, 2)
        self.assertEqual(harness.subprocess.run([harness.PROXY, "--id", "x"], capture_output=True).returncode, 1)


if __name__ == "__main__":
    unittest.main()
