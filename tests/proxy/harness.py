#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""harness: a network of its own for sbx-proxy, and what stands around it.

    with Range() as net, Proxy(net, rules=["ok.test:443"]) as proxy:
        net.names["ok.test"] = ["93.184.216.10"]
        server = net.world.listen("93.184.216.10", 443)
        stream = proxy.guest.connect("ok.test:443")

Two network namespaces, which no interface leaves: `host`, where the proxy runs, and `world`, which owns addresses that look
public. Between them is a router's link, so that nothing of the world is a neighbour of the host. Needs CAP_SYS_ADMIN
(root, or `unshare -Ur`). Sockets are made in a namespace by a thread that enters it, and then work from anywhere.
"""
import array
import contextlib
import ctypes
import fcntl
import json
import os
import pathlib
import select
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
PROXY = os.environ.get("SBX_PROXY", str(TOP / "build/bin/sbx-proxy"))
WAIT = float(os.environ.get("SBX_TEST_WAIT", "15"))  # seconds until a thing that must come has not come

CLONE_NEWNET = 0x40000000
IP_FREEBIND, IPV6_FREEBIND = 15, 78
LIBC = ctypes.CDLL(None, use_errno=True)


class Gone(Exception):
    """A stream or connection that was reset."""


def _call(name, *args):
    if getattr(LIBC, name)(*args) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def wait_for(condition, what, timeout=None):
    """Until condition() is true; what it returned."""
    end = time.monotonic() + (timeout or WAIT)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: did not happen")
        time.sleep(0.01)


# --- namespaces ---

class Namespace:
    def __init__(self):
        self.fd = self._thread(self._make)

    @staticmethod
    def _thread(function, *args):
        box = []

        def run():
            try:
                box.append((True, function(*args)))
            except BaseException as problem:
                box.append((False, problem))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        good, value = box[0]
        if not good:
            raise value
        return value

    @staticmethod
    def _make():
        _call("unshare", CLONE_NEWNET)
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def run(self, function, *args):
        """function(*args) by a thread inside."""
        def inside():
            _call("setns", self.fd, CLONE_NEWNET)
            return function(*args)

        return self._thread(inside)

    def popen(self, argv, **more):
        """A process inside."""
        return subprocess.Popen(argv, preexec_fn=lambda: _call("setns", self.fd, CLONE_NEWNET), **more)

    def ip(self, line):
        process = self.popen(["ip", *line.split()], stderr=subprocess.PIPE, text=True)
        _, said = process.communicate()
        assert process.returncode == 0, f"ip {line}: {said}"

    def listen(self, address, port, kind=socket.SOCK_STREAM):
        """A bound (and listening) socket inside."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET

        def make():
            s = socket.socket(family, kind)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # What is only routed to us is an address of ours, too.
            s.setsockopt(*((socket.IPPROTO_IPV6, IPV6_FREEBIND) if ":" in address else (socket.IPPROTO_IP, IP_FREEBIND)), 1)
            s.bind((address, port))
            if kind == socket.SOCK_STREAM:
                s.listen(64)
                s.settimeout(WAIT)
            return s

        return self.run(make)

    def close(self):
        os.close(self.fd)


class Dns(threading.Thread):
    """Answers A and AAAA from names: {"ok.test": ["93.184.216.10", "2606:2800:220:1::10"]}; an entry that is None is not
    answered at all. `asked` lists (name, type)."""

    def __init__(self, sock, names):
        super().__init__(daemon=True)
        self.sock, self.names, self.asked = sock, names, []
        self.start()

    def run(self):
        while True:
            try:
                query, peer = self.sock.recvfrom(4096)
                reply = self.answer(query)
            except (OSError, IndexError, struct.error):
                if self.sock.fileno() < 0:
                    return
                continue
            if reply:
                with contextlib.suppress(OSError):  # closed meanwhile
                    self.sock.sendto(reply, peer)

    def answer(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        kind, = struct.unpack_from(">H", query, at + 1)
        name, question = ".".join(labels), query[12:at + 5]
        self.asked.append((name, {1: "A", 28: "AAAA"}.get(kind, kind)))
        if name not in self.names:
            return query[:2] + struct.pack(">HHHHH", 0x8183, 1, 0, 0, 0) + question
        if self.names[name] is None:
            return None
        family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)
        found = [a for a in self.names[name] if family and (":" in a) == (family == socket.AF_INET6)]
        records = b""
        for address in found:
            raw = socket.inet_pton(family, address)
            records += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 300, len(raw)) + raw
        return query[:2] + struct.pack(">HHHHH", 0x8180, 1, len(found), 0, 0) + question + records


