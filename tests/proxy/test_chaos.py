#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_chaos.py [unittest options]: many connections that begin and end in every way at once, while the policy changes under them. What
must hold: the proxy lives and ends in order, each permission has exactly one end, nothing that was never allowed reaches an origin.

SBX_CHAOS_SEED repeats a run (each says its own), SBX_CHAOS_STEPS makes it longer."""
import contextlib
import os
import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402
from harness import Gone, client_hello, echo, wait_for  # noqa: E402

EACH = 50  # steps between two connections that must do
STEPS = int(os.environ.get("SBX_CHAOS_STEPS", "600"))
SEED = int(os.environ.get("SBX_CHAOS_SEED", random.randrange(1 << 30)))
ADDRESS, FORBIDDEN = "93.184.216.10", "93.184.216.66"
RULES = ["tcp a.test:22", "tcp b.test:22", "a.test:443", "b.test:443", {"resource": "a.test:80", "methods": ["GET"]},
         ("ask", "tcp c.test:22")]
FIRST = [b"", b"x", b"SSH-2.0-x\r\n", client_hello("a.test"), client_hello("b.test"), client_hello("evil.test"), client_hello(None),
         client_hello("a.test")[:50], b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nx",
         b"CONNECT a.test:22 HTTP/1.1\r\nHost: a.test:22\r\n\r\nx", b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n",
         b"CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n" + client_hello("b.test"), b"\x16\x03\x01\xff\xff", b"\r\n\r\n", b"\0" * 70000]
WHERE = ["a.test:22", "a.test:22", "b.test:22", "a.test:22", "b.test:22", "c.test:22", "a.test:443", "b.test:443", "a.test:80", "evil.test:443", "evil.test:22", "none.test:22",
         "gateway.docker.internal:3128", FORBIDDEN + ":22", "[::1]:22", "refused.test:22"]


class Chaos(unittest.TestCase):
    def setUp(self):
        self.net = harness.Range()
        self.addCleanup(self.net.close)
        for name in ("a", "b", "c"):
            self.net.names[f"{name}.test"] = [ADDRESS, "127.0.0.1"]
        self.net.names["evil.test"] = [FORBIDDEN]
        self.servers = [harness.Server(self.net.world.listen(ADDRESS, port), echo) for port in (22, 443, 80)]
        self.forbidden = [harness.Server(self.net.world.listen(FORBIDDEN, port), echo) for port in (22, 443)]
        for server in self.servers + self.forbidden:
            self.addCleanup(server.close)

    def step(self, dice, p, streams):
        what = dice.random()
        if what < 0.4 or not streams:
            streams.append(p.guest.connect(dice.choice(WHERE)))
            first = dice.choice(FIRST)
            if first:
                streams[-1].send(first, timeout=2)
            return
        stream = dice.choice(streams)
        if what < 0.6:
            stream.send(bytes(dice.randrange(1, 30000)), timeout=2)
        elif what < 0.75:
            stream.close()
            streams.remove(stream)
        elif what < 0.85:
            stream.shutdown()
        elif what < 0.93:
            stream.recv(dice.randrange(1, 100000), timeout=dice.choice((0.001, 0.05)))
        elif what < 0.945:
            p.set_policy(dice.sample(RULES, dice.randrange(2, len(RULES) + 1)))
        else:
            p.send({"op": "answer", "ask": dice.randrange(1, 20), "allow": dice.random() < 0.5})

    def works(self, p):
        """In the midst of it: what is allowed comes through. How much of the rest is, depends on who is faster: a connection may end, or the
        policy change, before its name has an answer."""
        p.set_policy(RULES)
        stream = p.guest.connect("a.test:22")
        stream.send(b"there")
        self.assertEqual(stream.recv_exactly(5), b"there", f"seed {SEED}: {p.stderr()}")
        stream.close()

    def test_it_holds(self):
        dice = random.Random(SEED)
        p = harness.Proxy(self.net, RULES)
        self.addCleanup(p.close)
        streams = []
        for number in range(STEPS):
            with self.subTest(seed=SEED, step=number), contextlib.suppress(Gone, TimeoutError, harness.h2.exceptions.ProtocolError):
                self.step(dice, p, streams)
            self.assertIsNone(p.process.poll(), f"seed {SEED}, step {number}: {p.stderr()}")
            if number % EACH == 0:
                self.works(p)
        p.set_policy([])
        for stream in streams:
            stream.close()
        wait_for(lambda: len(p.records("end")) == len(p.records("decision", verdict="allow")), f"all ends, seed {SEED}")
        records = p.records()  # once: refusals may still be written
        self.assertEqual([r["seq"] for r in records], list(range(1, len(records) + 1)))
        self.assertGreater(len(p.records("decision", verdict="allow")), (STEPS - 1) // EACH)
        ends = [(r["conn"], r["req"]) for r in p.records("end")]
        self.assertEqual(len(ends), len(set(ends)), f"seed {SEED}")
        self.assertEqual([s.accepted for s in self.forbidden], [0, 0], f"seed {SEED}")
        self.assertFalse({name for name, _ in self.net.dns.asked} & {"evil.test"}, f"seed {SEED}")
        self.assertEqual(p.stop(), 0, f"seed {SEED}")


if __name__ == "__main__":
    unittest.main()
