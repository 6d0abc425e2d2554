# SPDX-License-Identifier: Apache-2.0
"""The proxy's test range: network namespaces that belong to nobody else, and in `world` everything that a sandbox could want
to reach, each byte of it recorded.

  host   where sbx-proxy dials from: loopback with a canary, a LAN with a neighbour, a global IPv6 network of its own, and a
         default route to world
  world  addresses that look globally routable (the product's checks stay as they are), HTTP and TLS origins on every one of
         them, a name server that keeps a list of what it was asked, and canaries where nothing may ever arrive

A namespace is a descriptor: it goes when this process does, however that ends. Nothing here sleeps; each wait has a deadline.
"""
import contextlib
import ctypes
import datetime
import ipaddress
import os
import socket
import ssl
import struct
import subprocess
import threading
import time

import dnslib
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)

OK4, OK6 = "93.184.216.10", "2606:2800:220:1::10"
CDN4, EVIL4, DNS4 = "93.184.216.20", "93.184.216.66", "93.184.216.53"
CLOSED4 = "93.184.216.77"  # nothing listens on 81
META4 = "169.254.169.254"
LAN4, NEIGHBOUR4 = "192.168.77.1", "192.168.77.9"
GUA6, GUA_NEIGHBOUR6 = "2a00:1:2:3::1", "2a00:1:2:3::9"
SERVICE_PORT = 11434  # on the host's loopback
DEAD6 = "2606:2800:220:1::dead"  # nobody answers
PORTS = (22, 80, 443, 8001, 8080, 8443, 11434)


def call(name, *args):
    if getattr(libc, name)(*args) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