class Range:
    """The two namespaces, and a name server in the world."""
    HOST, ROUTER = "10.99.0.1", "10.99.0.2"
    HOST6, ROUTER6 = "fd99::1", "fd99::2"
    LAN, LAN_NEIGHBOUR = "192.168.77.1", "192.168.77.9"
    HOST_GLOBAL, GLOBAL_NEIGHBOUR = "2a00:1:2:3::1", "2a00:1:2:3::9"
    WORLD = ("93.184.216.0/24", "2606:2800:220:1::/64")

    def __init__(self):
        self.host, self.world = Namespace(), Namespace()
        self.names = {}
        where = f"/proc/{os.getpid()}/fd/{self.world.fd}"
        self.host.ip("link set lo up")
        self.world.ip("link set lo up")
        for link, ends in (("up0", ((self.HOST, self.HOST6), (self.ROUTER, self.ROUTER6))),
                           ("lan0", ((self.LAN, self.HOST_GLOBAL), (self.LAN_NEIGHBOUR, self.GLOBAL_NEIGHBOUR)))):
            self.host.ip(f"link add {link} type veth peer name {link} netns {where}")
            for space, (v4, v6) in zip((self.host, self.world), ends):
                space.ip(f"addr add {v4}/24 dev {link}")
                space.ip(f"addr add {v6}/64 dev {link} nodad")
                space.ip(f"link set {link} up")
        self.host.ip(f"route add default via {self.ROUTER}")
        self.host.ip(f"-6 route add default via {self.ROUTER6}")
        for block in self.WORLD:
            self.world.ip(f"route add local {block} dev lo")
        self.dns = Dns(self.world.listen(self.ROUTER, 53, socket.SOCK_DGRAM), self.names)

    def close(self):
        self.dns.sock.close()
        self.host.close()
        self.world.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# --- the guest's end of the door ---

