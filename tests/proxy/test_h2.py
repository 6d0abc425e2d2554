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
        self.body, self.ended, self.reset, self.trailers = bytearray(), False, None, None
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
        self.status, self.fields, self.body, self.trailers, self.interim = None, None, bytearray(), None, []
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


class Streams(Case):
    def test_many_at_once_share_one_connection(self):
        o = self.h2_origin(text(b"x"))
        p = self.proxy("ok.test:443")
        c = self.client(p)
        numbers = [c.request(path=f"/{i}") for i in range(100)]
        self.assertEqual([c.result(n).body for n in numbers], [b"x"] * 100)
        self.assertEqual((o.server.accepted, len(o.calls)), (1, 100))
        self.assertEqual(len(p.records("decision")), 100)
        wait_for(lambda: len(p.records("end")) == 100, "100 ends")
        self.assertEqual({r["address"] for r in p.records("end")}, {OK4})

    def test_many_at_once_to_http1(self):
        """Who waited for what turned out to be HTTP/1.1 gets connections of its own."""
        o = self.origin(lambda c, line, f, b: plain(line.split()[1])(c, line, f, b))
        p = self.proxy("ok.test:443")
        c = self.client(p)
        for round_ in range(2):
            numbers = [c.request(path=f"/{i}") for i in range(20)]
            self.assertEqual([c.result(n).body for n in numbers], [b"/%d" % i for i in range(20)])
        self.assertEqual(len(o.requests), 40)
        self.assertLessEqual(o.server.accepted, 20)

    def held_origin(self):
        """An HTTP/1.1 origin that answers once it is released, and what to set for that."""
        go = threading.Event()

        def app(c, line, f, b):
            go.wait(3 * harness.WAIT)
            plain(line.split()[1])(c, line, f, b)

        o = self.origin(app)
        self.addCleanup(go.set)
        return o, go

    def test_a_burst_to_http1(self):
        """Past 64 connections requests wait for one, whoever came first is first, and those that are cancelled leave."""
        o, go = self.held_origin()
        p = self.proxy("ok.test:443")
        sessions = [self.client(p), self.client(p)]
        numbers = [[c.request(path=f"/{k}/{i}") for i in range(100)] for k, c in enumerate(sessions)]
        wait_for(lambda: o.server.accepted == 64 and len(o.requests) == 64, "64 at the origin")
        for n in numbers[1][-10:]:
            sessions[1].h2.reset_stream(n, Codes.CANCEL)
        sessions[1].flush()
        go.set()
        for k, c in enumerate(sessions):
            bodies = [c.result(n).body for n in numbers[k][:100 - 10 * k]]
            self.assertEqual(bodies, [b"/%d/%d" % (k, i) for i in range(len(bodies))])
        numbers = [sessions[0].request(path=f"/again/{i}") for i in range(100)]
        self.assertEqual([sessions[0].result(n).status for n in numbers], [200] * 100)
        self.assertLessEqual(o.server.accepted, 64)
        self.assertEqual(len(o.requests), 290)

    def test_more_than_may_wait(self):
        """64 are under way, 1,024 wait, and the next two are refused."""
        o, go = self.held_origin()
        p = self.proxy("ok.test:443")
        sessions = [self.client(p) for _ in range(11)]
        numbers = [[c.request() for _ in range(100 if c is not sessions[-1] else 24)] for c in sessions]
        wait_for(lambda: len(o.requests) == 64, "64 at the origin")
        waiting = [self.tls(p) for _ in range(66)]
        for tls in waiting:
            tls.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n")
        wait_for(lambda: len(p.records("decision", reason="limit")) == 2, "two refusals")
        go.set()
        for c, of_c in zip(sessions, numbers):
            self.assertEqual({c.result(n).status for n in of_c}, {200})
        heads = sorted(tls.recv().split(b"\r\n")[0] for tls in waiting)
        self.assertEqual(heads, [b"HTTP/1.1 200 OK"] * 64 + [b"HTTP/1.1 503 Service Unavailable"] * 2)
        self.assertLessEqual(o.server.accepted, 64)

    def test_an_origin_that_takes_few(self):
        o = self.h2_origin(text(b"x"), {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 3})
        p = self.proxy("ok.test:443")
        c = self.client(p)
        self.assertEqual(c.get().body, b"x")
        numbers = [c.request(path=f"/{i}") for i in range(20)]
        self.assertEqual([c.result(n).body for n in numbers], [b"x"] * 20)
        self.assertGreater(o.server.accepted, 1)

    def test_an_origin_that_takes_few_from_the_start(self):
        """Nobody joins a new connection before it has said how many it takes: a refused upload could not be sent again."""
        o = Origin.__new__(Origin)
        now, peaks = {}, []

        def app(call):
            with call.c.lock:
                now[call.c] = now.get(call.c, 0) + 1
                peaks.append(now[call.c])
            call.read()
            with call.c.lock:
                now[call.c] -= 1
            call.respond(200)
            call.send(b"x", end=True)

        o.app, o.calls, o.connections = app, [], []
        o.settings = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 3}

        def serve(tls):
            time.sleep(0.1)  # long enough for whoever does not wait
            o.serve(tls)

        s = Server(self.net.world.listen(OK4, 443), harness.tls_server(*self.ok, serve, alpn=["h2"]))
        self.addCleanup(s.close)
        p = self.proxy("ok.test:443")
        c = self.client(p)
        numbers = [c.request("POST", f"/{i}", end=False) for i in range(30)]
        for n in numbers:
            c.send(n, b"body", end=True)
        self.assertEqual([c.result(n).body for n in numbers], [b"x"] * 30)
        self.assertEqual({bytes(call.body) for call in o.calls}, {b"body"})
        self.assertLessEqual(max(peaks), 3)
        self.assertEqual(len(o.calls), 30)

    def test_an_origin_that_takes_fewer_later(self):
        """Fewer than it carries already: what it carries goes on, what comes goes by another connection."""
        go = threading.Event()
        self.addCleanup(go.set)

        def app(call):
            call.respond(200)
            go.wait(harness.WAIT)
            call.send(b"x", end=True)

        o = self.h2_origin(app)
        p = self.proxy("ok.test:443")
        c = self.client(p)
        first = [c.request(path=f"/{i}") for i in range(2)]
        c.until(lambda: all(c.answer(n).status for n in first))
        with o.connections[0].lock:
            o.connections[0].h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1})
            o.connections[0].h2.ping(b"12345678")
            o.connections[0].flush()
        time.sleep(0.2)
        second = c.request(path="/2")
        c.until(lambda: c.answer(second).status)
        go.set()
        self.assertEqual([(c.result(n).status, c.result(n).body) for n in (*first, second)], [(200, b"x")] * 3)

    def test_an_origin_whose_settings_are_late(self):
        """It is not waited for for ever: others join it all the same."""
        def serve(tls):
            conn, streams = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False)), []
            conn.initiate_connection()
            while data := tls.recv(65536):
                streams += [e.stream_id for e in conn.receive_data(data) if isinstance(e, h2.events.RequestReceived)]
                if len(streams) == 3:
                    for n in streams:
                        conn.send_headers(n, [(":status", "204")], end_stream=True)
                    tls.sendall(conn.data_to_send())
                    streams.append(None)

        s = Server(self.net.world.listen(OK4, 443), harness.tls_server(*self.ok, serve, alpn=["h2"]))
        self.addCleanup(s.close)
        p = self.proxy("ok.test:443")
        c = self.client(p)
        numbers = [c.request(path=f"/{i}") for i in range(3)]
        self.assertEqual([c.result(n).status for n in numbers], [204] * 3)
        self.assertEqual(s.accepted, 1)

    def test_a_policy_that_forbids_the_address_meanwhile(self):
        """It passed when it was dialled, and does not any more when TLS is there."""
        hold = threading.Event()
        self.addCleanup(hold.set)
        o = Origin.__new__(Origin)
        o.app, o.settings, o.calls, o.connections = text(b"x"), {}, [], []
        served = harness.tls_server(*self.ok, o.serve, alpn=["h2"])
        s = Server(self.net.world.listen(OK4, 443), lambda c: (hold.wait(harness.WAIT), served(c)))
        self.addCleanup(s.close)
        p = self.proxy("ok.test:443")
        c = self.client(p)
        numbers = [c.request(path=f"/{i}") for i in range(3)]
        wait_for(lambda: s.accepted == 1, "the connection")
        p.set_policy(["ok.test:443", ("deny", OK4)])
        hold.set()
        self.assertEqual({c.result(n).status for n in numbers}, {403})
        self.assertEqual(o.calls, [])

    def test_a_leader_that_fails(self):
        """Everybody who waited for the connection gets an answer."""
        p = self.proxy("ok.test:443")
        c = self.client(p)
        numbers = [c.request(path=f"/{i}") for i in range(10)]
        self.assertEqual([c.result(n).status for n in numbers], [502] * 10)
        self.assertEqual(len(p.records("decision")), 10)

    def test_a_leader_that_is_cancelled(self):
        """Its handshake stands still; who waited for it makes one connection, and shares it."""
        hold = threading.Event()
        self.addCleanup(hold.set)
        o = Origin.__new__(Origin)
        o.app, o.settings, o.calls, o.connections = text(b"x"), {}, [], []
        served = harness.tls_server(*self.ok, o.serve, alpn=["h2"])
        s = Server(self.net.world.listen(OK4, 443), lambda c: hold.wait(harness.WAIT) if s.accepted == 1 else served(c))
        self.addCleanup(s.close)
        p = self.proxy("ok.test:443")
        c = self.client(p)
        leader = c.request(path="/0")
        wait_for(lambda: s.accepted == 1, "the first connection")
        others = [c.request(path=f"/{i}") for i in range(1, 8)]
        wait_for(lambda: c.answer(leader) and p.records("decision"), "a record")
        c.h2.reset_stream(leader, Codes.CANCEL)
        c.flush()
        self.assertEqual([c.result(n).body for n in others], [b"x"] * 7)
        self.assertEqual((s.accepted, len(o.calls)), (2, 7))
        wait_for(lambda: len(p.records("end")) == 8, "the ends")
        self.assertEqual(sorted(r["error"] or "" for r in p.records("end")), [""] * 7 + ["client_closed"])

    def test_statuses_without_a_body(self):
        def app(call):
            status = int(call.fields[":path"][1:])
            call.respond(status, [("content-length", "7")] if call.fields[":method"] == "HEAD" or status == 304 else [], end=True)

        self.h2_origin(app)
        p = self.proxy("ok.test:443")
        c = self.client(p)
        for method, status in (("GET", 204), ("GET", 304), ("HEAD", 200), ("GET", 200), ("GET", 404)):
            a = c.result(c.request(method, f"/{status}"))
            self.assertEqual((a.status, a.body, a.reset), (status, b"", None))
            self.assertEqual(dict(a.fields).get("content-length"),
                             "7" if method == "HEAD" or status == 304 else None if status == 204 else "0", (method, status))

    def test_fields_both_ways(self):
        o = self.h2_origin(text(b"x", fields=[("x-b", "1"), ("x-b", "2"), ("alt-svc", 'h3=":443"'), ("set-cookie", "a=1"),
                                               ("set-cookie", "b=2")]))
        p = self.proxy("ok.test:443")
        c = self.client(p)
        a = c.get(fields=[("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2"), ("te", "trailers"), ("proxy-authorization", "x"),
                          ("authorization", "Bearer y")])
        self.assertEqual([f for f in o.calls[0].headers if not f[0].startswith(":")],
                         [("te", "trailers"), ("x-a", "1"), ("authorization", "Bearer y"), ("cookie", "a=1; b=2")])
        self.assertEqual([f for f in a.fields if not f[0].startswith(":")],
                         [("content-length", "1"), ("x-b", "1"), ("x-b", "2"), ("set-cookie", "a=1"), ("set-cookie", "b=2")])

    def test_cookies_towards_http1(self):
        o = self.origin(plain("x"))
        p = self.proxy("ok.test:443")
        self.client(p).get(fields=[("cookie", "a=1"), ("cookie", "b=2")])
        self.assertEqual([f for f in o.requests[0][1] if f[0] == "cookie"], [("cookie", "a=1; b=2")])

    def test_trailers(self):
        def app(call):
            call.read()
            call.respond(200, [("trailer", "x-sum")])
            call.send(b"body")
            call.finish([("x-sum", "7"), ("grpc-status", "0")])

        o = self.h2_origin(app)
        p = self.proxy("ok.test:443")
        c = self.client(p)
        n = c.request("POST", end=False, fields=[("te", "trailers")])
        c.send(n, b"abc")
        c.h2.send_headers(n, [("x-check", "1")], end_stream=True)
        c.flush()
        a = c.result(n)
        self.assertEqual((a.body, a.trailers), (b"body", [("x-sum", "7"), ("grpc-status", "0")]))
        self.assertEqual((o.calls[0].body, o.calls[0].trailers), (b"abc", [("x-check", "1")]))

    def test_trailers_only(self):
        self.h2_origin(lambda call: call.respond(200, [("content-type", "application/grpc"), ("grpc-status", "5")], end=True))
        p = self.proxy("ok.test:443")
        a = self.client(p).get()
        self.assertEqual((a.status, a.body, dict(a.fields)["grpc-status"]), (200, b"", "5"))

    def test_interim_answers(self):
        def app(call):
            call.respond(103, [("link", "</a>")])
            call.respond(200)
            call.send(b"x", end=True)

        self.h2_origin(app)
        p = self.proxy("ok.test:443")
        a = self.client(p).get()
        self.assertEqual((a.interim, a.status, a.body), (["103"], 200, b"x"))

    def test_an_early_answer(self):
        """The answer first, then RST_STREAM NO_ERROR; the origin is told CANCEL."""
        o = self.h2_origin(lambda call: (call.respond(413), call.send(b"no", end=True)))
        p = self.proxy("ok.test:443")
        c = self.client(p)
        n = c.request("POST", end=False)
        c.send(n, b"x" * 1000)
        a = c.answer(n)
        c.until(lambda: a.reset is not None)
        self.assertEqual((a.status, a.body, a.ended, a.reset), (413, b"no", True, Codes.NO_ERROR))
        wait_for(lambda: o.calls[0].reset is not None, "the origin's reset")
        self.assertEqual(o.calls[0].reset, Codes.CANCEL)
        self.assertEqual(c.get().status, 413)

    def test_a_refusal_in_words(self):
        self.h2_origin(text(b"x"))
        p = self.proxy("ok.test:443", "cdn.test:443")
        p.set_policy([{"verdict": "allow", "target": "ok.test:443", "methods": ["GET"]}] if False else ["ok.test:443"], tls="intercept")
        tls = self.tls(p, "cdn.test", alpn=("h2",))
        a = Client(tls).get(authority="cdn.test")
        self.assertEqual(a.status, 403)
        self.assertIn(b"Blocked by network policy: domain cdn.test:443\n", a.body)
        self.assertEqual(int(dict(a.fields)["content-length"]), len(a.body))

    def test_a_cancelled_stream_is_cancelled_there(self):
        o = self.h2_origin(lambda call: (call.respond(200), call.send(b"x"), call.wait(lambda: False)))
        p = self.proxy("ok.test:443")
        c = self.client(p)
        n = c.request()
        c.until(lambda: c.answer(n).body)
        started = time.monotonic()
        c.h2.reset_stream(n, Codes.CANCEL)
        c.flush()
        wait_for(lambda: o.calls[0].reset is not None, "the origin's reset")
        self.assertLess(time.monotonic() - started, 0.1)
        self.assertEqual(o.calls[0].reset, Codes.CANCEL)
        self.assertEqual(p.wait_record("end")["error"], "client_closed")

    def test_a_new_policy_cuts_streams(self):
        o = self.h2_origin(lambda call: (call.respond(200), call.send(b"x"), call.wait(lambda: False)))
        p = self.proxy("ok.test:443")
        c = self.client(p)
        n = c.request()
        c.until(lambda: c.answer(n).body)
        p.set_policy(["ok.test:443"], tls="intercept")
        m = c.request(path="/second")
        c.until(lambda: c.answer(m).body)
        self.assertEqual(o.server.accepted, 2, "a new policy, a new connection")
        self.assertIsNone(c.answer(n).reset)
        p.set_policy(["cdn.test:443"], tls="intercept")
        c.until(lambda: c.gone or (c.answer(n).reset is not None and c.answer(m).reset is not None))
        wait_for(lambda: all(call.reset is not None or call.c.ended for call in o.calls), "the origin's resets")
        self.assertEqual({r["error"] for r in p.records("end")}, {"policy_changed"})

    def test_events_come_as_they_are_sent(self):
        times = []

        def app(call):
            call.respond(200, [("content-type", "text/event-stream")])
            for i in range(20):
                times.append(time.monotonic())
                call.send(b"data: %d\n\n" % i)
                wait_for(lambda: len(seen) > i, "the event")
            call.send(b"", end=True)

        seen = []
        self.h2_origin(app)
        p = self.proxy("ok.test:443")
        c = self.client(p)
        n = c.request()
        a = c.answer(n)
        while not a.ended and c.step():
            seen += [time.monotonic()] * (a.body.count(b"\n\n") - len(seen))
        self.assertEqual(len(seen), 20)
        late = sorted(b - a for a, b in zip(times, seen))
        self.assertLess(late[10], 0.02, late)


