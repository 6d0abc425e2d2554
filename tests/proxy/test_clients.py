#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_clients.py [unittest options]: the TLS and WebSocket libraries that agents' programs are made of, behind the guest's real side
of the network door (test_netguest.py) and a real sbx-proxy that intercepts: each takes the sandbox's CA by the way that the guest offers
it, and none takes the certificate without. npm's ws comes by tests/modules; nothing here leaves the machine."""
import os
import pathlib
import ssl
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402
from test_intercept import OK4, Keeper, Origin, Pki  # noqa: E402
from test_netguest import Inside  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent / "clients"
URL, GATEWAY = "https://ok.test/x", "gateway.docker.internal:3128"
NODE4, PYTHON4 = "93.184.216.30", "93.184.216.31"
REQUEST = "GET /x HTTP/1.1\r\nHost: ok.test\r\nConnection: close\r\n\r\n"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PYTHON = "/usr/bin/python3"
BODIES = {"/x": "hello", "/repo/info/refs": COMMIT + "\trefs/heads/main\n", "/repo/HEAD": "ref: refs/heads/main\n"}


def answer(connection, line, _, __):
    body = BODIES[line.split()[1].split("?")[0]].encode()
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


class Behind(unittest.TestCase):
    """One range, keeper and guest for a class; each test has the log's records from its own beginning."""

    @classmethod
    def setUpClass(cls):
        def later(function, *args):
            cls.addClassCleanup(function, *args)

        cls.net = harness.Range()
        later(cls.net.close)
        cls.keeper = Keeper()
        later(cls.keeper.close)
        directory = tempfile.TemporaryDirectory(prefix="sbx-clients.")
        later(directory.cleanup)
        cls.dir = pathlib.Path(directory.name)
        cls.pki = Pki(cls.dir)
        cls.net.names.update({"ok.test": [OK4], "node.test": [NODE4], "python.test": [PYTHON4]})
        link = cls.keeper.attach()
        cls.proxy = harness.Proxy(cls.net, ["ok.test:443", "node.test:443", "python.test:443"], keeper=link, trust=cls.pki.trust,
                                  tls="intercept", guest=Inside)
        later(cls.proxy.close)
        link.close()
        cls.inside = cls.proxy.guest
        cls.cert = cls.pki.leaf("server", "DNS:ok.test,DNS:node.test,DNS:python.test")
        cls.origin = Origin(cls.net.world.listen(OK4, 443), answer, cls.cert)
        later(cls.origin.server.close)
        cls.ca = cls.dir / "sandbox-ca.pem"
        cls.ca.write_text(cls.keeper.ca)

    def setUp(self):
        self.before = len(self.proxy.records())

    def decisions(self):
        return [r for r in self.proxy.records()[self.before:] if r["event"] == "decision"]

    def run_inside(self, *argv, said="", proxied=False, **env):
        """(exit status, output) of a program whose environment is what the guest gives, as far as `env` says."""
        kept = {k: os.environ[k] for k in ("PATH", "LANG") if k in os.environ}
        more = {"HTTPS_PROXY": "http://" + GATEWAY, "https_proxy": "http://" + GATEWAY} if proxied else {}
        settings = [f"{k}={v}" for k, v in {**kept, "HOME": str(self.dir), **more, **env}.items()]
        # A file: tstclnt does not understand the end of a pipe.
        with tempfile.TemporaryFile("w+") as stdin:
            stdin.write(said)
            stdin.seek(0)
            process = self.inside.popen("env", "-i", *settings, "timeout", "60", *map(str, argv), stdin=stdin)
            out, _ = process.communicate()
        return process.returncode, out

    def good(self, *argv, **more):
        status, out = self.run_inside(*argv, **more)
        self.assertEqual(status, 0, out + self.proxy.stderr())
        return out

    def bad(self, *argv, word, **more):
        """It does not trust the certificate, says so, and nothing of a request was sent."""
        requests = len(self.origin.requests)
        status, out = self.run_inside(*argv, **more)
        self.assertNotEqual(status, 0, out)
        self.assertRegex(out, word)
        self.assertEqual(len(self.origin.requests), requests)

    def assert_seen(self, *entries, path="/x"):
        """Each request went through the proxy's hands, by these ways."""
        seen = [r for r in self.decisions() if r["method"]]
        self.assertEqual([r["entry"] for r in seen], list(entries))
        self.assertEqual({(r["verdict"], r["inspect"], r["path"].split("?")[0]) for r in seen}, {("allow", "intercept", path)})