class Stream:
    """One CONNECT stream, as a blocking byte stream."""

    def __init__(self, guest, number):
        self.guest, self.number = guest, number
        self.status, self.reset, self.eof = None, None, False
        self.inbox = bytearray()
        self.held = False  # nothing is consumed: the proxy's window towards us shuts

    def _wait(self, condition, timeout=None):
        with self.guest.changed:
            if not self.guest.changed.wait_for(lambda: condition() or self.reset is not None or self.guest.over,
                                               timeout or WAIT):
                raise TimeoutError("nothing came")

    def wait_status(self):
        self._wait(lambda: self.status is not None)
        if self.status is None:
            raise Gone(self.reset)
        return self.status

    def send(self, data, timeout=None):
        """All of data; waits for the proxy's window."""
        end = time.monotonic() + (timeout or WAIT)
        data = memoryview(bytes(data))
        while data:
            with self.guest.changed:
                if self.reset is not None or self.guest.over:
                    raise Gone(self.reset)
                room = min(self.guest.h2.local_flow_control_window(self.number), 16384)
                if room <= 0:
                    left = end - time.monotonic()
                    if left <= 0:
                        raise TimeoutError(f"{len(data)} bytes were not taken")
                    self.guest.changed.wait(left)
                    continue
                self.guest.h2.send_data(self.number, bytes(data[:room]))
                self.guest.flush()
            data = data[room:]

    def shutdown(self):
        with self.guest.changed:
            if self.reset is not None or self.guest.over:
                raise Gone(self.reset)
            try:
                self.guest.h2.end_stream(self.number)
            except KeyError:  # how the library tells that both directions have ended
                raise Gone(self.reset) from None
            self.guest.flush()

    def close(self):
        with self.guest.changed:
            if self.reset is None and not self.guest.over:
                with contextlib.suppress(h2.exceptions.ProtocolError, KeyError):
                    self.guest.h2.reset_stream(self.number, h2.errors.ErrorCodes.CANCEL)
                    self.guest.flush()

    def recv(self, n=65536, timeout=None):
        """1 to n bytes; b"" at the end; Gone after a reset."""
        self._wait(lambda: self.inbox or self.eof, timeout)
        with self.guest.changed:
            data = bytes(self.inbox[:n])
            del self.inbox[:n]
            if data:
                if not self.guest.over and self.reset is None:
                    self.guest.h2.acknowledge_received_data(len(data), self.number)
                    self.guest.flush()
                return data
            if self.eof:
                return b""
            raise Gone(self.reset)

    def recv_all(self, timeout=None):
        out = bytearray()
        while True:
            data = self.recv(timeout=timeout)
            if not data:
                return bytes(out)
            out += data

    def recv_exactly(self, n):
        out = bytearray()
        while len(out) < n:
            data = self.recv(n - len(out))
            assert data, f"ended after {len(out)} of {n} bytes"
            out += data
        return bytes(out)


class Connection(h2.connection.H2Connection):
    """Passes over what comes for a stream that was given up meanwhile, which HTTP/2 allows and the library not always."""

    def _receive_frame(self, frame):
        try:
            return super()._receive_frame(frame)
        except (h2.exceptions.StreamClosedError, h2.exceptions.StreamIDTooLowError):
            return []


