#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_splice.py [unittest options]: sbx-proxy's ways in, decisions, and spliced connections. SBX_PROXY names the program."""
import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402
from harness import Gone, Server, Tls, client_hello, echo  # noqa: E402

OK4, OK6, OTHER4 = "93.184.216.10", "2606:2800:220:1::10", "93.184.216.66"


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.net = harness.Range()
        cls.addClassCleanup(cls.net.close)

    def setUp(self):
        self.net.names.clear()
        self.net.dns.asked.clear()

    def proxy(self, *rules, **more):
        p = harness.Proxy(self.net, rules, **more)
        self.addCleanup(p.close)
        return p

    def serve(self, address, port, handler=echo):
        s = Server(self.net.world.listen(address, port), handler)
        self.addCleanup(s.close)
        return s


class Splice(Case):
    def test_tls_is_relayed_as_it_came(self):
        self.net.names["ok.test"] = [OK4]
        heard = []

        def handler(connection):
            heard.append(connection.recv(65536))
            connection.sendall(b"answer")

        self.serve(OK4, 443, handler)
        p = self.proxy("ok.test:443")
        hello = client_hello("ok.test")
        stream = p.guest.connect("OK.test.:443")
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
        self.assertEqual(p.stop(), 0)


if __name__ == "__main__":
    unittest.main()
