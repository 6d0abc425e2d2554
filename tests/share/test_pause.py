#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_pause.py [unittest options]: a session of the file door that one sbx-fs serves and another one goes on with.

SBX_FS names the program. The guest's kernel is frames.Client, which keeps its numbers from one socket to the next;
test_programs.py has a real one."""
import errno
import fcntl
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import doorway  # noqa: E402
import frames as f  # noqa: E402
from pausing import Host  # noqa: E402

HOLD, GO = 0x53425801, 0x53425802
OTHER_NONCE = "fedcba9876543210" * 4
READ_LOCK, WRITE_LOCK, UNLOCK = 0, 1, 2
TO_THE_END = 2**63 - 1


def lock(handle, owner, first=0, last=TO_THE_END, kind=WRITE_LOCK, flock=0):
    return struct.pack("=QQQQIIII", handle, owner, first, last, kind, 4242, flock, 0)


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = doorway.scratch()
        self.addCleanup(doorway.remove, self.dir)
        self.h = self.dir / "root"
        self.h.mkdir()
        self.roots = ((self.h, False, "dir"),)
        self.host = None
        self.addCleanup(lambda: self.host and self.host.end())

    def begin(self, **more):
        self.host = Host(self.roots, **more)
        self.client = f.Client(self.host.sock)
        self.root = self.client.walk("0")

    def hold(self):
        self.assertEqual(self.client.call(HOLD), (0, b""))

    def go(self):
        self.client.tell(GO)

    def save(self):
        self.hold()
        return self.host.save()

    def go_on(self, state, how="kill", **more):
        """Another sbx-fs takes over; the guest's kernel has noticed nothing."""
        self.host.end(how)
        self.host = Host(self.roots, state=state, **more)
        self.client.sock = self.host.sock
        self.client.sock.settimeout(30)
        self.go()

    def pause(self, change=None, **more):
        state, lost = self.save()
        self.host.end("kill")
        if change:
            change()
        self.go_on(state, how="gone", **more)
        return lost

    def node(self, *path):
        node = self.root
        for name in path:
            node = self.client.lookup(node, name)
        return node

    def size(self, node):
        error, body = self.client.call(f.GETATTR, node, bytes(16))
        return -error if error else struct.unpack_from("=Q", body, 16 + 8)[0]

    def release(self, node, handle, opcode=f.RELEASE):
        return self.client.call(opcode, node, struct.pack("=QQQ", handle, 0, 0))[0]

    def listing(self, node, handle, size=4096, offset=0):
        """[(name, the offset behind it)]"""
        body = self.client.read(node, handle, size, offset, f.READDIR)
        self.assertIsInstance(body, bytes)
        entries = []
        while body:
            _, after, length, _ = struct.unpack_from("=QQII", body)
            entries.append((body[24:24 + length].decode(), after))
            body = body[(24 + length + 7) & ~7:]
        return entries