class Guest(threading.Thread):
    """An HTTP/2 client on the door."""

    def __init__(self, sock):
        super().__init__(daemon=True)
        self.sock = sock
        self.changed = threading.Condition(threading.RLock())
        self.streams, self.over = {}, False
        # What the tests send is not always what a client ought to.
        self.h2 = Connection(h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False,
            normalize_outbound_headers=False))
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(16 << 20)
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 262144})
        self.flush()
        self.start()

    def flush(self):
        data = self.h2.data_to_send()
        with contextlib.suppress(OSError):
            self.sock.sendall(data)

    def run(self):
        while True:
            try:
                data = self.sock.recv(1 << 18)
            except OSError:
                data = b""
            with self.changed:
                if data:
                    for event in self.h2.receive_data(data):
                        self.handle(event)
                    self.flush()
                else:
                    self.over = True
                self.changed.notify_all()
                if self.over:
                    return

    def handle(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            stream.status = int(dict(event.headers)[":status"])
        elif isinstance(event, h2.events.DataReceived):
            stream.inbox += event.data
            padding = event.flow_controlled_length - len(event.data)
            if padding:
                self.h2.acknowledge_received_data(padding, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            stream.eof = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = event.error_code

    def connect(self, authority, method="CONNECT"):
        with self.changed:
            number = self.h2.get_next_available_stream_id()
            stream = self.streams[number] = Stream(self, number)
            self.h2.send_headers(number, [(":method", method), (":authority", authority)])
            self.flush()
        return stream

    def close(self):
        self.sock.close()


class Tls:
    """A TLS client over a Stream or a socket."""

    def __init__(self, stream, name, ca=None, alpn=None, check=True):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if ca:
            context.load_verify_locations(cadata=ca) if "BEGIN" in str(ca) else context.load_verify_locations(ca)
        else:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols(alpn)
        self.stream = stream
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def _run(self, call, *args):
        while True:
            try:
                value = call(*args)
                self._send()
                return value
            except ssl.SSLWantReadError:
                self._send()
                data = self.stream.recv(65536)
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()

    def _send(self):
        data = self.outgoing.read()
        if data:
            (self.stream.send if isinstance(self.stream, Stream) else self.stream.sendall)(data)

    def handshake(self):
        self._run(self.tls.do_handshake)
        return self

    def send(self, data):
        self._run(self.tls.write, data)

    def recv(self, n=65536):
        try:
            return self._run(self.tls.read, n)
        except ssl.SSLZeroReturnError:
            return b""

    def recv_all(self):
        out = b""
        while True:
            data = self.recv()
            if not data:
                return out
            out += data


def client_hello(name, **more):
    """The bytes of a real ClientHello; name None: without SNI."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


# --- the proxy ---

def snapshot(rules, default="deny", generation=1, tls="auto", ranges=()):
    """A policy; a rule is a resource ("ok.test:443", allowed), a pair (action, resource), or a dictionary."""
    out = []
    for number, rule in enumerate(rules):
        if isinstance(rule, str):
            rule = {"resource": rule}
        elif isinstance(rule, tuple):
            rule = {"action": rule[0], "resource": rule[1]}
        out.append({"id": f"r{number}", "action": "allow", "origin": "user", **rule})
    text = {"schema": 1, "generation": generation, "default": default, "tls": tls, "rules": out}
    if ranges:
        text["permitted_ranges"] = list(ranges)
    return text


class Proxy:
    """sbx-proxy with its descriptors, the way sbx-vm starts it. keeper: the proxy's end of a connection to one; without, it is
    lost from the beginning, and no TLS can be terminated. `log` may be a descriptor that takes the log's place; guest(door) makes
    what serves the door's other end."""

    def __init__(self, net, rules=(), servers=None, log=None, config=None, keeper=None, trust=None, wrap=(), ready=True,
                 guest=Guest, **policy):
        self.net, self.generation = net, 0
        self.dir = tempfile.TemporaryDirectory(prefix="sbx-proxy.")
        self.log_path = pathlib.Path(self.dir.name) / "network.jsonl"
        door, theirs_door = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.control, theirs_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        lost = keeper is None
        if lost:
            other, keeper = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            other.close()
        theirs = [theirs_door, theirs_control, keeper]
        self.said = open(pathlib.Path(self.dir.name) / "stderr", "w+")
        self.process = self._start(list(wrap), [s.fileno() for s in theirs])
        for s in theirs:
            s.close()
        self.control.settimeout(WAIT)
        self.door = door
        self.guest = guest(door)
        if ready:
            self.expect("ready")
            if lost:
                self.expect("keeper_lost")
            self.send({"op": "config", "id": "box1", "name": "box", "upstream": None, **(config or {})})
            if log is None:
                log = os.open(self.log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self.send({"op": "log"}, log)
            os.close(log)
            self.send({"op": "resolver", "servers": servers if servers is not None else [Range.ROUTER]})
            if trust:
                self.send_file({"op": "trust"}, trust)
            self.set_policy(rules, **policy)

    def _start(self, wrap, fds):
        """With exactly the descriptors 3, 4 and 5."""
        def prepare():
            _call("setns", self.net.host.fd, CLONE_NEWNET)
            # To where none of them is, first: one may have the number that another is to get.
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 600) for fd in fds]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i, inheritable=True)
                os.close(fd)

        return subprocess.Popen([*wrap, PROXY, "--id", "box1"], preexec_fn=prepare, pass_fds=(3, 4, 5),
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.said)

    # control

    def send(self, message, fd=None):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd is not None else []
        text = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.control.sendmsg([text], rights)

    def send_file(self, message, content):
        """With a descriptor that reads content."""
        fd = os.memfd_create("content", os.MFD_CLOEXEC)
        try:
            os.write(fd, content if isinstance(content, bytes) else content.encode())
            os.lseek(fd, 0, os.SEEK_SET)
            self.send(message, fd)
        finally:
            os.close(fd)

    def event(self):
        data = self.control.recv(65536)
        assert data, "the proxy closed the control socket\n" + self.stderr()
        return json.loads(data)

    def expect(self, name):
        """The next event of that name; others before it are skipped."""
        while True:
            event = self.event()
            if event["event"] == name:
                return event
            assert (name, event["event"]) != ("policy", "policy_error"), event

    def set_policy(self, rules, **more):
        """Puts a policy in force; returns when it is."""
        self.generation += 1
        self.send_file({"op": "policy"}, json.dumps(snapshot(rules, generation=self.generation, **more)))
        assert self.expect("policy")["generation"] == self.generation

    def listen(self):
        """A way in for programs of this host: the port on the host namespace's loopback."""
        s = self.net.host.listen("127.0.0.1", 0)
        self.send({"op": "listen", "entry": "forward"}, s.fileno())
        port = s.getsockname()[1]
        s.close()
        return port

    # what it did

    def records(self, event=None, **fields):
        lines = self.log_path.read_text().splitlines() if self.log_path.exists() else []
        out = [json.loads(line) for line in lines]
        return [r for r in out if (event is None or r["event"] == event) and all(r.get(k) == v for k, v in fields.items())]

    def wait_record(self, event, **fields):
        return wait_for(lambda: self.records(event, **fields), f"a record {event} {fields} in {self.records()}")[0]

    def stderr(self):
        self.said.flush()
        return pathlib.Path(self.said.name).read_text()

    def cpu_ms(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")

    def rss_kib(self):
        return int(next(line for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
                        if line.startswith("VmRSS")).split()[1])

    def stop(self):
        """Ends it by its control socket; its exit status."""
        self.control.close()
        try:
            return self.process.wait(WAIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def close(self):
        """Ends it where it runs; it must have ended in order, or by the test's own SIGKILL. Again: nothing."""
        if self.said.closed:
            return
        status = self.process.poll()
        if status is None:
            status = self.stop()
        said = self.stderr()
        self.guest.close()
        self.said.close()
        self.dir.cleanup()
        assert status in (0, -signal.SIGKILL), f"sbx-proxy ended with {status}\n{said}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# --- servers of the world ---

def certificate(directory, *names):
    """(certificate file, key file): self-signed, for the names."""
    base = pathlib.Path(directory) / names[0]
    sans = ",".join(("IP:" if n.replace(".", "").isdigit() or ":" in n else "DNS:") + n for n in names)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=" + names[0], "-addext", "subjectAltName=" + sans, "-keyout", f"{base}.key", "-out",
                    f"{base}.pem"], check=True, capture_output=True)
    return f"{base}.pem", f"{base}.key"


