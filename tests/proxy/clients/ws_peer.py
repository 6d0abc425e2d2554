# SPDX-License-Identifier: Apache-2.0
"""ws_peer.py server ADDRESS CERT KEY | client URL CA [PROXY]: the WebSocket conversation of test_clients.py with python3-websockets. The server
prints "ready"; the client says "done" where all was as it ought to be."""
import asyncio
import random
import socket
import ssl
import sys
import urllib.parse

import websockets
from websockets.extensions.permessage_deflate import PerMessageDeflate

LARGE = random.Random(1).randbytes(1 << 19) + bytes(1 << 19)


async def pong(ws):
    await (await ws.ping("from the server"))
    await ws.send("pong from the server")


async def serve(address, cert, key):
    last = 0

    async def handler(ws):
        nonlocal last
        tasks = []
        try:
            async for message in ws:
                if message == "last":
                    await ws.send(str(last))
                elif message == "ping":
                    tasks.append(asyncio.create_task(pong(ws)))
                elif message == "close":
                    await ws.close(4321, "as asked")
                elif isinstance(message, bytes):
                    await ws.send(message)
                else:
                    await ws.send([message[:3], message[3:]])
        finally:
            await asyncio.gather(*tasks)
            last = ws.close_code

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    async with websockets.serve(handler, address, 443, ssl=context, max_size=2 << 20):
        print("ready", flush=True)
        await asyncio.Future()


def tunnel(proxy, name):
    s = socket.create_connection(proxy.rsplit(":", 1), 10)
    s.sendall(f"CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += s.recv(1)
    assert b" 200 " in head.split(b"\r\n")[0], head
    s.settimeout(None)
    return s


async def connect(url, context, proxy, deflate):
    name = urllib.parse.urlsplit(url).hostname
    more = {"sock": tunnel(proxy, name), "server_hostname": name} if proxy else {}
    ws = await websockets.connect(url, ssl=context, max_size=2 << 20, compression="deflate" if deflate else None, **more)
    assert any(isinstance(e, PerMessageDeflate) for e in ws.extensions) == deflate, ws.extensions
    return ws


async def reply(ws, text):
    await ws.send(text)
    return await ws.recv()


async def talk(ws):
    assert await reply(ws, ["frag", "men", "ted ü"]) == "fragmented ü"
    assert await reply(ws, LARGE) == LARGE
    await (await ws.ping("from the client"))
    assert await reply(ws, "ping") == "pong from the server"


async def client(url, ca, proxy=None):
    context = ssl.create_default_context(cafile=ca)
    for deflate in (True, False):
        ws = await connect(url, context, proxy, deflate)
        await talk(ws)
        await ws.close(4001, "enough")
        assert ws.close_code == 4001, ws.close_code
    ws = await connect(url, context, proxy, True)
    assert await reply(ws, "last") == "4001"
    await ws.send("close")
    await ws.wait_closed()
    assert (ws.close_code, ws.close_reason) == (4321, "as asked"), (ws.close_code, ws.close_reason)
    print("done")


asyncio.run({"server": serve, "client": client}[sys.argv[1]](*sys.argv[2:]))
