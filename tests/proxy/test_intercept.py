#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_intercept.py [unittest options]: requests inside connections: TLS that the proxy ends, plain HTTP, WebSocket. The client is
curl or this program, the keeper is sbx-keeper, the origins are this program."""
import base64
import hashlib
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402
from harness import Server, Tls, wait_for  # noqa: E402

OK4, BAD4 = "93.184.216.10", "93.184.216.20"
KEEPER = os.environ.get("SBX_KEEPER", str(harness.TOP / "build/bin/sbx-keeper"))
GROWTH = 2048 if "asan" not in harness.PROXY else 1 << 20  # KiB; a sanitizer keeps what was freed
SANDBOX = "00000000-0000-4000-8000-00000000000a"


class Keeper:
    """sbx-keeper in a world of its own."""

    def __init__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="sbx-intercept.")
        self.env = {**os.environ, "XDG_STATE_HOME": self.dir.name + "/state", "XDG_RUNTIME_DIR": self.dir.name + "/run"}
        for name in ("state", "run"):
            os.mkdir(f"{self.dir.name}/{name}", 0o700)
        self.process = subprocess.Popen([KEEPER], env=self.env, stderr=subprocess.DEVNULL)
        self.ca = self.ca_hash = None

    def attach(self):
        """A connection that is the sandbox's."""
        path = self.dir.name + "/run/sbx/keeper.sock"
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.settimeout(harness.WAIT)

        def connected():
            try:
                s.connect(path)
                return True
            except OSError:
                return False

        wait_for(connected, "the keeper")
        s.send(json.dumps({"op": "attach", "sandbox": SANDBOX}).encode())
        reply = json.loads(s.recv(65536))
        self.ca, self.ca_hash = reply["ca"], reply["ca_hash"]
        return s

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.dir.cleanup()