def may_be_early(pem):
    """The session with a max_early_data (member 15 of OpenSSL's SSL_SESSION) that its server did not give."""
    der = ssl.PEM_cert_to_DER_cert(pem.replace("SSL SESSION PARAMETERS", "CERTIFICATE"))

    def element(at):
        """(tag, where its content begins, where it ends)"""
        n, at_content = der[at + 1], at + 2
        if n & 0x80:
            size = n & 0x7f
            n, at_content = int.from_bytes(der[at + 2:at + 2 + size], "big"), at + 2 + size
        return der[at], at_content, at_content + n

    _, at, end = element(0)
    members = []
    while at < end:
        tag, _, after = element(at)
        members.append((tag, der[at:after]))
        at = after
    members = [m for m in members if m[0] < 0xa0] + sorted([m for m in members if m[0] >= 0xa0] + [(0xaf, bytes.fromhex("af0402024000"))])
    content = b"".join(m for _, m in members)
    der = b"\x30\x82" + len(content).to_bytes(2, "big") + content
    return ssl.DER_cert_to_PEM_cert(der).replace("CERTIFICATE", "SSL SESSION PARAMETERS")


class Clients(Behind):
    def test_curl(self):
        """OpenSSL, HTTP/2."""
        argv = ("curl", "-sS", "-w", " %{http_version}", URL)
        self.assertEqual(self.good(*argv, CURL_CA_BUNDLE=self.ca), "hello 2")
        self.assertEqual(self.good(*argv, "--http1.1", CURL_CA_BUNDLE=self.ca, proxied=True), "hello 1.1")
        self.assert_seen("transparent", "forward")
        self.bad(*argv, word="unable to get local issuer|self.signed")

    def test_openssl(self):
        argv = ["openssl", "s_client", "-quiet", "-verify_return_error", "-verify_hostname", "ok.test", "-servername", "ok.test",
                "-connect", "ok.test:443"]
        for more in ([], ["-proxy", GATEWAY]):
            for version in ("-tls1_2", "-tls1_3"):
                out = self.good(*argv, *more, version, "-CAfile", self.ca, said=REQUEST)
                self.assertIn("\n\nhello", out)
        self.assert_seen("transparent", "transparent", "forward", "forward")
        self.bad(*argv, word="verify error", said=REQUEST)

    def test_early_data(self):
        """E12: a client that sends its request before the handshake is over, with a ticket of which it believes that it may. It is not taken, and the
        request that follows is there once."""
        ticket, early = self.dir / "ticket", self.dir / "early"
        argv = ["openssl", "s_client", "-ign_eof", "-verify_return_error", "-servername", "ok.test", "-connect", "ok.test:443", "-CAfile", self.ca, "-tls1_3"]
        out = self.good(*argv, "-sess_out", ticket, said=REQUEST)
        self.assertIn("Max Early Data: 0", out)
        early.write_text(REQUEST.replace("/x", "/early"))
        ticket.write_text(may_be_early(ticket.read_text()))
        out = self.good(*argv, "-sess_in", ticket, "-early_data", early, said=REQUEST)
        self.assertIn("Early data was rejected", out)
        self.assertIn("Reused, TLSv1.3", out)
        self.assertIn("\nhello", out)
        self.assert_seen("transparent", "transparent")
        self.assertFalse([r for r in self.origin.requests if "early" in r[0]])

    def test_renegotiation_and_compression(self):
        """E11: a client may ask for either; there is none."""
        argv = ["openssl", "s_client", "-verify_return_error", "-servername", "ok.test", "-connect", "ok.test:443", "-CAfile", self.ca, "-tls1_2"]
        _, out = self.run_inside(*argv, "-comp", "-legacy_renegotiation", said="R\n" + REQUEST)
        self.assertIn("Compression: NONE", out)
        self.assertIn("RENEGOTIATING", out)
        self.assertRegex(out, "no renegotiation|unexpected message|handshake failure|alert")
        self.assertNotIn("hello", out)

    def test_openssl_by_directory(self):
        """Where the CA is found by the name that OpenSSL has for it, as the keeper tells."""
        certs = self.dir / "certs"
        certs.mkdir()
        argv = ["openssl", "s_client", "-quiet", "-verify_return_error", "-servername", "ok.test", "-connect", "ok.test:443", "-no-CAfile",
                "-no-CAstore", "-CApath", certs]
        self.bad(*argv, word="verify error", said=REQUEST)
        (certs / f"{self.keeper.ca_hash}.0").symlink_to(self.ca)
        self.assertIn("\n\nhello", self.good(*argv, said=REQUEST))
        self.assert_seen("transparent")

    def test_gnutls(self):
        argv = ("gnutls-cli", "ok.test")
        out = self.good(*argv, "--x509cafile", self.ca, said=REQUEST)
        self.assertIn("The certificate is trusted", out)
        self.assertIn("hello", out)
        self.assert_seen("transparent")
        self.bad(*argv, word="NOT trusted", said=REQUEST)

    def test_git(self):
        """Its libcurl is the one with GnuTLS."""
        for proxied in (False, True):
            out = self.good("git", "ls-remote", "https://ok.test/repo", GIT_SSL_CAINFO=self.ca, proxied=proxied)
            self.assertIn(COMMIT + "\trefs/heads/main", out)
        self.assertEqual({r["entry"] for r in self.decisions()}, {"transparent", "forward"})
        self.bad("git", "ls-remote", "https://ok.test/repo", word="certificate")

    def test_nss(self):
        store = self.dir / "nss"
        store.mkdir()
        for line in (["-N", "--empty-password"], ["-A", "-n", "sbx", "-t", "C,,", "-i", str(self.ca)]):
            subprocess.run(["certutil", "-d", f"sql:{store}", *line], check=True, capture_output=True)
        argv = ("tstclnt", "-h", "ok.test", "-p", "443", "-b", "-d")
        self.assertIn("hello", self.good(*argv, f"sql:{store}", said=REQUEST))
        self.assert_seen("transparent")
        subprocess.run(["certutil", "-d", f"sql:{store}", "-D", "-n", "sbx"], check=True)
        self.bad(*argv, f"sql:{store}", word="SEC_ERROR_UNKNOWN_ISSUER|not recognized", said=REQUEST)

    def test_node(self):
        script = HERE / "https.js"
        self.assertEqual(self.good("node", script, URL, NODE_EXTRA_CA_CERTS=self.ca).splitlines(),
                         ["https 1.1 hello", "http2 h2 hello", "fetch - hello"])
        self.assertEqual(self.good("node", script, URL, GATEWAY, NODE_EXTRA_CA_CERTS=self.ca), "https 1.1 hello\n")
        self.assert_seen(*["transparent"] * 3, "forward")
        self.bad("node", script, URL, word="UNABLE_TO|SELF_SIGNED")

    def test_python(self):
        argv = (PYTHON, HERE / "https.py", URL)
        for proxied in (False, True):
            out = self.good(*argv, SSL_CERT_FILE=self.ca, REQUESTS_CA_BUNDLE=self.ca, proxied=proxied)
            self.assertEqual(out.splitlines(), ["urllib hello", "requests hello"])
        self.assert_seen("transparent", "transparent", "forward", "forward")
        self.bad(*argv, word="unable to get local issuer")

    def test_java(self):
        """HttpClient, with the store that the guest makes of Debian's."""
        store, theirs = self.dir / "cacerts", "/etc/ssl/certs/java/cacerts"
        subprocess.run([str(harness.TOP / "build/tests/jksadd"), theirs, self.ca, store], check=True)
        out = self.good("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"-Djavax.net.ssl.trustStore={store}",
                        HERE / "Https.java", URL, GATEWAY, theirs).splitlines()
        self.assertEqual(out[:3], ["direct HTTP_2 hello", "proxy HTTP_2 hello", "other refused"])
        self.assertGreater(int(out[3].split()[1]), 100)
        self.assert_seen("transparent", "forward")

    def test_go(self):
        program = self.dir / "https"
        subprocess.run(["go", "build", "-o", str(program), str(HERE / "https.go")], check=True, cwd=self.dir, timeout=120,
                       env={**os.environ, "HOME": str(self.dir), "GOPROXY": "off", "GOFLAGS": "-mod=mod",
                            "GOCACHE": str(self.dir / "go-cache")})
        for proxied in (False, True):
            self.assertEqual(self.good(program, URL, SSL_CERT_FILE=self.ca, proxied=proxied), "HTTP/2.0 hello\n")
        self.assert_seen("transparent", "forward")
        self.bad(program, URL, word="unknown authority")


