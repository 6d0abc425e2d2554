#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_programs.py [unittest options]: programs on a mount of this kernel, by the guest's own relay, whose sbx-fs another one
replaces.

SBX_FS names the program, SBX_FS_HOLDER the relay. Skipped where this host does not allow a mount."""
import ast
import fcntl
import mmap
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import doorway  # noqa: E402
from pausing import Host  # noqa: E402

HOLDER = os.environ.get("SBX_FS_HOLDER", "build/tests/holder")


class Program:
    """A Python of its own."""

    LOOP = "import ast,fcntl,mmap,os,sys\nfor line in sys.stdin:\n kind, text = ast.literal_eval(line)\n" \
        " print(repr(eval(text) if kind == 'ask' else exec(text)), flush=True)"

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-c", self.LOOP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, text, kind="ask"):
        self.process.stdin.write(repr((kind, text)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, text
        return ast.literal_eval(answer)

    def do(self, text):
        self.ask(text, "do")

    def end(self):
        self.process.kill()
        self.process.communicate()


class Programs(unittest.TestCase):
    """The host's side of a file is in h, theirs in g."""

    def setUp(self):
        self.dir = doorway.scratch()
        self.addCleanup(doorway.remove, self.dir)
        self.h = self.dir / "root"
        self.h.mkdir()
        self.roots = ((self.h, False, "dir"),)
        self.host = Host(self.roots)
        self.addCleanup(lambda: self.host.end())
        where = pathlib.Path(tempfile.mkdtemp(prefix="sbx-mount-"))
        self.addCleanup(where.rmdir)
        self.commands, theirs = socket.socketpair()
        self.commands.settimeout(60)
        script = "import os,sys; a,b=(os.dup2(int(x),300+i) for i,x in enumerate(sys.argv[1:3])); " \
            "os.dup2(a,3,inheritable=True); os.dup2(b,4,inheritable=True); os.closerange(5,400); os.execv(sys.argv[3],sys.argv[3:])"
        door = self.host.sock
        holder = subprocess.Popen([sys.executable, "-c", script, str(door.fileno()), str(theirs.fileno()), HOLDER, str(where)],
                                  pass_fds=[door.fileno(), theirs.fileno()], stdout=subprocess.PIPE, text=True)
        theirs.close()
        door.close()
        self.addCleanup(holder.stdout.close)
        self.addCleanup(holder.wait, 20)
        self.addCleanup(subprocess.run, ["umount", "-l", str(where)], stderr=subprocess.DEVNULL)
        self.addCleanup(self.commands.close)
        if holder.stdout.readline() != "mounted\n":
            self.skipTest("no FUSE mount on this host")
        self.g = where / "0"
        # the session has begun
        os.stat(self.g)

    def command(self, text, *descriptors):
        socket.send_fds(self.commands, [text], descriptors)
        return self.commands.recv(1)

    def pause(self, change=None):
        self.assertEqual(self.command(b"h"), b"h")
        state, lost = self.host.save()
        self.host.end("kill")
        if change:
            change()
        self.host = Host(self.roots, state=state)
        self.assertEqual(self.command(b"g", self.host.sock.fileno()), b"g")
        self.host.sock.close()
        return lost

    def program(self):
        """A program that does what it is told, because this one must have nothing open there: it starts the other sbx-fs."""
        program = Program()
        self.addCleanup(program.end)
        return program

    def test_programs_notice_nothing(self):
        (self.h / "log").write_text("begin\n")
        (self.h / "dir").mkdir()
        for i in range(300):
            (self.h / f"dir/{i}").touch()
        p = self.program()
        p.do(f"os.chdir({str(self.g / 'dir')!r}); log = open('../log', 'a'); both = open('../new', 'w+'); both.write('half '); both.flush()")
        p.do("fcntl.lockf(both, fcntl.LOCK_EX); listing = os.scandir('.'); seen = [next(listing).name for _ in range(3)]")
        self.assertEqual(self.pause(), 0)
        p.do("log.write('end\\n'); log.close(); both.write('whole'); both.flush(); both.seek(0)")
        self.assertEqual(p.ask("both.read()"), "half whole")
        self.assertEqual((self.h / "log").read_text(), "begin\nend\n")
        with open(self.h / "new", "r+") as other, self.assertRaises(BlockingIOError):
            fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.assertEqual(sorted(p.ask("seen + [e.name for e in listing]"), key=int), [str(i) for i in range(300)])
        self.assertEqual(p.ask("os.getcwd()"), str(self.g / "dir"))
        self.assertEqual(len(p.ask("os.listdir()")), 300)
        p.do("open('made', 'w').write('in')")
        self.assertEqual((self.h / "dir/made").read_text(), "in")
        self.pause()
        p.do("os.unlink('made')")
        self.assertEqual(p.ask("os.getcwd()"), str(self.g / "dir"))
        self.assertFalse((self.h / "dir/made").exists())

    def test_asked_meanwhile(self):
        """Who asks while the door is held waits, and gets the answer of the other one."""
        (self.h / "f").write_text("old")
        programs = []

        def change():
            programs.extend(subprocess.Popen(["cat", str(self.g / "f")], stdout=subprocess.PIPE, text=True) for _ in range(8))
            (self.h / "f").write_text("new")

        self.pause(change)
        self.assertEqual([program.communicate(timeout=30)[0] for program in programs], ["new"] * 8)

    def test_held_and_not_saved(self):
        (self.h / "f").write_text("text")
        self.assertEqual(self.command(b"h"), b"h")
        self.assertEqual(self.command(b"r"), b"r")
        self.assertEqual((self.g / "f").read_text(), "text")

    def test_lock_that_is_waited_for(self):
        (self.h / "f").write_text("x")
        script = "import fcntl,sys; f=open(sys.argv[1],'r+'); print('asks', flush=True); fcntl.flock(f, fcntl.LOCK_EX); print('has it', flush=True)"
        with open(self.h / "f", "r+") as mine:
            fcntl.flock(mine, fcntl.LOCK_EX)
            program = subprocess.Popen([sys.executable, "-c", script, str(self.g / "f")], stdout=subprocess.PIPE, text=True)
            self.assertEqual(program.stdout.readline(), "asks\n")
            self.pause()
            self.pause()
            self.assertIsNone(program.poll())
        self.assertEqual(program.communicate(timeout=30)[0], "has it\n")
        self.assertEqual(program.returncode, 0)

    def test_mapped(self):
        """A program that has a file mapped sees what the host has made of it meanwhile."""
        page = mmap.PAGESIZE
        (self.h / "f").write_bytes(b"a" * page * 3)
        (self.h / "kept").write_bytes(b"k" * page)
        p = self.program()
        p.do(f"f = open({str(self.g / 'f')!r}, 'r+'); k = open({str(self.g / 'kept')!r})")
        p.do("m = mmap.mmap(f.fileno(), 3 * mmap.PAGESIZE); kept = mmap.mmap(k.fileno(), mmap.PAGESIZE, prot=mmap.PROT_READ)")
        self.assertEqual(p.ask("m[:1] + m[mmap.PAGESIZE:][:1] + kept[:1]"), b"aak")
        self.pause(lambda: (self.h / "f").write_bytes(b"b" * page * 3))
        for at in (0, page, 2 * page):
            # the notice goes before this answer, but its own way in the guest: soon, not at once
            for _ in range(2000):
                if p.ask(f"os.stat({str(self.g)!r}).st_ino and m[{at}]") == ord("b"):
                    break
            self.assertEqual(p.ask(f"m[{at}]"), ord("b"))
        self.assertEqual(p.ask("kept[:1]"), b"k")
        p.do("m[0] = ord('c'); m.flush()")
        self.assertEqual((self.h / "f").read_bytes()[:2], b"cb")
        self.assertEqual(self.host.report()["stale_handles"], 1)

    def test_checkout(self):
        """git status before, another branch on the host meanwhile, git status after."""
        if not shutil.which("git"):
            self.skipTest("no git")
        git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "safe.directory=*", "-c", "init.defaultBranch=one"]

        def run(where, *args):
            done = subprocess.run([*git, *args], cwd=where, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertEqual(done.returncode, 0, done.stdout)
            return done.stdout

        run(self.h, "init", "-q")
        for i in range(50):
            (self.h / f"d{i % 5}").mkdir(exist_ok=True)
            (self.h / f"d{i % 5}/f{i}").write_text(f"one {i}\n")
        run(self.h, "add", "-A")
        run(self.h, "commit", "-qm", "one")
        run(self.h, "checkout", "-qb", "two")
        shutil.rmtree(self.h / "d1")
        for i in range(0, 50, 5):
            (self.h / f"d0/f{i}").write_text(f"two and longer {i}\n")
        (self.h / "d1").write_text("a file now\n")
        run(self.h, "add", "-A")
        run(self.h, "commit", "-qm", "two")
        run(self.h, "checkout", "-q", "one")
        self.assertEqual(run(self.g, "status", "--porcelain"), "")
        self.pause(lambda: run(self.h, "checkout", "-q", "two"))
        self.assertEqual(run(self.g, "status", "--porcelain"), "")
        self.assertEqual(run(self.g, "branch", "--show-current"), "two\n")
        self.assertEqual((self.g / "d0/f5").read_text(), "two and longer 5\n")
        self.assertEqual((self.g / "d1").read_text(), "a file now\n")
        run(self.g, "checkout", "-q", "one")
        self.assertEqual((self.h / "d1/f1").read_text(), "one 1\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