class Pki:
    """A certificate authority of the world."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        self.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=world "
                     "-addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.pem")
        self.trust = (self.dir / "ca.pem").read_bytes()

    def openssl(self, line):
        subprocess.run(["openssl", *line.split()], cwd=self.dir, check=True, capture_output=True)

    def leaf(self, file, sans, more="extendedKeyUsage=serverAuth", days="-days 2", subject="/CN=x", by="ca", key="ec -pkeyopt "
             "ec_paramgen_curve:P-256", digest="-sha256"):
        """(certificate, key) files."""
        ext = self.dir / f"{file}.ext"
        ext.write_text((f"subjectAltName={sans}\n" if sans else "") + more + "\n")
        self.openssl(f"req -newkey {key} -nodes -subj {subject} -keyout {file}.key -out {file}.csr")
        if by:
            self.openssl(f"x509 -req -in {file}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial {days} {digest} "
                         f"-extfile {file}.ext -out {file}.pem")
        else:
            self.openssl(f"x509 -req -in {file}.csr -signkey {file}.key {days} -extfile {file}.ext -out {file}.pem")
        return str(self.dir / f"{file}.pem"), str(self.dir / f"{file}.key")


class Origin:
    """An HTTP/1.1 origin that answers by a function (request line, fields, body reader, connection) and remembers its requests."""

    def __init__(self, sock, answer, cert=None):
        self.requests = []
        self.answer = answer
        inner = self.serve
        self.server = Server(sock, harness.tls_server(*cert, inner) if cert else inner)

    def serve(self, connection):
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = connection.recv(65536)
                if not more:
                    return
                data += more
            head, _, data = data.partition(b"\r\n\r\n")
            lines = head.decode("latin1").split("\r\n")
            fields = [(n.lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines[1:])]
            body, data = self.body(connection, dict(fields), data)
            self.requests.append((lines[0], fields, body))
            if self.answer(connection, lines[0], dict(fields), body) is False:
                if isinstance(connection, ssl.SSLSocket):
                    connection.unwrap()
                return

    @staticmethod
    def body(connection, fields, data):
        data = bytearray(data)

        def need(n):
            while len(data) < n:
                more = connection.recv(65536)
                assert more, "the request was cut off"
                data.extend(more)

        def line():
            nonlocal data
            while b"\r\n" not in data:
                need(len(data) + 1)
            text, _, data = data.partition(b"\r\n")
            return bytes(text)

        out = b""
        if "content-length" in fields:
            n = int(fields["content-length"])
            need(n)
            return bytes(data[:n]), bytes(data[n:])
        if fields.get("transfer-encoding") == "chunked":
            while True:
                n = int(line(), 16)
                if n == 0:
                    assert line() == b""
                    return out, bytes(data)
                need(n + 2)
                out, data = out + data[:n], data[n + 2:]
        return out, bytes(data)


def plain(text, status="200 OK", more=""):
    """An answer with a length."""
    def answer(connection, line, fields, body):
        content = text if isinstance(text, bytes) else text.encode()
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n{more}\r\n".encode() +
                           (b"" if line.startswith("HEAD") else content))
    return answer


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.net = harness.Range()
        cls.addClassCleanup(cls.net.close)
        cls.keeper = Keeper()
        cls.addClassCleanup(cls.keeper.close)
        directory = tempfile.TemporaryDirectory(prefix="sbx-intercept.")
        cls.addClassCleanup(directory.cleanup)
        cls.tmp = directory.name
        cls.pki = Pki(directory.name)
        cls.ok = cls.pki.leaf("ok", "DNS:ok.test,DNS:cdn.test,DNS:front.test")

    def setUp(self):
        self.net.names.clear()
        self.net.dns.asked.clear()
        self.net.names.update({"ok.test": [OK4], "cdn.test": [OK4], "front.test": [OK4], "bad.test": [BAD4]})

    def proxy(self, *rules, tls="intercept", **more):
        p = harness.Proxy(self.net, rules, keeper=self.keeper.attach(), trust=self.pki.trust, tls=tls, **more)
        self.addCleanup(p.close)
        (pathlib.Path(self.tmp) / "guest-ca.pem").write_text(self.keeper.ca)
        return p

    def origin(self, answer, address=OK4, port=443, cert=None):
        o = Origin(self.net.world.listen(address, port), answer, (cert or self.ok) if port != 80 else None)
        self.addCleanup(o.server.close)
        return o

    def curl(self, p, *args, ca=True, **more):
        """curl in the host's namespace, by the proxy's own way in."""
        if not hasattr(p, "port"):
            p.port = p.listen()
        argv = ["curl", "-sS", "--http1.1", "--max-time", "20", "-x", f"http://127.0.0.1:{p.port}"]
        if ca:
            argv += ["--cacert", self.tmp + "/guest-ca.pem"]
        env = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
        process = self.net.host.popen([*argv, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      stdin=subprocess.DEVNULL, env=env, **more)
        out, said = process.communicate(timeout=60)
        return process.returncode, out, said.decode()

    def get(self, p, *args):
        code, out, said = self.curl(p, *args)
        self.assertEqual(code, 0, f"{said}\n{p.stderr()}\n{p.records()}")
        return out

    def tls(self, p, name="ok.test", alpn=("http/1.1",)):
        """A stream of the door with TLS inside."""
        stream = p.guest.connect(f"{name}:443")
        return Tls(stream, name, ca=self.keeper.ca, alpn=list(alpn)).handshake()

    def ask(self, p, request, name="ok.test"):
        """Everything that comes back for these bytes, inside TLS."""
        tls = self.tls(p, name)
        tls.send(request)
        return tls.recv_all()


class Requests(Case):
    def test_get_and_keep_alive(self):
        o = self.origin(plain("hello"))
        p = self.proxy("ok.test:443")
        out = self.get(p, "https://ok.test/a?b=c", "https://ok.test/second")
        self.assertEqual(out, b"hellohello")
        line, fields, _ = o.requests[0]
        self.assertEqual(line, "GET /a?b=c HTTP/1.1")
        self.assertEqual(fields[0], ("host", "ok.test"))
        self.assertEqual({n for n, _ in fields}, {"host", "user-agent", "accept"})
        self.assertEqual(o.server.accepted, 1)
        d = p.wait_record("decision", req=1)
        self.assertEqual((d["verdict"], d["method"], d["path"], d["inspect"], d["protocol"], d["injected"], d["host"]),
                         ("allow", "GET", "/a", "intercept", "tls", "none:no_secret", "ok.test"))
        e = p.wait_record("end", req=2)
        self.assertEqual((e["status"], e["bytes_in"], e["address"], e["error"]), (200, 5, OK4, None))
        self.assertEqual(p.stop(), 0)


    def test_bodies_both_ways(self):
        self.origin(lambda c, line, f, body: plain(hashlib.sha256(body).hexdigest())(c, line, f, body))
        p = self.proxy("ok.test:443")
        data = os.urandom(300000)
        file = pathlib.Path(self.tmp) / "body"
        file.write_bytes(data)
        want = hashlib.sha256(data).hexdigest().encode()
        self.assertEqual(self.get(p, "--data-binary", f"@{file}", "https://ok.test/length"), want)
        self.assertEqual(self.get(p, "-T", str(file), "https://ok.test/put"), want)
        self.assertEqual(self.get(p, "-H", "Transfer-Encoding: chunked", "--data-binary", f"@{file}", "https://ok.test/chunks"),
                         want)
        self.assertEqual(self.get(p, "-d", "", "https://ok.test/empty"), hashlib.sha256(b"").hexdigest().encode())
        self.assertEqual(p.wait_record("end", req=1)["bytes_out"], len(data))

    def test_an_empty_post_says_its_length(self):
        o = self.origin(plain("x"))
        p = self.proxy("ok.test:443")
        self.get(p, "-d", "", "https://ok.test/")
        self.assertIn(("content-length", "0"), o.requests[0][1])

    def test_head_204_304_and_http10(self):
        def answer(c, line, f, body):
            if "/304" in line:
                c.sendall(b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 7\r\n\r\n")
            elif "/204" in line:
                c.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            else:
                plain("content")(c, line, f, body)

        o = self.origin(answer)
        p = self.proxy("ok.test:443")
        self.assertIn(b"Content-Length: 7", self.get(p, "-I", "https://ok.test/"))
        out = self.get(p, "-i", "https://ok.test/304", "https://ok.test/204", "https://ok.test/200")
        self.assertTrue(out.endswith(b"\r\n\r\ncontent"), out)
        self.assertEqual(o.server.accepted, 1)
        out = self.ask(p, b"GET / HTTP/1.0\r\nHost: ok.test\r\n\r\n")
        self.assertTrue(out.startswith(b"HTTP/1.1 200 OK\r\n") and out.endswith(b"\r\n\r\ncontent"), out)
        self.assertNotIn(b"chunked", out)

    def test_the_answer_ends_with_the_connection(self):
        def answer(c, line, f, body):
            c.sendall(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
            return False

        self.origin(answer)
        p = self.proxy("ok.test:443")
        self.assertEqual(self.get(p, "https://ok.test/", "https://ok.test/"), b"until the end" * 2)

    def test_pipelined_requests_are_answered_in_order(self):
        o = self.origin(lambda c, line, f, b: plain(line.split()[1])(c, line, f, b))
        p = self.proxy("ok.test:443")
        one = "GET /%d HTTP/1.1\r\nHost: ok.test\r\n%s\r\n"
        out = self.ask(p, "".join(one % (i, "Connection: close\r\n" if i == 4 else "") for i in range(5)).encode())
        self.assertEqual([part[:2] for part in out.split(b"\r\n\r\n")[1:]], [b"/0", b"/1", b"/2", b"/3", b"/4"])
        self.assertEqual(o.server.accepted, 1)

    def test_interim_answers_and_expect(self):
        def answer(c, line, f, body):
            c.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        self.origin(answer)
        p = self.proxy("ok.test:443")
        out = self.ask(p, b"GET / HTTP/1.1\r\nHost: ok.test\r\nConnection: close\r\n\r\n")
        self.assertTrue(out.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"), out)

    def test_expect_100_continue(self):
        """The origin decides whether the body comes."""
        seen = []

        def handler(connection):
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            seen.append(data)
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            seen.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        s = Server(self.net.world.listen(OK4, 443), harness.tls_server(*self.ok, handler))
        self.addCleanup(s.close)
        p = self.proxy("ok.test:443")
        tls = self.tls(p)
        tls.send(b"POST / HTTP/1.1\r\nHost: ok.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n")
        self.assertEqual(tls.recv(), b"HTTP/1.1 100 Continue\r\n\r\n")
        tls.send(b"body")
        self.assertTrue(tls.recv_all().startswith(b"HTTP/1.1 200"))
        self.assertEqual(seen[1], b"body")
        self.assertIn(b"Expect: 100-continue\r\n", seen[0])

    def test_an_early_final_answer_ends_the_connection(self):
        def handler(connection):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
            connection.recv(65536)

        s = Server(self.net.world.listen(OK4, 443), harness.tls_server(*self.ok, handler))
        self.addCleanup(s.close)
        p = self.proxy("ok.test:443")
        out = self.ask(p, b"POST / HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 400000\r\n\r\n" + bytes(1000))
        self.assertTrue(out.startswith(b"HTTP/1.1 413 ") and out.endswith(b"\r\n\r\nno"), out)

    def test_large_download_and_upload(self):
        """Byte-exact, and the proxy does not grow with it."""
        size = 200 << 20
        block = os.urandom(1 << 20)

        def answer(c, line, f, body):
            if line.startswith("GET"):
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                for _ in range(size >> 20):
                    c.sendall(block)
            else:
                plain(str(len(body)))(c, line, f, body)

        self.origin(answer)
        p = self.proxy("ok.test:443")
        self.get(p, "-I", "https://ok.test/")
        before = p.rss_kib()
        self.assertEqual(self.get(p, "-o", "/dev/null", "-w", "%{size_download}", "https://ok.test/"), str(size).encode())
        file = pathlib.Path(self.tmp) / "large"
        with open(file, "wb") as f:
            f.truncate(64 << 20)
        self.assertEqual(self.get(p, "-T", str(file), "https://ok.test/"), str(64 << 20).encode())
        self.assertLess(p.rss_kib() - before, 2 * GROWTH)

    def test_a_guest_that_does_not_read_holds_the_origin(self):
        sent, stuck = [0], threading.Event()

        def answer(c, line, f, body):
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            c.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)  # else this kernel takes 16 MiB by itself, now and then
            c.settimeout(1)
            try:
                while True:
                    sent[0] += c.send(bytes(65536))
            except (TimeoutError, ssl.SSLError):
                stuck.set()
                raise

        self.origin(answer)
        p = self.proxy("ok.test:443")
        tls = self.tls(p)
        before = p.rss_kib()
        tls.stream.held = True
        tls.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n")
        self.assertTrue(stuck.wait(harness.WAIT))
        self.assertGreater(sent[0], 65536)
        self.assertLess(sent[0], 16 << 20)
        self.assertLess(p.rss_kib() - before, GROWTH)

    def test_events_are_not_held_back(self):
        go = threading.Semaphore(0)

        def answer(c, line, f, body):
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(5):
                go.acquire(timeout=10)
                event = b"data: %d\n\n" % i
                c.sendall(b"%x\r\n%s\r\n" % (len(event), event))
            c.sendall(b"0\r\n\r\n")

        self.origin(answer)
        p = self.proxy("ok.test:443")
        tls = self.tls(p)
        tls.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\nConnection: close\r\n\r\n")
        self.assertTrue(tls.recv().endswith(b"\r\n\r\n"))
        for i in range(5):
            begin = time.monotonic()
            go.release()
            self.assertIn(b"data: %d\n\n" % i, tls.recv())
            self.assertLess(time.monotonic() - begin, 0.2)
        self.assertIn(b"0\r\n\r\n", tls.recv_all())

    def test_what_ends_at_this_hop(self):
        def answer(c, line, f, body):
            plain("x", more="Alt-Svc: h3=\":443\"\r\nProxy-Authenticate: Basic\r\nKeep-Alive: timeout=5\r\nX-Res: 1\r\n"
                            "Connection: X-Res\r\nSet-Cookie: a=b\r\n")(c, line, f, body)

        o = self.origin(answer)
        p = self.proxy("ok.test:443")
        out = self.get(p, "-i", "-H", "Connection: X-Secret, keep-alive", "-H", "X-Secret: 1", "-H", "Proxy-Authorization: Basic eA==",
                       "-H", "Keep-Alive: 5", "-H", "TE: gzip", "-H", "Proxy-Connection: x", "-H", "X-Stays: 1",
                       "-H", "Upgrade: foo", "-H", "HTTP2-Settings: AAMAAABkAAQAAP__", "https://ok.test/").lower()
        names = {n for n, _ in o.requests[0][1]}
        self.assertEqual(names, {"host", "user-agent", "accept", "x-stays"})
        for gone in (b"alt-svc", b"proxy-authenticate", b"keep-alive", b"x-res"):
            self.assertNotIn(gone, out)
        self.assertIn(b"set-cookie: a=b", out)

    def test_requests_of_a_path_rule_leave_in_canonical_form(self):
        o = self.origin(plain("x"))
        p = self.proxy({"resource": "ok.test:443", "path": "/v1/**"})
        self.get(p, "--path-as-is", "https://ok.test/%76%31/x?q=%2e", "https://ok.test/v1/%7ea")
        self.assertEqual([r[0] for r in o.requests], ["GET /v1/x?q=%2e HTTP/1.1", "GET /v1/~a HTTP/1.1"])
        for path in ("/v2", "/v1/../admin", "/v1/%2e%2e/admin", "/v1/..;/admin", "/v1/..%2fadmin", "/v1\\..\\admin",
                     "/v1/%252e%252e/admin", "//v1/x", "/v1/x%00"):
            out = self.get(p, "--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", "https://ok.test" + path)
            self.assertIn(out, (b"403", b"400"), path)
        self.assertEqual(len(o.requests), 2)


class Refusals(Case):
    def test_the_client_goes_while_its_certificate_is_made(self):
        """The keeper here takes requests and answers none; clients come and go meanwhile."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(ours.close)
        ours.settimeout(harness.WAIT)
        with harness.Proxy(self.net, ["ok.test:443"], keeper=theirs, trust=self.pki.trust, tls="intercept") as p:
            for n in range(1, 6):
                stream = p.guest.connect("ok.test:443")
                stream.send(harness.client_hello("ok.test"))
                while n == 1 and json.loads(ours.recv(65536))["op"] != "leaf":
                    pass
                stream.close()
                wait_for(lambda: len(p.records("decision", verdict="deny", reason="client_tls", host="ok.test")) >= n, f"the end of connection {n}")
            self.assertIsNone(p.process.poll())

    def test_the_page(self):
        o = self.origin(plain("x"))
        p = self.proxy("other.test:443")
        out = self.get(p, "-i", "https://ok.test/", "https://ok.test/again").decode()
        self.assertEqual(out.count("HTTP/1.1 403 Blocked by network policy: rule "), 2)
        self.assertIn("Content-Type: text/plain", out)
        self.assertIn("\r\n\r\nBlocked by network policy: domain ok.test:443\n", out)
        self.assertIn("\nremedy: sbx policy allow network ok.test:443", out)
        self.assertIn("\nreason: no_rule\n", out)
        self.assertEqual(o.server.accepted, 0)
        self.assertEqual(len(p.records("decision", verdict="deny", reason="no_rule")), 1)
        head = self.get(p, "-I", "https://ok.test/").decode()
        self.assertIn("403 Blocked by network policy: rule ", head)
        self.assertRegex(head, r"Content-Length: [1-9]")
        self.assertEqual(self.net.dns.asked, [])

    def test_a_method_rule(self):
        o = self.origin(plain("x"))
        p = self.proxy({"resource": "ok.test:443", "methods": ["GET"]}, tls="auto")
        self.assertEqual(self.get(p, "https://ok.test/"), b"x")
        out = self.get(p, "-i", "-d", "data", "https://ok.test/")
        self.assertIn(b"403 Blocked by network policy: rule ", out)
        self.assertIn(b"reason: method\n", out)
        self.assertEqual(len(o.requests), 1)
        self.assertEqual(p.wait_record("decision", verdict="deny")["reason"], "method")

    def test_a_refused_upload_ends_the_connection(self):
        o = self.origin(plain("x"))
        p = self.proxy({"resource": "ok.test:443", "methods": ["GET"]})
        out = self.ask(p, b"POST / HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 40\r\n\r\nGET /evil HTTP/1.1\r\nHost: ok.test\r\n\r\n")
        self.assertEqual(out.count(b"HTTP/1.1 "), 1)
        self.assertIn(b"Connection: close", out)
        self.assertEqual(o.requests, [])

    def test_another_host_than_the_connections(self):
        o = self.origin(plain("x"))
        p = self.proxy("ok.test:443", "cdn.test:443")
        for host in ("front.test", "cdn.test", "ok.test:8443", "ok.test:80"):
            out = self.get(p, "-i", "-H", f"Host: {host}", "https://ok.test/")
            self.assertIn(b" 421 ", out, host)
        for host in ("ok.test@cdn.test", "a b", "ok.test, cdn.test", ""):
            out = self.ask(p, f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            self.assertTrue(out.startswith((b"HTTP/1.1 400", b"HTTP/1.1 421")), (host, out))
        self.assertEqual(self.get(p, "-H", "Host: OK.Test.:443", "https://ok.test/"), b"x")
        self.assertEqual([dict(r[1])["host"] for r in o.requests], ["ok.test"])
        self.assertEqual(len(p.records("decision", reason="host_mismatch")), 4)

    def test_trace_track_connect_inside(self):
        o = self.origin(plain("x"))
        p = self.proxy("ok.test:443")
        for line in ("TRACE / HTTP/1.1", "TRACK / HTTP/1.1", "CONNECT ok.test:443 HTTP/1.1"):
            out = self.ask(p, f"{line}\r\nHost: ok.test\r\n\r\n".encode())
            self.assertRegex(out, rb"^HTTP/1.1 40[05] ")
        self.assertEqual(o.requests, [])

    def test_upstream_certificates(self):
        pki = self.pki
        pki.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=unknown "
                    "-addext keyUsage=critical,keyCertSign -keyout other.key -out other.pem")
        zoo = {
            "expired": pki.leaf("expired", "DNS:bad.test", days="-days -1"),
            "self-signed": pki.leaf("selfsigned", "DNS:bad.test", by=None),
            "another host": pki.leaf("otherhost", "DNS:other.test"),
            "a name above": pki.leaf("above", "DNS:test"),
            "a wildcard of one label": pki.leaf("star", "DNS:*.test"),
            "common name only": pki.leaf("cn", None, subject="/CN=bad.test"),
            "an unknown root": pki.leaf("unknown", "DNS:bad.test", by="other"),
            "for clients": pki.leaf("client", "DNS:bad.test", more="extendedKeyUsage=clientAuth"),
            "SHA-1": pki.leaf("sha1", "DNS:bad.test", digest="-sha1"),
            "RSA-1024": pki.leaf("rsa1024", "DNS:bad.test", key="rsa:1024"),
            "an address": pki.leaf("ip", "IP:" + BAD4),
        }
        p = self.proxy("bad.test:443")
        for what, cert in zoo.items():
            with self.subTest(what):
                heard = []
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.set_ciphers("ALL:@SECLEVEL=0")
                context.load_cert_chain(*cert)

                def handler(connection):
                    with context.wrap_socket(connection, server_side=True) as tls:
                        heard.append(tls.recv(100))

                s = Server(self.net.world.listen(BAD4, 443), handler)
                out = self.get(p, "-i", "-H", "X-Secret: 1", "https://bad.test/")
                s.close()
                self.assertIn(b"HTTP/1.1 502 ", out)
                self.assertIn(b"reason: upstream_cert\n", out)
                self.assertEqual(heard, [])
        self.assertTrue(all(r["error"] == "upstream_cert" for r in p.records("end")))
        good = Origin(self.net.world.listen(BAD4, 443), plain("good"), pki.leaf("good", "DNS:bad.test"))
        self.addCleanup(good.server.close)
        self.assertEqual(self.get(p, "https://bad.test/"), b"good")

    def test_without_a_keeper(self):
        o = self.origin(plain("x"))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        p = harness.Proxy(self.net, ["ok.test:443"], keeper=theirs, trust=self.pki.trust, tls="intercept")
        self.addCleanup(p.close)
        ours.close()
        p.expect("keeper_lost")
        stream = p.guest.connect("ok.test:443")
        stream.send(harness.client_hello("ok.test"))
        with self.assertRaises(harness.Gone):
            stream.recv_all()
        self.assertEqual(p.wait_record("decision", verdict="deny")["reason"], "keeper")
        self.assertEqual(o.server.accepted, 0)
        keeper = self.keeper.attach()
        p.send({"op": "keeper"}, keeper.fileno())
        keeper.close()
        (pathlib.Path(self.tmp) / "guest-ca.pem").write_text(self.keeper.ca)
        self.assertEqual(self.get(p, "https://ok.test/"), b"x")

    def test_a_keeper_that_is_to_come(self):
        """What a keeper has bound is not known before it is there: nothing is relayed unseen meanwhile."""
        o = self.origin(plain("x"))
        p = harness.Proxy(self.net, ["ok.test:443"], trust=self.pki.trust, tls="auto", config={"keeper": True})
        self.addCleanup(p.close)
        stream = p.guest.connect("ok.test:443")
        stream.send(harness.client_hello("ok.test"))
        with self.assertRaises(harness.Gone):
            stream.recv_all()
        self.assertEqual(p.wait_record("decision", verdict="deny")["reason"], "keeper")
        self.assertEqual(o.server.accepted, 0)
        keeper = self.keeper.attach()
        p.send({"op": "keeper"}, keeper.fileno())
        keeper.close()
        self.curl(p, "https://ok.test/", ca=False)  # the certificate is the origin's own, which curl does not know
        self.assertEqual(p.wait_record("decision", verdict="allow")["inspect"], "splice")

    def test_a_client_that_does_not_trust_us(self):
        self.origin(plain("x"))
        p = self.proxy("ok.test:443")
        code, _, _ = self.curl(p, "https://ok.test/", ca=False)
        self.assertEqual(code, 60)
        self.assertEqual(p.wait_record("decision")["reason"], "client_tls")

    def test_alpn(self):
        self.origin(plain("x"))
        p = self.proxy("ok.test:443")
        for alpn in (["foo"], ["acme-tls/1"], ["ssh"]):
            with self.assertRaises((ssl.SSLError, harness.Gone, ConnectionError)):
                self.tls(p, alpn=alpn)
        tls = self.tls(p)
        tls.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.assertTrue(tls.recv_all().startswith(b"HTTP/1.1 "))

    def test_old_versions_of_tls(self):
        def old(context):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
            context.set_ciphers("ALL:@SECLEVEL=0")
            return context

        server = old(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        server.load_cert_chain(*self.ok)
        heard = []

        def handler(connection):
            with server.wrap_socket(connection, server_side=True) as tls:
                heard.append(tls.recv(100))

        s = Server(self.net.world.listen(OK4, 443), handler)
        self.addCleanup(s.close)
        p = self.proxy("ok.test:443")
        self.assertIn(b"reason: unreachable\n", self.get(p, "https://ok.test/"))
        self.assertEqual(heard, [])
        tls = Tls(p.guest.connect("ok.test:443"), "ok.test", ca=self.keeper.ca)
        tls.tls = old(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)).wrap_bio(tls.incoming, tls.outgoing, server_hostname="ok.test")
        with self.assertRaises((ssl.SSLError, harness.Gone)):
            tls.handshake()

    def test_framing(self):
        """Nothing that can be read in two ways reaches the origin."""
        o = self.origin(plain("x"))
        p = self.proxy("ok.test:443")
        head = b"POST /v1/x HTTP/1.1\r\nHost: ok.test\r\n"
        cases = [
            b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nZ\r\n0\r\n\r\n",
            b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
            b"Content-Length: 4, 4\r\n\r\nabcd", b"Content-Length: +4\r\n\r\nabcd", b"Content-Length: 0x4\r\n\r\nabcd",
            b"Content-Length: 18446744073709551620\r\n\r\nabcd", b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", b"X: a\r\n b\r\n\r\n", b"X: a\nY: b\r\n\r\n", b"X: a\rb\r\n\r\n",
            b"X: a\0b\r\n\r\n", b": x\r\n\r\n", b"A B: x\r\n\r\n", b"Host: evil.test\r\n\r\n", b"Host: ok.test\r\n\r\n",
            b"Connection: Host\r\n\r\n", b"Connection: close, Content-Length\r\nContent-Length: 1\r\n\r\nx",
        ]
        for case in cases:
            with self.subTest(case):
                out = self.ask(p, head + case)
                self.assertRegex(out, rb"^HTTP/1.1 (400|501) ")
        self.assertEqual(o.requests, [])
        self.assertEqual(len(p.records("decision", verdict="allow")), 0)

    def test_a_body_that_goes_wrong_cuts_both(self):
        begun, seen = [], []

        def handler(connection):
            data = connection.recv(65536)
            begun.append(data)
            while True:
                more = connection.recv(65536)
                if not more:
                    break
                data += more
            seen.append(data)

        s = Server(self.net.world.listen(OK4, 443), harness.tls_server(*self.ok, handler))
        self.addCleanup(s.close)
        p = self.proxy("ok.test:443")
        for number, body in enumerate((b"1\r\nZ0\r\n\r\n", b"1\r\nZZ\r\n0\r\n\r\n", b"1\nZ\n0\n\n", b"0x1\r\nZ\r\n0\r\n\r\n", b"1\r\nZ\r\n-1\r\n")):
            tls = self.tls(p)
            tls.send(b"POST / HTTP/1.1\r\nHost: ok.test\r\nTransfer-Encoding: chunked\r\n\r\n")
            wait_for(lambda: len(begun) > number, "the head at the origin")
            tls.send(body)
            with self.assertRaises((harness.Gone, ssl.SSLError, ConnectionError)):
                tls.recv_all()
        wait_for(lambda: len(p.records("end", error="bad_request") + p.records("decision", reason="bad_request")) == 5, p.records())
        for data in seen:
            self.assertNotIn(b"0\r\n\r\n", data)


