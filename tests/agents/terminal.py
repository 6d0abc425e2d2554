# SPDX-License-Identifier: Apache-2.0
"""A program in a terminal of its own, and when it has written what."""
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time


class Terminal:
    def __init__(self, argv, rows=40, columns=120, **how):
        self.begun = time.monotonic()
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.fd, self.text = ours, b""
        self.process = subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), **how)
        os.close(theirs)

    def wait(self, what, timeout):
        """Until what it wrote holds the bytes; the seconds since its start."""
        end = time.monotonic() + timeout
        while what not in self.text:
            left = end - time.monotonic()
            if left <= 0 or not self.read(left):
                raise AssertionError(f"no {what!r} in {timeout} s: {self.text[-3000:]!r}")
        return time.monotonic() - self.begun

    def until(self, true, timeout):
        """While it writes on; true() is asked at least four times a second."""
        end = time.monotonic() + timeout
        while not (value := true()):
            if time.monotonic() > end:
                raise AssertionError(f"not in {timeout} s: {self.text[-3000:]!r}")
            self.read(0.25)
        return value

    def read(self, timeout):
        """Whether it wrote something."""
        if not select.select([self.fd], [], [], timeout)[0]:
            return False
        try:
            part = os.read(self.fd, 65536)
        except OSError:
            part = b""
        if not part:
            raise AssertionError(f"ended: {self.text[-3000:]!r}")
        self.text += part
        return True

    def type(self, data):
        os.write(self.fd, data)

    def type_new(self, data):
        """What it wrote before is forgotten."""
        self.text = b""
        self.type(data)

    def close(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self.fd)
