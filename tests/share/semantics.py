#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""semantics.py DIR [unittest options]: what a program may expect of a workspace.

Runs in a new directory below DIR and removes it: inside of a guest on the real mount, or on the host on a mount that
stands in for it. On an ordinary file system it passes too, but for what SBX_DOOR=1 adds (ownership, set-id bits,
attributes that do not go through)."""
import ctypes
import errno
import fcntl
import hashlib
import mmap
import multiprocessing
import os
import pathlib
import random
import shutil
import signal
import socket
import sqlite3
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest

BASE = None
DOOR = os.environ.get("SBX_DOOR") == "1"
ENTRIES = int(os.environ.get("SBX_ENTRIES", "100000"))
LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, NOREPLACE, EXCHANGE = -100, 1, 2
FORK = multiprocessing.get_context("fork")


def rename2(a, b, flags):
    if LIBC.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), flags) < 0:
        raise OSError(ctypes.get_errno(), "renameat2")


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="t", dir=BASE))

    def tearDown(self):
        shutil.rmtree(self.dir)

    def fails(self, number, call, *args, **kwargs):
        numbers = number if isinstance(number, tuple) else (number,)
        with self.assertRaises(OSError) as caught:
            call(*args, **kwargs)
        self.assertIn(caught.exception.errno, numbers, caught.exception)

    def child(self, call, *args):
        """Runs call(conn, *args) in a process; returns it and our end of a pipe to it."""
        ours, theirs = FORK.Pipe()

        def main():
            ours.close()
            call(theirs, *args)

        process = FORK.Process(target=main)
        process.start()
        theirs.close()
        self.addCleanup(process.join, 10)
        self.addCleanup(process.kill)
        return process, ours

    def got(self, conn, seconds=20):
        self.assertTrue(conn.poll(seconds), "no answer in time")
        return conn.recv()


class Names(Case):
    def test_symlinks_are_data(self):
        for i, target in enumerate(["/etc/passwd", "../../../../../etc/shadow", "nowhere", "/", "a" * 4000, "b\xff"]):
            link = self.dir / f"l{i}"
            os.symlink(target.encode("latin-1"), link)
            self.assertEqual(os.readlink(os.fsencode(link)), target.encode("latin-1"))
            self.assertTrue(stat.S_ISLNK(os.lstat(link).st_mode))
            self.assertEqual(os.lstat(link).st_size, len(target))
        os.symlink("self", self.dir / "self")
        self.fails(errno.ELOOP, open, self.dir / "self")
        self.fails(errno.ENOENT, open, self.dir / "l2")
        (self.dir / "real").write_text("x")
        os.symlink("real", self.dir / "good")
        self.assertEqual((self.dir / "good").read_text(), "x")
        self.fails(errno.ELOOP, os.open, self.dir / "good", os.O_RDONLY | os.O_NOFOLLOW)
        os.link(self.dir / "good", self.dir / "hard", follow_symlinks=False)
        self.assertEqual(os.readlink(self.dir / "hard"), "real")

    def test_rename(self):
        a, b = self.dir / "a", self.dir / "b"
        a.write_text("A")
        b.write_text("B")
        held = open(b)
        os.rename(a, b)
        self.assertEqual(b.read_text(), "A")
        self.assertEqual(held.read(), "B")
        held.close()
        self.assertFalse(a.exists())
        a.write_text("A2")
        self.fails(errno.EEXIST, rename2, a, b, NOREPLACE)
        rename2(a, b, EXCHANGE)
        self.assertEqual((a.read_text(), b.read_text()), ("A", "A2"))
        rename2(a, self.dir / "c", NOREPLACE)
        self.assertEqual((self.dir / "c").read_text(), "A")
        self.fails(errno.ENOENT, os.rename, a, b)

    def test_rename_directories(self):
        (self.dir / "d/e/f").mkdir(parents=True)
        (self.dir / "d/e/f/x").write_text("x")
        inner = os.open(self.dir / "d/e", os.O_RDONLY)
        self.fails(errno.EINVAL, os.rename, self.dir / "d", self.dir / "d/e/g")
        os.rename(self.dir / "d", self.dir / "n")
        self.assertEqual((self.dir / "n/e/f/x").read_text(), "x")
        self.assertEqual(os.listdir(inner), ["f"])
        os.close(inner)
        (self.dir / "o/p").mkdir(parents=True)
        self.fails((errno.ENOTEMPTY, errno.EEXIST), os.rename, self.dir / "n", self.dir / "o")
        self.fails((errno.ENOTEMPTY, errno.EEXIST), os.rmdir, self.dir / "o")
        rename2(self.dir / "n", self.dir / "o", EXCHANGE)
        self.assertEqual(os.listdir(self.dir / "n"), ["p"])
        self.assertEqual((self.dir / "o/e/f/x").read_text(), "x")
        os.rename(self.dir / "o/e", self.dir / "n/p/e")
        os.rename(self.dir / "n/p/e/f", self.dir / "f")
        self.assertEqual((self.dir / "f/x").read_text(), "x")

    def test_unlink_while_open(self):
        path = self.dir / "x"
        with open(path, "w+b") as f:
            f.write(b"before")
            f.flush()
            os.unlink(path)
            self.assertFalse(path.exists())
            self.assertEqual(os.fstat(f.fileno()).st_nlink, 0)
            f.write(b" after")
            f.flush()
            f.seek(0)
            self.assertEqual(f.read(), b"before after")
            path.write_text("another")
            os.ftruncate(f.fileno(), 3)
            self.assertEqual(os.pread(f.fileno(), 10, 0), b"bef")
            os.fchmod(f.fileno(), 0o600)
        self.assertEqual(path.read_text(), "another")

    def test_many_unlinked_while_open(self):
        files = []
        for i in range(300):
            f = open(self.dir / "same", "x+")
            os.unlink(self.dir / "same")
            f.write(str(i))
            f.flush()
            files.append(f)
        for i, f in enumerate(files):
            f.seek(0)
            self.assertEqual(f.read(), str(i))
            f.close()

    def test_removed_working_directory(self):
        os.mkdir(self.dir / "d")
        here = os.open(".", os.O_RDONLY)
        try:
            os.chdir(self.dir / "d")
            os.rmdir(self.dir / "d")
            self.fails(errno.ENOENT, open, "x", "w")
            self.assertEqual(os.listdir("."), [])
        finally:
            os.fchdir(here)
            os.close(here)

    def test_hard_links(self):
        a, b = self.dir / "a", self.dir / "sub"
        os.mkdir(b)
        b = b / "b"
        a.write_text("1")
        os.link(a, b)
        self.assertEqual(os.stat(a).st_ino, os.stat(b).st_ino)
        self.assertEqual(os.stat(a).st_nlink, 2)
        with open(b, "a") as f:
            f.write("2")
        self.assertEqual(a.read_text(), "12")
        os.unlink(a)
        self.assertEqual(os.stat(b).st_nlink, 1)
        self.assertEqual(b.read_text(), "12")
        os.rename(b, a)
        self.assertEqual(a.read_text(), "12")
        self.fails(errno.EPERM, os.link, self.dir / "sub", self.dir / "dirlink")

    def test_bytes_in_names(self):
        names = [b"\xff\xfe", b"new\nline", b"quote'\"`$", b"\x01\x7f", b"x" * 255, "ü漢🦀".encode(), b"-rf", b" ", b"a\\b", b"..."]
        base = os.fsencode(self.dir)
        for name in names:
            with open(base + b"/" + name, "wb") as f:
                f.write(name)
        self.assertEqual(sorted(os.listdir(base)), sorted(names))
        for name in names:
            with open(base + b"/" + name, "rb") as f:
                self.assertEqual(f.read(), name)
        self.fails(errno.ENAMETOOLONG, open, base + b"/" + b"y" * 256, "wb")
        self.fails(errno.ENAMETOOLONG, os.stat, base + b"/" + b"y" * 300)

    def test_deep(self):
        here = os.open(self.dir, os.O_RDONLY)
        for _ in range(300):
            os.mkdir("d" * 40, dir_fd=here)
            inner = os.open("d" * 40, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
        fd = os.open("leaf", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=here)
        os.write(fd, b"deep")
        os.close(fd)
        self.assertEqual(os.stat("leaf", dir_fd=here).st_size, 4)
        os.close(here)

    def test_exclusive_and_kinds(self):
        path = self.dir / "x"
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        self.fails(errno.EEXIST, os.open, path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR))
        self.fails(errno.ENOTDIR, os.open, path, os.O_RDONLY | os.O_DIRECTORY)
        self.fails(errno.ENOTDIR, os.stat, path / "y")
        self.fails(errno.EISDIR, os.open, self.dir, os.O_WRONLY)
        self.fails(errno.EISDIR, os.unlink, self.dir)
        self.fails(errno.ENOTDIR, os.rmdir, path)
        self.fails(errno.EEXIST, os.mkdir, self.dir)


class Content(Case):
    def test_random_writes(self):
        rng = random.Random(7)
        want = bytearray()
        with open(self.dir / "x", "w+b", buffering=0) as f:
            for _ in range(400):
                at = rng.randrange(0, 6 << 20)
                data = rng.randbytes(rng.choice([1, 100, 4096, 5000, 70000, 1 << 20]))
                if len(want) < at + len(data):
                    want.extend(bytes(at + len(data) - len(want)))
                want[at:at + len(data)] = data
                self.assertEqual(os.pwrite(f.fileno(), data, at), len(data))
            self.assertEqual(os.fstat(f.fileno()).st_size, len(want))
        digest = hashlib.sha256((self.dir / "x").read_bytes()).digest()
        self.assertEqual(digest, hashlib.sha256(want).digest())

    def test_append_from_two(self):
        path = self.dir / "log"

        def writer(conn, who):
            with open(path, "ab", buffering=0) as f:
                for i in range(1000):
                    f.write(f"{who}{i:05}\n".encode())
            conn.send("done")

        writers = [self.child(writer, who) for who in "ab"]
        for _, conn in writers:
            self.assertEqual(self.got(conn, 60), "done")
        lines = path.read_text().split()
        self.assertEqual(len(lines), 2000)
        for who in "ab":
            self.assertEqual([x for x in lines if x[0] == who], [f"{who}{i:05}" for i in range(1000)])

    def test_truncate(self):
        path = self.dir / "x"
        path.write_bytes(b"abcdef" * 1000)
        os.truncate(path, 3)
        self.assertEqual(path.read_bytes(), b"abc")
        os.truncate(path, 6)
        self.assertEqual(path.read_bytes(), b"abc\0\0\0")
        with open(path, "r+b") as f:
            os.ftruncate(f.fileno(), 0)
            self.assertEqual(os.fstat(f.fileno()).st_size, 0)
            f.write(b"new")
        with open(path, "wb"):
            self.assertEqual(os.stat(path).st_size, 0)
        fd = os.open(self.dir / "ro", os.O_CREAT | os.O_RDWR, 0o444)
        os.write(fd, b"12345")
        os.ftruncate(fd, 2)
        os.close(fd)
        self.assertEqual((self.dir / "ro").read_bytes(), b"12")

    def test_mmap(self):
        path = self.dir / "x"
        path.write_bytes(bytes(64 << 10))
        with open(path, "r+b") as f, open(path, "rb") as g:
            with mmap.mmap(f.fileno(), 0) as m, mmap.mmap(g.fileno(), 0, prot=mmap.PROT_READ) as n:
                m[5000:5005] = b"hello"
                self.assertEqual(n[5000:5005], b"hello")
                self.assertEqual(os.pread(g.fileno(), 5, 5000), b"hello")
                os.pwrite(f.fileno(), b"WORLD", 9000)
                self.assertEqual(m[9000:9005], b"WORLD")
                m.flush()
                os.unlink(path)
                m[0:3] = b"end"
                self.assertEqual(n[0:3], b"end")

    def test_mmap_beside_append(self):
        path = self.dir / "x"
        path.write_bytes(b"." * 4096)
        with open(path, "r+b") as f, open(path, "ab", buffering=0) as log:
            with mmap.mmap(f.fileno(), 0) as m:
                for i in range(50):
                    m[i:i + 1] = b"X"
                    log.write(b"line")
                m.flush()
        data = path.read_bytes()
        self.assertEqual(data[:51], b"X" * 50 + b".")
        self.assertEqual(data[4096:], b"line" * 50)

    def test_sync(self):
        with open(self.dir / "x", "wb") as f:
            f.write(b"x" * 100000)
            f.flush()
            os.fsync(f.fileno())
            os.fdatasync(f.fileno())
        fd = os.open(self.dir, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        fd = os.open(self.dir / "s", os.O_CREAT | os.O_WRONLY | os.O_SYNC, 0o644)
        os.write(fd, b"sync")
        os.close(fd)

    def test_sparse(self):
        path = self.dir / "x"
        size = 5 << 30
        with open(path, "w+b", buffering=0) as f:
            os.ftruncate(f.fileno(), size)
            f.seek(size - 6)
            f.write(b"at end")
            f.seek(4500 << 20)
            f.write(b"middle")
            os.fsync(f.fileno())
            self.assertEqual(os.fstat(f.fileno()).st_size, size)
            self.assertLess(os.fstat(f.fileno()).st_blocks * 512, 1 << 20)
            self.assertEqual(os.lseek(f.fileno(), 0, os.SEEK_DATA), 4500 << 20)
            hole = os.lseek(f.fileno(), 4500 << 20, os.SEEK_HOLE)
            self.assertTrue((4500 << 20) < hole < size)
            self.assertEqual(os.pread(f.fileno(), 6, 4500 << 20), b"middle")
            self.assertEqual(os.pread(f.fileno(), 10, size - 6), b"at end")
            self.assertEqual(os.pread(f.fileno(), 4, 1 << 32), bytes(4))

    def test_fallocate(self):
        path = self.dir / "x"
        with open(path, "w+b", buffering=0) as f:
            os.posix_fallocate(f.fileno(), 0, 1 << 20)
            self.assertEqual(os.fstat(f.fileno()).st_size, 1 << 20)
            f.write(b"z" * (1 << 20))
            call = LIBC.fallocate(f.fileno(), 3, ctypes.c_long(65536), ctypes.c_long(65536))
            if call < 0 and ctypes.get_errno() == errno.EOPNOTSUPP:
                self.skipTest("no holes here")
            self.assertEqual(call, 0)
            self.assertEqual(os.pread(f.fileno(), 4, 65536), bytes(4))
            self.assertEqual(os.pread(f.fileno(), 4, 131072), b"zzzz")

    def test_copy_file_range(self):
        data = random.Random(1).randbytes(3 << 20)
        (self.dir / "a").write_bytes(data)
        with open(self.dir / "a", "rb") as a, open(self.dir / "b", "wb") as b:
            left = len(data)
            while left:
                n = os.copy_file_range(a.fileno(), b.fileno(), left)
                self.assertGreater(n, 0)
                left -= n
        self.assertEqual((self.dir / "b").read_bytes(), data)


class Attributes(Case):
    def test_modes(self):
        old = os.umask(0o027)
        try:
            os.close(os.open(self.dir / "f", os.O_CREAT | os.O_WRONLY, 0o666))
            os.mkdir(self.dir / "d", 0o777)
            os.mkfifo(self.dir / "p", 0o666)
        finally:
            os.umask(old)
        modes = [stat.S_IMODE(os.lstat(self.dir / n).st_mode) for n in "fdp"]
        self.assertEqual(modes, [0o640, 0o750, 0o640])
        for mode in (0o755, 0o600, 0o444, 0o777):
            os.chmod(self.dir / "f", mode)
            self.assertEqual(stat.S_IMODE(os.stat(self.dir / "f").st_mode), mode)
        os.chmod(self.dir / "d", 0o1777)
        self.assertEqual(stat.S_IMODE(os.stat(self.dir / "d").st_mode), 0o1777)

    @unittest.skipUnless(DOOR, "only where the file door serves")
    def test_set_id_bits_are_masked(self):
        os.close(os.open(self.dir / "f", os.O_CREAT | os.O_WRONLY, 0o6755))
        self.assertEqual(stat.S_IMODE(os.stat(self.dir / "f").st_mode), 0o755)
        os.chmod(self.dir / "f", 0o6755)
        self.assertEqual(stat.S_IMODE(os.stat(self.dir / "f").st_mode), 0o755)

    @unittest.skipUnless(DOOR, "only where the file door serves")
    def test_owners(self):
        (self.dir / "f").write_text("x")
        os.mkdir(self.dir / "d")
        os.symlink("f", self.dir / "l")
        for name in "fdl":
            st = os.lstat(self.dir / name)
            self.assertEqual((st.st_uid, st.st_gid), (1000, 1000))
            os.chown(self.dir / name, 1000, 1000, follow_symlinks=False)
            os.chown(self.dir / name, -1, 1000, follow_symlinks=False)
        if os.geteuid() == 0:
            os.chown(self.dir / "f", 0, 0)
            self.fails(errno.EPERM, os.chown, self.dir / "f", 33, -1)
            self.fails(errno.EPERM, os.chown, self.dir / "f", -1, 5)
        self.assertEqual(os.stat(self.dir / "f").st_uid, 1000)

    def test_times(self):
        path = self.dir / "f"
        path.write_text("x")
        os.utime(path, ns=(1_000_000_000_123_456_789, 1_200_000_000_987_654_321))
        st = os.stat(path)
        self.assertEqual((st.st_atime_ns, st.st_mtime_ns), (1_000_000_000_123_456_789, 1_200_000_000_987_654_321))
        before = time.time() - 5
        os.utime(path)
        self.assertGreater(os.stat(path).st_mtime, before)
        os.symlink("f", self.dir / "l")
        os.utime(self.dir / "l", ns=(5, 7), follow_symlinks=False)
        self.assertEqual(os.lstat(self.dir / "l").st_mtime_ns, 7)
        os.utime(self.dir, ns=(1, 2))
        self.assertEqual(os.stat(self.dir).st_mtime_ns, 2)
        mtime = os.stat(path).st_mtime_ns
        time.sleep(0.02)
        path.write_text("y")
        self.assertGreater(os.stat(path).st_mtime_ns, mtime)

    def test_xattrs(self):
        path = self.dir / "f"
        path.write_text("x")
        try:
            os.setxattr(path, "user.one", b"1")
        except OSError as e:
            self.assertEqual(e.errno, errno.EOPNOTSUPP)
            self.skipTest("no attributes here")
        os.setxattr(path, "user.two", b"\0\xff" * 100)
        os.setxattr(path, "user.empty", b"")
        self.assertEqual(os.getxattr(path, "user.two"), b"\0\xff" * 100)
        self.assertEqual(os.getxattr(path, "user.empty"), b"")
        self.assertEqual({n for n in os.listxattr(path) if n.startswith("user.")}, {"user.one", "user.two", "user.empty"})
        self.fails(errno.EEXIST, os.setxattr, path, "user.one", b"2", os.XATTR_CREATE)
        os.setxattr(path, "user.one", b"22", os.XATTR_REPLACE)
        self.assertEqual(os.getxattr(path, "user.one"), b"22")
        os.removexattr(path, "user.one")
        self.fails(errno.ENODATA, os.getxattr, path, "user.one")
        os.setxattr(self.dir, "user.dir", b"d")
        self.assertEqual(os.getxattr(self.dir, "user.dir"), b"d")

    @unittest.skipUnless(DOOR, "only where the file door serves")
    def test_foreign_xattrs(self):
        (self.dir / "f").write_text("x")
        for name in ("security.capability", "security.x", "trusted.x", "system.posix_acl_access"):
            self.fails((errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL), os.setxattr, self.dir / "f", name, b"1")

    def test_special_files(self):
        os.mkfifo(self.dir / "p")

        def writer(conn):
            with open(self.dir / "p", "w") as f:
                f.write("through")
            conn.send("done")

        _, conn = self.child(writer)
        with open(self.dir / "p") as f:
            self.assertEqual(f.read(), "through")
        self.got(conn)
        here = os.open(".", os.O_RDONLY)
        os.chdir(self.dir)
        try:
            with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
                server.bind("s")
                server.listen(1)
                client.connect("s")
        finally:
            os.fchdir(here)
            os.close(here)
        self.assertTrue(stat.S_ISSOCK(os.stat(self.dir / "s").st_mode))
        if DOOR or os.geteuid() != 0:
            self.fails(errno.EPERM, os.mknod, self.dir / "dev", stat.S_IFCHR | 0o666, os.makedev(1, 3))

    def test_statfs_and_access(self):
        st = os.statvfs(self.dir)
        self.assertGreater(st.f_blocks, 0)
        self.assertEqual(st.f_namemax, 255)
        self.assertTrue(os.access(self.dir, os.R_OK | os.W_OK | os.X_OK))


class Listings(Case):
    def test_many_entries(self):
        os.mkdir(self.dir / "d")
        fd = os.open(self.dir / "d", os.O_RDONLY)
        for i in range(ENTRIES):
            if i % 2:
                os.symlink("x", f"entry-{i:06}", dir_fd=fd)
            else:
                os.close(os.open(f"entry-{i:06}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=fd))
        want = {f"entry-{i:06}" for i in range(ENTRIES)}
        with os.scandir(self.dir / "d") as entries:
            kinds = {e.name: e.is_symlink() for e in entries}
        self.assertEqual(set(kinds), want)
        self.assertTrue(all(kinds[n] == bool(int(n[-6:]) % 2) for n in want))
        for i in range(0, ENTRIES, 2):
            os.unlink(f"entry-{i:06}", dir_fd=fd)
        os.close(fd)
        names = os.listdir(self.dir / "d")
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(set(names), {n for n in want if int(n[-6:]) % 2})

    def test_removing_while_listing(self):
        for i in range(3000):
            (self.dir / f"f{i}").touch()
        seen = []
        with os.scandir(self.dir) as entries:
            for e in entries:
                seen.append(e.name)
                os.unlink(e.path)
        self.assertEqual(len(seen), 3000)
        self.assertEqual(os.listdir(self.dir), [])

    def test_seek(self):
        for i in range(500):
            (self.dir / f"f{i}").touch()
        libc = LIBC
        libc.opendir.restype = libc.readdir.restype = ctypes.c_void_p
        libc.telldir.restype = ctypes.c_long
        libc.opendir.argtypes = [ctypes.c_char_p]
        for f in (libc.readdir, libc.telldir, libc.rewinddir, libc.closedir):
            f.argtypes = [ctypes.c_void_p]
        libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
        d = libc.opendir(os.fsencode(self.dir))
        name = lambda p: ctypes.string_at(p + 19)
        trail = []
        while True:
            at = libc.telldir(d)
            p = libc.readdir(d)
            if not p:
                break
            trail.append((at, name(p)))
        self.assertEqual(len(trail), 502)
        for at, want in random.Random(3).sample(trail, 60):
            libc.seekdir(d, at)
            self.assertEqual(name(libc.readdir(d)), want)
        libc.rewinddir(d)
        self.assertEqual(name(libc.readdir(d)), trail[0][1])
        libc.closedir(d)


def flock_range(kind, start=0, length=0):
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)


class Locks(Case):
    def setUp(self):
        super().setUp()
        self.path = self.dir / "lock"
        self.path.write_bytes(bytes(100))

    def holder(self, conn, take):
        with open(self.path, "r+b") as f:
            take(f)
            conn.send("held")
            if conn.recv() == "close":
                f.close()
                conn.send("closed")
                conn.recv()

    def test_flock(self):
        process, conn = self.child(self.holder, lambda f: fcntl.flock(f, fcntl.LOCK_EX))
        self.got(conn)
        with open(self.path) as f:
            self.fails(errno.EWOULDBLOCK, fcntl.flock, f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.fails(errno.EWOULDBLOCK, fcntl.flock, f, fcntl.LOCK_SH | fcntl.LOCK_NB)
            conn.send("close")
            self.got(conn)
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(f, fcntl.LOCK_UN)
        conn.send("end")

    def test_flock_shared(self):
        process, conn = self.child(self.holder, lambda f: fcntl.flock(f, fcntl.LOCK_SH))
        self.got(conn)
        with open(self.path) as f:
            fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
            self.fails(errno.EWOULDBLOCK, fcntl.flock, f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        conn.send("end")

    def wait_then_get(self, take_there, take_here):
        """A lock that is waited for comes when the other process dies, soon."""
        process, conn = self.child(self.holder, take_there)
        self.got(conn)

        def waiter(c):
            with open(self.path, "r+b") as f:
                c.send("waiting")
                take_here(f)
                c.send("got it")

        _, other = self.child(waiter)
        self.got(other)
        self.assertFalse(other.poll(0.3))
        (self.dir / "still-served").write_text("others are served meanwhile")
        process.kill()
        self.assertEqual(self.got(other, 5), "got it")

    def test_flock_waits(self):
        self.wait_then_get(lambda f: fcntl.flock(f, fcntl.LOCK_EX), lambda f: fcntl.flock(f, fcntl.LOCK_EX))

    def test_fcntl_waits(self):
        take = lambda f: fcntl.lockf(f, fcntl.LOCK_EX, 10, 5)
        self.wait_then_get(take, take)

    def interrupted(self, take):
        process, conn = self.child(self.holder, take)
        self.got(conn)

        def waiter(c):
            class Alarm(Exception):
                pass

            def on_alarm(*_):
                raise Alarm

            signal.signal(signal.SIGALRM, on_alarm)
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            try:
                with open(self.path, "r+b") as f:
                    take(f)
                c.send("got it")
            except Alarm:
                c.send("interrupted")

        _, other = self.child(waiter)
        self.assertEqual(self.got(other, 5), "interrupted")

        def stuck(c):
            with open(self.path, "r+b") as f:
                c.send("waiting")
                take(f)

        victim, other = self.child(stuck)
        self.got(other)
        time.sleep(0.1)
        victim.kill()
        victim.join(5)
        self.assertIsNotNone(victim.exitcode, "a process that waits for a lock cannot be killed")
        conn.send("end")

    def test_flock_interrupted(self):
        self.interrupted(lambda f: fcntl.flock(f, fcntl.LOCK_EX))

    def test_fcntl_interrupted(self):
        self.interrupted(lambda f: fcntl.lockf(f, fcntl.LOCK_EX))

    def test_fcntl_ranges(self):
        process, conn = self.child(self.holder, lambda f: fcntl.lockf(f, fcntl.LOCK_EX, 10, 20))
        self.got(conn)
        with open(self.path, "r+b") as f:
            self.fails((errno.EAGAIN, errno.EACCES), fcntl.lockf, f, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 25)
            self.fails((errno.EAGAIN, errno.EACCES), fcntl.lockf, f, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 20, 0)
            fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 0, 30)
            answer = struct.unpack("hhqqi4x", fcntl.fcntl(f, fcntl.F_GETLK, flock_range(fcntl.F_RDLCK, 0, 100)))
            self.assertEqual((answer[0], answer[2], answer[3]), (fcntl.F_WRLCK, 20, 10))
            self.assertEqual(answer[4], process.pid)
            answer = struct.unpack("hhqqi4x", fcntl.fcntl(f, fcntl.F_GETLK, flock_range(fcntl.F_WRLCK, 30, 0)))
            self.assertEqual(answer[0], fcntl.F_UNLCK)
            conn.send("close")
            self.got(conn)
            fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        conn.send("end")

    def test_fcntl_change_and_close(self):
        with open(self.path, "r+b") as f, open(self.path, "rb") as g:
            fcntl.lockf(g, fcntl.LOCK_SH, 10)
            fcntl.lockf(f, fcntl.LOCK_EX, 10)
            fcntl.lockf(f, fcntl.LOCK_SH, 10)

            def other(conn):
                with open(self.path, "r+b") as h:
                    fcntl.lockf(h, fcntl.LOCK_SH | fcntl.LOCK_NB, 10)
                    try:
                        fcntl.lockf(h, fcntl.LOCK_EX | fcntl.LOCK_NB, 10)
                        conn.send("got it")
                    except OSError as e:
                        conn.send(e.errno)
                    conn.recv()
                    fcntl.lockf(h, fcntl.LOCK_EX | fcntl.LOCK_NB, 10)
                    conn.send("got it")

            _, conn = self.child(other)
            self.assertIn(self.got(conn), (errno.EAGAIN, errno.EACCES))
            open(self.path).close()  # any close of the file by this process ends its locks
            conn.send("again")
            self.assertEqual(self.got(conn), "got it")

    def test_sqlite(self):
        path = self.dir / "db"
        with sqlite3.connect(path) as db:
            db.execute("create table t (n integer)")
            db.execute("insert into t values (0)")
        db.close()

        def counter(conn):
            db = sqlite3.connect(path, timeout=60, isolation_level=None)
            for _ in range(50):
                db.execute("begin immediate")
                db.execute("update t set n = n + 1")
                db.execute("commit")
            conn.send("done")

        for _, conn in [self.child(counter) for _ in range(3)]:
            self.assertEqual(self.got(conn, 120), "done")
        db = sqlite3.connect(path)
        self.assertEqual(db.execute("select n from t").fetchone(), (150,))
        db.close()


class Together(Case):
    def test_many_at_once(self):
        def worker(conn, n):
            rng = random.Random(n)
            base = self.dir / f"w{n}"
            base.mkdir()
            files = {}
            for i in range(400):
                choice = rng.random()
                if choice < 0.5 or not files:
                    name = f"f{i}"
                    data = rng.randbytes(rng.randrange(20000))
                    (base / name).write_bytes(data)
                    files[name] = data
                elif choice < 0.7:
                    name = rng.choice(list(files))
                    os.rename(base / name, base / f"r{i}")
                    files[f"r{i}"] = files.pop(name)
                elif choice < 0.85:
                    name = rng.choice(list(files))
                    os.unlink(base / name)
                    del files[name]
                else:
                    name = rng.choice(list(files))
                    assert (base / name).read_bytes() == files[name], name
            assert sorted(os.listdir(base)) == sorted(files)
            for name, data in files.items():
                assert (base / name).read_bytes() == data, name
            conn.send("done")

        for _, conn in [self.child(worker, n) for n in range(6)]:
            self.assertEqual(self.got(conn, 120), "done")

    @unittest.skipUnless(shutil.which("git"), "no git here")
    def test_git(self):
        env = {**os.environ, "HOME": str(self.dir), "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b",
               "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
        (self.dir / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
        git = lambda *args, cwd: subprocess.run(["git", *args], cwd=cwd, env=env, check=True, capture_output=True, text=True).stdout
        repo = self.dir / "repo"
        repo.mkdir()
        git("init", "-q", "-b", "main", cwd=repo)
        for i in range(200):
            (repo / f"dir{i % 10}").mkdir(exist_ok=True)
            (repo / f"dir{i % 10}/file{i}").write_text(f"content {i}\n" * 50)
        git("add", "-A", cwd=repo)
        git("commit", "-q", "-m", "one", cwd=repo)
        git("checkout", "-q", "-b", "other", cwd=repo)
        shutil.rmtree(repo / "dir3")
        (repo / "dir4/file4").write_text("changed")
        git("commit", "-q", "-am", "two", cwd=repo)
        git("checkout", "-q", "main", cwd=repo)
        self.assertEqual(git("status", "--porcelain", cwd=repo), "")
        git("gc", "-q", cwd=repo)
        git("fsck", "--strict", cwd=repo)
        git("clone", "-q", str(repo), str(self.dir / "clone"), cwd=self.dir)
        self.assertEqual(git("rev-parse", "HEAD", cwd=self.dir / "clone"), git("rev-parse", "HEAD", cwd=repo))
        git("worktree", "add", "-q", str(self.dir / "tree"), "other", cwd=repo)
        self.assertEqual((self.dir / "tree/dir4/file4").read_text(), "changed")


if __name__ == "__main__":
    if len(sys.argv) < 2 or not os.path.isdir(sys.argv[1]):
        sys.exit(__doc__)
    BASE = sys.argv.pop(1)
    unittest.main(verbosity=2 if sys.stderr.isatty() else 1)
