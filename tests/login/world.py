# SPDX-License-Identifier: Apache-2.0
"""world: what the tests of sbx login are made of: a world of directories, an authority, HTTPS servers on loopback, sbx itself, and a
user with a browser. Nothing here leaves the machine."""
import datetime
import html.parser
import http.server
import ipaddress
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HERE = pathlib.Path(__file__).resolve().parent
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = pathlib.Path(os.environ.get("SBX_BIN") or ROOT / "build" / "bin")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def wait_until(true, seconds=15):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)


def wait_for_port(port):
    def there():
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            return False

    wait_until(there)


def certificate(subject, key, names=(), issuer=None):
    """(certificate, key) of an authority, or of a server with an (authority, its key) as issuer."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)])
    now = datetime.datetime.utcnow()
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer[0].subject if issuer else name)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=2))
    builder = builder.add_extension(x509.BasicConstraints(ca=not issuer, path_length=None), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer[1] if issuer else key, hashes.SHA256())


class Pki:
    def __init__(self, place):
        def pem(path, *parts):
            path.write_bytes(b"".join(parts))
            return path

        def private(key):
            return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

        ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        ca = certificate("A test's authority", ca_key)
        leaf = certificate("localhost", key, [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))],
                           (ca, ca_key))
        self.ca = pem(place / "ca.pem", ca.public_bytes(serialization.Encoding.PEM))
        self.cert = pem(place / "cert.pem", leaf.public_bytes(serialization.Encoding.PEM))
        self.key = pem(place / "key.pem", private(key))


class Server:
    """HTTPS on loopback: answer(request) gives (status, headers, body); a request has method, path, headers, body."""

    def __init__(self, pki, answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                status, headers, out = answer(self.command, self.path, self.headers, body)
                out = out if isinstance(out, bytes) else out.encode()
                self.send_response(status)
                for k, v in {**headers, "Content-Length": str(len(out))}.items():
                    self.send_header(k, v)
                self.end_headers()
                self.wfile.write(out)

            do_GET = do_POST = do

            def log_message(self, *args):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, address):
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki.cert, pki.key)
        # In the connection's own thread.
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.host = f"localhost:{self.server.server_port}"
        self.url = "https://" + self.host
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def reply(status, **members):
    return status, {"Content-Type": "application/json"}, json.dumps(members)


class Forms(html.parser.HTMLParser):
    """A page's first form: action, method, fields."""

    def __init__(self, page):
        super().__init__()
        self.action, self.fields = None, {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        if tag == "form" and self.action is None:
            self.action = a.get("action", "")
        if tag == "input" and "name" in a:
            self.fields[a["name"]] = a.get("value", "")


class User:
    """Somebody with a browser who enters the code and signs in as NAME, or says no."""

    def __init__(self, pki):
        self.session = requests.Session()
        self.session.verify = str(pki.ca)
        self.session.trust_env = False

    def open(self, url, name=None):
        page = self.session.get(url)
        for _ in range(8):
            form = Forms(page.text)
            if form.action is None:
                return page.text
            fields = dict(form.fields)
            if "login" in fields:
                fields.update(login=name, password="any")
            elif name is None and "abort" in page.text:
                return self.session.post(requests.compat.urljoin(page.url, form.action), data={**fields, "abort": "yes"}).text
            elif 'name="confirm"' in page.text:
                fields["confirm"] = "yes"
            page = self.session.post(requests.compat.urljoin(page.url, form.action), data=fields)
        raise AssertionError("too many pages: " + page.text)


class World:
    """Directories of its own, the settings, and sbx in it."""

    def __init__(self, ca=None, **settings):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="sbx-login."))
        self.env = {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(self.place), "LANG": "C.UTF-8"}
        for kind in ("STATE_HOME", "CACHE_HOME", "CONFIG_HOME", "RUNTIME_DIR"):
            (self.place / kind).mkdir(mode=0o700)
            self.env["XDG_" + kind] = str(self.place / kind)
        config = self.place / "CONFIG_HOME" / "sbx"
        config.mkdir()
        (config / "settings.json").write_text(json.dumps({**({"network.extraCaFile": str(ca)} if ca else {}), **settings}))

    def close(self):
        log = self.place / "STATE_HOME" / "sbx" / "keeper.log"
        pids = re.findall(r"event=ready pid=(\d+)", log.read_text()) if log.exists() else []
        for pid in pids[-1:]:
            try:
                os.kill(int(pid), signal.SIGTERM)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.place, ignore_errors=True)

    def start(self, *args, stdin=subprocess.DEVNULL, **env):
        return subprocess.Popen(["sbx", *args], env={**self.env, **env}, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, cwd=self.place)

    def run(self, *args, said=None, **env):
        """(status, stdout, stderr)"""
        process = self.start(*args, stdin=subprocess.PIPE if said is not None else subprocess.DEVNULL, **env)
        out, err = process.communicate(said, timeout=50)
        return process.returncode, out, err

    def good(self, *args, **more):
        status, out, err = self.run(*args, **more)
        assert status == 0, (args, status, out, err)
        return out

    def fails(self, pattern, *args, **more):
        """One line "error: ..." that matches, and perhaps a "try: ..."."""
        status, out, err = self.run(*args, **more)
        self.is_failure(pattern, status, out, err)
        return err

    @staticmethod
    def is_failure(pattern, status, out, err):
        last = [line for line in err.splitlines() if line.startswith("error: ")]
        assert status == 1 and not out and len(last) == 1 and re.search(pattern, last[0]), (status, out, err)

    def listed(self):
        return json.loads(self.good("login", "--json"))

    def document(self):
        """What the keeper has stored."""
        path = self.place / "STATE_HOME" / "sbx" / "keeper" / "secrets" / "logins.json"
        return json.loads(path.read_text())["logins"] if path.exists() else []

    def everywhere(self, text):
        """The files that hold it."""
        found = []
        for path in self.place.rglob("*"):
            if path.is_file() and text.encode() in path.read_bytes():
                found.append(path.name)
        return found


def read_code(process):
    """(url, code, complete url) as a person reads them from stderr."""
    lines = []
    for line in process.stderr:
        lines.append(line.strip())
        if line.startswith("Waiting"):
            break
    shown = [line for line in lines if line and not line.endswith(":")]
    assert len(shown) >= 3, lines
    return shown[0], shown[1], shown[2] if shown[2].startswith("https:") else None
