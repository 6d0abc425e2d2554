# SPDX-License-Identifier: Apache-2.0
"""sbx as a user has it: a state, settings and home of the test's own, and the user's cache of templates and layers; and what looks for a secret's
value in places where it may not be.

The daemon runs in one of two views: `at_home`, this host's own network, where layers are made from the real registry; and `in_world`, the test's network,
where the providers' names lead to the doubles. What a daemon starts stays in its view.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("SBX_BUILD", ROOT / "build"))
PROGRAMS = ("sandboxd", "sbx-vm", "sbx-fs", "sbx-proxy", "sbx-keeper", "sbx-image", "bwrap")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Sbx:
    """place: a new directory, with a short name because of the sockets in it."""

    def __init__(self, place, preset="balanced"):
        self.place = pathlib.Path(place).resolve()
        self.world = None
        self.env = {k: v for k, v in os.environ.items() if k in ("LANG", "TERM", "TMPDIR", "CCACHE_DIR")}
        self.env["XDG_CACHE_HOME"] = os.environ.get("XDG_CACHE_HOME", str(pathlib.Path.home() / ".cache"))
        for name, part in (("XDG_STATE_HOME", "state"), ("XDG_CONFIG_HOME", "config"), ("XDG_RUNTIME_DIR", "run"), ("HOME", "home")):
            (self.place / part).mkdir(mode=0o700)
            self.env[name] = str(self.place / part)
        self.env["PATH"] = f"{BUILD / 'bin'}:{os.environ['PATH']}"
        self.state = self.place / "state" / "sbx"
        self.run("policy", "init", preset, timeout=30)
        self.daemon_stop()

    def settings(self, **values):
        file = self.place / "config" / "sbx" / "settings.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({k.replace("__", "."): v for k, v in values.items()}))

    def at_home(self):
        """As a user of this host would have to set it: see tests/real/registries.bats."""
        self.daemon_stop()
        settings = {}
        extra = sorted(pathlib.Path("/usr/local/share/ca-certificates").glob("*.crt"))
        if extra:
            file = self.place / "host-ca.pem"
            file.write_text("\n".join(e.read_text() for e in extra))
            settings["network.extraCaFile"] = str(file)
        ranges = os.environ.get("SBX_REAL_RANGES", "").split() or registry_ranges()
        if ranges:
            settings["network.permittedRanges"] = ranges
        self.settings(**settings)

    def in_world(self, world):
        self.daemon_stop()
        self.world = world
        self.settings(**{"network.extraCaFile": str(world.ca_file)})
        self.daemon_start()

    def daemon_start(self):
        argv = [BUILD / "bin" / "sbx", "daemon", "start"]
        how = {"env": self.env, "check": True, "timeout": 30, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        if self.world:
            self.world.run(*argv, **how)
        else:
            subprocess.run(argv, **how)

    def daemon_stop(self):
        self.run("daemon", "stop", timeout=60)

    def run(self, *args, check=True, timeout=120, **how):
        """What sbx says, on stdout and stderr both."""
        if "input" not in how:
            how.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(self.argv(*args), env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, text=True,
                              errors="replace", **how)
        if check and done.returncode != 0:
            raise AssertionError(f"sbx {' '.join(args)}: exit {done.returncode}\n{done.stdout[-4000:]}")
        return done

    def argv(self, *args):
        return [str(BUILD / "bin" / "sbx"), *map(str, args)]

    def secret(self, *args, value):
        subprocess.run(self.argv("secret", "set", *args), env=self.env, input=value + "\n", text=True, check=True, timeout=30, stdout=subprocess.DEVNULL)

    def inspect(self, name):
        return json.loads(self.run("inspect", "--json", name).stdout)

    def network_log(self, name):
        files = sorted((self.state / "sandboxes" / self.inspect(name)["id"]).glob("network.jsonl*"), reverse=True)
        return [json.loads(line) for f in files for line in f.read_text().splitlines()]

    def processes(self):
        """Of this world, by process id: its program's name."""
        found = {}
        for p in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                name = os.path.basename(os.readlink(p / "exe").removesuffix(" (deleted)"))
                ours = name in PROGRAMS or name.startswith("qemu-system-")
                if ours and str(self.place).encode() + b"/" in (p / "environ").read_bytes() + (p / "cmdline").read_bytes():
                    found[int(p.name)] = name
            except OSError:
                continue
        return found

    def pid_of(self, program):
        return next(pid for pid, name in self.processes().items() if name == program)

    def close(self):
        """Everything ends; what does not is a failure."""
        self.run("rm", "--all", "--force", check=False)
        self.run("daemon", "stop", check=False)
        end = time.monotonic() + 60
        while left := self.processes():
            # The keeper outlives the daemon.
            late = time.monotonic() > end
            for pid, name in left.items():
                if name == "sbx-keeper" or late:
                    send(pid, signal.SIGKILL if late else signal.SIGTERM)
            if late:
                raise AssertionError(f"left behind: {left}")
            wait_for_end(left, end)
        shutil.rmtree(self.place, ignore_errors=True)


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def wait_for_end(pids, end):
    """Until one of them has ended."""
    import select
    fds = []
    try:
        for pid in pids:
            fds.append(os.pidfd_open(pid))
        select.select(fds, [], [], max(0, end - time.monotonic()))
    except ProcessLookupError:
        pass
    finally:
        for fd in fds:
            os.close(fd)