class GoesOn(Case):
    def test_open_files(self):
        (self.h / "r").write_text("to be read")
        (self.h / "a").write_text("log\n")
        self.begin()
        r, a = self.node("r"), self.node("a")
        reading, appending = self.client.open(r), self.client.open(a, os.O_WRONLY | os.O_APPEND)
        error, body = self.client.call(f.CREATE, self.root, struct.pack("=IIII", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644, 0, 0) + f.name("new"))
        self.assertEqual(error, 0)
        new, handle = struct.unpack_from("=Q", body)[0], struct.unpack_from("=Q", body, 40 + 88)[0]
        self.assertEqual(self.client.write(new, handle, b"before "), 0)
        self.assertEqual(self.pause(), 0)
        self.assertEqual(self.client.read(r, reading), b"to be read")
        self.assertEqual(self.client.read(r, reading, offset=6), b"read")
        self.assertEqual(self.client.write(r, reading, b"x"), errno.EBADF)
        self.assertEqual(self.client.write(new, handle, b"after", 7), 0)
        self.assertEqual((self.h / "new").read_text(), "before after")
        self.assertEqual(self.client.read(new, handle), b"before after")
        write = struct.pack("=QQIIQII", appending, 0, 5, 0, 0, os.O_WRONLY | os.O_APPEND, 0) + b"more\n"
        self.assertEqual(self.client.call(f.WRITE, a, write)[0], 0)
        self.assertEqual((self.h / "a").read_text(), "log\nmore\n")
        self.assertEqual(self.client.read(a, appending), -errno.EBADF)
        for node, open_file in ((r, reading), (new, handle), (a, appending)):
            self.assertEqual(self.release(node, open_file), 0)
            self.assertEqual(self.release(node, open_file), errno.EBADF)
        report = self.host.report()
        self.assertEqual((report["nodes"], report["handles"], report["gone"], report["replaced"], report["lost_handles"]), (3, 3, 0, 0, 0))

    def test_the_same_numbers(self):
        """What the guest meets again is the node that it knew, and new numbers are new."""
        (self.h / "d/e").mkdir(parents=True)
        (self.h / "d/e/f").write_text("deep")
        self.begin()
        known = [self.node("d"), self.node("d", "e"), self.node("d", "e", "f")]
        (self.h / "short").touch()
        stale = self.node("short")
        self.client.forget(stale, 1)
        opened = self.client.open(known[2])
        self.release(known[2], opened)
        self.pause()
        self.assertEqual([self.node("d"), self.node("d", "e"), self.node("d", "e", "f")], known)
        (self.h / "later").touch()
        self.assertNotIn(self.node("later"), [*known, stale])
        self.assertEqual(self.size(stale), -errno.ESTALE)
        self.assertNotEqual(self.client.open(known[2]), opened)
        self.assertEqual(self.client.read(known[2], opened), -errno.EBADF)
        self.assertEqual(self.size(known[2]), 4)
        # looked up once before and once now: forgotten after two
        self.client.forget(known[2], 1)
        self.assertEqual(self.size(known[2]), 4)

    def test_forgotten_is_forgotten(self):
        (self.h / "f").touch()
        self.begin()
        node = self.node("f")
        self.client.lookup(self.root, "f")
        self.pause()
        self.client.forget(node, 1)
        self.assertEqual(self.size(node), 0)
        self.client.forget(node, 1)
        self.assertEqual(self.size(node), -errno.ESTALE)

    def test_listing_goes_on(self):
        for i in range(500):
            (self.h / f"file{i:03}").touch()
        self.begin()
        handle = self.client.open(self.root, opcode=f.OPENDIR)
        seen = self.listing(self.root, handle)
        self.assertLess(len(seen), 300)
        self.pause()
        while True:
            more = self.listing(self.root, handle, offset=seen[-1][1])
            if not more:
                break
            seen += more
        self.assertEqual(sorted(name for name, _ in seen), sorted([".", "..", *(f"file{i:03}" for i in range(500))]))
        self.assertEqual(self.release(self.root, handle, f.RELEASEDIR), 0)

    def test_again_and_again(self):
        (self.h / "f").write_text("0")
        self.begin()
        node = self.node("f")
        handle = self.client.open(node, os.O_RDWR)
        for i in range(5):
            self.assertEqual(self.pause(), 0)
            self.assertEqual(self.client.read(node, handle), str(i).encode())
            self.assertEqual(self.client.write(node, handle, str(i + 1).encode()), 0)
        self.assertEqual((self.h / "f").read_text(), "5")

    def test_saved_and_goes_on_itself(self):
        """A checkpoint of a machine that runs on, and a second machine from it: both serve the folder."""
        (self.h / "f").write_text("shared")
        self.begin()
        node = self.node("f")
        handle = self.client.open(node, os.O_RDWR)
        self.assertEqual(self.client.call(f.SETLK, node, lock(handle, 7))[0], 0)
        state, _ = self.save()
        fork = Host(self.roots, state=state, nonce=OTHER_NONCE)
        self.addCleanup(fork.end)
        other = f.Client(fork.sock, init=False)
        self.go()
        other.tell(GO)
        for client in (self.client, other):
            self.assertEqual(client.read(node, handle), b"shared")
        self.assertEqual(other.call(f.SETLK, node, lock(handle, 7))[0], errno.EAGAIN)
        self.assertEqual(other.write(node, handle, b"S"), 0)
        self.assertEqual(self.client.read(node, handle), b"Shared")
        report = fork.report()
        self.assertEqual((report["locks"], report["lost_locks"]), (1, 1))

    def test_nonce_is_that_of_the_new_one(self):
        self.begin()
        nonce = self.client.walk(".nonce")
        handle = self.client.open(nonce)
        self.assertEqual(self.client.read(nonce, handle), doorway.NONCE.encode())
        self.pause(nonce=OTHER_NONCE)
        self.assertEqual(self.client.read(nonce, handle), OTHER_NONCE.encode())
        self.assertEqual(self.client.walk(".nonce"), nonce)

    def test_ten_thousand(self):
        for d in range(100):
            (self.h / f"d{d}").mkdir()
            for i in range(99):
                (self.h / f"d{d}/f{i}").write_text(f"{d} {i}")
        self.begin()
        nodes = {}
        for d in range(100):
            parent = self.node(f"d{d}")
            for i in range(99):
                nodes[d, i] = self.client.lookup(parent, f"f{i}")
        handles = {key: self.client.open(nodes[key]) for key in list(nodes)[::50]}
        self.pause()
        for (d, i), handle in handles.items():
            self.assertEqual(self.client.read(nodes[d, i], handle), f"{d} {i}".encode())
        for d, i in random.sample(list(nodes), 300):
            self.assertEqual(self.client.lookup(self.node(f"d{d}"), f"f{i}"), nodes[d, i])
        report = self.host.report()
        self.assertEqual((report["nodes"], report["gone"], report["lost_handles"]), (10000, 0, 0))