class Netns:
    """A network namespace."""

    def __init__(self):
        self.fd = None
        thread = threading.Thread(target=self._make)
        thread.start()
        thread.join()
        self.run("ip", "link", "set", "lo", "up")

    def _make(self):
        call("unshare", CLONE_NEWNET)
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def enter(self):
        call("setns", self.fd, CLONE_NEWNET)

    @contextlib.contextmanager
    def inside(self):
        """Sockets made in here belong to the namespace for ever."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.enter()
            yield
        finally:
            call("setns", home, CLONE_NEWNET)
            os.close(home)

    def run(self, *argv, check=True, **kw):
        return subprocess.run(argv, preexec_fn=self.enter, check=check, **kw)

    def popen(self, *argv, **kw):
        return subprocess.Popen(argv, preexec_fn=self.enter, **kw)

    def connect(self, address, port, timeout=2):
        with self.inside():
            s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        s.settimeout(timeout)
        s.connect((address, port))
        return s


def join(a, name_a, b, name_b):
    """A cable between two namespaces."""
    a.run("ip", "link", "add", name_a, "type", "veth", "peer", "name", name_b, "netns", f"/proc/self/fd/{b.fd}",
          pass_fds=(b.fd,))
    a.run("ip", "link", "set", name_a, "up")
    b.run("ip", "link", "set", name_b, "up")


def add(ns, device, *addresses):
    for a in addresses:
        ns.run("ip", "address", "add", a, "dev", device, *(["nodad"] if ":" in a else []))


class Authority:
    """A certificate authority and the certificates it makes."""

    def __init__(self, name="Test range"):
        self.key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.utcnow()
        self.cert = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(self.key.public_key())
                     .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
                     .not_valid_after(now + datetime.timedelta(days=30))
                     .add_extension(x509.BasicConstraints(True, None), True)
                     .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
                     .sign(self.key, hashes.SHA256()))
        self.leaf_key = ec.generate_private_key(ec.SECP256R1())

    def pem(self):
        return self.cert.public_bytes(serialization.Encoding.PEM)

    def leaf(self, names, begin=-1, end=7, usage=ExtendedKeyUsageOID.SERVER_AUTH, cn=None, key=None):
        """PEM of a chain and its key. names: host names and addresses; begin, end: days from now."""
        now = datetime.datetime.utcnow()
        key = key or self.leaf_key
        alt = []
        for n in names:
            try:
                alt.append(x509.IPAddress(ipaddress.ip_address(n)))
            except ValueError:
                alt.append(x509.DNSName(n))
        builder = (x509.CertificateBuilder()
                   .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn or (names[0] if names else "x"))]))
                   .issuer_name(self.cert.subject).public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now + datetime.timedelta(days=begin))
                   .not_valid_after(now + datetime.timedelta(days=end))
                   .add_extension(x509.BasicConstraints(False, None), True)
                   .add_extension(x509.ExtendedKeyUsage([usage]), False))
        if alt:
            builder = builder.add_extension(x509.SubjectAlternativeName(alt), False)
        cert = builder.sign(self.key, hashes.SHA256())
        return (cert.public_bytes(serialization.Encoding.PEM),
                key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                  serialization.NoEncryption()))


class Request:
    """One HTTP request as it arrived."""

    def __init__(self, conn, head, body, trailers=b""):
        self.conn, self.head, self.body, self.trailers = conn, head, body, trailers
        lines = head.split(b"\r\n")
        self.line = lines[0].decode("latin-1")
        self.method, self.target = (self.line.split(" ") + ["", ""])[:2]
        self.fields = [tuple(p.strip().decode("latin-1") for p in line.split(b":", 1)) for line in lines[1:] if b":" in line]

    def get(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    @property
    def host(self):
        return ", ".join(self.get("host"))

    def __repr__(self):
        return f"<{self.line} Host: {self.host}>"


class Arrival:
    """One connection at an origin: where it arrived, and all of its bytes (inside TLS where it spoke TLS)."""

    def __init__(self, address, port):
        self.address, self.port = address, port
        self.raw = b""     # the first bytes, before TLS
        self.data = b""
        self.tls = None    # "TLSv1.3"
        self.sni = None
        self.alpn = None
        self.requests = []
        self.over = False  # it ended
        self.error = None

    def __repr__(self):
        return f"<{self.address}:{self.port} sni={self.sni} {len(self.data)} bytes {self.requests}>"


def recv_head(sock, arrival, buffered):
    while b"\r\n\r\n" not in buffered:
        got = sock.recv(65536)
        if not got:
            return None, buffered
        arrival.data += got
        buffered += got
    return buffered.split(b"\r\n\r\n", 1)


class Body:
    """Reads what a request's own framing says."""

    def __init__(self, sock, arrival, rest):
        self.sock, self.arrival, self.rest = sock, arrival, rest

    def more(self):
        got = self.sock.recv(262144)
        if not got:
            raise EOFError("cut off in the body")
        if len(self.arrival.data) < 1 << 22:
            self.arrival.data += got
        self.rest += got

    def take(self, n):
        while len(self.rest) < n:
            self.more()
        out, self.rest = self.rest[:n], self.rest[n:]
        return out

    def line(self):
        while b"\r\n" not in self.rest:
            self.more()
        out, self.rest = self.rest.split(b"\r\n", 1)
        return out

    def chunked(self):
        body, trailers = b"", b""
        while True:
            n = int(self.line(), 16)
            if n == 0:
                while True:
                    line = self.line()
                    if not line:
                        return body, trailers
                    trailers += line + b"\r\n"
            body += self.take(n)
            assert self.take(2) == b"\r\n"