class WebSockets(Behind):
    """npm's ws and python3-websockets, as client and as server, with each other: messages in fragments, of 1 MiB, pings of both sides,
    the closing codes of both sides, with and without permessage-deflate."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.peers = {}
        modules = os.environ.get("SBX_TEST_MODULES") or subprocess.run([HERE.parent / "modules", "ws@8"], check=True, timeout=400,
                                                                       stdout=subprocess.PIPE, text=True).stdout.strip()
        cls.env = {"NODE_PATH": modules}
        cls.argv = {"node": ["node", str(HERE / "ws_peer.js")], "python": [PYTHON, str(HERE / "ws_peer.py")]}
        for name, address in (("node", NODE4), ("python", PYTHON4)):
            peer = cls.net.world.popen([*cls.argv[name], "server", address, *cls.cert], env={**os.environ, **cls.env},
                                       stdout=subprocess.PIPE, text=True)
            cls.addClassCleanup(peer.communicate)
            cls.addClassCleanup(peer.terminate)
            assert peer.stdout.readline() == "ready\n"


def conversation(client, server, proxied):
    def test(self):
        more = [GATEWAY] if proxied else []
        out = self.good(*self.argv[client], "client", f"wss://{server}.test/", self.ca, *more, **self.env)
        self.assertEqual(out, "done\n")
        self.assert_seen(*["forward" if proxied else "transparent"] * 3, path="/")
    return test


for one in ("node", "python"):
    for other in ("node", "python"):
        for how in ("transparent", "proxied"):
            setattr(WebSockets, f"test_{one}_with_{other}_{how}", conversation(one, other, how == "proxied"))


if __name__ == "__main__":
    unittest.main()