class Server(threading.Thread):
    """Accepts, and runs handler(connection) for each in a thread; `accepted` counts, `bytes` gathers what came first."""

    def __init__(self, sock, handler):
        super().__init__(daemon=True)
        self.sock, self.handler, self.accepted, self.problems = sock, handler, 0, []
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self.sock.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        connection.settimeout(WAIT)
        try:
            with connection:
                self.handler(connection)
        except (OSError, AssertionError) as problem:
            self.problems.append(problem)

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def echo(connection):
    """Sends back what comes, and ends when the other side ends."""
    while True:
        data = connection.recv(65536)
        if not data:
            connection.shutdown(socket.SHUT_WR)
            return
        connection.sendall(data)


def says(text, after=True):
    """A handler that sends text, where `after` is set when something has come, and reads to the end."""
    def handler(connection):
        if after:
            connection.recv(65536)
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    return handler


def tls_server(certfile, keyfile, inner, alpn=None):
    """A handler that speaks TLS, then runs inner(tls connection)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certfile, keyfile)
    if alpn:
        context.set_alpn_protocols(alpn)

    def handler(connection):
        with context.wrap_socket(connection, server_side=True) as tls:
            inner(tls)

    return handler


def readable(sock, timeout=0):
    return bool(select.select([sock], [], [], timeout)[0])
