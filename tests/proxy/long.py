#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tests/proxy/long.py WHAT [options]: what of the adversarial list takes too long, or too much of a processor, for a test that runs each time.

  websocket --minutes 30    J06: WebSockets with pings stay, silent ones end after an hour (with --minutes above 60), a change of the policy cuts
                            what is left within two seconds, and the log has each byte
  mutated --minutes 60      M12: what programs and origins say, mutated, for as long as one likes; for a build with sanitizers: SBX_PROXY
  names --count 100000      C10: distinct names at the guest's name server, and what that costs beside it
  mint --count 10000        M08: a certificate for each of so many names below a wildcard
  slow                      M02, M09: bodies of a byte a second either way; an event stream beside them; addresses and origins that never answer

Each makes networks of its own (tests/proxy/harness.py), prints a Markdown table, and exits with 1 and what was broken, where something was."""
import argparse
import base64
import collections
import contextlib
import hashlib
import os
import pathlib
import random
import socket
import ssl
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402
from harness import Gone, Server, Tls, client_hello  # noqa: E402
from test_intercept import Keeper, Pki  # noqa: E402

OK4 = "93.184.216.10"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = base64.b64encode(hashlib.sha1((KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
HANDSHAKE = (f"GET /ws HTTP/1.1\r\nHost: ok.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {KEY}\r\n"
             "Sec-WebSocket-Version: 13\r\n\r\n").encode()
SWITCH = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n".encode()
PING, PONG, SERVER_PING = b"\x89\x80mask", b"\x8a\x00", b"\x89\x00"
ASAN = "asan" in harness.PROXY


class Run:
    """The networks, the keeper, and what was found broken."""

    def __init__(self):
        self.stack, self.broken, self.rows = contextlib.ExitStack(), [], []
        self.net = self.stack.enter_context(harness.Range())
        self.keeper = Keeper()
        self.stack.callback(self.keeper.close)
        self.place = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="sbx-long."))
        self.pki = Pki(self.place)

    def proxy(self, *rules, **more):
        p = harness.Proxy(self.net, rules, keeper=self.keeper.attach(), trust=self.pki.trust, **more)
        self.stack.callback(p.close)
        return p

    def serve(self, handler, port, address=OK4, cert=None):
        s = Server(self.net.world.listen(address, port), harness.tls_server(*cert, handler) if cert else handler)
        self.stack.callback(s.close)
        return s

    def check(self, holds, what):
        if not holds:
            self.broken.append(what)

    def end(self):
        self.stack.close()
        print("\n".join(["| | |", "|---|---|", *(f"| {what} | {value} |" for what, value in self.rows)]))
        print(f"\nload at the end {os.getloadavg()[0]:.2f}")
        for what in self.broken:
            print("broken:", what, file=sys.stderr)
        return 1 if self.broken else 0


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def head(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        got = connection.recv(65536)
        if not got:
            raise EOFError("no whole head")
        data += got
    return data


# --- J06 ---

def answer_pings(connection):
    """The origin: each of the client's frames is a PING, which it answers; to the silent it says nothing."""
    connection.settimeout(None)
    head(connection)
    connection.sendall(SWITCH)
    while True:
        got = connection.recv(65536)
        if not got:
            return
        connection.sendall((PONG + SERVER_PING) * (len(got) // len(PING)))


class Socket(threading.Thread):
    """One WebSocket of the guest; `every`: seconds between pings, 0 for none."""

    def __init__(self, proxy, ca, tls, every):
        super().__init__(daemon=True)
        stream = proxy.guest.connect(f"ok.test:{443 if tls else 80}")
        self.conn = Tls(stream, "ok.test", ca=ca, alpn=["http/1.1"]).handshake() if tls else stream
        self.conn.send(HANDSHAKE)
        got = head(self.conn)
        assert got.startswith(b"HTTP/1.1 101 "), got
        self.stream, self.tls, self.every = stream, tls, every
        self.pings, self.fault, self.ended = 0, None, None
        self.begun, self.over = time.monotonic(), threading.Event()
        self.start()

    def run(self):
        try:
            while self.every and not self.over.is_set():
                self.conn.send(PING)
                got = b""
                while len(got) < 4:
                    data = self.conn.recv()
                    if not data:
                        raise EOFError("it ended")
                    got += data
                assert got == PONG + SERVER_PING, got
                self.pings += 1
                self.over.wait(self.every)
            self.wait_end()
        except (Gone, EOFError, OSError, AssertionError) as problem:
            self.fault = f"{type(problem).__name__} {problem}"
        self.ended = time.monotonic()

    def wait_end(self):
        while True:
            with contextlib.suppress(TimeoutError):
                try:
                    if not self.conn.recv():
                        return
                except (Gone, ssl.SSLError):
                    return


def websocket(args):
    run = Run()
    run.net.names["ok.test"] = [OK4]
    cert = run.pki.leaf("ok", "DNS:ok.test")
    run.serve(answer_pings, 80)
    run.serve(answer_pings, 443, cert=cert)
    p = run.proxy("ok.test:443", "ok.test:80", tls="intercept")
    pinging = [Socket(p, run.keeper.ca, tls, 10) for tls in (True, False) for _ in range(8)]
    silent = [Socket(p, run.keeper.ca, tls, 0) for tls in (True, False)]
    rss = [p.rss_kib()]
    until = time.monotonic() + args.minutes * 60
    while time.monotonic() < until:
        time.sleep(min(10, max(0.0, until - time.monotonic())))
        rss.append(p.rss_kib())
    run.check(all(s.is_alive() for s in pinging), f"ended though it had pings: {[s.fault for s in pinging if not s.is_alive()]}")
    limit = args.minutes > 61
    for s in silent:
        run.check(s.is_alive() != limit, "a silent one: " + ("does not end" if limit else f"ended after {(s.ended or 0) - s.begun:.0f} s"))
        run.check(not limit or (s.ended and 3595 <= s.ended - s.begun <= 3620), f"the silent one: {(s.ended or 0) - s.begun:.0f} s")
    for s in pinging:
        s.over.set()
    changed = time.monotonic()
    p.set_policy([])
    for s in pinging + silent:
        s.join(max(0.0, changed + 10 - time.monotonic()))
    cut = max((s.ended or changed + 99) - changed for s in pinging + silent)
    run.check(cut <= 2, f"cut {cut:.1f} s after the policy changed")
    harness.wait_for(lambda: len(p.records("end")) == len(pinging + silent), "the ends in the log")
    ends = p.records("end")
    told = collections.Counter((r["bytes_out"], r["bytes_in"]) for r in ends)
    sent = collections.Counter((s.pings * len(PING), s.pings * 4) for s in pinging + silent)
    run.check(told == sent, f"bytes in the log {told}, sent {sent}")
    run.rows += [("WebSockets with a ping every 10 s, TLS terminated and plain", f"{len(pinging)}, all there after {args.minutes:g} min"),
                 ("pings, each answered", sum(s.pings for s in pinging)),
                 ("silent ones", "ended after " + ", ".join(f"{s.ended - s.begun:.0f} s" for s in silent) if limit else f"{len(silent)}, still there (their limit is an hour)"),
                 ("cut after the policy changed", f"{cut * 1000:.0f} ms"), ("errors in the log", dict(collections.Counter(r["error"] for r in ends))),
                 ("bytes in the log, out and in", f"{sum(r['bytes_out'] for r in ends)}, {sum(r['bytes_in'] for r in ends)}: what was sent"),
                 ("memory of sbx-proxy at the beginning / most / end", f"{rss[0]:,} / {max(rss):,} / {rss[-1]:,} KiB")]
    return run.end()


# --- M12 ---

def h2_client():
    import h2.config
    import h2.connection
    c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    c.initiate_connection()
    c.send_headers(1, [(":method", "POST"), (":scheme", "https"), (":authority", "ok.test"), (":path", "/h2"), ("x", "y" * 50)])
    c.send_data(1, b"body" * 20, end_stream=True)
    c.send_headers(3, [(":method", "GET"), (":scheme", "https"), (":authority", "ok.test"), (":path", "/3")], end_stream=True)
    return c.data_to_send()


def h2_server():
    import h2.config
    import h2.connection
    c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    c.initiate_connection()
    c.receive_data(h2_client())
    for stream in (1, 3):
        c.send_headers(stream, [(":status", "200"), ("content-type", "text/plain")])
        c.send_data(stream, b"answer" * 30, end_stream=True)
    return c.data_to_send()


REQUESTS = [b"GET /a?b=c HTTP/1.1\r\nHost: ok.test\r\nAccept: */*\r\n\r\n",
            b"POST /p HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\nhello world",
            b"POST /c HTTP/1.1\r\nHost: ok.test\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n",
            b"HEAD /h HTTP/1.1\r\nHost: ok.test\r\nConnection: close, x\r\nX: y\r\n\r\n", HANDSHAKE + PING + b"\x81\x85maskhello"]
ANSWERS = [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\n\r\nhello",
           b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
           b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
           b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", SWITCH + SERVER_PING + b"\x81\x05hello"]
PROXIED = [b"CONNECT ok.test:443 HTTP/1.1\r\nHost: ok.test:443\r\nProxy-Authorization: Basic eDp5\r\n\r\n" + client_hello("ok.test"),
           b"CONNECT [2606:2800:220:1::10]:22 HTTP/1.1\r\nHost: [2606:2800:220:1::10]:22\r\n\r\nSSH-2.0-x\r\n",
           b"GET http://ok.test/x HTTP/1.1\r\nHost: ok.test\r\nProxy-Connection: keep-alive\r\n\r\n"]
WHERE = ["ok.test:80", "ok.test:443", "spliced.test:443", "ok.test:22", "gateway.docker.internal:3128", "gateway.docker.internal:3128", "evil.test:443",
         "93.184.216.10:22", "ask.test:22"]


def mutate(dice, data):
    """Some bits, bytes, pieces of data changed, doubled, taken out, or put together with another."""
    data = bytearray(data)
    for _ in range(dice.choice((0, 1, 1, 2, 4, 16))):
        if not data:
            break
        at = dice.randrange(len(data))
        n = dice.randrange(1, 1 + min(len(data) - at, dice.choice((1, 4, 64))))
        what = dice.randrange(7)
        if what == 0:
            data[at] ^= 1 << dice.randrange(8)
        elif what == 1:
            data[at] = dice.choice((0, 9, 10, 13, 32, 58, 44, 59, 48, 127, 128, 255))
        elif what == 2:
            del data[at:at + n]
        elif what == 3:
            data[at:at] = data[at:at + n] * dice.choice((1, 2, 50))
        elif what == 4:
            data[at:at] = dice.choice((b"\r\n", b"\n", b"\r\n\r\n", b"\0", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"\xff" * 9, b"0\r\n\r\n"))
        elif what == 5:
            del data[at:]
        else:
            other = dice.choice(REQUESTS + ANSWERS)
            data[at:at + n] = other[:dice.randrange(len(other))]
    return bytes(data)


class Mutator:
    """Makes connections in a thread of its own, one after another."""

    def __init__(self, run, proxy, seed):
        self.run, self.proxy, self.dice = run, proxy, random.Random(seed)
        self.count, self.over = collections.Counter(), False
        self.hellos = [client_hello("ok.test"), client_hello("spliced.test"), client_hello(None)]
        self.h2 = h2_client()

    def first(self, where):
        if where.startswith("gateway"):
            return self.dice.choice(PROXIED)
        if where.endswith(":443"):
            return self.dice.choice(self.hellos)
        return self.dice.choice((b"SSH-2.0-x\r\n", *REQUESTS)) if where.endswith(":22") else self.dice.choice(REQUESTS)

    def one(self):
        dice = self.dice
        where = dice.choice(WHERE)
        stream = self.proxy.guest.connect(where)
        try:
            if where == "ok.test:443" and dice.random() < 0.8:
                h2 = dice.random() < 0.5
                conn = Tls(stream, "ok.test", ca=self.run.keeper.ca, alpn=["h2" if h2 else "http/1.1"]).handshake()
                conn.send(mutate(dice, self.h2 if h2 else dice.choice(REQUESTS)))
                self.count["inside TLS"] += 1
            else:
                stream.send(mutate(dice, self.first(where)), timeout=2)
                self.count["in clear"] += 1
            if dice.random() < 0.5:
                stream.shutdown()
            stream.recv(timeout=dice.choice((0.005, 0.05, 0.3)))
        except (Gone, TimeoutError, OSError, EOFError, AssertionError, harness.h2.exceptions.ProtocolError):
            self.count["ended early"] += 1
        finally:
            stream.close()
            self.proxy.guest.streams.pop(stream.number, None)

    def loop(self):
        while not self.over and not self.proxy.guest.over:
            self.one()


def mutated_origin(seed, answers):
    dice = random.Random(seed)

    def handler(connection):
        connection.settimeout(2)
        connection.recv(65536)
        connection.sendall(mutate(dice, dice.choice(answers)))
        with contextlib.suppress(TimeoutError):
            connection.recv(65536)

    return handler


def h2_origin(cert, seed):
    """Half of the connections by HTTP/2."""
    one = mutated_origin(seed, ANSWERS)
    two = mutated_origin(seed, [h2_server()])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*cert)
    context.set_alpn_protocols(["h2", "http/1.1"])

    def handler(connection):
        with context.wrap_socket(connection, server_side=True) as tls:
            (two if tls.selected_alpn_protocol() == "h2" else one)(tls)

    return handler


def mutated(args):
    run = Run()
    for name in ("ok.test", "spliced.test", "ask.test"):
        run.net.names[name] = [OK4]
    run.net.names["evil.test"] = ["93.184.216.66"]
    cert = run.pki.leaf("ok", "DNS:ok.test,DNS:spliced.test")
    run.serve(mutated_origin(args.seed, ANSWERS), 80)
    run.serve(mutated_origin(args.seed + 1, [b"SSH-2.0-y\r\n"]), 22)
    run.serve(h2_origin(cert, args.seed + 2), 443)
    forbidden = [run.serve(harness.echo, port, "93.184.216.66") for port in (80, 443)]
    rules = [{"resource": "ok.test:443", "methods": ["GET", "POST", "HEAD"]}, "ok.test:80", "spliced.test:443", "tcp ok.test:22", "93.184.216.10:22", ("ask", "tcp ask.test:22")]
    p = run.proxy(*rules)
    for kind in ("HTTP", "TLS"):
        with contextlib.suppress(Gone, OSError):
            stream = p.guest.connect("ok.test:443" if kind == "TLS" else "ok.test:80")
            conn = Tls(stream, "ok.test", ca=run.keeper.ca).handshake() if kind == "TLS" else stream
            conn.send(REQUESTS[0])
            conn.recv()
            stream.close()
    idle, pid = descriptors(p.process.pid), p.process.pid
    workers = [Mutator(run, p, args.seed * 1000 + i) for i in range(8)]
    threads = [threading.Thread(target=w.loop, daemon=True) for w in workers]
    for t in threads:
        t.start()
    rss, most, begun, cpu = [], 0, time.monotonic(), p.cpu_ms()
    while time.monotonic() < begun + args.minutes * 60 and p.process.poll() is None:
        time.sleep(10)
        rss.append((p.rss_kib(), descriptors(pid)))
        if len(rss) % 6 == 0:
            p.set_policy(rules)
            # The log is cut, as sbx-vm does it by rotation.
            os.truncate(p.log_path, 0)
            print(f"{len(rss) // 6} min: {sum(sum(w.count.values()) for w in workers)} {rss[-1]}", file=sys.stderr, flush=True)
    for w in workers:
        w.over = True
    for t in threads:
        t.join(30)
    seconds = time.monotonic() - begun
    run.check(p.process.poll() is None, f"the proxy ended: {p.stderr()[-3000:]}")
    if p.process.poll() is None:
        p.set_policy([])
        with contextlib.suppress(AssertionError):
            harness.wait_for(lambda: descriptors(pid) <= idle, "descriptors", 40)
        run.check(descriptors(pid) <= idle, f"descriptors: {idle} before, {descriptors(pid)} after")
    for word in ("ERROR: AddressSanitizer", "runtime error", "LeakSanitizer"):
        run.check(word not in p.stderr(), p.stderr()[-3000:])
    run.check([s.accepted for s in forbidden] == [0, 0] and "evil.test" not in {n for n, _ in run.net.dns.asked}, "what is denied was reached")
    kib = [r for r, _ in rss]
    third = len(kib) // 3
    # The lowest and the highest of the middle and the last third: what a cache takes it has taken by then.
    grown = min(kib[2 * third:], default=0) - min(kib[third:2 * third], default=0)
    run.check(grown < (65536 if ASAN else 2048), f"memory grows: {kib[::6]}")
    count = sum((w.count for w in workers), collections.Counter())
    n = count["inside TLS"] + count["in clear"] + count["ended early"]
    run.rows += [("build", "ASan and UBSan" if ASAN else "as delivered"), ("for", f"{seconds / 60:.0f} min"), ("mutated connections", f"{n:,}, {n / seconds:.0f}/s; {dict(count)}"),
                 ("memory at the end of each quarter", " / ".join(f"{kib[min(len(kib) - 1, len(kib) * i // 4)]:,}" for i in range(1, 5)) + " KiB"),
                 ("descriptors idle / most / after", f"{idle} / {max(d for _, d in rss)} / {descriptors(pid) if p.process.poll() is None else '-'}"),
                 ("CPU of sbx-proxy", f"{(p.cpu_ms() - cpu) / seconds / 10:.0f} % of one core" if p.process.poll() is None else "-"), ("reports of a sanitizer", 0 if not run.broken else "see below")]
    return run.end()


# --- C10 ---

def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def memory_kib(pid):
    return int(next(line for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")).split()[1])


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def latencies(space, address, count, pause=0.01):
    """Seconds of so many small requests, each on a connection of its own."""
    took = []
    for _ in range(count):
        begun = time.monotonic()
        with space.run(socket.create_connection, (address, 80), harness.WAIT) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: ok.test\r\nConnection: close\r\n\r\n")
            while s.recv(65536):
                pass
        took.append(time.monotonic() - begun)
        time.sleep(pause)
    return took


class Queries(threading.Thread):
    """Asks for distinct names at a rate, in a namespace; `answers` counts by the response's code."""

    def __init__(self, space, count, rate):
        super().__init__(daemon=True)
        self.count, self.rate, self.answers = count, rate, collections.Counter()
        self.sock = space.run(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.connect(("198.18.0.1", 53))
        self.sock.settimeout(3)
        self.reader = threading.Thread(target=self.read, daemon=True)

    def read(self):
        with contextlib.suppress(TimeoutError):
            while True:
                self.answers[self.sock.recv(512)[3] & 15] += 1

    def run(self):
        self.reader.start()
        begun = time.monotonic()
        for i in range(self.count):
            name = b"%08x" % i
            self.sock.send((i & 65535).to_bytes(2, "big") + b"\1\0\0\1\0\0\0\0\0\0\x08" + name + b"\4wild\4test\0\0\1\0\1")
            ahead = begun + i / self.rate - time.monotonic()
            if ahead > 0.002:
                time.sleep(ahead)
        self.seconds = time.monotonic() - begun
        self.reader.join()


def names(args):
    from test_netguest import Inside
    run = Run()
    run.net.names["ok.test"] = [OK4]
    run.serve(harness.says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"), 80)
    p = run.proxy("ok.test:80", "*.wild.test:80", guest=Inside)
    other = run.proxy("ok.test:80", guest=Inside)
    spaces = [(q, q.guest.space, resolve(q.guest.space, "ok.test")) for q in (p, other)]
    before = [latencies(space, address, 100) for _, space, address in spaces]
    memory = [memory_kib(p.guest.process.pid), p.rss_kib()]
    asked = len(run.net.dns.asked)
    cpu = cpu_seconds(p.guest.process.pid)
    queries = Queries(p.guest.space, args.count, args.rate)
    queries.start()
    during = [[], []]
    while queries.is_alive():
        for i, (_, space, address) in enumerate(spaces):
            during[i] += latencies(space, address, 3)
    queries.join()
    cpu = cpu_seconds(p.guest.process.pid) - cpu
    grown = [memory_kib(p.guest.process.pid) - memory[0], p.rss_kib() - memory[1]]
    answered = sum(queries.answers.values())
    run.check(max(grown) < 8192, f"memory grew by {grown} KiB")
    wild = [n for n, _ in run.net.dns.asked[asked:] if n.endswith("wild.test")]
    run.check(not wild, f"{len(wild)} of the names left")
    run.check(answered > args.count * 0.8, f"{answered} of {args.count} were answered")
    ms = lambda values: f"{percentile(values, 0.5) * 1e3:.1f} / {percentile(values, 0.99) * 1e3:.1f} ms"
    run.rows += [("distinct names asked for", f"{args.count:,} in {queries.seconds:.1f} s, {args.count / queries.seconds:,.0f}/s"),
                 ("answered", f"{answered:,}: {queries.answers[0]:,} with an address, {queries.answers[2]:,} SERVFAIL (all addresses are in use)"),
                 ("CPU of the guest's side", f"{cpu / args.count * 1e6:.0f} us a query"), ("memory of the guest's side / of sbx-proxy grew by", f"{grown[0]:,} / {grown[1]:,} KiB"),
                 ("queries that left the machine for them", len(wild)), ("a request in the same sandbox before, p50 / p99", ms(before[0])), ("meanwhile", ms(during[0])),
                 ("a request in another sandbox before, p50 / p99", ms(before[1])), ("meanwhile", ms(during[1]))]
    return run.end()


def resolve(space, name):
    import dnslib

    def ask():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(harness.WAIT)
            s.connect(("198.18.0.1", 53))
            s.send(dnslib.DNSRecord.question(name).pack())
            return str(dnslib.DNSRecord.parse(s.recv(512)).rr[0].rdata)

    return space.run(ask)


# --- M08 ---

def mint(args):
    run = Run()
    p = run.proxy("*.wild.test:443", tls="intercept")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=run.keeper.ca)

    def shake(name):
        stream = p.guest.connect(f"{name}:443")
        tls = Tls.__new__(Tls)
        tls.stream, tls.incoming, tls.outgoing = stream, ssl.MemoryBIO(), ssl.MemoryBIO()
        tls.tls = context.wrap_bio(tls.incoming, tls.outgoing, server_hostname=name)
        tls.handshake()
        stream.close()
        p.guest.streams.pop(stream.number, None)
        return tls.tls.getpeercert(True)

    def cost(what):
        before = p.cpu_ms() / 1000, cpu_seconds(run.keeper.process.pid)
        begun = time.monotonic()
        certificates = [shake(name) for name in what]
        return p.cpu_ms() / 1000 - before[0], cpu_seconds(run.keeper.process.pid) - before[1], time.monotonic() - begun, certificates

    shake("warm.wild.test")
    rss = [p.rss_kib(), memory_kib(run.keeper.process.pid)]
    known = cost(["warm.wild.test"] * (args.count // 5))
    new = cost([f"n{i}.wild.test" for i in range(args.count)])
    again = cost([f"n{i}.wild.test" for i in range(args.count - 1000, args.count)])
    old = cost([f"n{i}.wild.test" for i in range(200)])
    per = lambda what, n: (what[0] / n * 1e6, what[1] / n * 1e6)
    base, made, kept = per(known, args.count // 5), per(new, args.count), per(again, 1000)
    proxys, keepers = made[0] - base[0], made[1] - base[1]
    run.check(len(set(new[3])) == args.count, "two names have one certificate")
    run.check(again[3] == new[3][-1000:], "what is cached was made again")
    run.check(all(a != b for a, b in zip(old[3], new[3])), "more than the bound is cached")
    keys = {bytes(c) for c in new[3]}
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    run.check(all(isinstance(x509.load_der_x509_certificate(c).public_key(), ec.EllipticCurvePublicKey) for c in list(keys)[:50]), "a key is not of P-256")
    run.check(proxys + keepers <= args.most, f"{proxys + keepers:.0f} us for a certificate")
    grown = [p.rss_kib() - rss[0], memory_kib(run.keeper.process.pid) - rss[1]]
    run.check(grown[0] < 16384 and grown[1] < 4096, f"memory grew by {grown} KiB")
    run.rows += [("handshakes with a name that is known", f"{args.count // 5:,}: {base[0]:.0f} us of sbx-proxy each"),
                 ("with a new name each", f"{args.count:,}: {made[0]:.0f} us of sbx-proxy, {made[1]:.0f} us of sbx-keeper"),
                 ("so a certificate costs", f"{proxys + keepers:.0f} us: {proxys:.0f} in sbx-proxy, {keepers:.0f} in sbx-keeper (the signature)"),
                 ("the last 1,000 names again", f"{kept[0]:.0f} us, {kept[1]:.0f} us: the certificates that are cached"), ("the first 200 again", "made anew: at most 1,024 are cached"),
                 ("memory of sbx-proxy / sbx-keeper grew by", f"{grown[0]:,} / {grown[1]:,} KiB")]
    return run.end()


# --- M02, M09 ---

def slow(args):
    run = Run()
    run.net.names.update({"ok.test": [OK4], "dead.test": ["93.184.216.200"]})
    run.net.world.ip("route add blackhole 93.184.216.200/32 table local")
    pause = threading.Event()

    def origin(connection):
        connection.settimeout(None)
        word = head(connection).split(b" ")[1]
        if word == b"/up":
            while connection.recv(100):
                pass
        elif word == b"/never":
            connection.recv(1)
        elif word == b"/middle":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
            connection.recv(1)
        else:
            kind = b"text/event-stream" if word == b"/events" else b"text/plain"
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + (b"" if word == b"/events" else b"\r\nContent-Length: 100000") + b"\r\n\r\n")
            with contextlib.suppress(OSError):
                while not pause.wait(1):
                    connection.sendall(b":" if word == b"/events" else b"x")

    run.serve(origin, 80)
    p = run.proxy("ok.test:80", "dead.test:80")

    def ask(path, host="ok.test", trickle=False, until=150):
        """(seconds to its end, status, bytes)"""
        stream = p.guest.connect(f"{host}:80")
        begun, got = time.monotonic(), b""
        stream.send(f"{'POST' if trickle else 'GET'} {path} HTTP/1.1\r\nHost: {host}\r\n{'Content-Length: 100000' if trickle else 'Connection: close'}\r\n\r\n".encode())
        while time.monotonic() - begun < until:
            try:
                if trickle:
                    stream.send(b"x")
                data = stream.recv(timeout=1)
                if not data:
                    break
                got += data
            except TimeoutError:
                continue
            except Gone:
                break
        else:
            stream.close()
            return None, got
        return time.monotonic() - begun, got

    cases = {"a body sent at 1 B/s": (("/up",), {"trickle": True}, 58, 125), "a body that comes at 1 B/s": (("/down",), {}, 58, 125),
             "an event stream at 1 B/s": (("/events",), {}, None, None), "no answer to SYN": (("/", "dead.test"), {}, 9, 13),
             "accepts and says nothing": (("/never",), {}, 58, 66), "stops in the middle of the head": (("/middle",), {}, 58, 66)}
    found = {}
    threads = [threading.Thread(target=lambda what=what, a=a, k=k: found.__setitem__(what, ask(*a, **k)), daemon=True) for what, (a, k, _, _) in cases.items()]
    for t in threads:
        t.start()
    for t in threads:
        t.join(200)
    pause.set()
    for what, (_, _, least, most) in cases.items():
        seconds, got = found[what]
        status = got[9:12].decode() or "no answer"
        run.check((seconds is None) if least is None else (seconds and least <= seconds <= most), f"{what}: {seconds}")
        run.check(what not in ("no answer to SYN", "accepts and says nothing", "stops in the middle of the head") or status == "504", f"{what}: {status}")
        run.rows.append((what, f"still there after 150 s, {len(got)} bytes" if seconds is None else f"ended after {seconds:.0f} s: {status}"))
    run.rows.append(("reasons in the log", dict(collections.Counter(r["error"] for r in p.records("end")))))
    return run.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    one = what.add_parser("websocket")
    one.add_argument("--minutes", type=float, default=30)
    one = what.add_parser("names")
    one.add_argument("--count", type=int, default=100000)
    one.add_argument("--rate", type=int, default=10000)
    one = what.add_parser("mint")
    one.add_argument("--count", type=int, default=10000)
    one.add_argument("--most", type=float, default=1e9, help="microseconds of both processes' CPU that a certificate may cost")
    what.add_parser("slow")
    one = what.add_parser("mutated")
    one.add_argument("--minutes", type=float, default=60)
    one.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    return {"websocket": websocket, "mutated": mutated, "names": names, "mint": mint, "slow": slow}[args.what](args)


if __name__ == "__main__":
    sys.exit(main())
