# SPDX-License-Identifier: Apache-2.0
"""The guest's end of the network door, by hand: an HTTP/2 client whose streams are connections of a sandbox's programs, so that a
test can say any byte and any authority. (netguest is the real one.) And what programs do over such a connection: TLS, HTTP."""
import socket
import ssl
import threading
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions

GATEWAY = "gateway.docker.internal:3128"
DEADLINE = 8


class Reset(Exception):
    """The connection was reset."""


class Stream:
    """One connection. What recv returns is b"" at the end; Reset where it was reset."""

    def __init__(self, door, number):
        self.door, self.id = door, number
        self.data = b""
        self.ended = False
        self.reset_code = None
        self.status = None
        self.unread = 0

    def send(self, data):
        data = bytes(data)
        while data:
            with self.door.lock:
                self._alive()
                room = min(self.door.h2.local_flow_control_window(self.id), self.door.h2.max_outbound_frame_size, len(data))
                if room > 0:
                    self.door.h2.send_data(self.id, data[:room])
                    data = data[room:]
                    self.door.flush()
                    continue
                if not self.door.lock.wait(DEADLINE):
                    raise TimeoutError("the proxy takes nothing more")

    sendall = send

    def _alive(self):
        if self.reset_code is not None:
            raise Reset(self.reset_code)
        if self.door.dead:
            raise Reset("the door is shut")

    def end(self):
        """Half-close."""
        with self.door.lock:
            if self.reset_code is None and not self.door.dead:
                try:
                    self.door.h2.end_stream(self.id)
                    self.door.flush()
                except h2.exceptions.ProtocolError:
                    pass

    def reset(self):
        with self.door.lock:
            try:
                self.door.h2.reset_stream(self.id, 8)
                self.door.flush()
            except h2.exceptions.ProtocolError:
                pass

    def recv(self, n=65536, timeout=DEADLINE):
        end = time.monotonic() + timeout
        with self.door.lock:
            while not self.data:
                if self.ended:
                    return b""
                self._alive()
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError("nothing came")
                self.door.lock.wait(left)
            out, self.data = self.data[:n], self.data[n:]
            if self.reset_code is None and not self.door.dead and not self.door.hold:
                try:
                    self.door.h2.acknowledge_received_data(len(out), self.id)
                    self.door.flush()
                except h2.exceptions.ProtocolError:
                    pass
            return out

    def rest(self, timeout=DEADLINE):
        """Everything up to the end."""
        out = b""
        while True:
            got = self.recv(timeout=timeout)
            if not got:
                return out
            out += got

    def outcome(self, timeout=DEADLINE):
        """(everything that came, "end" or "reset")."""
        out = b""
        while True:
            try:
                got = self.recv(timeout=timeout)
            except Reset:
                return out, "reset"
            if not got:
                return out, "end"
            out += got

    def close(self):
        self.reset()