def restarted(data):
    """A saved state as of another start of the host: devices and mounts have other numbers."""
    data = bytearray(data)

    def renumber(at):
        dev, _, mnt = struct.unpack_from("=QQQ", data, at)
        struct.pack_into("=Q", data, at, dev ^ 0x5500)
        struct.pack_into("=Q", data, at + 16, mnt + 1000)

    roots, nodes = struct.unpack_from("=II", data, 24)
    at = 24 + 8 * 4 + 128
    for _ in range(roots):
        renumber(at + 1)
        at += 37
    for _ in range(nodes):
        renumber(at + 23)
        at += 60 + data[at + 59]
    struct.pack_into("=I", data, 12, zlib.crc32(bytes(data[24:])))
    return bytes(data)


class Restart(Case):
    """Between the two, the host was started anew."""

    def after_restart(self):
        state, _ = self.save()
        state.seek(0)
        data = restarted(state.read())
        other = tempfile.TemporaryFile()
        other.write(data)
        other.flush()
        self.go_on(other)

    def test_the_same_numbers(self):
        (self.h / "d").mkdir()
        (self.h / "d/f").write_text("text")
        (self.h / "moves").write_text("moved")
        self.begin()
        known = [self.node("d"), self.node("d", "f"), self.node("moves")]
        handle = self.client.open(known[1], os.O_RDWR)
        os.rename(self.h / "moves", self.h / "d/moved")
        self.after_restart()
        self.assertEqual(self.client.read(known[1], handle), b"text")
        self.assertEqual([self.node("d"), self.node("d", "f"), self.node("d", "moved")], known)
        self.assertEqual(self.host.report()["replaced"], 0)

    def test_a_file_system_inside(self):
        (self.h / "m").mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "none", str(self.h / "m")], stderr=subprocess.DEVNULL).returncode:
            self.skipTest("no mount on this host")
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.h / "m")])
        for name in ("a", "b"):
            (self.h / "m" / name).write_text(name)
        self.begin()
        known = [self.node("m"), self.node("m", "a"), self.node("m", "b")]
        handles = [self.client.open(node) for node in known[1:]]
        os.rename(self.h / "m/b", self.h / "m/c")
        self.after_restart()
        self.assertEqual(self.client.read(known[1], handles[0]), b"a")
        self.assertEqual([self.node("m"), self.node("m", "a"), self.node("m", "c")], known)
        self.assertEqual(self.client.read(known[2], handles[1]), b"b")


