#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# origin.py FILE: a web server on 127.0.0.1 for the tests; writes its port into FILE. /hello answers, /drip goes on for ever,
# POST anywhere answers how much it got. A second port, in FILE.other, is the same, for what nobody is to reach. FILE.log has a
# line for each request as it arrives: port and path. Ends with its standard input.
import http.server
import os
import sys
import threading
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, text):
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def note(self):
        LOG.write(f"{self.server.server_address[1]} {self.path}\n")

    def do_GET(self):
        self.note()
        if self.path != "/drip":
            self.answer(b"hello from the origin\n")
            return
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        while True:
            self.wfile.write(b"drip\n")
            self.wfile.flush()
            time.sleep(0.05)

    def do_POST(self):
        self.note()
        size = int(self.headers["Content-Length"])
        got = 0
        while got < size:
            got += len(self.rfile.read(min(65536, size - got)))
        self.answer(b"got %d\n" % got)

    def handle(self):
        try:
            super().handle()
        except OSError:
            self.close_connection = True


def serve(file):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with open(file + ".new", "w", encoding="ascii") as f:
        f.write(str(server.server_address[1]))
    os.rename(file + ".new", file)


LOG = open(sys.argv[1] + ".log", "w", buffering=1, encoding="utf-8")
serve(sys.argv[1] + ".other")
serve(sys.argv[1])
sys.stdin.read()