class Flow(Case):
    def test_bodies_both_ways(self):
        """Byte-exact through each pair of versions, however large, and the proxy does not grow with them."""
        size = 40 << 20
        block = bytes(range(256)) * 4096

        def check(body):
            assert body == (block * 40)[:len(body)]
            return str(len(body)).encode()

        def app(call):
            if call.fields[":method"] == "GET":
                call.respond(200, [("content-length", str(size))])
                for i in range(40):
                    call.send(block, end=i == 39)
            else:
                text(check(call.read()))(call)

        def answer(c, line, f, body):
            if line.startswith("GET"):
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                for _ in range(40):
                    c.sendall(block)
            else:
                plain(check(body))(c, line, f, body)

        file = pathlib.Path(self.tmp) / "large"
        file.write_bytes(block * 40)
        for back in ("h1", "h2"):
            o = self.h2_origin(app) if back == "h2" else self.origin(answer)
            for front in ("--http1.1", "--http2"):
                with self.subTest(front=front, back=back):
                    p = self.proxy("ok.test:443")
                    out = pathlib.Path(self.tmp) / "out"
                    self.get(p, front, "-o", str(out), "https://ok.test/")
                    self.assertEqual(out.read_bytes(), file.read_bytes())
                    self.assertEqual(self.get(p, front, "-T", str(file), "https://ok.test/up"), str(size).encode())
                    self.assertLess(p.rss_kib(), 40 << 10)
                    p.close()
            (o if back == "h2" else o.server).close()

    def test_an_upload_that_nobody_reads(self):
        """The window shuts; other streams go on; when the origin reads, all of it comes."""
        def app(call):
            if call.fields[":path"] == "/other":
                text(b"other")(call)
                return
            call.wait(lambda: go.is_set() or call.c.ended)
            call.auto = True
            with call.c.lock:
                call.c.h2.acknowledge_received_data(len(call.body), call.number)
                call.c.flush()
            text(str(len(call.read())).encode())(call)

        go = threading.Event()
        o = self.h2_origin(app)
        original = Call.__init__

        def held(call, *args):
            original(call, *args)
            call.auto = call.fields[":path"] == "/other"
        Call.__init__ = held
        self.addCleanup(setattr, Call, "__init__", original)
        p = self.proxy("ok.test:443")
        c = self.client(p)
        n = c.request("POST", "/held", end=False)
        sent = 0
        while True:
            window = c.h2.local_flow_control_window(n)
            if window:
                c.h2.send_data(n, b"x" * min(window, 16384))
                sent += min(window, 16384)
                c.flush()
            elif c.get("/other").body == b"other" and c.h2.local_flow_control_window(n) == 0:
                break
        self.assertLess(sent, 1 << 20)
        self.assertEqual(c.get("/other").body, b"other")
        go.set()
        with o.calls[0].c.lock:
            o.calls[0].c.lock.notify_all()
        c.send(n, b"y" * 1000000, end=True)
        self.assertEqual(c.result(n).body, str(sent + 1000000).encode())

    def test_padding(self):
        """It counts for the windows, and is given back."""
        o = self.h2_origin(lambda call: text(str(len(call.read())).encode())(call))
        p = self.proxy("ok.test:443")
        c = self.client(p)
        n = c.request("POST", end=False)
        for i in range(3000):
            while c.h2.local_flow_control_window(n) < 400:
                c.flush()
                self.assertTrue(c.step())
            c.h2.send_data(n, b"x" * 100, pad_length=255)
            if i % 50 == 49:
                c.flush()
        c.h2.end_stream(n)
        c.flush()
        self.assertEqual(c.result(n).body, b"300000")
        self.assertEqual(len(o.calls), 1)

    def test_a_hundred_downloads_that_nobody_reads(self):
        """What is held of them is bounded, and each is whole in the end."""
        size = 1 << 20

        def app(call):
            call.respond(200)
            call.send(bytes([call.number % 251]) * size, end=True)

        o = self.h2_origin(app)
        p = self.proxy("ok.test:443")
        c = self.client(p)
        c.get()
        before = p.rss_kib()
        c.auto = False
        c.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        c.flush()
        numbers = [c.request(path=f"/{i}") for i in range(90)]
        c.until(lambda: all(c.answer(n).status for n in numbers))
        wait_for(lambda: len(o.calls) == 91, "all of them")
        settled = 0
        while settled < 5:
            now = p.rss_kib()
            time.sleep(0.1)
            settled = settled + 1 if p.rss_kib() == now else 0
        # 64 KiB on each side of the exchange, in buffers of twice that.
        self.assertLess(p.rss_kib() - before, 90 * 256)
        c.auto = True
        c.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 65535})
        c.flush()
        for n in numbers:
            self.assertEqual(len(c.result(n).body), size)


