# SPDX-License-Identifier: Apache-2.0
"""F27: every framing payload through the proxy to origins that other people wrote. Each origin says what it has read; that is exactly the
requests that passed, in one reading, and nothing where the proxy refused. Origins that this machine does not have are skipped."""
import json
import shutil
import socket
import subprocess
import sys
import time

import pytest

from door import read_response
from proxyrun import allow
from test_http1 import BROKEN_BODIES, CHUNKED, LINES, PASSES, REFUSED, post
from testrange import Netns, add, join
from ways import PLAIN, send_raw

PLOTS = {"nginx": "93.184.217.30", "python": "93.184.217.31", "node": "93.184.217.32"}

NGINX = """
user root; daemon off; master_process off; error_log /dev/null; pid {place}/nginx.pid; worker_rlimit_nofile 512;
events {{ worker_connections 256; }}
http {{
	log_format heard escape=json '["$request_method","$request_uri","$http_host"]';
	access_log {place}/heard heard;
	client_body_temp_path {place}/body; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
	server {{ listen {address}:80; location / {{ return 200 "ok"; }} }}
}}
"""

PYTHON = """
import http.server, json, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        n = int(self.headers.get("content-length") or 0)
        self.rfile.read(n)
        if (self.headers.get("transfer-encoding") or "").lower() == "chunked":
            while True:
                n = int(self.rfile.readline(), 16)
                self.rfile.read(n + 2)
                if n == 0:
                    break
        with open(sys.argv[2], "a") as f:
            f.write(json.dumps([self.command, self.path, self.headers.get("host")]) + "\\n")
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    do_GET = do_POST = answer
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer((sys.argv[1], 80), Handler).serve_forever()
"""

NODE = """
const fs = require('fs');
require('http').createServer((q, r) => {
  q.on('error', () => {}); q.resume();
  q.on('end', () => { fs.appendFileSync(process.argv[2], JSON.stringify([q.method, q.url, q.headers.host]) + '\\n'); r.end('ok'); });
}).listen(80, process.argv[1]);
"""


class Plot:
    """One origin."""

    def __init__(self, name, space, place):
        self.address, self.heard_file = PLOTS[name], place / "heard"
        self.heard_file.touch()
        if name == "nginx":
            (place / "nginx.conf").write_text(NGINX.format(place=place, address=self.address))
            argv = ["nginx", "-e", "/dev/null", "-p", str(place), "-c", str(place / "nginx.conf")]
        elif name == "python":
            argv = [sys.executable, "-c", PYTHON, self.address, str(self.heard_file)]
        else:
            argv = ["node", "-e", NODE, self.address, str(self.heard_file)]
        self.process = space.popen(*argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while True:
            try:
                with space.inside():
                    s = socket.socket()
                s.connect((self.address, 80))
                s.close()
                return
            except OSError:
                s.close()
                assert time.monotonic() < end and self.process.poll() is None, f"{name} does not start"
                time.sleep(0.02)

    def heard(self):
        return [tuple(json.loads(line)) for line in self.heard_file.read_text().splitlines()]


@pytest.fixture(scope="module")
def garden(whole_world, tmp_path_factory):
    space = Netns()
    world = whole_world.world
    join(world, "path0", space, "path1")
    add(world, "path0", "10.98.0.1/24")
    add(space, "path1", "10.98.0.2/24")
    space.run("ip", "route", "add", "local", "93.184.217.0/24", "dev", "lo")
    space.run("ip", "route", "add", "default", "via", "10.98.0.1")
    world.run("ip", "route", "add", "93.184.217.0/24", "via", "10.98.0.2")
    world.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    plots = {name: Plot(name, space, tmp_path_factory.mktemp(name)) for name in PLOTS if name == "python" or shutil.which(name)}
    yield plots
    for plot in plots.values():
        plot.process.terminate()
        plot.process.wait(5)
    world.run("ip", "link", "del", "path0")


def payloads():
    """(name, bytes, what must be heard: None for nothing)."""
    for name, (make, _) in REFUSED.items():
        yield name, make(PLAIN), None
    for name, line in LINES.items():
        yield name, line + b"\r\nHost: ok.test\r\n\r\n", None
    for name, body in BROKEN_BODIES.items():
        yield name, post(CHUNKED + body)(PLAIN), None
    for name, (make, method, target, _) in PASSES.items():
        yield name, make(PLAIN), (method, target, "ok.test")


@pytest.mark.odd_log
@pytest.mark.parametrize("name", PLOTS)
def test_what_is_heard_is_what_was_decided(world, garden, new_proxy, name):
    if name not in garden:
        pytest.skip(f"{name} is not on this machine")
    plot, proxy = garden[name], new_proxy
    world.zone["ok.test"] = [plot.address]
    proxy.policy([allow("ok.test:80")])
    expected = []
    for what, data, heard in payloads():
        if heard:
            conn = PLAIN.open(proxy)
            conn.send(data)
            assert read_response(conn, heard[0]).status == 200, what
            conn.close()
            expected.append(heard)
        else:
            # 421 answers a good request, and others may follow; after all else nothing does.
            more = b"" if what in ("host-port", "host-other") else b"GET /smuggled HTTP/1.1\r\nHost: ok.test\r\n\r\n"
            status, answer, _ = send_raw(PLAIN, proxy, data + more)
            assert status != 200, (what, status, answer)
    assert PLAIN.ask(proxy, "GET", "/last").status == 200
    assert plot.heard() == expected + [("GET", "/last", "ok.test")]
    allowed = [(d["method"], d["path"]) for d in proxy.decisions(verdict="allow")]
    assert [(m, p.split("?")[0]) for m, p in allowed] == [(m, p.split("?")[0]) for m, p, _ in plot.heard()]
