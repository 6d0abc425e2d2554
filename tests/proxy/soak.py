#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tests/proxy/soak.py [--minutes N] [--streams N]: very many connections at once through netguest (the guest's own side of the door) and sbx-proxy,
for a long time, most of them well and some of them bad: origins that never answer, stop in the middle or never read, clients that never
read, resets from either side, half-open connections, names that do not resolve, destinations that are denied.

What must hold (`Soak.judge` has the numbers): all bytes of what is allowed arrive intact and soon, whatever stands next to them; what stalls ends by its deadline
(docs/network.md); the origins have seen exactly what the log allows; memory per connection has a bound and does not grow; and
when all is over the proxy has the descriptors that it had before. Prints a Markdown table; exits with 1 and what was broken, where something was.

Three threads: this one looks at the proxy, and one event loop each in the guest's and in the world's namespace. test_soak.py runs a short one."""
import argparse
import asyncio
import collections
import contextlib
import hashlib
import logging
import os
import pathlib
import random
import resource
import socket
import ssl
import struct
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import dnslib  # noqa: E402
import harness  # noqa: E402
from test_intercept import Keeper  # noqa: E402
from test_netguest import Inside  # noqa: E402

ACTIVE_KIB = 160  # the most memory that a connection may cost
HTTP, TLS, RAW = 80, 443, 9000
TCP_CLOSED = 7  # a state in TCP_INFO
# (kind, how many of 1,000 streams). At most 64 HTTP connections go to one host and 256 to all, hence several sse hosts. Spliced trickles are the rest.
SHARES = {"sse": 120, "in_open": 40, "out_open": 40, "never": 30, "middle": 20, "deaf": 10, "unread": 10, "bulk": 2, "bulk_seen": 2, "abort": 2, "cut": 2,
          "cut_seen": 2, "unresolved": 2, "silent": 2, "denied": 2, "small": 2}
COME_AND_GO = ("bulk", "bulk_seen", "abort", "cut", "cut_seen", "unresolved", "silent", "denied", "small")
SSE = ("sse0.test", "sse1.test", "sse2.test")
# Hosts whose origins count requests, and those that count connections; each has an address of its own.
REQUESTS = (*SSE, "stall.test", "unread.test", "seen.test", "cut.test", "ok.test")
CONNECTIONS = ("spliced.test", "bulk.test", "in-open.test", "out-open.test")
DENIED = "evil.test"
RULES = ["spliced.test:443", "bulk.test:443", "tcp in-open.test:9000", "tcp out-open.test:9000", "stall.test:80", "unread.test:80", "cut.test:80", "ok.test:80",
         "none.test:80", "silent.test:80", *({"resource": f"{h}:443", "methods": ["GET", "POST"]} for h in (*SSE, "seen.test", "cut.test"))]


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0


logging.getLogger("asyncio").setLevel(logging.ERROR)  # it tells of connections that broke, which most here are to do


class Loop(threading.Thread):
    """An event loop in a namespace. `lag`: how late it was itself, which no latency that is measured here can be better than."""

    def __init__(self, space):
        super().__init__(daemon=True)
        self.space, self.loop, self.lag = space, asyncio.new_event_loop(), []
        self.loop.set_exception_handler(lambda loop, context: None)  # connections of its own tasks, each of which has its verdict
        self.start()

    def run(self):
        harness._call("setns", self.space.fd, harness.CLONE_NEWNET)
        asyncio.set_event_loop(self.loop)
        self.loop.create_task(self._measure())
        self.loop.run_forever()

    async def _measure(self):
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.1)
            self.lag.append(time.monotonic() - before - 0.1)

    def call(self, coroutine, timeout=60):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def stop(self):
        async def end():
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.call(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.join(10)


def reset(writer):
    """Ends a connection by a reset."""
    with contextlib.suppress(OSError, AttributeError):  # it has ended already
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Origins:
    """The servers of the world."""

    def __init__(self, net, certificate):
        self.seen = collections.Counter()
        self.received = {}  # what out-open.test got of each connection, by its id
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*certificate)
        self.context.set_alpn_protocols(["http/1.1"])
        self.loop = Loop(net.world)
        handlers = {"spliced.test": self.echo, "in-open.test": self.in_open, "out-open.test": self.out_open}
        for number, name in enumerate((*REQUESTS, *CONNECTIONS, DENIED)):
            address = f"93.184.216.{10 + number}"
            net.names[name] = [address]
            for port in (HTTP, TLS, RAW):
                sock = net.world.listen(address, port)
                sock.setblocking(False)
                self.loop.call(self.serve(sock, name, handlers.get(name, self.http), port == TLS))

    async def serve(self, sock, name, handler, tls):
        async def accepted(reader, writer):
            if name not in REQUESTS:
                self.seen[name] += 1
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
                try:
                    await handler(name, reader, writer)
                finally:
                    writer.close()

        await asyncio.start_server(accepted, sock=sock, backlog=1024, ssl=self.context if tls else None, limit=1 << 17)

    @staticmethod
    async def echo(name, reader, writer):
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()

    @staticmethod
    async def in_open(name, reader, writer):
        """After the client's end it goes on to speak: numbers, one a second."""
        await reader.read(-1)
        for i in range(1200):
            writer.write(b"%d\n" % i)
            await writer.drain()
            await asyncio.sleep(1)

    async def out_open(self, name, reader, writer):
        """It ends at once, and then listens to the end."""
        writer.write(b"bye\n")
        writer.write_eof()
        who = await reader.readline()
        self.received[who] = await reader.read(-1)

    async def http(self, name, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.seen[name] += name in REQUESTS
        method, target = head.split(" ")[:2]
        word, *more = target[1:].split("/")
        write = writer.write
        if word == "events":
            write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
            for i in range(1200):
                write(b"data: %d %d\n\n" % (i, time.monotonic_ns()))
                await writer.drain()
                await asyncio.sleep(1)
        elif word == "bytes":
            body = random.Random(int(more[0])).randbytes(int(more[1]))
            write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
            for at in range(0, len(body), 65536):
                write(body[at:at + 65536])
                await writer.drain()
        elif word == "sum":
            length = int(next(line for line in head.split("\r\n") if line.lower().startswith("content-length:")).split(":")[1])
            said = hashlib.sha256(await read_all(reader, length)).hexdigest().encode()
            write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 64\r\n\r\n" + said)
        elif word == "small":
            write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nok\n")
        else:
            await self.stall(word, writer)

    @staticmethod
    async def stall(word, writer):
        if word == "deaf":
            writer.transport.pause_reading()
        if word in ("middle", "cut"):
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n" + b"m" * 1000)
            await writer.drain()
        if word == "cut":
            await asyncio.sleep(0.1)
            reset(writer)
            return
        await asyncio.sleep(1200)  # whoever waits longer than an hour's third has lost


async def read_all(reader, length):
    out = bytearray()
    while len(out) < length:
        data = await reader.read(min(1 << 17, length - len(out)))
        if not data:
            raise asyncio.IncompleteReadError(bytes(out[:100]), length)
        out += data
    return bytes(out)


class Clients:
    """The programs of the guest. Each kind is a coroutine that makes one connection after another until `over`."""

    def __init__(self, space, trust, size):
        self.over = False
        self.now = self.most = 0
        self.done, self.took, self.faults = collections.Counter(), collections.defaultdict(list), []
        self.bytes = 0
        self.size, self.sent = size, {}
        self.context = ssl.create_default_context(cadata=trust)
        self.context.set_alpn_protocols(["http/1.1"])
        self.space, self.loop, self.addresses, self.tasks = space, Loop(space), {}, []

    def resolve(self, names):
        def ask(name):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(harness.WAIT)
                s.connect(("198.18.0.1", 53))
                s.send(dnslib.DNSRecord.question(name).pack())
                return str(dnslib.DNSRecord.parse(s.recv(512)).rr[0].rdata)

        for name in names:
            self.addresses[name] = self.space.run(ask, name)

    @contextlib.asynccontextmanager
    async def to(self, name, port):
        """A connection, counted while it is there."""
        self.now += 1
        self.most = max(self.most, self.now)
        writer = None
        try:
            tls = {"ssl": self.context, "server_hostname": name, "ssl_handshake_timeout": 30} if port == TLS else {}
            reader, writer = await asyncio.wait_for(asyncio.open_connection(self.addresses[name], port, limit=1 << 17, **tls), 30)
            yield reader, writer
        except BaseException:
            # A mere close would be half of one: whoever is at the other end may still have something to say.
            if writer:
                reset(writer)
            raise
        finally:
            self.now -= 1
            if writer:
                writer.close()

    async def answer(self, name, port, target, method="GET", body=b""):
        """(status, body) of one request."""
        async with self.to(name, port) as (reader, writer):
            more = b"Content-Length: %d\r\n" % len(body) if method == "POST" else b""
            writer.write(f"{method} {target} HTTP/1.1\r\nHost: {name}\r\n".encode() + more + b"\r\n" + body)
            status, length = await self.head(reader)
            return status, await read_all(reader, length)

    @staticmethod
    async def head(reader):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
        length = [int(line.split(":")[1]) for line in head if line.startswith("content-length:")]
        return int(head[0].split(" ")[1]), (length or [0])[0]

    async def spliced(self, number):
        async with self.to("spliced.test", TLS) as (reader, writer):
            for i in range(1 << 30):
                byte = bytes([(number + i) & 255])
                before = time.monotonic()
                writer.write(byte)
                assert await reader.readexactly(1) == byte, "another byte came back"
                self.took["spliced"].append(time.monotonic() - before)
                if self.over:
                    return
                await asyncio.sleep(1)

    async def sse(self, number):
        async with self.to(SSE[number % len(SSE)], TLS) as (reader, writer):
            writer.write(b"GET /events HTTP/1.1\r\nHost: %s\r\n\r\n" % SSE[number % len(SSE)].encode())
            assert (await self.head(reader))[0] == 200
            expected = 0
            while not self.over:
                while not (line := await reader.readline()).startswith(b"data: "):
                    assert line, "the events ended"
                count, sent = map(int, line[6:].split())
                assert count == expected, "an event is missing"
                expected += 1
                self.took["sse"].append((time.monotonic_ns() - sent) / 1e9)

    async def in_open(self, number):
        async with self.to("in-open.test", RAW) as (reader, writer):
            writer.write(b"that is all")
            writer.write_eof()
            expected = 0
            while not self.over:
                assert await reader.readline() == b"%d\n" % expected
                expected += 1

    async def out_open(self, number):
        async with self.to("out-open.test", RAW) as (reader, writer):
            who = b"%d %d\n" % (number, time.monotonic_ns())
            writer.write(who)
            assert await reader.read(-1) == b"bye\n"
            self.sent[who] = b""
            while not self.over:
                writer.write(b"%d" % (number % 10))
                self.sent[who] += b"%d" % (number % 10)
                await asyncio.sleep(1)
            writer.write_eof()

    async def never(self, number):
        before = time.monotonic()
        status, _ = await self.answer("stall.test", HTTP, "/never")
        self.took["never"].append(time.monotonic() - before)
        assert status == 504, status

    async def middle(self, number):
        before = time.monotonic()
        await self.is_cut("stall.test", HTTP, "/middle")
        self.took["middle"].append(time.monotonic() - before)

    async def is_cut(self, name, port, target):
        """The answer must not look as if it were whole. A reset that overtook it leaves nothing of it: 502."""
        try:
            status, body = await self.answer(name, port, target)
            assert status == 502, f"a part passed for the whole: {status}, {len(body)} bytes"
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            return

    async def deaf(self, number):
        """An origin that reads nothing: what is sent fills what may be filled, and then waits."""
        async with self.to("unread.test", HTTP) as (reader, writer):
            before = time.monotonic()
            writer.write(b"POST /deaf HTTP/1.1\r\nHost: unread.test\r\nContent-Length: 1000000000\r\n\r\n" + bytes(16 << 20))
            with contextlib.suppress(ConnectionError):
                said = await reader.read(100)
                assert b" 200 " not in said, said
            reset(writer)
            self.took["deaf"].append(time.monotonic() - before)

    async def unread(self, number):
        """A client that reads nothing."""
        async with self.to("unread.test", HTTP) as (reader, writer):
            before = time.monotonic()
            sock = writer.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            writer.write(b"GET /bytes/%d/%d HTTP/1.1\r\nHost: unread.test\r\n\r\n" % (number, 16 << 20))
            writer.transport.pause_reading()
            while sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != TCP_CLOSED:
                await asyncio.sleep(1)
            self.took["unread"].append(time.monotonic() - before)

    async def bulk(self, number, name="bulk.test"):
        seed = random.randrange(1 << 30)
        body = random.Random(seed).randbytes(self.size)
        status, got = await self.answer(name, TLS, f"/bytes/{seed}/{self.size}")
        assert (status, got == body) == (200, True), "not what the origin sent"
        status, got = await self.answer(name, TLS, "/sum", "POST", body)
        assert (status, got.decode()) == (200, hashlib.sha256(body).hexdigest()), "not what was sent"
        self.bytes += 2 * self.size
        await asyncio.sleep(2)

    async def bulk_seen(self, number):
        await self.bulk(number, "seen.test")

    async def abort(self, number):
        async with self.to("seen.test", TLS) as (reader, writer):
            writer.write(b"GET /bytes/1/4000000 HTTP/1.1\r\nHost: seen.test\r\n\r\n")
            await reader.readexactly(1000)
            reset(writer)
        await asyncio.sleep(0.5)

    async def cut(self, number, port=HTTP):
        await self.is_cut("cut.test", port, "/cut")
        await asyncio.sleep(0.5)

    async def cut_seen(self, number):
        await self.cut(number, TLS)

    async def unresolved(self, number):
        assert (await self.answer("none.test", HTTP, "/"))[0] == 502
        await asyncio.sleep(0.5)

    async def silent(self, number):
        """A name that no name server answers for."""
        before = time.monotonic()
        status, _ = await self.answer("silent.test", HTTP, "/")
        assert status in (502, 504), status
        self.took["silent"].append(time.monotonic() - before)
        await asyncio.sleep(0.5)

    async def denied(self, number):
        assert (await self.answer(DENIED, HTTP, "/"))[0] == 403
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            assert (await self.answer(DENIED, TLS, "/"))[0] == 403
        async with self.to(DENIED, RAW) as (reader, writer):
            writer.write(b"SSH-2.0-x\r\n")
            with contextlib.suppress(ConnectionError):
                assert await reader.read(100) == b""
        await asyncio.sleep(0.5)

    async def small(self, number):
        before = time.monotonic()
        assert await self.answer("ok.test", HTTP, "/small") == (200, b"ok\n")
        self.took["small"].append(time.monotonic() - before)
        await asyncio.sleep(0.1)

    async def keep(self, kind, number):
        while not self.over:
            try:
                await getattr(self, kind)(number)
                self.done[kind] += 1
            except asyncio.CancelledError:
                raise
            except Exception as problem:
                self.faults.append(f"{kind}: {type(problem).__name__} {problem}")
                await asyncio.sleep(1)

    def begin(self, streams):
        counts = {kind: max(1, n * streams // 1000) for kind, n in SHARES.items()}
        # Those that come and go are never all there; what goes beyond 1,024 would be refused.
        counts["spliced"] = streams - 10 - sum(n for kind, n in counts.items() if kind not in COME_AND_GO)

        async def all_of_them():
            for kind, count in counts.items():
                for number in range(count):
                    self.tasks.append((kind, asyncio.ensure_future(self.keep(kind, number))))
                    await asyncio.sleep(0.005)

        self.loop.call(all_of_them(), 120)

    def end(self):
        """Who speaks comes to its end; who can only be waited for is cut off."""
        async def all_of_them():
            self.over = True
            for kind, task in self.tasks:
                if kind in ("never", "middle", "deaf", "unread", "silent"):
                    task.cancel()
            _, left = await asyncio.wait([task for _, task in self.tasks], timeout=40)
            self.faults += [f"{kind}: does not end" for kind, task in self.tasks if task in left]

        self.loop.call(all_of_them(), 60)


class Soak:
    def __init__(self, streams, seconds, size=4 << 20):
        files = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(files[0], min(8192, files[1])), files[1]))
        self.streams, self.seconds = streams, seconds
        self.rss, self.problems, self.stack = [], [], contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            net = self.net = stack.enter_context(harness.Range())
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="sbx-soak."))
            names = (*REQUESTS, *CONNECTIONS, DENIED)
            certificate = harness.certificate(place, *names)
            self.origins = Origins(net, certificate)
            stack.callback(self.origins.loop.stop)
            net.names["silent.test"] = None
            keeper = Keeper()
            stack.callback(keeper.close)
            trust = pathlib.Path(certificate[0]).read_text()
            connection = keeper.attach()
            self.proxy = harness.Proxy(net, RULES, keeper=connection, trust=trust.encode(), guest=Inside)
            stack.callback(self.proxy.close)
            self.clients = Clients(self.proxy.guest.space, trust + keeper.ca, size)
            stack.callback(self.clients.loop.stop)
            self.clients.resolve([*names, "none.test", "silent.test"])
            self.stack = stack.pop_all()

    def close(self):
        self.stack.close()

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.proxy.process.pid}/fd"))

    def warm(self):
        """One of what needs certificates and caches; then how long a small request takes where nothing else happens."""
        async def one():
            for name in (*SSE, "seen.test", "cut.test"):
                assert (await self.clients.answer(name, TLS, "/small"))[0] == 200
            for _ in range(20):
                await self.clients.small(0)

        self.clients.loop.call(one())
        self.alone = self.clients.took.pop("small")
        time.sleep(0.2)
        self.idle_kib, self.idle_fds = self.proxy.rss_kib(), self.descriptors()

    def run(self):
        p = self.proxy
        self.warm()
        cpu, begun = p.cpu_ms(), time.monotonic()
        self.clients.begin(self.streams)
        renewed = False
        # A short run on a busy machine goes on until each of those that come and go has come to its end.
        while (passed := time.monotonic() - begun) < self.seconds or (passed < self.seconds + 30 and not all(self.clients.done[k] for k in COME_AND_GO)):
            time.sleep(min(1, self.seconds / 10))
            if p.process.poll() is not None:
                self.problems.append(f"the proxy ended: {p.stderr()[-2000:]}")
                return
            self.rss.append(p.rss_kib())
            self.most_fds = max(getattr(self, "most_fds", 0), self.descriptors())
            if not renewed and passed > self.seconds / 2:
                p.set_policy(RULES)  # the same again, in the midst of it: nothing may be cut
                renewed = True
        self.cpu_share = (p.cpu_ms() - cpu) / 10 / (time.monotonic() - begun)
        self.clients.end()
        self.wait_end()

    def ends(self):
        records = self.proxy.records()
        return sum(r["event"] == "end" for r in records) == sum(r["event"] == "decision" and r["verdict"] == "allow" for r in records)

    def wait_end(self):
        """Every permission has its end, and the descriptors are back."""
        until = time.monotonic() + 30
        while not (self.descriptors() <= self.idle_fds and self.ends()) and time.monotonic() < until:
            time.sleep(0.5)
        self.after_kib, self.after_fds = self.proxy.rss_kib(), self.descriptors()

    def check(self, holds, what):
        if not holds:
            self.problems.append(what)

    def judge(self, soon=1.0):
        """All that must hold. soon: seconds within which 99 of 100 bytes of a trickle and small requests are there."""
        c, p = self.clients, self.proxy
        self.problems += c.faults[:20]
        self.check(c.most >= self.streams - 10, f"only {c.most} connections at once")
        for kind in ("spliced", "sse", "small"):
            self.check(c.took[kind] and percentile(c.took[kind], 0.99) < soon, f"{kind}: p99 {percentile(c.took[kind], 0.99):.2f} s")
        for kind in (*SHARES, "spliced"):
            may_wait = (kind in ("deaf", "unread") and self.seconds < 390) or (kind in ("never", "middle") and self.seconds < 130)
            self.check(may_wait or c.done[kind], f"{kind}: none came to its end")
        for kind, least, longest in (("never", 58, 75), ("middle", 55, 130), ("silent", 0, 8), ("deaf", 295, 375), ("unread", 295, 375)):
            self.check(all(least <= t <= longest for t in c.took[kind]), f"{kind}: ended after {c.took[kind][:9]} s")
        for who, sent in c.sent.items():
            self.check(self.origins.received.get(who) == sent, f"half-open: {len(sent)} bytes sent, {len(self.origins.received.get(who, b''))} arrived")
        self.check(c.sent, "no half-open connection at all")
        self.check(self.active_kib() <= ACTIVE_KIB, f"{self.active_kib():.0f} KiB per connection")
        late = self.rss[len(self.rss) // 2:]
        self.check(max(late) - min(late) < 16384 or self.seconds < 60, f"memory grows: {self.rss[::10]}")
        self.check(self.after_fds <= self.idle_fds, f"descriptors: {self.idle_fds} before, {self.after_fds} after")
        self.check(self.ends(), "permissions without an end")
        self.judge_log(p.records())

    def judge_log(self, records):
        allowed = [r for r in records if r["event"] == "decision" and r["verdict"] == "allow"]
        self.logged = collections.Counter(r["host"] for r in allowed if r["host"] in CONNECTIONS or r["method"])
        for name in (*REQUESTS, *CONNECTIONS):
            self.check(self.origins.seen[name] == self.logged[name], f"{name}: {self.origins.seen[name]} at the origin, {self.logged[name]} in the log")
        self.check(self.origins.seen[DENIED] == 0 and not self.logged[DENIED], "the denied host was reached")
        self.check(DENIED not in {name for name, _ in self.net.dns.asked}, "the denied name was asked for")
        self.check([r["seq"] for r in records] == list(range(1, len(records) + 1)), "records are missing")
        self.records = len(records)

    def active_kib(self):
        return (max(self.rss) - self.idle_kib) / self.streams

    def table(self):
        c = self.clients
        ms = lambda values: f"{percentile(values, 0.5) * 1e3:.0f} / {percentile(values, 0.99) * 1e3:.0f} / {max(values, default=0) * 1e3:.0f} ms"
        seconds = lambda kind: f"{len(c.took[kind])}, after {min(c.took[kind], default=0):.0f} to {max(c.took[kind], default=0):.0f} s"
        rows = [("connections at once, most", c.most), ("for", f"{self.seconds:.0f} s"), ("memory of sbx-proxy idle / most / after",
                f"{self.idle_kib:,} / {max(self.rss):,} / {self.after_kib:,} KiB"), ("memory per connection", f"{self.active_kib():.1f} KiB"),
                ("descriptors idle / most / after", f"{self.idle_fds} / {self.most_fds} / {self.after_fds}"), ("CPU of sbx-proxy", f"{self.cpu_share:.0f} % of one core"),
                ("a byte through a spliced TLS connection and back, p50 / p99 / worst", ms(c.took["spliced"])),
                ("an event through an intercepted one, p50 / p99 / worst", ms(c.took["sse"])), ("a small request, p50 / p99 / worst", ms(c.took["small"])),
                ("the same before the load", ms(self.alone)), ("lateness of the measuring program itself", ms(c.loop.lag + self.origins.loop.lag)),
                ("bytes, events, answers compared", f"{len(c.took['spliced']):,}, {len(c.took['sse']):,}, {len(c.took['small']):,}"),
                ("bulk, compared by SHA-256", f"{c.bytes / (1 << 20):,.0f} MiB"),
                ("origins that never answered, ended with 504", seconds("never")), ("origins that stopped in the middle, ended", seconds("middle")),
                ("origins that never read, cut off", seconds("deaf")), ("clients that never read, cut off", seconds("unread")),
                ("half-open by the client / by the origin, intact to the end", f"{c.done['in_open']} / {len(c.sent)}"), ("name server silent, told", seconds("silent")), ("resets by the client / by the origin", f"{c.done['abort']} / {c.done['cut'] + c.done['cut_seen']}"),
                ("refused (each three ways) / unresolved", f"{c.done['denied']} / {c.done['unresolved']}"),
                ("at the origins / allowed by the log", f"{sum(self.origins.seen.values()):,} / {sum(self.logged.values()):,}"), ("records in the log", f"{self.records:,}")]
        return ["| | |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--streams", type=int, default=1000)
    args = parser.parse_args()
    soak = Soak(args.streams, args.minutes * 60)
    try:
        soak.run()
        if not soak.problems:
            soak.judge()
            print("\n".join(soak.table()))
    finally:
        soak.close()
    for problem in soak.problems:
        print("broken:", problem, file=sys.stderr)
    sys.exit(1 if soak.problems else 0)


if __name__ == "__main__":
    main()