class HostChanges(Case):
    def test_replaced(self):
        (self.h / "f").write_text("old")
        (self.h / "d").mkdir()
        (self.h / "d/g").write_text("old")
        self.begin()
        node, d, g = self.node("f"), self.node("d"), self.node("d", "g")
        handle, inner = self.client.open(node, os.O_RDWR), self.client.open(g)

        def checkout():
            (self.h / "f.tmp").write_text("new and longer")
            os.rename(self.h / "f.tmp", self.h / "f")
            doorway.remove(self.h / "d")
            (self.h / "d").mkdir()
            (self.h / "d/g").write_text("another")

        self.pause(checkout)
        self.assertEqual(self.size(node), 14)
        self.assertEqual(self.client.read(node, handle), b"new and longer")
        self.assertEqual(self.client.write(node, handle, b"NEW"), 0)
        self.assertEqual((self.h / "f").read_text(), "NEW and longer")
        self.assertEqual(self.client.read(g, inner), b"another")
        self.assertEqual([self.node("f"), self.node("d"), self.node("d", "g")], [node, d, g])
        self.assertEqual(self.host.report()["replaced"], 3)

    def test_told_of_changes(self):
        """The kernel hears of the open files whose content has changed, and of no other."""
        for name in ("same", "edited", "replaced"):
            (self.h / name).write_text("old")
        self.begin()
        nodes = [self.node(name) for name in ("same", "edited", "replaced")]
        handles = [self.client.open(node) for node in (*nodes, nodes[1])]

        def change():
            (self.h / "edited").write_text("NEW")
            (self.h / "next").write_text("new")
            os.rename(self.h / "next", self.h / "replaced")

        self.pause(change)
        notices = []
        probe = self.client.start(f.GETATTR, self.root, bytes(16))
        while (message := self.client.receive())[0] != probe:
            notices.append((message[0], -message[1], *struct.unpack("=Qqq", message[2])))
        # FUSE_NOTIFY_INVAL_INODE: all pages
        self.assertEqual(sorted(notices), sorted((0, 2, node, 0, 0) for node in nodes[1:]))
        self.assertEqual(self.client.read(nodes[1], handles[1]), b"NEW")
        self.assertEqual(self.host.report()["stale_handles"], 3)
        self.pause()
        self.client.alive()
        self.assertEqual(self.host.report()["stale_handles"], 0)

    def test_gone_or_of_another_type(self):
        for name in ("gone", "dir", "link"):
            (self.h / name).write_text("old")
        (self.h / "was").mkdir()
        (self.h / "was/in").write_text("old")
        self.begin()
        names = ("gone", "dir", "link")
        nodes = [self.node(name) for name in names]
        handles = [self.client.open(node) for node in nodes]
        was, inner = self.node("was"), self.node("was", "in")
        inner_handle = self.client.open(inner)
        (self.h / "secret").write_text("not for the handle")

        def change():
            for name in names:
                os.unlink(self.h / name)
            (self.h / "dir").mkdir()
            os.symlink("secret", self.h / "link")
            doorway.remove(self.h / "was")
            os.symlink("/", self.h / "was")

        self.pause(change)
        for node, handle in zip(nodes, handles):
            self.assertEqual(self.client.read(node, handle), -errno.ESTALE)
            self.assertEqual(self.size(node), -errno.ESTALE)
            self.assertEqual(self.client.write(node, handle, b"x"), errno.ESTALE)
            self.assertEqual(self.client.call(f.FLUSH, node, struct.pack("=QIIQ", handle, 0, 0, 0))[0], 0)
            self.assertEqual(self.release(node, handle), 0)
        self.assertEqual(self.client.read(inner, inner_handle), -errno.ESTALE)
        self.assertNotEqual(self.node("dir"), nodes[1])
        self.assertEqual(self.client.call(f.LOOKUP, self.root, f.name("gone"))[0], errno.ENOENT)
        self.assertEqual(self.client.call(f.LOOKUP, was, f.name("etc"))[0], errno.ESTALE)
        report = self.host.report()
        self.assertEqual((report["gone"], report["lost_handles"]), (5, 4))
        self.client.alive()

    def test_moved(self):
        """A file under another name is the one that it was as soon as the guest meets it."""
        (self.h / "old").write_text("text")
        (self.h / "sub").mkdir()
        self.begin()
        node, sub = self.node("old"), self.node("sub")
        handle = self.client.open(node, os.O_RDWR)
        self.pause(lambda: os.rename(self.h / "old", self.h / "sub/new"))
        self.assertEqual(self.client.read(node, handle), -errno.ESTALE)
        self.assertEqual(self.client.lookup(sub, "new"), node)
        self.assertEqual(self.client.read(node, handle), b"text")
        self.assertEqual(self.client.write(node, handle, b"T"), 0)
        self.assertEqual((self.h / "sub/new").read_text(), "Text")

    def test_a_moved_directory_takes_what_is_in_it(self):
        (self.h / "a/b").mkdir(parents=True)
        (self.h / "a/b/f").write_text("text")
        self.begin()
        a, node = self.node("a"), self.node("a", "b", "f")
        handle = self.client.open(node)
        self.pause(lambda: os.rename(self.h / "a", self.h / "z"))
        self.assertEqual(self.client.read(node, handle), -errno.ESTALE)
        self.assertEqual(self.node("z"), a)
        self.assertEqual(self.client.read(node, handle), b"text")

    def test_swapped(self):
        (self.h / "a").write_text("A")
        (self.h / "b").write_text("B")
        self.begin()
        a, b = self.node("a"), self.node("b")
        handles = self.client.open(a), self.client.open(b)

        def swap():
            os.rename(self.h / "a", self.h / "t")
            os.rename(self.h / "b", self.h / "a")
            os.rename(self.h / "t", self.h / "b")

        self.pause(swap)
        # the names decide
        self.assertEqual(self.client.read(a, handles[0]), b"B")
        self.assertEqual(self.client.read(b, handles[1]), b"A")
        self.assertEqual([self.node("a"), self.node("b")], [a, b])

    def test_unlinked_but_open(self):
        """Its content is kept, for as long as it is open."""
        (self.h / "f").write_text("nobody else has it")
        (self.h / "g").write_text("stays")
        self.begin()
        node, other = self.node("f"), self.node("g")
        handle, kept, reading = self.client.open(node, os.O_RDWR), self.client.open(other), self.client.open(node)
        self.assertEqual(self.client.call(f.UNLINK, self.root, f.name("f"))[0], 0)
        (self.h / "f").write_text("not this one")
        for text in (b"nobody else has it", b"NOBODY else has it"):
            self.assertEqual(self.client.read(node, handle), text)
            self.assertEqual(self.pause(), 0)
            self.assertEqual(self.client.read(node, handle), text)
            report = self.host.report()
            self.assertEqual((report["kept"], report["gone"], report["stale_handles"]), (1, 0, 0))
            self.assertEqual(self.client.read(node, reading), text)
            self.assertEqual(self.size(node), 18)
            self.assertEqual(self.client.write(node, handle, b"NOBODY"), 0)
            self.assertEqual(self.client.write(node, reading, b"x"), errno.EBADF)
        self.assertNotEqual(self.node("f"), node)
        self.assertEqual((self.h / "f").read_text(), "not this one")
        self.assertEqual(self.client.read(other, kept), b"stays")
        self.assertEqual(self.client.call(f.SETLK, node, lock(handle, 1))[0], 0)
        self.assertEqual(self.pause(), 0)
        self.assertEqual(self.client.call(f.SETLK, node, lock(reading, 2, kind=READ_LOCK))[0], errno.EAGAIN)
        self.assertEqual(self.release(node, handle), 0)
        self.assertEqual(self.release(node, reading), 0)
        self.pause()
        self.client.alive()
        self.assertEqual(self.host.report()["kept"], 0)

    def test_replaced_while_it_was_open(self):
        """What the guest has open when the host replaces it is the old one, also after a pause."""
        (self.h / "f").write_text("old")
        self.begin()
        node = self.node("f")
        handle = self.client.open(node)
        (self.h / "next").write_text("new")
        os.rename(self.h / "next", self.h / "f")
        self.assertEqual(self.client.read(node, handle), b"old")
        self.assertEqual(self.pause(), 0)
        self.assertEqual(self.client.read(node, handle), b"old")
        now = self.node("f")
        self.assertNotEqual(now, node)
        self.assertEqual(self.client.read(now, self.client.open(now)), b"new")

    def test_without_its_name_and_lost(self):
        """Not kept: what has other names, because a copy would not be that file; what is too large; directories."""
        for name in ("linked", "large"):
            (self.h / name).write_text("text")
        os.link(self.h / "linked", self.h / "other name")
        os.truncate(self.h / "large", (128 << 20) + 1)
        (self.h / "dir").mkdir()
        self.begin()
        nodes = [self.node(name) for name in ("linked", "large")]
        handles = [self.client.open(node, os.O_RDWR) for node in nodes]
        dir_node = self.node("dir")
        dir_handle = self.client.open(dir_node, opcode=f.OPENDIR)
        for name in ("linked", "large"):
            self.assertEqual(self.client.call(f.UNLINK, self.root, f.name(name))[0], 0)
        self.assertEqual(self.client.call(f.RMDIR, self.root, f.name("dir"))[0], 0)
        self.assertEqual(self.pause(), 3)
        for node, handle in zip(nodes, handles):
            self.assertEqual(self.client.read(node, handle), -errno.ESTALE)
        self.assertEqual(self.client.read(dir_node, dir_handle, opcode=f.READDIR), -errno.ESTALE)
        # lost once, and still counted
        self.assertEqual(self.pause(), 3)
        for node, handle in zip(nodes, handles):
            self.assertEqual(self.release(node, handle), 0)
        self.assertEqual(self.release(dir_node, dir_handle, f.RELEASEDIR), 0)
        self.assertEqual(self.pause(), 0)

    def test_what_may_be_written_is_not_in_the_state(self):
        (self.h / "f").write_text("text")
        self.begin()
        node = self.node("f")
        handle, reading = self.client.open(node, os.O_RDWR), self.client.open(node)
        state, _ = self.save()
        self.roots = ((self.h, True, "dir"),)
        self.go_on(state)
        self.assertEqual(self.client.write(node, handle, b"x"), errno.ESTALE)
        self.assertEqual(self.client.read(node, reading), b"text")
        self.assertEqual(self.client.call(f.OPEN, node, struct.pack("=II", os.O_RDWR, 0))[0], errno.EROFS)
        self.assertEqual(self.client.call(f.CREATE, self.root, struct.pack("=IIII", os.O_RDWR, 0o644, 0, 0) + f.name("x"))[0], errno.EROFS)
        self.assertEqual((self.h / "f").read_text(), "text")

    def test_single_file(self):
        single = self.dir / "single"
        single.write_text("one")
        self.roots = ((self.h, False, "dir"), (single, False, "file"))
        self.begin()
        node = self.client.walk("1")
        handle = self.client.open(node, os.O_RDWR)

        def replace():
            (self.dir / "next").write_text("two")
            os.rename(self.dir / "next", single)

        self.pause(replace)
        self.assertEqual(self.client.read(node, handle), b"two")
        self.assertEqual(self.client.walk("1"), node)