class Door:
    def __init__(self, sock):
        self.sock = sock
        self.lock = threading.Condition()
        self.streams = {}
        self.dead = False
        self.hold = False  # no windows are opened
        self.goaway = None
        config = h2.config.H2Configuration(client_side=True, validate_outbound_headers=False,
                                           normalize_outbound_headers=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.h2.update_settings({4: 1 << 18})
        self.h2.increment_flow_control_window(1 << 28)
        self.flush()
        threading.Thread(target=self._read, daemon=True).start()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            try:
                self.sock.sendall(data)
            except OSError:
                self.dead = True

    def _read(self):
        while True:
            try:
                got = self.sock.recv(1 << 18)
            except OSError:
                got = b""
            with self.lock:
                try:
                    for event in self.h2.receive_data(got) if got else []:
                        self._event(event)
                except h2.exceptions.ProtocolError:
                    got = b""
                self.flush()
                self.dead = self.dead or not got
                self.lock.notify_all()
            if not got:
                return

    def _event(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event.error_code
        if not stream:
            return
        if isinstance(event, h2.events.ResponseReceived):
            stream.status = dict(event.headers).get(":status")
        elif isinstance(event, h2.events.DataReceived):
            stream.data += event.data
            padding = event.flow_controlled_length - len(event.data)
            if padding:
                self.h2.acknowledge_received_data(padding, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset_code = int(event.error_code)

    def open(self, authority, headers=None):
        """A program's connection to authority ("name:port")."""
        with self.lock:
            number = self.h2.get_next_available_stream_id()
            stream = self.streams[number] = Stream(self, number)
            self.h2.send_headers(number, headers or [(":method", "CONNECT"), (":authority", authority)])
            self.flush()
        return stream

    def reset_all(self):
        """Whatever a test left open ends."""
        for stream in list(self.streams.values()):
            if stream.reset_code is None and not self.dead:
                stream.reset()
        self.streams.clear()

    def forward(self):
        """A program's connection to the forward proxy's address."""
        return self.open(GATEWAY)

    def close(self):
        self.dead = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


class Tls:
    """TLS over a stream: a client that trusts the given authorities."""

    def __init__(self, stream, name, trust, alpn=("http/1.1",), context=None):
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cadata="\n".join(p if isinstance(p, str) else p.decode() for p in trust))
            context.check_hostname = name is not None
            if alpn:
                context.set_alpn_protocols(list(alpn))
        self.stream = stream
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self._loop(self.tls.do_handshake)
        self.alpn = self.tls.selected_alpn_protocol()

    def _loop(self, step, *args):
        while True:
            try:
                value = step(*args)
                self._out()
                return value
            except ssl.SSLWantReadError:
                self._out()
                got = self.stream.recv()
                if got:
                    self.incoming.write(got)
                else:
                    self.incoming.write_eof()
            except ssl.SSLError:
                try:
                    self._out()
                except Reset:
                    pass
                raise

    def _out(self):
        data = self.outgoing.read()
        if data:
            self.stream.send(data)

    def send(self, data):
        for i in range(0, len(data), 16384):
            self._loop(self.tls.write, data[i:i + 16384])

    sendall = send

    def recv(self, n=65536, timeout=DEADLINE):
        try:
            return self._loop(self.tls.read, n)
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def outcome(self, timeout=DEADLINE):
        out = b""
        while True:
            try:
                got = self.recv()
            except (Reset, ssl.SSLError):
                return out, "reset"
            if not got:
                return out, "end"
            out += got

    def end(self):
        self.stream.end()

    def close(self):
        self.stream.reset()


class Response:
    def __init__(self, status, fields, body, rest=b"", head=b""):
        self.status, self.fields, self.body, self.rest, self.head = status, fields, body, rest, head

    def get(self, name):
        return next((v for n, v in self.fields if n == name), None)

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:300]}>"


def read_head(conn, buffered=b""):
    while b"\r\n\r\n" not in buffered:
        got = conn.recv()
        if not got:
            raise EOFError(f"ended in the head: {buffered!r}")
        buffered += got
    head, rest = buffered.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    fields = [(n.lower(), v.strip()) for n, _, v in (line.partition(":") for line in lines[1:])]
    return int(lines[0].split(" ")[1]), fields, rest, head


def read_response(conn, method="GET", buffered=b"", interim=None):
    """One response; 1xx before it go to the list interim."""
    while True:
        status, fields, rest, head = read_head(conn, buffered)
        if status >= 200 or status == 101:
            break
        if interim is not None:
            interim.append(status)
        buffered = rest
    get = dict(fields).get
    if method == "HEAD" or status in (101, 204, 304) or (method == "CONNECT" and status == 200):
        return Response(status, fields, b"", rest, head)
    if get("transfer-encoding") == "chunked":
        body = b""
        while True:
            while b"\r\n" not in rest:
                rest += more(conn)
            size, rest = rest.split(b"\r\n", 1)
            n = int(size, 16)
            while len(rest) < n + 2:
                rest += more(conn)
            if n == 0:
                return Response(status, fields, body, rest[2:], head)
            body, rest = body + rest[:n], rest[n + 2:]
    if get("content-length") is not None:
        n = int(get("content-length"))
        while len(rest) < n:
            rest += more(conn)
        return Response(status, fields, rest[:n], rest[n:], head)
    while True:
        got = conn.recv()
        if not got:
            return Response(status, fields, rest, b"", head)
        rest += got


def more(conn):
    got = conn.recv()
    if not got:
        raise EOFError("ended in the body")
    return got
