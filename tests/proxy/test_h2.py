#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_h2.py [unittest options]: HTTP/2 through the proxy: towards the guest, towards origins, and with HTTP/1.1 on the other
side. Clients are curl, python-h2 and bare frames; origins are python-h2 and the HTTP/1.1 origin of test_intercept."""
import pathlib
import socket
import ssl
import sys
import threading
import time
import unittest

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hpack
from hyperframe import frame as hf

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402
from harness import Server, wait_for  # noqa: E402
from test_intercept import OK4, Case as InterceptCase, plain  # noqa: E402

Codes = h2.errors.ErrorCodes


class Origin:
    """An HTTP/2 origin. app(call) runs in a thread per stream; calls has what came."""

    def __init__(self, sock, cert, app, settings=None):
        self.app, self.settings, self.calls, self.connections = app, settings or {}, [], []
        self.server = Server(sock, harness.tls_server(*cert, self.serve, alpn=["h2"]))

    def serve(self, tls):
        tls.settimeout(None)
        Connection(self, tls).run()

    def close(self):
        self.server.close()
        for c in self.connections:
            c.shut()


class Connection:
    def __init__(self, origin, tls):
        self.origin, self.tls, self.calls = origin, tls, {}
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.lock = threading.Condition()
        self.ended = False
        origin.connections.append(self)

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.tls.sendall(data)

    def shut(self):
        try:
            self.tls.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def run(self):
        with self.lock:
            self.h2.initiate_connection()
            if self.origin.settings:
                self.h2.update_settings(self.origin.settings)
            self.flush()
        while not self.ended:
            try:
                data = self.tls.recv(65536)
            except OSError:
                data = b""
            with self.lock:
                if not data:
                    self.ended = True
                    self.lock.notify_all()
                    return
                try:
                    for event in self.h2.receive_data(data):
                        self.handle(event)
                    self.flush()
                except (h2.exceptions.ProtocolError, OSError):
                    self.ended = True
                self.lock.notify_all()

    def handle(self, event):
        if isinstance(event, h2.events.RequestReceived):
            call = Call(self, event.stream_id, event.headers)
            self.calls[event.stream_id] = call
            self.origin.calls.append(call)
            threading.Thread(target=call.go, daemon=True).start()
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.ended = True
        call = self.calls.get(getattr(event, "stream_id", None))
        if call:
            call.handle(event)


class Call:
    def __init__(self, connection, number, headers):
        self.c, self.number, self.headers = connection, number, headers
        self.fields = dict(headers)
        self.body, self.ended, self.reset, self.trailers = b"", False, None, None
        self.auto = True

    def handle(self, event):
        if isinstance(event, h2.events.DataReceived):
            self.body += event.data
            if self.auto:
                self.c.h2.acknowledge_received_data(event.flow_controlled_length, self.number)
        elif isinstance(event, h2.events.TrailersReceived):
            self.trailers = event.headers
        elif isinstance(event, h2.events.StreamEnded):
            self.ended = True
        elif isinstance(event, h2.events.StreamReset):
            self.reset = event.error_code

    def go(self):
        try:
            self.c.origin.app(self)
        except (h2.exceptions.ProtocolError, OSError):
            pass

    def wait(self, condition):
        with self.c.lock:
            if not self.c.lock.wait_for(lambda: condition() or self.reset is not None or self.c.ended, harness.WAIT):
                raise AssertionError("the origin waited in vain")

    def read(self):
        """The whole body."""
        self.wait(lambda: self.ended)
        return self.body

    def respond(self, status=200, fields=(), end=False):
        with self.c.lock:
            self.c.h2.send_headers(self.number, [(":status", str(status)), *fields], end_stream=end)
            self.c.flush()

    def send(self, data, end=False):
        while True:
            with self.c.lock:
                self.c.lock.wait_for(lambda: self.reset is not None or self.c.ended or
                                     self.c.h2.local_flow_control_window(self.number) > 0 or not data, harness.WAIT)
                if self.reset is not None or self.c.ended:
                    return
                n = min(len(data), self.c.h2.local_flow_control_window(self.number), 16384)
                self.c.h2.send_data(self.number, data[:n], end_stream=end and n == len(data))
                self.c.flush()
                data = data[n:]
                if not data:
                    return

    def finish(self, trailers):
        with self.c.lock:
            self.c.h2.send_headers(self.number, trailers, end_stream=True)
            self.c.flush()


def text(content, status=200, fields=()):
    def app(call):
        call.read()
        call.respond(status, [("content-length", str(len(content))), *fields])
        call.send(content, end=True)
    return app


class Client:
    """python-h2 inside TLS inside a stream of the door. Responses are gathered by stream."""

    def __init__(self, tls, **config):
        self.tls = tls
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8", **config))
        self.h2.initiate_connection()
        self.answers, self.goaway, self.gone, self.auto = {}, None, False, True
        self.flush()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.tls.send(data)

    def answer(self, number):
        return self.answers.setdefault(number, Answer())

    def request(self, method="GET", path="/", fields=(), end=True, authority="ok.test", number=None):
        number = number or self.h2.get_next_available_stream_id()
        self.h2.send_headers(number, [(":method", method), (":scheme", "https"), (":authority", authority), (":path", path),
                                      *fields], end_stream=end)
        self.flush()
        return number

    def send(self, number, data, end=False):
        while True:
            n = min(len(data), self.h2.local_flow_control_window(number), 16384)
            if n or not data:
                self.h2.send_data(number, data[:n], end_stream=end and n == len(data))
                self.flush()
                data = data[n:]
                if not data:
                    return
            else:
                self.step()

    def raw(self, *frames):
        self.flush()
        self.tls.send(b"".join(f if isinstance(f, bytes) else f.serialize() for f in frames))

    def step(self):
        try:
            data = self.tls.recv()
        except (harness.Gone, ssl.SSLError, ConnectionError):
            data = b""
        if not data:
            self.gone = True
            return False
        for event in self.h2.receive_data(data):
            self.handle(event)
        self.flush()
        return True

    def handle(self, event):
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event.error_code
            return
        number = getattr(event, "stream_id", None)
        if number is None:
            return
        a = self.answer(number)
        if isinstance(event, h2.events.InformationalResponseReceived):
            a.interim.append(dict(event.headers)[":status"])
        elif isinstance(event, h2.events.ResponseReceived):
            a.fields = event.headers
            a.status = int(dict(event.headers)[":status"])
        elif isinstance(event, h2.events.DataReceived):
            a.body += event.data
            if self.auto:
                self.h2.acknowledge_received_data(event.flow_controlled_length, number)
        elif isinstance(event, h2.events.TrailersReceived):
            a.trailers = event.headers
        elif isinstance(event, h2.events.StreamEnded):
            a.ended = True
        elif isinstance(event, h2.events.StreamReset):
            a.reset = event.error_code

    def until(self, condition):
        while not condition():
            if not self.step():
                break
        return condition()

    def result(self, number):
        """The answer, complete or reset."""
        a = self.answer(number)
        self.until(lambda: a.ended or a.reset is not None)
        return a

    def get(self, path="/", **more):
        return self.result(self.request(path=path, **more))


class Answer:
    def __init__(self):
        self.status, self.fields, self.body, self.trailers, self.interim = None, None, b"", None, []
        self.ended, self.reset = False, None


class Case(InterceptCase):
    def h2_origin(self, app, settings=None, address=OK4):
        o = Origin(self.net.world.listen(address, 443), self.ok, app, settings)
        self.addCleanup(o.close)
        return o

    def client(self, p, name="ok.test", **config):
        tls = self.tls(p, name, alpn=("h2", "http/1.1"))
        self.assertEqual(tls.tls.selected_alpn_protocol(), "h2")
        return Client(tls, **config)


class Both(Case):
    def test_all_four_pairs(self):
        """Each version in front of each: what the origin sees is the same request."""
        for back in ("h1", "h2"):
            o = self.h2_origin(text(b"hello")) if back == "h2" else self.origin(plain("hello"))
            for front in ("--http1.1", "--http2"):
                with self.subTest(front=front, back=back):
                    p = self.proxy("ok.test:443")
                    out = self.get(p, front, "-d", "some body", "-w", " %{http_version} %{http_code}", "https://ok.test/a?b=c")
                    self.assertEqual(out, b"hello 1.1 200" if front == "--http1.1" else b"hello 2 200")
                    if back == "h2":
                        call = o.calls.pop()
                        self.assertEqual([call.fields[n] for n in (":method", ":scheme", ":authority", ":path")],
                                         ["POST", "https", "ok.test", "/a?b=c"])
                        self.assertEqual((call.body, call.fields["content-length"]), (b"some body", "9"))
                    else:
                        line, fields, body = o.requests.pop()
                        self.assertEqual((line, body, fields[0]), ("POST /a?b=c HTTP/1.1", b"some body", ("host", "ok.test")))
                    d, e = p.wait_record("decision"), p.wait_record("end")
                    self.assertEqual((d["method"], d["path"], e["status"], e["bytes_out"], e["bytes_in"], e["error"]),
                                     ("POST", "/a", 200, 9, 5, None))
                    p.close()
            (o if back == "h2" else o.server).close()


if __name__ == "__main__":
    unittest.main()
