#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_intercept.py [unittest options]: requests inside connections: TLS that the proxy ends, plain HTTP, WebSocket. The client is
curl or this program, the keeper is sbx-keeper, the origins are nginx and this program."""
import base64
import hashlib
import http.client
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
SANDBOX = "00000000-0000-4000-8000-00000000000a"


class Keeper:
    """sbx-keeper in a world of its own."""

    def __init__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="sbx-intercept.")
        self.env = {**os.environ, "XDG_STATE_HOME": self.dir.name + "/state", "XDG_RUNTIME_DIR": self.dir.name + "/run"}
        for name in ("state", "run"):
            os.mkdir(f"{self.dir.name}/{name}", 0o700)
        self.process = subprocess.Popen([KEEPER], env=self.env, stderr=subprocess.DEVNULL)
        self.ca = None

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
        self.ca = json.loads(s.recv(65536))["ca"]
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
                return

    @staticmethod
    def body(connection, fields, data):
        def need(n):
            nonlocal data
            while len(data) < n:
                more = connection.recv(65536)
                assert more, "the request was cut off"
                data += more

        def line():
            nonlocal data
            while b"\r\n" not in data:
                need(len(data) + 1)
            text, _, data = data.partition(b"\r\n")
            return text

        out = b""
        if "content-length" in fields:
            n = int(fields["content-length"])
            need(n)
            return data[:n], data[n:]
        if fields.get("transfer-encoding") == "chunked":
            while True:
                n = int(line(), 16)
                if n == 0:
                    assert line() == b""
                    return out, data
                need(n + 2)
                out, data = out + data[:n], data[n + 2:]
        return out, data


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
        argv = ["curl", "-sS", "--max-time", "20", "-x", f"http://127.0.0.1:{p.port}"]
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


if __name__ == "__main__":
    unittest.main()