class Upstream(Case):
    def test_streams_of_all_connections(self):
        """A guest that reads nothing makes the proxy keep what 1,024 streams may hold, however many connections it has."""
        p = self.proxy("other.test:443")
        clients = []
        for _ in range(12):
            c = self.client(p)
            c.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
            c.flush()
            clients.append((c, [c.request(path="/") for _ in range(100)]))
        c, numbers = clients[-1]
        c.until(lambda: all(c.answer(n).reset is not None for n in numbers) or c.gone)
        self.assertEqual({c.answer(n).reset for n in numbers}, {Codes.REFUSED_STREAM})
        c, numbers = clients[0]
        c.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 65535})
        c.flush()
        self.assertEqual({c.result(n).status for n in numbers}, {403})
        self.assertEqual(self.client(p).get().status, 403)

    def test_refused_streams(self):
        """REFUSED_STREAM: surely untouched, so GET is tried once more and POST with a body is not."""
        def app(call):
            first = call.number == 1 and call.c is call.c.origin.connections[0]
            if first:
                with call.c.lock:
                    call.c.h2.reset_stream(call.number, Codes.REFUSED_STREAM)
                    call.c.flush()
            else:
                text(b"x")(call)

        for method, want in (("GET", 200), ("POST", 502)):
            o = self.h2_origin(app)
            p = self.proxy("ok.test:443")
            c = self.client(p)
            n = c.request(method, end=method == "GET")
            if method == "POST":
                c.until(lambda: True)
                c.send(n, b"body", end=True)
            self.assertEqual(c.result(n).status, want)
            self.assertEqual(len(p.records("decision")), 1)
            p.close()
            o.close()

    def test_goaway(self):
        """Streams up to the last one end in order, later ones go elsewhere."""
        def app(call):
            if call.fields[":path"] == "/slow":
                call.respond(200)
                call.send(b"begin ")
                with call.c.lock:
                    f = hf.GoAwayFrame(0, last_stream_id=call.number, error_code=0)
                    call.c.tls.sendall(f.serialize())
                wait_for(lambda: len(o.calls) > 1, "the other request")
                call.send(b"end", end=True)
            else:
                text(b"other")(call)

        o = self.h2_origin(app)
        p = self.proxy("ok.test:443")
        c = self.client(p)
        n = c.request(path="/slow")
        c.until(lambda: c.answer(n).body)
        self.assertEqual(c.get("/other").body, b"other")
        self.assertEqual(c.result(n).body, b"begin end")
        self.assertEqual(o.server.accepted, 2)

    def test_a_connection_that_goes(self):
        """Before an answer: tried again. In the middle of one: cut, and the guest is told."""
        def app(call):
            if call.fields[":path"] == "/cut":
                call.respond(200)
                call.send(b"half")
                wait_for(lambda: got_half, "the half")
                call.c.shut()
            else:
                text(b"x")(call)

        got_half = []
        self.h2_origin(app)
        p = self.proxy("ok.test:443")
        c = self.client(p)
        self.assertEqual(c.get().body, b"x")
        n = c.request(path="/cut")
        a = c.answer(n)
        c.until(lambda: a.body)
        got_half.append(1)
        c.result(n)
        self.assertEqual((a.ended, a.reset), (False, Codes.INTERNAL_ERROR))
        self.assertEqual(c.get().body, b"x")
        self.assertEqual(p.records("end", status=200)[-2]["error"], "unreachable")

    def test_push(self):
        def app(call):
            with call.c.lock:
                f = hf.PushPromiseFrame(call.number)
                f.promised_stream_id = 2
                f.data = call.c.h2.encoder.encode([(":method", "GET"), (":scheme", "https"), (":authority", "ok.test"), (":path", "/p")])
                f.flags.add("END_HEADERS")
                call.c.tls.sendall(f.serialize())
            text(b"x")(call)

        self.h2_origin(app)
        p = self.proxy("ok.test:443")
        self.assertEqual(self.client(p).get().status, 502)

    def test_answers_that_are_none(self):
        """The guest is told 502, or its stream is reset where the answer had begun."""
        def answer_with(*frames):
            def app(call):
                call.read()
                with call.c.lock:
                    call.c.tls.sendall(b"".join(f(call).serialize() for f in frames))
            return app

        def head(fields, end=False):
            def make(call):
                f = hf.HeadersFrame(call.number)
                f.data = call.c.h2.encoder.encode(fields)
                f.flags.add("END_HEADERS")
                if end:
                    f.flags.add("END_STREAM")
                return f
            return make

        def content(bytes_, end=False):
            return lambda call: data(call.number, bytes_, end)

        cases = [([head([])], True), ([head([("x", "y")])], True), ([head([(":status", "20")])], True),
                 ([head([(":status", "101")])], True), ([head([(":status", "200"), (":status", "200")])], True),
                 ([head([(":status", "200"), ("connection", "close")])], True), ([head([(":status", "200"), (":path", "/")])], True),
                 ([head([(":status", "200"), ("transfer-encoding", "chunked")])], True), ([head([(":status", "200"), ("A", "b")])], True),
                 ([content(b"x")], True), ([head([(":status", "100")], end=True)], True),
                 ([head([(":status", "200"), ("content-length", "1")]), content(b"xy", True)], False),
                 ([head([(":status", "200"), ("content-length", "3")]), content(b"xy", True)], False),
                 ([head([(":status", "200")]), content(b"xy"), head([(":status", "200")], end=True)], False),
                 ([head([(":status", "200")]), content(b"xy"), head([("x", "y")])], False)]
        for frames, in_words in cases:
            o = self.h2_origin(answer_with(*frames))
            p = self.proxy("ok.test:443")
            a = self.client(p).get()
            with self.subTest(cases.index((frames, in_words))):
                if in_words:
                    self.assertEqual((a.status, a.ended), (502, True))
                else:
                    self.assertIsNotNone(a.reset)
                    self.assertFalse(a.ended)
            p.close()
            o.close()

    def test_a_bad_certificate(self):
        o = self.h2_origin(text(b"x"))
        p = self.proxy("bad.test:443")
        self.net.names["bad.test"] = [OK4]
        a = Client(self.tls(p, "bad.test", alpn=("h2",))).get(authority="bad.test")
        self.assertEqual(a.status, 502)
        self.assertIn(b"upstream_cert", a.body)
        self.assertEqual(o.calls, [])

    def test_websocket_keeps_http1(self):
        """An origin that offers both gets a handshake in HTTP/1.1, beside its HTTP/2 connection."""
        seen = []

        def handler(connection):
            seen.append(connection.selected_alpn_protocol())
            if seen[-1] == "h2":
                o.serve(connection)
            else:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")

        o = Origin.__new__(Origin)
        o.app, o.settings, o.calls, o.connections = text(b"x"), {}, [], []
        s = Server(self.net.world.listen(OK4, 443), harness.tls_server(*self.ok, handler, alpn=["h2", "http/1.1"]))
        self.addCleanup(s.close)
        p = self.proxy("ok.test:443")
        self.assertEqual(self.get(p, "https://ok.test/"), b"x")
        tls = self.tls(p)
        tls.send(b"GET /ws HTTP/1.1\r\nHost: ok.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        self.assertTrue(tls.recv().startswith(b"HTTP/1.1 403 "))
        self.assertEqual(seen, ["h2", "http/1.1"])


def headers(client, number, fields, end=True):
    """A HEADERS frame of any fields, through the client's own HPACK state."""
    f = hf.HeadersFrame(number)
    f.data = client.h2.encoder.encode(fields)
    f.flags.add("END_HEADERS")
    if end:
        f.flags.add("END_STREAM")
    return f


def data(number, content=b"", end=False):
    f = hf.DataFrame(number, content)
    if end:
        f.flags.add("END_STREAM")
    return f


GET = [(":method", "GET"), (":scheme", "https"), (":authority", "ok.test"), (":path", "/x")]
POST = [(":method", "POST"), *GET[1:]]


class RawClient(Client):
    """Sees frames, not events: for what python-h2 itself would not do or not allow."""

    def __init__(self, tls):
        super().__init__(tls)
        self.buffer, self.frames, self.resets = b"", [], {}

    def step(self):
        try:
            got = self.tls.recv()
        except (harness.Gone, ssl.SSLError, ConnectionError):
            got = b""
        if not got:
            self.gone = True
            return False
        self.buffer += got
        while len(self.buffer) >= 9:
            frame, length = hf.Frame.parse_frame_header(memoryview(self.buffer[:9]))
            if len(self.buffer) < 9 + length:
                break
            frame.parse_body(memoryview(self.buffer[9:9 + length]))
            self.buffer = self.buffer[9 + length:]
            self.frames.append(frame)
            if isinstance(frame, hf.RstStreamFrame):
                self.resets[frame.stream_id] = frame.error_code
            elif isinstance(frame, hf.GoAwayFrame):
                self.goaway = frame.error_code
        return True

    def wait_reset(self, number):
        self.until(lambda: number in self.resets or self.goaway is not None)
        return self.resets.get(number)

    def wait_goaway(self):
        self.until(lambda: self.goaway is not None)
        return self.goaway

    def heads(self, number):
        return [f for f in self.frames if isinstance(f, hf.HeadersFrame) and f.stream_id == number]


class Malformed(Case):
    def raw(self, p):
        return RawClient(self.tls(p, alpn=("h2",)))

    def check(self, *cases):
        """Each case: fields, frames behind them. The stream is reset, the log says so, the connection lives, the origin sees nothing."""
        o = self.h2_origin(text(b"x"))
        p = self.proxy("ok.test:443")
        for fields, *body in cases:
            with self.subTest(fields):
                before = len(p.records("decision", verdict="deny"))
                c = self.raw(p)
                c.raw(headers(c, 1, fields, end=not body), *body)
                self.assertEqual(c.wait_reset(1), Codes.PROTOCOL_ERROR)
                c.raw(headers(c, 3, GET))
                c.until(lambda: c.heads(3))
                self.assertTrue(c.heads(3), "the connection lives")
                wait_for(lambda: len(p.records("decision", verdict="deny")) == before + 1, "a record")
                self.assertEqual(p.records("decision", verdict="deny")[-1]["reason"], "bad_request")
        self.assertEqual({call.fields[":path"] for call in o.calls}, {"/x"})
        self.assertEqual(len(o.calls), len(cases))

    def test_fields_of_connections(self):
        self.check(([*GET, ("connection", "x")],), ([*GET, ("connection", "close")],), ([*GET, ("keep-alive", "1")],),
                   ([*GET, ("proxy-connection", "close")],), ([*GET, ("upgrade", "h2c")],), ([*GET, ("te", "gzip")],),
                   ([*GET, ("te", "trailers, deflate")],), ([*POST, ("transfer-encoding", "chunked")], data(1, b"0\r\n\r\n", True)),
                   ([*GET, ("http2-settings", "AAMAAABkAAQCAAAAAAIAAAAA")],))

    def test_pseudo_fields(self):
        self.check((GET[1:],), (GET[:1] + GET[2:],), (GET[:3],), ([*GET, (":path", "/y")],), ([*GET, (":method", "POST")],),
                   ([*GET, (":authority", "ok.test")],), ([*GET, (":status", "200")],), ([*GET, (":x", "y")],),
                   ([("accept", "*/*"), *GET],), ([*GET[:3], ("accept", "*/*"), GET[3]],),
                   ([GET[0], (":scheme", "http"), *GET[2:]],), ([GET[0], (":scheme", "file"), *GET[2:]],),
                   ([*GET[:3], (":path", "")],), ([*GET[:3], (":path", "x")],), ([*GET[:3], (":path", "*")],),
                   ([*GET[:3], (":path", "/#x")],), ([*GET[:3], (":path", "/\x00")],), ([*GET[:2], (":authority", ""), GET[3]],),
                   ([*GET[:2], (":authority", "u@ok.test"), GET[3]],), ([(":method", "G T"), *GET[1:]],),
                   ([(":method", "CONNECT"), *GET[1:]],), ([(":method", "CONNECT"), (":protocol", "websocket"), *GET[1:]],))

    def test_names_and_values(self):
        self.check(([*GET, ("X-Upper", "x")],), ([*GET, ("x y", "z")],), ([*GET, ("", "z")],), ([*GET, ("x", "a\r\nb: c")],),
                   ([*GET, ("x", "a\x00b")],), ([*GET, ("x:y", "a")],), ([*GET, ("x", " a")],), ([*GET, ("x", "a\t")],))

    def test_host_is_the_authority(self):
        self.check(([*GET, ("host", "evil.test")],), ([*GET, ("host", "ok.test"), ("host", "ok.test")],),
                   ([*GET, ("host", "ok.test:8443")],))

    def test_lengths(self):
        """H2.CL: a length that is not the body's, in each way."""
        o = self.h2_origin(lambda call: (call.read(), text(b"x")(call)))
        p = self.proxy("ok.test:443")
        for fields, *body in (([*POST, ("content-length", "0")], data(1, b"GET /evil", True)),
                              ([*POST, ("content-length", "4")], data(1, b"12345", True)),
                              ([*POST, ("content-length", "4")], data(1, b"123", True)),
                              ([*POST, ("content-length", "4"), ("content-length", "5")], data(1, b"12345", True)),
                              ([*POST, ("content-length", "+4")], data(1, b"1234", True)),
                              ([*POST, ("content-length", "5")],)):
            with self.subTest(fields):
                c = self.raw(p)
                c.raw(headers(c, 1, fields, end=not body), *body)
                self.assertEqual(c.wait_reset(1), Codes.PROTOCOL_ERROR)
                self.assertEqual(c.heads(1), [])
        for call in o.calls:
            call.wait(lambda: call.ended)
            self.assertEqual(call.reset, Codes.CANCEL, call.headers)

    def test_trailers(self):
        p = self.proxy("ok.test:443")
        o = self.h2_origin(lambda call: (call.read(), text(b"x")(call)))
        for fields in ([(":path", "/evil")], [("Content-Length", "5")], [("transfer-encoding", "chunked")], [("connection", "x")]):
            with self.subTest(fields):
                c = self.raw(p)
                c.raw(headers(c, 1, POST, end=False), data(1, b"x"), headers(c, 1, fields))
                self.assertEqual(c.wait_reset(1), Codes.PROTOCOL_ERROR)
        self.assertEqual([c.trailers for c in o.calls if c.trailers], [])

    def test_frames_after_the_end(self):
        """G01: on a stream that has ended, by its last frame or a reset, there is nothing more to say; WINDOW_UPDATE and a second reset may have been under way."""
        self.h2_origin(text(b"x"))
        p = self.proxy("ok.test:443")
        cancel = hf.RstStreamFrame(1, Codes.CANCEL)
        for what, begin, frame in (("DATA after a reset", [POST, cancel], data(1, b"x")), ("HEADERS after a reset", [POST, cancel], None),
                                   ("DATA after the end", [GET], data(1, b"x")), ("HEADERS after the end", [GET], None)):
            with self.subTest(what):
                c = self.raw(p)
                c.raw(headers(c, 1, begin[0], end=begin[0] is GET), *begin[1:])
                if begin[0] is GET:
                    c.until(lambda: any(isinstance(f, hf.DataFrame) and "END_STREAM" in f.flags for f in c.frames))
                c.raw(frame or headers(c, 1, GET))
                self.assertEqual(c.wait_reset(1) or c.goaway, Codes.STREAM_CLOSED)
        c = self.raw(p)
        update = hf.WindowUpdateFrame(1)
        update.window_increment = 5
        c.raw(headers(c, 1, POST, end=False), cancel, update, cancel, headers(c, 3, GET))
        c.until(lambda: c.heads(3))
        self.assertTrue(c.heads(3), "the connection lives")

    def test_connect(self):
        self.h2_origin(text(b"x"))
        p = self.proxy("ok.test:443")
        c = self.client(p, validate_outbound_headers=False)
        c.h2.send_headers(1, [(":method", "CONNECT"), (":authority", "ok.test:443")])
        c.flush()
        self.assertEqual(c.result(1).status, 501)
        self.assertEqual(c.get().body, b"x")

    def test_heads_that_are_too_long(self):
        o = self.h2_origin(text(b"x"))
        p = self.proxy("ok.test:443")
        c = self.client(p)
        self.assertEqual(c.get(fields=[(f"x-{i}", "y" * 1000) for i in range(70)]).status, 431)
        self.assertEqual(c.get(fields=[(f"x-{i}", "y") for i in range(129)]).status, 431)
        self.assertEqual(c.get(path="/" + "a" * 16384).status, 414)
        self.assertEqual(c.get(fields=[(f"x-{i}", "y" * 1000) for i in range(50)]).body, b"x")
        self.assertEqual(c.result(c.request("TRACE")).status, 405)
        self.assertEqual(len(o.calls), 1)

    def test_another_host_on_the_connection(self):
        o = self.h2_origin(text(b"x"))
        p = self.proxy("ok.test:443", "cdn.test:443")
        c = self.client(p)
        for authority in ("front.test", "cdn.test", "ok.test:8443"):
            self.assertEqual(c.get(authority=authority).status, 421)
        self.assertEqual([r["reason"] for r in p.records("decision")], ["host_mismatch"] * 3)
        self.assertEqual(c.get(authority="OK.test.:443").body, b"x")
        self.assertEqual(o.calls[0].fields[":authority"], "ok.test")

    def test_http1_bytes_after_h2_was_chosen(self):
        o = self.h2_origin(text(b"x"))
        p = self.proxy("ok.test:443")
        tls = self.tls(p, alpn=("h2",))
        tls.send(b"GET / HTTP/1.1\r\nHost: ok.test\r\n\r\n")
        try:
            self.assertNotIn(b"HTTP/1.1", tls.recv_all())
        except (harness.Gone, ssl.SSLError, ConnectionError):
            pass
        self.assertEqual(o.calls, [])

    def test_preface_on_http1(self):
        self.h2_origin(text(b"x"))
        p = self.proxy("ok.test:443")
        out = self.ask(p, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hf.SettingsFrame(0).serialize())
        self.assertTrue(out.startswith(b"HTTP/1.1 400 "), out)


class Floods(Case):
    def flood(self, make, bound=3.0):
        """make(client, n) gives frames, until the connection is told to be calm. Another connection goes on meanwhile."""
        self.h2_origin(text(b"x"))
        p = self.proxy("ok.test:443")
        c, other = RawClient(self.tls(p, alpn=("h2",))), self.client(p)
        started = time.monotonic()
        cpu = p.cpu_ms()
        for n in range(200):
            try:
                c.raw(*make(c, n))
            except (harness.Gone, ssl.SSLError, ConnectionError, AssertionError):
                break
            if harness_readable(c):
                c.step()
                if c.goaway is not None or c.gone:
                    break
        self.assertEqual(c.wait_goaway(), Codes.ENHANCE_YOUR_CALM, f"after {n} rounds")
        took = time.monotonic() - started
        self.assertLess(took, bound)
        self.assertEqual(other.get().body, b"x")
        self.assertLess(p.rss_kib(), 64 << 10)
        return n, p.cpu_ms() - cpu

    def test_rapid_reset(self):
        def make(c, n):
            out = []
            for i in range(50):
                number = 2 * (50 * n + i) + 1
                out += [headers(c, number, GET), hf.RstStreamFrame(number, Codes.CANCEL)]
            return out
        n, _ = self.flood(make)
        self.assertLess(n, 199)  # how far it comes before it hears of it is the machine's affair

    def test_made_to_reset(self):
        """Streams that the client's own errors make the server reset."""
        def make(c, n):
            out = []
            for i in range(50):
                number = 2 * (50 * n + i) + 1
                out += [headers(c, number, POST, end=False), hf.WindowUpdateFrame(number, 0x7fffffff)]
            return out
        self.flood(make)

    def test_malformed_requests(self):
        self.flood(lambda c, n: [headers(c, 2 * (50 * n + i) + 1, [*GET, ("connection", "x")]) for i in range(50)])

    def test_settings(self):
        self.flood(lambda c, n: [hf.SettingsFrame(0, {hf.SettingsFrame.INITIAL_WINDOW_SIZE: 65535})] * 50)

    def test_ping(self):
        self.flood(lambda c, n: [hf.PingFrame(0, b"12345678")] * 100)

    def test_priority(self):
        self.flood(lambda c, n: [hf.PriorityFrame(1, depends_on=0, stream_weight=n)] * 200)

    def test_window_update(self):
        self.flood(lambda c, n: ([headers(c, 1, POST, end=False)] if n == 0 else []) + [hf.WindowUpdateFrame(1, 1)] * 200)

    def test_empty_data(self):
        self.flood(lambda c, n: ([headers(c, 1, POST, end=False)] if n == 0 else []) + [data(1)] * 200)

    def test_unknown_frames(self):
        self.flood(lambda c, n: [b"\0\0\1\xbe\0\0\0\0\0x"] * 200)

    def test_continuation(self):
        def make(c, n):
            if n == 0:
                f = hf.HeadersFrame(1)
                f.data = c.h2.encoder.encode(GET)
                f.flags.add("END_STREAM")
                return [f]
            return [hf.ContinuationFrame(1, c.h2.encoder.encode([("x", "y")]))] * 50
        self.flood(make)

    def test_hpack_bomb(self):
        """A table entry of 4 KiB, named again and again by a byte."""
        def make(c, n):
            if n > 0:
                time.sleep(0.02)
                return []
            c.h2.encoder.huffman_coder = None
            first = hf.HeadersFrame(1)
            block = c.h2.encoder.encode([*GET, ("x", "a" * 3900)], huffman=False)
            first.data = block + b"\xbe" * (16384 - len(block))
            more = [hf.ContinuationFrame(1, b"\xbe" * 16384) for _ in range(5)]
            more[-1].flags.add("END_HEADERS")
            return [first, *more]
        _, cpu = self.flood(make)
        self.assertLess(cpu, 500)

    def test_a_header_block_that_never_ends(self):
        self.h2_origin(text(b"x"))
        p = self.proxy("ok.test:443")
        c = RawClient(self.tls(p, alpn=("h2",)))
        f = hf.HeadersFrame(1)
        f.data = c.h2.encoder.encode(GET)
        c.raw(f)
        started = time.monotonic()
        harness.WAIT, keep = 30, harness.WAIT
        try:
            c.until(lambda: c.goaway is not None)
        finally:
            harness.WAIT = keep
        self.assertGreater(time.monotonic() - started, 13)
        self.assertLess(time.monotonic() - started, 18)


def harness_readable(client):
    """Whether a step would not wait."""
    stream = client.tls.stream
    return bool(stream.inbox) or stream.eof or stream.reset is not None


if __name__ == "__main__":
    unittest.main()