def registry_ranges():
    """Where this host's npm registry has an address that is none of the internet's, the /24 around it."""
    import ipaddress
    url = subprocess.run(["npm", "config", "get", "registry"], capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    found = {ipaddress.ip_address(i[4][0]) for i in socket.getaddrinfo(urllib.parse.urlsplit(url).hostname, 443, socket.AF_INET)}
    return sorted({str(ipaddress.ip_network(f"{a}/24", strict=False)) for a in found if not a.is_global})


# --- where a value is ---

def memory_holds(pid, needles):
    """Those of needles that a process's memory holds. Pages that it never touched are not looked at; a machine's memory is QEMU's."""
    found = set()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem, open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pages:
        for line in maps:
            span, modes = line.split()[:2]
            if "r" not in modes or line.rstrip().endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            begin, end = (int(x, 16) for x in span.split("-"))
            for first, last in present(pages, begin, end):
                tail = b""
                for at in range(first, last, 1 << 24):
                    try:
                        part = os.pread(mem.fileno(), min(1 << 24, last - at), at)
                    except OSError:
                        tail = b""
                        continue
                    found.update(n for n in needles if n not in found and (n in part or n in tail + part[:256]))
                    tail = part[-256:]
    return found


def present(pages, begin, end):
    """The parts of begin..end that have memory behind them."""
    step, run = 1 << 18, None
    for first in range(begin // PAGE, end // PAGE, step):
        count = min(step, end // PAGE - first)
        entries = os.pread(pages.fileno(), count * 8, first * 8)
        there = [b & 0xC0 != 0 for b in entries[7::8]]
        at = 0
        while at < len(there):
            if run is None:
                at = there.index(True, at) if True in there[at:] else len(there)
                if at < len(there):
                    run = first + at
            else:
                try:
                    at = there.index(False, at)
                except ValueError:
                    break
                yield run * PAGE, (first + at) * PAGE
                run = None
    if run is not None:
        yield run * PAGE, end


def files_hold(needle, *places, but=()):
    """The files below places that hold needle, in their content or name; but: directories that are not looked into."""
    found = []
    for place in places:
        for top, dirs, names in os.walk(place):
            dirs[:] = [d for d in dirs if pathlib.Path(top, d) not in but]
            for path in (os.path.join(top, name) for name in names + dirs):
                if needle in os.fsencode(path) or (os.path.isfile(path) and not os.path.islink(path) and file_holds(path, needle)):
                    found.append(path)
    return found


def file_holds(path, needle):
    """Only where there is data: disks of machines are mostly holes."""
    with open(path, "rb", buffering=0) as f:
        at, size = 0, os.fstat(f.fileno()).st_size
        while at < size:
            try:
                at = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError:  # nothing but a hole
                return False
            end, tail = os.lseek(f.fileno(), at, os.SEEK_HOLE), b""
            while at < end:
                part = os.pread(f.fileno(), min(1 << 24, end - at), at)
                if not part:
                    return False
                if needle in tail + part[:256] or needle in part:
                    return True
                tail, at = part[-256:], at + len(part)
    return False
