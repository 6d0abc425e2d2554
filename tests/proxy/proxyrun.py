# SPDX-License-Identifier: Apache-2.0
"""sbx-keeper and sbx-proxy, started as sbx-vm starts them: the door, the control socket and the keeper as descriptors 3, 4 and 5, everything else
through control messages (docs/network.md). The product knows nothing of tests; what they need, they say in that language."""
import contextlib
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import threading
import time
import uuid

from door import Door, Tls

BUILD = pathlib.Path(os.environ.get("SBX_BUILD") or pathlib.Path(__file__).resolve().parents[2] / "build").resolve()
SEVERAL = 20


def rule(action, resource, **more):
    return {"action": action, "resource": resource, **more}


def allow(resource, **more):
    return rule("allow", resource, **more)


def deny(resource, **more):
    return rule("deny", resource, **more)


def snapshot(rules, default="deny", tls="auto", generation=1, **more):
    """A policy as the daemon writes it."""
    return {"schema": 1, "generation": generation, "default": default, "tls": tls, **more,
            "rules": [{"id": f"r{i}", "origin": "user", **r} for i, r in enumerate(rules)]}


class Keeper:
    def __init__(self, place):
        self.place = place
        env = {"XDG_STATE_HOME": str(place / "state"), "XDG_RUNTIME_DIR": str(place / "run"), "HOME": str(place),
               "PATH": "/usr/bin:/bin"}
        for name in ("state", "run"):
            (place / name).mkdir(mode=0o700)
        self.log = open(place / "keeper.log", "wb")
        self.process = subprocess.Popen([BUILD / "bin/sbx-keeper"], env=env, stderr=self.log, stdin=subprocess.DEVNULL)
        self.attach(str(uuid.uuid4()))[0].close()

    def attach(self, sandbox, timeout=10, signins=()):
        """A connection that is this sandbox's, and its CA certificate. signins: what can be signed in at inside."""
        end = time.monotonic() + timeout
        while True:
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                s.connect(str(self.place / "run/sbx/keeper.sock"))
                s.settimeout(timeout)
                s.send(json.dumps({"op": "attach", "sandbox": sandbox}).encode())
                reply = json.loads(s.recv(1 << 16))
                assert reply.get("ok"), reply
                s.send(json.dumps({"op": "oauth-define", "services": list(signins)}).encode())
                assert json.loads(s.recv(1 << 16)) == {"ok": True}
                s.settimeout(None)
                return s, reply["ca"]
            except OSError:
                s.close()
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                select.select([], [], [], 0.02)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()


class Proxy:
    """One sandbox's proxy."""

    def __init__(self, world, keeper, place, servers=None, upstream=None, limits=None, signins=(), sandbox=None):
        self.world, self.keeper, self.place = world, keeper, place
        place.mkdir(parents=True, exist_ok=True)
        self.id = sandbox or str(uuid.uuid4())
        self.name = "range"
        self.journal = place / "network.jsonl"
        self.events = []
        self.generation = 0
        self.keeper_fd, self.ca = keeper.attach(self.id, signins=signins)
        self._start(limits)
        self.tell({"op": "config", "id": self.id, "name": self.name, "upstream": upstream})
        self.set_log()
        self.tell({"op": "resolver", "servers": servers or ["93.184.216.53"]})
        self.tell({"op": "trust"}, self._file("trust.pem", world.ca.pem()))
        self.wait(lambda e: e["event"] == "ready")

    def _start(self, limits):
        self.doors = []
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fds = [theirs.fileno(), control.fileno(), self.keeper_fd.fileno()]
        self.stderr = open(self.place / "proxy.log", "ab")

        def child():
            self.world.host.enter()
            for fd, most in (limits or {}).items():
                import resource
                resource.setrlimit(fd, (most, most))

        # High numbers first, so that none of the three is overwritten before it was placed.
        high = [os.dup(fd) for fd in fds]
        while min(high) < SEVERAL:
            high += [os.dup(fd) for fd in fds]
        a, b, c = high[-3:]
        script = f'exec "$0" "$@" 3<&{a} 4<&{b} 5<&{c} {a}<&- {b}<&- {c}<&-'
        self.process = subprocess.Popen(["/bin/bash", "-c", script, BUILD / "bin/sbx-proxy", "--id", self.id], pass_fds=(a, b, c),
                                        preexec_fn=child, stderr=self.stderr, stdin=subprocess.DEVNULL,
                                        env={"PATH": "/usr/bin:/bin"})
        for fd in high:
            os.close(fd)
        theirs.close()
        control.close()
        self.door_socket = ours
        self._door, self.lock = None, threading.Lock()

    @property
    def door(self):
        with self.lock:
            if self._door is None:
                self._door = Door(self.door_socket)
            return self._door

    def _file(self, name, content):
        path = self.place / name
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    def tell(self, message, path=None, flags=os.O_RDONLY):
        fds = [os.open(path, flags | os.O_CLOEXEC, 0o600)] if path else []
        try:
            socket.send_fds(self.control, [json.dumps(message).encode()], fds)
        finally:
            for fd in fds:
                os.close(fd)

    def set_log(self, path=None):
        if path:
            self.journal = path
        self.tell({"op": "log"}, self.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def policy(self, rules, wait=True, **more):
        self.generation += 1
        self.load(snapshot(rules, generation=self.generation, **more))
        if wait:
            event = self.wait(lambda e: e["event"] in ("policy", "policy_error"))
            assert event.get("generation") == self.generation, event

    def load(self, content):
        self.tell({"op": "policy"}, self._file("policy.json", content))

    def wait(self, wanted, timeout=8):
        """The first event not yet taken that is wanted; others are kept."""
        end = time.monotonic() + timeout
        while True:
            for i, event in enumerate(self.events):
                if wanted(event):
                    return self.events.pop(i)
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.control], [], [], max(left, 0))[0]:
                raise AssertionError(f"no such event; {self.events}; {self.said()}")
            data = self.control.recv(1 << 16)
            if not data:
                raise AssertionError(f"the proxy went away: {self.process.wait(5)}; {self.said()}")
            self.events.append(json.loads(data))

    def said(self):
        return (self.place / "proxy.log").read_text(errors="replace")[-2000:]

    def records(self, **wanted):
        """Records of the log that have these members."""
        if not self.journal.exists():
            return []
        lines = self.journal.read_text().splitlines()
        records = [json.loads(line) for line in lines]
        return [r for r in records if all(r.get(k) == v for k, v in wanted.items())]

    def decisions(self, **wanted):
        return self.records(event="decision", **wanted)

    def record(self, timeout=5, **wanted):
        """The first such record, waited for."""
        end = time.monotonic() + timeout
        while True:
            found = self.records(**wanted)
            if found:
                return found[0]
            if time.monotonic() > end:
                raise AssertionError(f"no record {wanted}; there are: {self.records()}; {self.said()}")
            select.select([], [], [], 0.02)

    def tls(self, stream, name, alpn=("http/1.1",), trust=None):
        """A TLS client of the sandbox, which trusts what it was told to, on a stream."""
        return Tls(stream, name, trust or [self.ca, self.world.ca.pem()], alpn)

    def memory_kib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def stop(self):
        if self._door:
            self._door.close()
        self.door_socket.close()
        self.control.close()
        self.keeper_fd.close()
        try:
            code = self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            code = None
        self.stderr.close()
        return code