class Locks(Case):
    def setUp(self):
        super().setUp()
        (self.h / "f").write_text("0123456789")
        self.begin()
        self.file = self.node("f")
        self.handle = self.client.open(self.file, os.O_RDWR)
        self.second = self.client.open(self.file, os.O_RDWR)

    def set(self, *args, opcode=f.SETLK, **more):
        return self.client.call(opcode, self.file, lock(*args, **more))[0]

    def host_has(self, call, *args):
        with open(self.h / "f", "r+") as h:
            try:
                call(h, fcntl.LOCK_EX | fcntl.LOCK_NB, *args)
            except BlockingIOError:
                return False
            return True

    def test_ranges(self):
        self.assertEqual(self.set(self.handle, 1, 0, 9), 0)
        self.assertEqual(self.set(self.handle, 1, 4, 5, UNLOCK), 0)
        self.assertEqual(self.set(self.handle, 1, 20, TO_THE_END, READ_LOCK), 0)
        self.assertEqual(self.set(self.second, 2, 4, 4), 0)
        self.pause()
        self.client.alive()
        free = [at for at in range(30) if self.host_has(fcntl.lockf, 1, at)]
        self.assertEqual(free, [5, *range(10, 20)])
        # the owners are told apart, and have what they had
        self.assertEqual(self.set(self.second, 2, 0, 0), errno.EAGAIN)
        self.assertEqual(self.set(self.handle, 1, 4, 4), errno.EAGAIN)
        self.assertEqual(self.set(self.handle, 1, 0, 9, UNLOCK), 0)
        self.assertEqual(self.set(self.second, 2, 0, 0), 0)
        error, body = self.client.call(f.GETLK, self.file, lock(self.handle, 1, 4, 4))
        self.assertEqual((error, struct.unpack_from("=QQII", body)[2:]), (0, (WRITE_LOCK, 4242)))
        self.assertEqual(self.host.report()["locks"], 4)
        self.assertEqual(self.host.report()["lost_locks"], 0)
        self.release(self.file, self.handle)
        self.release(self.file, self.second)
        self.assertTrue(self.host_has(fcntl.lockf))

    def test_flock(self):
        self.assertEqual(self.set(self.handle, 1, flock=1), 0)
        self.pause()
        self.client.alive()
        self.assertFalse(self.host_has(fcntl.flock))
        self.assertEqual(self.set(self.second, 2, flock=1), errno.EAGAIN)
        self.assertEqual(self.release(self.file, self.handle), 0)
        self.assertEqual(self.set(self.second, 2, flock=1, kind=READ_LOCK), 0)
        self.pause()
        self.client.alive()
        with open(self.h / "f") as h:
            fcntl.flock(h, fcntl.LOCK_SH | fcntl.LOCK_NB)
        self.assertFalse(self.host_has(fcntl.flock))

    def test_taken_by_the_host_meanwhile(self):
        self.assertEqual(self.set(self.handle, 1, 0, 9), 0)
        self.assertEqual(self.set(self.handle, 1, flock=1), 0)
        state, _ = self.save()
        self.host.end("kill")
        with open(self.h / "f", "r+") as h:
            fcntl.lockf(h, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
            fcntl.flock(h, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.go_on(state, how="gone")
            self.assertEqual(self.set(self.handle, 1, 0, 0), errno.EAGAIN)
        self.assertEqual(self.set(self.handle, 1, 0, 0), 0)
        self.assertEqual(self.client.read(self.file, self.handle), b"0123456789")
        report = self.host.report()
        self.assertEqual((report["locks"], report["lost_locks"]), (2, 2))

    def test_waiting(self):
        """Who waits for a lock goes on waiting, and gets it."""
        self.assertEqual(self.set(self.handle, 1), 0)
        waiting = [self.client.start(f.SETLKW, self.file, lock(self.second, owner)) for owner in (2, 3)]
        given_up = self.client.start(f.SETLKW, self.file, lock(self.second, 4, flock=0))
        self.pause()
        self.client.tell(f.INTERRUPT, 0, struct.pack("=Q", given_up))
        self.assertEqual(self.client.receive()[:2], (given_up, errno.EINTR))
        self.client.start(f.SETLK, self.file, lock(self.handle, 1, kind=UNLOCK))
        self.assertEqual(self.client.receive()[1], 0)
        self.assertEqual(self.client.receive()[:2], (waiting[0], 0))
        self.pause()
        self.client.start(f.SETLK, self.file, lock(self.second, 2, kind=UNLOCK))
        self.assertEqual(self.client.receive()[1], 0)
        self.assertEqual(self.client.receive()[:2], (waiting[1], 0))
        self.assertFalse(self.host_has(fcntl.lockf))

    def test_waiting_for_the_host(self):
        with open(self.h / "f", "r+") as h:
            fcntl.flock(h, fcntl.LOCK_EX)
            waiting = self.client.start(f.SETLKW, self.file, lock(self.handle, 1, flock=1))
            state, _ = self.save()
            self.host.end("kill")
        self.go_on(state, how="gone")
        self.assertEqual(self.client.receive()[:2], (waiting, 0))
        self.assertFalse(self.host_has(fcntl.flock))

    def test_nothing_is_said_while_held(self):
        """A lock that becomes free meanwhile is given when the guest goes on."""
        with open(self.h / "f", "r+") as h:
            fcntl.flock(h, fcntl.LOCK_EX)
            waiting = self.client.start(f.SETLKW, self.file, lock(self.handle, 1, flock=1))
            self.hold()
        # long enough for the pause between two tries (64 ms)
        self.client.sock.settimeout(0.4)
        with self.assertRaises(TimeoutError):
            self.client.receive()
        self.client.sock.settimeout(30)
        self.host.save()
        self.go()
        self.assertEqual(self.client.receive()[:2], (waiting, 0))


class Refused(Case):
    def test_not_held(self):
        self.begin()
        self.assertEqual(self.host.ask()[0], "no conflict the guest does not hold its file door")
        self.hold()
        self.assertTrue(self.host.ask()[0].startswith("ok "))
        self.go()
        self.client.alive()
        self.assertTrue(self.host.ask()[0].startswith("no conflict "))
        self.assertEqual(self.host.ask(b"what\n")[0], "no invalid not understood")

    def test_a_message_under_way(self):
        self.begin()
        self.hold()
        message = f.frame(f.GETATTR, self.root, bytes(16), unique=77)
        self.client.send(message[:41])
        # what was sent first is taken up first, as soon as the door was looked at
        for _ in range(1000):
            if self.host.ask()[0].startswith("no conflict "):
                break
        else:
            self.fail("saved in the middle of a message")
        self.client.send(message[41:])
        self.assertEqual(self.client.receive()[0], 77)
        self.assertTrue(self.host.ask()[0].startswith("ok "))

    def test_before_the_session(self):
        self.host = Host(self.roots)
        self.assertTrue(self.host.ask()[0].startswith("no conflict "))

    def test_own_messages_have_no_body(self):
        self.begin()
        self.client.send(f.frame(HOLD, 0, b"x", unique=5))
        with self.assertRaises(f.Ended):
            self.client.receive()

    def refuses(self, data, roots=None, says="damaged"):
        with tempfile.TemporaryFile() as state:
            state.write(data)
            state.flush()
            host = Host(roots or self.roots, state=state)
            self.assertEqual(host.process.wait(30), 1)
            lines = host.lines()
            host.end()
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("event=start", lines[0])
        self.assertIn(says, lines[0])

    def test_damaged(self):
        (self.h / "d").mkdir()
        (self.h / "d/f").write_text("x")
        self.begin()
        node = self.node("d", "f")
        self.client.open(node)
        state, _ = self.save()
        state.seek(0)
        good = state.read()
        self.refuses(b"")
        for n in (1, 20, 100, len(good) // 2, len(good) - 1):
            self.refuses(good[:n])
        self.refuses(good + b"\0")
        for at in (0, 13, 17, 24, 28, 36, 60, 190, len(good) - 1):
            flipped = bytearray(good)
            flipped[at] ^= 0x10
            self.refuses(bytes(flipped))
        self.refuses(good[:8] + struct.pack("=I", 9) + good[12:], says="of another version")
        self.refuses(good, roots=(*self.roots, (self.dir, True, "dir")), says="of 1 workspaces, but there are 2")
        single = self.dir / "single"
        single.touch()
        self.refuses(good, roots=((single, False, "file"),), says="was a directory")

    def test_numbers_that_do_not_fit(self):
        """A right checksum over records that contradict each other."""
        (self.h / "d").mkdir()
        (self.h / "d/f").write_text("x")
        self.begin()
        self.node("d", "f")
        node = self.node("d", "f")
        self.client.open(node)
        state, _ = self.save()
        state.seek(0)
        good = state.read()
        head, root = 24 + 8 * 4 + 128, 37
        first = head + root
        second = first + 4 * 3 + 2 + 1 + 8 + 36 + 1 + len("d")
        handle = second + 4 * 3 + 2 + 1 + 8 + 36 + 1 + len("f")
        for what, at, value in (("root", first + 12, struct.pack("=H", 5)), ("parent is itself later", first + 8, good[second:second + 4]),
                                ("parent is nobody", second + 8, struct.pack("=I", 1 << 20)),
                                ("parent is made up", first + 8, struct.pack("=I", 1)),
                                ("index of a root", first, struct.pack("=I", 3)), ("index twice", second, good[first:first + 4]),
                                ("parent is a file", second + 8, good[second:second + 4]),
                                ("name with a slash", second - 1, b"/"), ("type", first + 14, b"\x03"),
                                ("handle of nobody", handle + 8, struct.pack("=I", 12345)),
                                ("handle of a directory", handle + 16, b"\1"), ("flags", handle + 12, struct.pack("=I", os.O_TRUNC)),
                                ("count of nodes", 28, struct.pack("=I", 3)), ("a content", 32, struct.pack("=I", 1)), ("huge count", 28, struct.pack("=I", 0xffffffff)),
                                ("count of handles", 36, struct.pack("=I", 0))):
            with self.subTest(what):
                bad = bytearray(good)
                bad[at:at + len(value)] = value
                bad[12:16] = struct.pack("=I", zlib.crc32(bytes(bad[24:])))
                self.refuses(bytes(bad))
        self.assertEqual(struct.unpack_from("=I", good, 12)[0], zlib.crc32(good[24:]))

    def test_garbage(self):
        """Whatever stands in the state, with a right checksum: sbx-fs refuses it, or serves and is well."""
        (self.h / "d").mkdir()
        (self.h / "d/f").write_text("x")
        self.begin()
        node = self.node("d", "f")
        handle = self.client.open(node, os.O_RDWR)
        self.assertEqual(self.client.call(f.SETLK, node, lock(handle, 1))[0], 0)
        self.client.start(f.SETLKW, node, lock(handle, 2))
        state, _ = self.save()
        state.seek(0)
        good = state.read()
        rng = random.Random(1)
        served = 0
        for _ in range(60):
            bad = bytearray(good)
            for _ in range(rng.randint(1, 4)):
                bad[rng.randrange(24, len(bad))] = rng.choice((0, 1, 0x7f, 0xff, rng.randrange(256)))
            bad[12:16] = struct.pack("=I", zlib.crc32(bytes(bad[24:])))
            with tempfile.TemporaryFile() as file:
                file.write(bad)
                file.flush()
                host = Host(self.roots, state=file)
                client = f.Client(host.sock, init=False)
                try:
                    client.alive()
                    served += 1
                except f.Ended:
                    self.assertEqual(host.process.wait(30), 1, host.lines())
                host.end()
        self.assertGreater(served, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
