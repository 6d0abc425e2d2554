# SPDX-License-Identifier: Apache-2.0
"""Fixtures: an authority, npm's oidc-provider and Debian's docker-registry per process of pytest, a world per test."""
import crypt
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import world as w  # noqa: E402


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    return w.Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def provider(pki):
    """Its issuer URL. It ends with its standard input."""
    node = subprocess.Popen(["node", str(w.HERE / "provider.mjs"), os.environ["SBX_TEST_MODULES"], str(pki.cert), str(pki.key)],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    issuer = node.stdout.readline().strip()
    assert issuer.startswith("https://localhost:"), "oidc-provider did not start"
    yield issuer
    node.stdin.close()
    node.wait(10)


class Registry:
    """docker-registry over TLS, with one user."""

    def __init__(self, pki, place):
        self.users, self.place, self.port = place / "htpasswd", place, w.free_port()
        self.host = f"localhost:{self.port}"
        self.password("right-password")
        (place / "config.yml").write_text(f"""version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {place}/data}}}}
http: {{addr: "127.0.0.1:{self.port}", tls: {{certificate: {pki.cert}, key: {pki.key}}}}}
auth: {{htpasswd: {{realm: "A test's registry", path: {self.users}}}}}
""")
        self.process = subprocess.Popen(["docker-registry", "serve", str(place / "config.yml")], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        w.wait_for_port(self.port)

    def password(self, text):
        hashed = crypt.crypt(text, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))
        self.users.write_text("user:" + hashed.replace("$2b$", "$2y$", 1) + "\n")

    def close(self):
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def registry(pki, tmp_path):
    r = Registry(pki, tmp_path)
    yield r
    r.close()


@pytest.fixture
def sbx(pki):
    one = w.World(pki.ca)
    yield one
    one.close()


@pytest.fixture
def serve(pki):
    servers = []

    def start(answer):
        servers.append(w.Server(pki, answer))
        return servers[-1]

    yield start
    for s in servers:
        s.close()
