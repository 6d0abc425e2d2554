# SPDX-License-Identifier: Apache-2.0
"""pausing: one sbx-fs after another for the same session. SBX_FS names the program."""
import os
import re
import socket
import tempfile

import doorway

FS = os.environ.get("SBX_FS", "build/bin/sbx-fs")


class Host:
    """One sbx-fs with its sockets."""

    def __init__(self, roots, state=None, **more):
        ours, theirs = socket.socketpair()
        self.control, control = socket.socketpair()
        self.control.settimeout(30)
        self.log = tempfile.TemporaryFile("w+")
        more.setdefault("nonce", doorway.NONCE)
        self.process = doorway.start(FS, roots, theirs, control=control, state=state, stderr=self.log, **more)
        theirs.close()
        control.close()
        self.sock = ours

    def ask(self, request=b"save\n"):
        """(line, bytes)"""
        self.control.sendall(request)
        data = b""
        while b"\n" not in data:
            data += self.control.recv(65536)
        line, data = data.split(b"\n", 1)
        if not line.startswith(b"ok "):
            return line.decode(), data
        while len(data) < int(line.split()[1]):
            data += self.control.recv(1 << 20)
        return line.decode(), data

    def save(self):
        """(a file with the state, how many open files will be lost)"""
        line, data = self.ask()
        assert line.startswith("ok "), line
        assert len(data) == int(line.split()[1])
        state = tempfile.TemporaryFile()
        state.write(data)
        state.flush()
        return state, int(line.split()[2])

    def lines(self):
        self.log.seek(0)
        return self.log.read().splitlines()

    def report(self):
        line = next(x for x in self.lines() if "event=restored" in x)
        return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}

    def end(self, how="close"):
        """how: close (it must end in order), kill, or gone (it was killed before)"""
        if how == "kill":
            self.process.kill()
            self.process.wait()
        self.sock.close()
        self.control.close()
        self.log.close()
        if how == "close":
            doorway.finish(self.process)
