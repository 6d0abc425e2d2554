#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""peer: a client of sbx-keeper for the tests.

peer.py ask MESSAGE...         one connection, one message each; a reply per line, "closed" where it ended
peer.py leaf ID HOST KEY OUT   attaches, and writes a leaf for KEY's public key (PEM) to OUT (PEM); prints an error's kind
peer.py raw HEX[*N]...         messages of arbitrary bytes (N times the same), as ask
peer.py hold ID                attaches, prints "attached", waits for the end of stdin, prints "open" or "closed"
peer.py flood N                N connections at once; prints how many of them are answered
peer.py silent SECONDS         connects, says nothing; prints "closed" if the keeper ends it in that time
"""
import base64
import json
import os
import socket
import subprocess
import sys

PATH = os.environ["XDG_RUNTIME_DIR"] + "/sbx/keeper.sock"


def connect():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(PATH)
    s.settimeout(20)
    return s


def ask(s, message):
    """The reply, or None where the connection ended."""
    try:
        s.send(message)
        return s.recv(70000) or None
    except (BrokenPipeError, ConnectionResetError):
        return None


def attach(s, sandbox):
    reply = ask(s, json.dumps({"op": "attach", "sandbox": sandbox}).encode())
    return json.loads(reply)


def show(messages):
    s = connect()
    for message in messages:
        reply = ask(s, message)
        print(reply.decode() if reply else "closed")
        if not reply:
            break


def leaf(sandbox, host, key, out):
    s = connect()
    attach(s, sandbox)
    spki = subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-outform", "DER"], check=True, capture_output=True).stdout
    reply = json.loads(ask(s, json.dumps({"op": "leaf", "host": host, "spki": base64.b64encode(spki).decode()}).encode()))
    if "error" in reply:
        print(reply["error"]["kind"])
        return
    subprocess.run(["openssl", "x509", "-inform", "DER", "-out", out], input=base64.b64decode(reply["cert"]), check=True)


def hold(sandbox):
    s = connect()
    assert attach(s, sandbox)["ok"]
    print("attached", flush=True)
    sys.stdin.read()
    print("open" if ask(s, b'{"op":"version"}') else "closed", flush=True)


def flood(n):
    alive = 0
    peers = [connect() for _ in range(n)]
    for s in peers:
        alive += ask(s, b'{"op":"version"}') is not None
    print(alive)


def silent(seconds):
    s = connect()
    s.settimeout(float(seconds))
    try:
        print("closed" if s.recv(10) == b"" else "talks")
    except TimeoutError:
        print("open")


def main():
    command, *args = sys.argv[1:]
    if command == "ask":
        show([a.encode() for a in args])
    elif command == "raw":
        show([bytes.fromhex(hexa) * int(n or 1) for hexa, _, n in (a.partition("*") for a in args)])
    elif command == "leaf":
        leaf(*args)
    elif command == "hold":
        hold(*args)
    elif command == "flood":
        flood(int(args[0]))
    elif command == "silent":
        silent(*args)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
