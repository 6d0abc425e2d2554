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
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"no {what!r} in {timeout} s: {self.text[-3000:]!r}")
            try:
                part = os.read(self.fd, 65536)
            except OSError:
                part = b""
            if not part:
                raise AssertionError(f"ended without {what!r}: {self.text[-3000:]!r}")
            self.text += part
        return time.monotonic() - self.begun

    def type(self, data):
        os.write(self.fd, data)

    def close(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self.fd)
