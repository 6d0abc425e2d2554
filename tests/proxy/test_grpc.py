#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_grpc.py [unittest options]: gRPC (python3-grpcio, C core) as client and server through the proxy."""
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402
from test_intercept import OK4, Case  # noqa: E402

PEER = str(pathlib.Path(__file__).resolve().parent / "grpc_peer.py")


class Grpc(Case):
    def setUp(self):
        super().setUp()
        self.server = self.net.world.popen([sys.executable, PEER, "server", f"{OK4}:443", *self.ok], stdout=subprocess.PIPE,
                                           stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.stop)
        self.assertEqual(self.server.stdout.readline(), "ready\n")
        self.p = self.proxy("ok.test:443")
        self.port = self.p.listen()

    def stop(self):
        self.server.terminate()
        self.server.communicate()

    def run_case(self, case):
        client = self.net.host.popen([sys.executable, PEER, "client", str(self.port), self.tmp + "/guest-ca.pem", case],
                                     stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, said = client.communicate(timeout=60)
        self.assertEqual(client.returncode, 0, f"{said}\n{self.p.stderr()}\n{self.p.records()[-4:]}")
        return out

    def test_unary(self):
        self.run_case("unary")
        d = self.p.wait_record("decision")
        self.assertEqual((d["method"], d["path"], d["inspect"]), ("POST", "/test.Echo/Unary", "intercept"))
        self.assertEqual(self.p.wait_record("end")["status"], 200)

    def test_status_and_message(self):
        self.run_case("error")

    def test_client_stream(self):
        self.run_case("client_stream")

    def test_server_stream(self):
        self.run_case("server_stream")

    def test_both_stream(self):
        self.run_case("bidi")

    def test_large_messages(self):
        self.run_case("large")
        self.assertLess(self.p.rss_kib(), 40 << 10)

    def test_deadline(self):
        self.run_case("deadline")

    def test_cancel(self):
        begun = float(self.run_case("cancel").split()[1])
        line = self.server.stdout.readline().split()
        self.assertEqual(line[0], "cancelled")
        self.assertLess(float(line[1]) - begun, 0.2)

    def test_parallel_calls(self):
        self.run_case("parallel")
        self.assertEqual(len(self.p.records("decision")), 200)

    def test_a_call_that_is_refused(self):
        """The path is what a rule can forbid."""
        self.p.set_policy(["cdn.test:443"], tls="intercept")
        with self.assertRaises(AssertionError) as refused:
            self.run_case("unary")
        self.assertIn("StatusCode", str(refused.exception))
        self.assertEqual(self.p.wait_record("decision")["verdict"], "deny")


if __name__ == "__main__":
    unittest.main()
