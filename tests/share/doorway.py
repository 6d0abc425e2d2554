# SPDX-License-Identifier: Apache-2.0
"""doorway: starts sbx-fs as sbx-vm does (descriptors 3, 4 and the roots), without or with a mount of this kernel."""
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

NONCE = "0123456789abcdef" * 4


def start(program, roots, door, cache_ms=0, wrap=(), stderr=None, nonce=NONCE, control=None, state=None):
    """roots: (path, readonly, type[, with_parent]); door: our stream socket's other end; control: such a socket, state: a
    file that was saved, as in src/share/control.h and restore.h."""
    fds = [door.fileno()]
    read_end, write_end = os.pipe()
    fds.append(read_end)
    more_fds = {}
    for key, file in (("control_fd", control), ("state_fd", state)):
        if file is not None:
            more_fds[key] = 3 + len(fds)
            fds.append(file.fileno())
    described = []
    opened = []
    for path, readonly, kind, *more in roots:
        fd = os.open(path, os.O_PATH)
        opened.append(fd)
        entry = {"fd": 3 + len(fds), "path": str(path), "readonly": readonly, "type": kind}
        fds.append(fd)
        if kind == "file" or (more and more[0]):
            parent = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
            opened.append(parent)
            entry["parent_fd"] = 3 + len(fds)
            entry["name"] = os.path.basename(path)
            fds.append(parent)
        described.append(entry)
    config = {"nonce": nonce, "roots": described, **more_fds}
    if cache_ms:
        config["cache_ms"] = cache_ms
    os.write(write_end, json.dumps(config).encode())
    os.close(write_end)
    # High copies first, so that none is overwritten before it is copied; then each to its number.
    script = 'import os,sys; fds=[int(x) for x in sys.argv[1].split(",")]; ' \
        'high=[os.dup2(f,300+i) for i,f in enumerate(fds)]; ' \
        '[os.dup2(h,3+i,inheritable=True) for i,h in enumerate(high)]; ' \
        'os.closerange(3+len(fds),1000); os.execvp(sys.argv[2],sys.argv[2:])'
    argv = ["python3", "-c", script, ",".join(map(str, fds)), *wrap, program, "--id", "test"]
    env = {**os.environ, "ASAN_OPTIONS": "exitcode=99:detect_leaks=1", "UBSAN_OPTIONS": "halt_on_error=1:exitcode=99"}
    process = subprocess.Popen(argv, pass_fds=fds, stdout=subprocess.DEVNULL, stderr=stderr, env=env)
    os.close(read_end)
    for fd in opened:
        os.close(fd)
    return process


def finish(process, seconds=60):
    """The door is closed: the server must end by itself, in order."""
    try:
        code = process.wait(seconds)
    finally:
        process.kill()
    assert code in (0, 1), f"sbx-fs ended with {code}"


@contextlib.contextmanager
def raw(program, roots, **more):
    """The server and a socket to it."""
    ours, theirs = socket.socketpair()
    process = start(program, roots, theirs, **more)
    theirs.close()
    try:
        yield ours, process
    finally:
        ours.close()
        finish(process)


@contextlib.contextmanager
def mounted(program, relay, roots, **more):
    """The server mounted by this kernel; yields the mount point and the server's process, or None where this host
    does not let us mount."""
    ours, theirs = socket.socketpair()
    process = start(program, roots, theirs, **more)
    theirs.close()
    where = pathlib.Path(tempfile.mkdtemp(prefix="sbx-mount-"))
    script = 'import os,sys; os.dup2(int(sys.argv[1]),3,inheritable=True); os.execv(sys.argv[2],sys.argv[2:])'
    carrier = subprocess.Popen(["python3", "-c", script, str(ours.fileno()), relay, str(where)], pass_fds=[ours.fileno()],
                               stdout=subprocess.PIPE, text=True)
    ours.close()
    try:
        if carrier.stdout.readline() != "mounted\n":
            carrier.wait(10)
            yield None, process
        else:
            yield where, process
    finally:
        subprocess.run(["umount", "-l", str(where)], stderr=subprocess.DEVNULL)
        try:
            carrier.wait(10)
        except subprocess.TimeoutExpired:
            carrier.kill()
        carrier.stdout.close()
        where.rmdir()
        finish(process)


def scratch():
    """A directory for a test on the host's disk."""
    return pathlib.Path(tempfile.mkdtemp(prefix="sbx-share-", dir=os.environ.get("SBX_TEST_DIR", "/var/tmp")))


def remove(path):
    shutil.rmtree(path, ignore_errors=True)