class Plain(Case):
    def test_transparent(self):
        o = self.origin(plain("plain"), port=80)
        p = self.proxy("ok.test:80")
        stream = p.guest.connect("ok.test:80")
        stream.send(b"GET /x HTTP/1.1\r\nHost: ok.test\r\nConnection: close\r\n\r\n")
        self.assertTrue(stream.recv_all().endswith(b"\r\n\r\nplain"))
        self.assertEqual(o.requests[0][0], "GET /x HTTP/1.1")
        self.assertEqual(p.wait_record("decision")["protocol"], "http")
        stream = p.guest.connect("ok.test:80")
        stream.send(b"GET /x HTTP/1.1\r\nHost: cdn.test\r\n\r\n")
        self.assertTrue(stream.recv(65536).startswith(b"HTTP/1.1 421 "))
        self.assertEqual(len(o.requests), 1)

    def test_ends_of_one_direction(self):
        """A client that has nothing more to say gets its answer; one that breaks off in its body takes the origin's connection with it."""
        gone = threading.Event()

        def handler(connection):
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
            if data.startswith(b"GET"):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain")
            try:
                while connection.recv(65536):
                    pass
            except ConnectionError:
                gone.set()

        s = Server(self.net.world.listen(OK4, 80), handler)
        self.addCleanup(s.close)
        p = self.proxy("ok.test:80")
        stream = p.guest.connect("ok.test:80")
        stream.send(b"GET /x HTTP/1.1\r\nHost: ok.test\r\n\r\n")
        stream.shutdown()
        self.assertTrue(stream.recv_all().endswith(b"\r\n\r\nplain"))
        stream = p.guest.connect("ok.test:80")
        stream.send(b"POST /x HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 10\r\n\r\nhalf")
        wait_for(lambda: len(p.records("decision")) == 2, "the request")
        stream.close()
        self.assertTrue(gone.wait(harness.WAIT))
        wait_for(lambda: p.records("end", error="client_closed"), "its end")

    def test_forward(self):
        o = self.origin(plain("plain"), port=80)
        p = self.proxy("ok.test:80", "cdn.test:80")
        self.assertEqual(self.get(p, "http://ok.test/x?y", "http://cdn.test/z"), b"plainplain")
        self.assertEqual([(r[0], dict(r[1])["host"]) for r in o.requests],
                         [("GET /x?y HTTP/1.1", "ok.test"), ("GET /z HTTP/1.1", "cdn.test")])
        self.assertNotIn("proxy-connection", dict(o.requests[0][1]))
        out = self.get(p, "-i", "http://evil.test/")
        self.assertIn(b"403 Blocked by network policy: rule ", out)
        self.assertIn(b"Blocked by network policy: domain evil.test:80\n", out)
        self.assertEqual({r["entry"] for r in p.records("decision")}, {"forward"})

    def test_forward_refusals(self):
        o = self.origin(plain("plain"), port=80)
        p = self.proxy("ok.test:80", "ok.test:443")
        for request, status in ((b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n", 400),
                                (b"GET https://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n", 400),
                                (b"GET http://ok.test@evil.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n", 400),
                                (b"GET http://ok.test:443/ HTTP/1.1\r\nHost: ok.test\r\n\r\n", 400),
                                (b"GET ftp://ok.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n", 400)):
            stream = p.guest.connect("gateway.docker.internal:3128")
            stream.send(request)
            self.assertTrue(stream.recv(65536).startswith(b"HTTP/1.1 %d " % status), request)
        self.assertEqual(o.requests, [])


class Origins(Case):
    def test_what_may_be_repeated(self):
        """A reused connection that ends unanswered: GET is tried once more, POST is not."""
        for method, want in (("GET", b"200"), ("POST", b"502")):
            with self.subTest(method):
                requests = []

                def handler(connection):
                    for n in (1, 2):
                        data = b""
                        while b"\r\n\r\n" not in data:
                            more = connection.recv(65536)
                            if not more:
                                return
                            data += more
                        requests.append(data.split()[0])
                        if n == 1:
                            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

                s = Server(self.net.world.listen(OK4, 443), harness.tls_server(*self.ok, handler))
                p = self.proxy("ok.test:443")
                self.assertEqual(self.get(p, "-o", "/dev/null", "-w", "%{http_code}", "https://ok.test/"), b"200")
                args = ["-d", ""] if method == "POST" else []
                out = self.get(p, "-o", "/dev/null", "-w", "%{http_code}", *args, "https://ok.test/")
                self.assertEqual(out, want)
                self.assertEqual(len(requests), 3 if method == "GET" else 2)
                self.assertEqual(len(p.records("decision")), 2)
                s.close()
                p.close()

    def test_sessions_with_an_origin_are_resumed(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.subTest(version):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*self.ok)
                context.maximum_version = version
                seen = []

                def handler(connection):
                    with context.wrap_socket(connection, server_side=True) as tls:
                        tls.recv(65536)
                        seen.append(tls.session_reused)
                        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
                        tls.unwrap()

                s = Server(self.net.world.listen(OK4, 443), handler)
                p = self.proxy("ok.test:443")
                self.assertEqual(self.get(p, "https://ok.test/", "https://ok.test/"), b"xx")
                self.assertEqual(seen, [False, True])
                p.send_file({"op": "trust"}, b"")
                self.assertIn(b"upstream_cert", self.get(p, "https://ok.test/"))
                s.close()
                p.close()

    def test_a_host_gets_only_so_many_connections(self):
        o = self.origin(lambda c, line, f, b: c.recv(1) and None)
        p = self.proxy("ok.test:443")
        held = []
        for _ in range(65):
            held.append(self.tls(p))
            held[-1].send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n")
        wait_for(lambda: len(o.requests) == 64, "64 requests")
        self.assertEqual(o.server.accepted, 64)
        held[0].stream.close()
        wait_for(lambda: len(o.requests) == 65, "the one that waited")

    def test_a_burst_before_the_protocol_is_known(self):
        """Those that waited for the first connection, in the hope of sharing it, make no more than the bound either."""
        held = threading.Event()

        def handler(connection):
            connection.recv(65536)
            held.wait(30)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        first = threading.Event()

        def slow_hello(connection):
            first.wait(30)
            harness.tls_server(*self.ok, handler)(connection)

        s = Server(self.net.world.listen(OK4, 443), slow_hello)
        self.addCleanup(s.close)
        p = self.proxy("ok.test:443")
        asking = [self.tls(p) for _ in range(80)]
        for tls in asking:
            tls.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n")
        wait_for(lambda: s.accepted == 1, "the first connection")
        first.set()
        wait_for(lambda: s.accepted == 64, "64 connections")
        held.set()
        self.assertEqual({tls.recv()[:13] for tls in asking}, {b"HTTP/1.1 200 "})
        self.assertEqual(s.accepted, 80)
        self.assertEqual(p.records("decision", verdict="deny"), [])

    def test_answers_that_cannot_be_framed(self):
        for answer in (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
                       b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
                       b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 101 Switching\r\n\r\n",
                       b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n"):
            with self.subTest(answer):
                o = self.origin(lambda c, line, f, b: c.sendall(answer) or False)
                p = self.proxy("ok.test:443")
                out = self.get(p, "-i", "https://ok.test/")
                self.assertIn(b"HTTP/1.1 502 ", out)
                self.assertIn(b"reason: bad_response\n", out)
                o.server.close()
                p.close()

    def test_unasked_bytes_end_the_connection(self):
        def answer(c, line, f, body):
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

        o = self.origin(answer)
        p = self.proxy("ok.test:443")
        self.assertEqual(self.get(p, "https://ok.test/1", "https://ok.test/2"), b"xx")
        self.assertEqual(o.server.accepted, 2)

    def test_an_answer_that_is_cut_off(self):
        self.origin(lambda c, line, f, b: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf") or False)
        p = self.proxy("ok.test:443")
        code, _, _ = self.curl(p, "https://ok.test/")
        self.assertIn(code, (18, 56))
        self.assertEqual(p.wait_record("end")["error"], "unreachable")

    def test_unresolved_and_unreachable(self):
        p = self.proxy("nowhere.test:443", "ok.test:443")
        self.assertIn(b"reason: unresolved\n", self.get(p, "-i", "https://nowhere.test/"))
        self.assertIn(b"reason: unreachable\n", self.get(p, "-i", "https://ok.test/"))

    def test_a_new_policy_cuts_what_it_forbids(self):
        def answer(c, line, f, body):
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: x\n\n")
            c.recv(1)

        o = self.origin(answer)
        p = self.proxy("ok.test:443")
        tls = self.tls(p)
        tls.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n")
        while b"data: x" not in tls.recv():
            pass
        p.set_policy(["ok.test:443"], tls="intercept")
        self.assertEqual(p.records("end"), [])
        p.set_policy(["cdn.test:443"], tls="intercept")
        with self.assertRaises((harness.Gone, ssl.SSLError, ConnectionError)):
            tls.recv_all()
        self.assertEqual(p.wait_record("end")["error"], "policy_changed")
        self.assertEqual(len(o.requests), 1)

    def test_a_connection_that_was_approved(self):
        """The user is asked once for it, and not for each of its requests."""
        self.origin(plain("x"))
        p = self.proxy(("ask", "ok.test:443"))
        for answer, want in ((True, b"200200"), (False, b"403403")):
            box = []
            thread = threading.Thread(target=lambda: box.append(self.curl(
                p, "-o", "/dev/null", "-o", "/dev/null", "-w", "%{http_code}", "https://ok.test/", "https://ok.test/2")))
            thread.start()
            ask = p.expect("ask")
            self.assertEqual((ask["dest"], ask["rule"]), ("ok.test:443", "r0"))
            p.send({"op": "answer", "ask": ask["ask"], "allow": answer})
            thread.join()
            self.assertEqual(box[0][:2], (0, want))
        self.assertEqual(p.records("decision", verdict="deny")[0]["reason"], "ask")

    def test_a_request_that_was_approved(self):
        self.origin(plain("x"), port=80)
        p = self.proxy({"action": "ask", "resource": "ok.test:80", "methods": ["GET"]})
        for path in ("/1", "/2"):
            box = []
            thread = threading.Thread(target=lambda: box.append(self.curl(p, "http://ok.test" + path)))
            thread.start()
            ask = p.expect("ask")
            self.assertEqual((ask["method"], ask["path"]), ("GET", path))
            p.send({"op": "answer", "ask": ask["ask"], "allow": True})
            thread.join()
            self.assertEqual(box[0][:2], (0, b"x"))

    def test_a_refusal_ends_with_its_policy(self):
        self.origin(plain("x"))
        p = self.proxy("other.test:443")
        tls = self.tls(p)
        tls.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n")
        self.assertTrue(tls.recv().startswith(b"HTTP/1.1 403 "))
        p.set_policy(["ok.test:443"], tls="intercept")
        with self.assertRaises((harness.Gone, ssl.SSLError, ConnectionError)):
            tls.recv_all()
        self.assertEqual(self.get(p, "https://ok.test/"), b"x")

    def test_a_refusal_stays_where_only_the_keepers_list_is_new(self):
        p = self.proxy("other.test:443")
        tls = self.tls(p)
        tls.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n")
        self.assertTrue(tls.recv().startswith(b"HTTP/1.1 403 "))
        wait_for(lambda: p.stderr().count("event=credentials ") == 1, "the keeper's list")
        with self.keeper.attach() as again:
            p.send({"op": "keeper"}, again.fileno())
        wait_for(lambda: p.stderr().count("event=credentials ") == 2, "the second list")
        tls.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n")
        self.assertNotEqual(tls.recv(), b"")

    def test_a_new_policy_closes_idle_connections(self):
        o = self.origin(plain("x"))
        p = self.proxy("ok.test:443")
        self.get(p, "https://ok.test/")
        p.set_policy(["ok.test:443"], tls="intercept")
        self.get(p, "https://ok.test/")
        self.assertEqual(o.server.accepted, 2)

    def test_sessions_are_resumed_but_not_with_another_host(self):
        self.origin(plain("x"))
        p = self.proxy("ok.test:443", "cdn.test:443")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.keeper.ca)
        context.maximum_version = ssl.TLSVersion.TLSv1_2

        def connect(name, session=None):
            stream = p.guest.connect(f"{name}:443")
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = Tls(stream, name, ca=self.keeper.ca)
            tls.incoming, tls.outgoing = incoming, outgoing
            tls.tls = context.wrap_bio(incoming, outgoing, server_hostname=name, session=session)
            tls.handshake()
            return tls.tls

        first = connect("ok.test")
        self.assertTrue(connect("ok.test", first.session).session_reused)
        self.assertFalse(connect("cdn.test", first.session).session_reused)


def frame(opcode, payload=b"", mask=True, fin=True, rsv=0):
    head = bytes([(fin and 0x80) | rsv | opcode])
    n = len(payload)
    bit = 0x80 if mask else 0
    head += bytes([bit | n]) if n < 126 else bytes([bit | 126]) + n.to_bytes(2, "big") if n < 65536 else \
        bytes([bit | 127]) + n.to_bytes(8, "big")
    if not mask:
        return head + payload
    key = b"\1\2\3\4"
    return head + key + bytes(b ^ key[i & 3] for i, b in enumerate(payload))


class WebSocket(Case):
    KEY = base64.b64encode(bytes(16)).decode()

    def accept(self, key):
        return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()

    def open(self, p, more="", request="GET /ws HTTP/1.1", key=None):
        tls = self.tls(p)
        tls.send(f"{request}\r\nHost: ok.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key or self.KEY}\r\n"
                 f"Sec-WebSocket-Version: 13\r\n{more}\r\n".encode())
        return tls

    def ws_origin(self, more="", after=b"", then=None):
        def answer(c, line, f, body):
            c.sendall(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      f"Sec-WebSocket-Accept: {self.accept(f['sec-websocket-key'])}\r\n{more}\r\n".encode() + after)
            (then or harness.echo)(c)
            return False
        return self.origin(answer)

    def test_frames_both_ways(self):
        heard = []

        def then(c):
            while True:
                data = c.recv(65536)
                if not data:
                    return
                heard.append(data)
                c.sendall(frame(2, data, mask=False))

        self.ws_origin("Sec-WebSocket-Protocol: chat\r\n", frame(1, b"hi", mask=False), then)
        p = self.proxy("ok.test:443")
        tls = self.open(p, "Sec-WebSocket-Protocol: talk, chat\r\n")
        data = tls.recv()
        while not data.endswith(b"hi"):
            data += tls.recv()
        self.assertTrue(data.startswith(b"HTTP/1.1 101 "), data)
        self.assertIn(b"Sec-WebSocket-Protocol: chat\r\n", data)
        sent = frame(1, b"hello")
        tls.send(sent)
        self.assertEqual(tls.recv(), frame(2, sent, mask=False))
        big = frame(2, os.urandom(70000))
        tls.send(big)
        got = b""
        while len(b"".join(heard)) < len(sent + big):
            got += tls.recv()
        self.assertEqual(b"".join(heard), sent + big)
        self.assertEqual(p.wait_record("decision")["method"], "GET")

    def test_what_is_no_frame_ends_it(self):
        for bytes_ in (b"SSH-2.0-OpenSSH\r\n", frame(1, b"x", mask=False), frame(3), frame(1, rsv=0x40)):
            with self.subTest(bytes_):
                heard = []
                o = self.ws_origin(then=lambda c: heard.append(c.recv(100)))
                p = self.proxy("ok.test:443")
                tls = self.open(p)
                self.assertIn(b"101", tls.recv())
                tls.send(bytes_)
                with self.assertRaises((harness.Gone, ssl.SSLError, ConnectionError)):
                    tls.recv_all()
                self.assertEqual(p.wait_record("end")["error"], "bad_frame")
                self.assertEqual([h for h in heard if h], [])
                o.server.close()
                p.close()

    def test_handshakes_that_are_none(self):
        o = self.ws_origin()
        p = self.proxy("ok.test:443")
        for more, request, key in (("", "POST /ws HTTP/1.1", None), ("", "GET /ws HTTP/1.0", None),
                                   ("", "GET /ws HTTP/1.1", "c2hvcnQ="), ("Sec-WebSocket-Version: 99\r\n", "GET /ws HTTP/1.1", None),
                                   ("Content-Length: 2\r\n", "GET /ws HTTP/1.1", None)):
            tls = self.open(p, more, request, key)
            self.assertTrue(tls.recv().startswith(b"HTTP/1.1 400 "), (more, request, key))
        self.assertEqual(o.requests, [])

    def test_answers_that_were_not_offered(self):
        for more in ("Sec-WebSocket-Protocol: other\r\n", "Sec-WebSocket-Extensions: permessage-deflate\r\n"):
            o = self.ws_origin(more)
            p = self.proxy("ok.test:443")
            self.assertTrue(self.open(p, "Sec-WebSocket-Protocol: chat\r\n").recv().startswith(b"HTTP/1.1 502 "))
            o.server.close()
            p.close()
        self.accept = lambda key: "AAAAAAAAAAAAAAAAAAAAAAAAAAA="
        self.ws_origin()
        p = self.proxy("ok.test:443")
        self.assertTrue(self.open(p).recv().startswith(b"HTTP/1.1 502 "))

    def test_compression_is_relayed(self):
        self.ws_origin("Sec-WebSocket-Extensions: permessage-deflate\r\n", frame(1, b"z", mask=False, rsv=0x40))
        p = self.proxy("ok.test:443")
        tls = self.open(p, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n")
        data = tls.recv()
        while not data.endswith(b"z"):
            data += tls.recv()
        self.assertIn(b"101", data)


if __name__ == "__main__":
    unittest.main()
