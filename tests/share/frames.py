# SPDX-License-Identifier: Apache-2.0
"""frames: a FUSE kernel in a few lines, for messages that no kernel would send."""
import errno
import os
import struct

(LOOKUP, FORGET, GETATTR, SETATTR, READLINK, SYMLINK, MKNOD, MKDIR, UNLINK, RMDIR, RENAME, LINK, OPEN, READ, WRITE,
 STATFS, RELEASE, FSYNC, SETXATTR, GETXATTR, LISTXATTR, REMOVEXATTR, FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR,
 FSYNCDIR, GETLK, SETLK, SETLKW, ACCESS, CREATE, INTERRUPT, BMAP, DESTROY, IOCTL, POLL, NOTIFY_REPLY, BATCH_FORGET,
 FALLOCATE, READDIRPLUS, RENAME2, LSEEK, COPY_FILE_RANGE) = (
    1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33,
    34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47)
ROOT = 1
ALL_FLAGS = 0x3fffffff


class Ended(Exception):
    """The server closed the door."""


def frame(opcode, nodeid=0, body=b"", unique=2, length=None, ext=0):
    length = 40 + len(body) if length is None else length
    return struct.pack("=IIQQIIIHH", length, opcode, unique, nodeid, 1000, 1000, 1, ext, 0) + body


def init_body(minor=41, flags=ALL_FLAGS | 1 << 30, major=7):
    return struct.pack("=IIIII44x", major, minor, 1 << 17, flags, 0xffffffff)


def name(text):
    return (text if isinstance(text, bytes) else text.encode()) + b"\0"


class Client:
    def __init__(self, sock, init=True):
        self.sock = sock
        self.sock.settimeout(20)
        self.unique = 100
        self.buffer = b""
        if init:
            error, body = self.call(INIT, 0, init_body())
            assert error == 0, error
            self.init = struct.unpack_from("=IIIIHHIIHHI", body)

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            raise Ended from None

    def receive(self):
        """(unique, -error, body) of the next answer."""
        while len(self.buffer) < 4 or len(self.buffer) < struct.unpack_from("=I", self.buffer)[0]:
            try:
                data = self.sock.recv(1 << 20)
            except ConnectionResetError:
                raise Ended from None
            if not data:
                raise Ended
            self.buffer += data
        length, error, unique = struct.unpack_from("=IiQ", self.buffer)
        body, self.buffer = self.buffer[16:length], self.buffer[length:]
        return unique, -error, body

    def start(self, opcode, nodeid=0, body=b"", **more):
        self.unique += 2
        self.send(frame(opcode, nodeid, body, unique=self.unique, **more))
        return self.unique

    def call(self, opcode, nodeid=0, body=b"", **more):
        """(errno or 0, body of the answer)"""
        unique = self.start(opcode, nodeid, body, **more)
        while True:
            got, error, answer = self.receive()
            if got == unique:
                return error, answer

    def tell(self, opcode, nodeid=0, body=b""):
        """A message without an answer."""
        self.unique += 2
        self.send(frame(opcode, nodeid, body, unique=self.unique))

    def lookup(self, parent, text):
        error, body = self.call(LOOKUP, parent, name(text))
        if error:
            raise OSError(error, os.strerror(error), text)
        return struct.unpack_from("=Q", body)[0]

    def walk(self, *texts):
        node = ROOT
        for text in texts:
            node = self.lookup(node, text)
        return node

    def open(self, node, flags=os.O_RDONLY, opcode=OPEN):
        error, body = self.call(opcode, node, struct.pack("=II", flags, 0))
        if error:
            raise OSError(error, os.strerror(error))
        return struct.unpack_from("=Q", body)[0]

    def read(self, node, handle, size=4096, offset=0, opcode=READ):
        error, body = self.call(opcode, node, struct.pack("=QQIIQII", handle, offset, size, 0, 0, 0, 0))
        return body if error == 0 else -error

    def write(self, node, handle, data, offset=0, size=None, flags=0):
        size = len(data) if size is None else size
        body = struct.pack("=QQIIQII", handle, offset, size, 0, 0, flags, 0) + data
        return self.call(WRITE, node, body)[0]

    def forget(self, node, count):
        self.tell(FORGET, node, struct.pack("=Q", count))

    def alive(self):
        """Still served, and with sense."""
        error, body = self.call(GETATTR, ROOT, struct.pack("=IIQ", 0, 0, 0))
        assert error == 0 and len(body) == 104, (error, len(body))
        assert self.call(LOOKUP, ROOT, name("no such root"))[0] == errno.ENOENT