class World:
    """Origins and the name server. reply: by path, bytes or a function (sock, request) -> whether the connection goes on."""

    def __init__(self):
        self.ca = Authority()
        self.lock = threading.Condition()
        self.arrivals = []
        self.queries = []  # (name, type) at the name server
        self.canaries = []
        self.listeners = []
        self.contexts = {}
        self.reset()
        self._build()

    def reset(self):
        with self.lock:
            self.arrivals, self.queries, self.canaries, self.faults = [], [], [], []
            self.reply = {}
            self.alpn = ["http/1.1"]
            self.banner = {22: b"SSH-2.0-range\r\n"}
            self.certs = {}  # by name: (chain, key) instead of one that is right
            self.tls = {}    # by name: a function that changes the context
            self.contexts = {}
            self.zone = {
                "ok.test": [OK4], "cdn.test": [CDN4], "front.test": [CDN4], "evil.test": [EVIL4], "deny.wild.test": [EVIL4],
                "ssh.test": [OK4], "inj.test": [OK4], "v6.test": [OK6], "closed.test": [CLOSED4],
                "both.test": [OK4, OK6],
            }

    def _build(self):
        self.host, self.world = Netns(), Netns()
        join(self.host, "up0", self.world, "down0")
        join(self.host, "lan0", self.world, "lan1")
        add(self.host, "up0", "10.99.0.2/24", "fd00:99::2/64")
        add(self.world, "down0", "10.99.0.1/24", "fd00:99::1/64")
        add(self.host, "lan0", f"{LAN4}/24", f"{GUA6}/64")
        add(self.world, "lan1", f"{NEIGHBOUR4}/24", f"{GUA_NEIGHBOUR6}/64")
        self.world.run("ip", "route", "add", "local", "93.184.216.0/24", "dev", "lo")
        self.world.run("ip", "route", "add", "local", f"{META4}/32", "dev", "lo")
        self.world.run("ip", "-6", "route", "add", "local", "2606:2800:220:1::/64", "dev", "lo")
        self.world.run("ip", "-6", "route", "add", "blackhole", f"{DEAD6}/128", "table", "local")
        self.host.run("ip", "route", "add", "default", "via", "10.99.0.1")
        self.host.run("ip", "-6", "route", "add", "default", "via", "fd00:99::1")
        self._listen(self.world, PORTS, self.arrivals_append)
        self._listen(self.host, (80, 443, 8001, SERVICE_PORT), self.canary)
        self._name_server()

    def _listen(self, ns, ports, note):
        for port in ports:
            with ns.inside():
                s = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512)
            self.listeners.append(s)
            threading.Thread(target=self._accept, args=(s, note), daemon=True).start()

    def arrivals_append(self, arrival):
        self.arrivals.append(arrival)
        # What may never be reached even though it lies in world.
        if arrival.address in (META4, NEIGHBOUR4, GUA_NEIGHBOUR6):
            self.canaries.append(arrival)

    def canary(self, arrival):
        """On the host's own addresses; a service of its loopback may be opened by a rule, and that one is SERVICE_PORT."""
        if arrival.port != SERVICE_PORT or arrival.address != "127.0.0.1":
            self.canaries.append(arrival)
        self.arrivals.append(arrival)

    def _accept(self, listener, note):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            local = sock.getsockname()[0]
            arrival = Arrival(local.removeprefix("::ffff:"), sock.getsockname()[1])
            with self.lock:
                note(arrival)
                self.lock.notify_all()
            threading.Thread(target=self._serve, args=(sock, arrival), daemon=True).start()

    def _serve(self, sock, arrival):
        sock.settimeout(60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if arrival.port in self.banner:
                sock.sendall(self.banner[arrival.port])
                while True:
                    got = sock.recv(65536)
                    if not got:
                        break
                    with self.lock:
                        arrival.data += got
                        self.lock.notify_all()
                    sock.sendall(got)
                return
            if arrival.port in (443, 8443):
                sock = self._handshake(sock, arrival)
            self._http(sock, arrival)
        except (OSError, EOFError, ValueError, AssertionError) as e:
            arrival.error = repr(e)
        finally:
            with contextlib.suppress(OSError):
                if isinstance(sock, ssl.SSLSocket) and not arrival.error:
                    sock.settimeout(1)
                    sock.unwrap()
            sock.close()
            with self.lock:
                arrival.over = True
                self.lock.notify_all()

    def _handshake(self, sock, arrival):
        while len(arrival.raw) < 5 or len(arrival.raw) < 5 + struct.unpack(">H", arrival.raw[3:5])[0]:
            before = len(arrival.raw)
            arrival.raw = sock.recv(65536, socket.MSG_PEEK)
            if len(arrival.raw) == before:
                raise EOFError("no ClientHello")
        context = self.context("ok.test")

        def by_name(ssl_socket, name, _):
            arrival.sni = name
            if name:
                ssl_socket.context = self.context(name)

        context.sni_callback = by_name
        sock = context.wrap_socket(sock, server_side=True)
        arrival.tls = sock.version()
        arrival.alpn = sock.selected_alpn_protocol()
        return sock

    def context(self, name):
        with self.lock:
            if name in self.contexts:
                return self.contexts[name]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        chain, key = self.certs.get(name) or self.ca.leaf([name])
        path = f"/proc/self/fd/{os.memfd_create('cert')}"
        fd = int(path.rsplit("/", 1)[1])
        try:
            os.write(fd, chain + key)
            context.load_cert_chain(path)
        finally:
            os.close(fd)
        context.set_alpn_protocols(self.alpn)
        if name in self.tls:
            self.tls[name](context)
        with self.lock:
            self.contexts[name] = context
        return context

    def _http(self, sock, arrival):
        buffered = b""
        while True:
            head, buffered = recv_head(sock, arrival, buffered)
            if head is None:
                return
            request = Request(arrival, head, b"")
            if [v for v in request.get("expect") if v.lower() == "100-continue"]:
                sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = Body(sock, arrival, buffered)
            early = self.reply.get(request.target.split("?")[0])
            if not (callable(early) and getattr(early, "early", False)):
                if "chunked" in ",".join(request.get("transfer-encoding")).lower():
                    request.body, request.trailers = body.chunked()
                elif request.get("content-length"):
                    request.body = body.take(int(request.get("content-length")[0]))
            buffered = body.rest
            with self.lock:
                arrival.requests.append(request)
                self.lock.notify_all()
            if not self._answer(sock, request):
                return

    def _answer(self, sock, request):
        reply = self.reply.get(request.target.split("?")[0])
        if callable(reply):
            return reply(sock, request)
        if reply is not None:
            sock.sendall(reply)
            return b"onnection: close" not in reply
        body = b"" if request.method == "HEAD" else b"ok\n"
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Origin: range\r\n\r\n" + body)
        return "close" not in request.get("connection")

    def _name_server(self):
        with self.world.inside():
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.bind((DNS4, 53))
            tcp = socket.create_server((DNS4, 53))
        self.listeners += [udp, tcp]
        threading.Thread(target=self._dns_udp, args=(udp,), daemon=True).start()
        threading.Thread(target=self._dns_tcp, args=(tcp,), daemon=True).start()

    def _dns_udp(self, sock):
        while True:
            try:
                packet, peer = sock.recvfrom(4096)
            except OSError:
                return
            if not packet:
                return
            try:
                answer = self._dns_answer(packet)
            except (dnslib.DNSError, ValueError) as e:
                self.faults.append(e)
                continue
            if answer:
                sock.sendto(answer, peer)

    def _dns_tcp(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
                with sock:
                    sock.settimeout(2)
                    n = struct.unpack(">H", sock.recv(2))[0]
                    answer = self._dns_answer(sock.recv(n)) or b""
                    sock.sendall(struct.pack(">H", len(answer)) + answer)
            except (OSError, struct.error):
                if listener.fileno() < 0:
                    return

    def _dns_answer(self, packet):
        query = dnslib.DNSRecord.parse(packet)
        name = str(query.q.qname).rstrip(".").lower()
        kind = dnslib.QTYPE.get(query.q.qtype)
        with self.lock:
            self.queries.append((name, kind))
            self.lock.notify_all()
            records = self.zone.get(name)
        if callable(records):
            records = records(kind)
        reply = query.reply()
        if records is None:
            reply.header.rcode = dnslib.RCODE.NXDOMAIN
        else:
            self._dns_records(reply, name, kind, records, 0)
        return reply.pack()

    def _dns_records(self, reply, name, kind, records, depth):
        """An element of records is an address or, for an alias, "=name"."""
        for record in records or []:
            if record.startswith("="):
                reply.add_answer(dnslib.RR(name, dnslib.QTYPE.CNAME, rdata=dnslib.CNAME(record[1:]), ttl=1))
                if depth < 8:
                    self._dns_records(reply, record[1:], kind, self.zone.get(record[1:], []), depth + 1)
            elif ":" in record and kind == "AAAA":
                reply.add_answer(dnslib.RR(name, dnslib.QTYPE.AAAA, rdata=dnslib.AAAA(tuple(socket.inet_pton(socket.AF_INET6, record))), ttl=1))
            elif ":" not in record and kind == "A":
                reply.add_answer(dnslib.RR(name, dnslib.QTYPE.A, rdata=dnslib.A(record), ttl=1))

    def wait(self, what, timeout=5):
        """Until what() is true; its value."""
        end = time.monotonic() + timeout
        with self.lock:
            while True:
                value = what()
                if value:
                    return value
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"did not happen in {timeout} s; arrived: {self.arrivals}")
                self.lock.wait(min(left, 0.2))

    def requests(self):
        with self.lock:
            return [r for a in self.arrivals for r in a.requests]

    def close(self):
        for s in self.listeners:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()
