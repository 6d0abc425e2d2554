#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""grpc_peer: a gRPC server and client of the four kinds of calls, for test_grpc.py.

grpc_peer.py server ADDRESS CERT KEY      prints "ready"; a line per call that was cancelled
grpc_peer.py client PROXY_PORT CA CASE    exits 0 if it went as it should
"""
import sys
import threading
import time
from concurrent import futures

import grpc

LIMITS = [("grpc.max_receive_message_length", 16 << 20), ("grpc.max_send_message_length", 16 << 20)]
TARGET = "ok.test:443"


# --- server: messages are bytes ---

def unary(request, context):
    context.set_trailing_metadata([("x-trailer", "t"), ("x-bin-bin", b"\0\xff")])
    meta = dict(context.invocation_metadata())
    if request == b"fail":
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: 100%")
    if request == b"sleep":
        time.sleep(5)
    return request[::-1] + meta.get("x-meta", "").encode()


def hang(request, context):
    over = threading.Event()
    context.add_callback(over.set)
    context.send_initial_metadata([("x-begun", "1")])
    over.wait(20)
    print("cancelled", time.monotonic(), flush=True)
    return b""


def count(requests, context):
    return b"%d" % sum(len(r) for r in requests)


def repeat(request, context):
    for i in range(int(request)):
        yield b"%d" % i


def chat(requests, context):
    for r in requests:
        yield r.upper()


def serve(address, cert, key):
    kinds = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Hang": grpc.unary_unary_rpc_method_handler(hang),
        "Count": grpc.stream_unary_rpc_method_handler(count),
        "Repeat": grpc.unary_stream_rpc_method_handler(repeat),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
    }
    server = grpc.server(futures.ThreadPoolExecutor(32), options=LIMITS)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", kinds)])
    pair = open(key, "rb").read(), open(cert, "rb").read()
    assert server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


# --- client ---

class Cases:
    def __init__(self, channel):
        self.channel = channel

    def unary(self):
        call = self.channel.unary_unary("/test.Echo/Unary")
        answer, info = call.with_call(b"abc", metadata=[("x-meta", "m")], timeout=10)
        assert answer == b"cbam", answer
        trailers = dict(info.trailing_metadata())
        assert trailers["x-trailer"] == "t" and trailers["x-bin-bin"] == b"\0\xff", trailers
        assert info.code() == grpc.StatusCode.OK

    def error(self):
        for _ in range(3):
            try:
                self.channel.unary_unary("/test.Echo/Unary")(b"fail", timeout=10)
                raise AssertionError("it did not fail")
            except grpc.RpcError as e:
                assert (e.code(), e.details()) == (grpc.StatusCode.NOT_FOUND, "no such thing: 100%"), e
        try:
            self.channel.unary_unary("/test.Echo/Nothing")(b"", timeout=10)
            raise AssertionError("it did not fail")
        except grpc.RpcError as e:
            assert e.code() == grpc.StatusCode.UNIMPLEMENTED, e

    def client_stream(self):
        call = self.channel.stream_unary("/test.Echo/Count")
        assert call((b"x" * 1000 for _ in range(2000)), timeout=20) == b"2000000"

    def server_stream(self):
        call = self.channel.unary_stream("/test.Echo/Repeat")
        assert list(call(b"5000", timeout=20)) == [b"%d" % i for i in range(5000)]

    def bidi(self):
        """Each answer before the next question."""
        import queue
        questions = queue.Queue()
        answers = self.channel.stream_stream("/test.Echo/Chat")(iter(questions.get, None), timeout=20)
        for i in range(200):
            questions.put(b"message %d" % i)
            assert next(answers) == b"MESSAGE %d" % i
        questions.put(None)
        assert list(answers) == []

    def large(self):
        call = self.channel.unary_unary("/test.Echo/Unary")
        message = bytes(range(256)) * (4 << 20 >> 8)
        for _ in range(3):
            assert call(message, timeout=30) == message[::-1]
        chat = self.channel.stream_stream("/test.Echo/Chat")
        assert [len(r) for r in chat(iter([b"x" * (4 << 20)] * 4), timeout=30)] == [4 << 20] * 4

    def deadline(self):
        started = time.monotonic()
        try:
            self.channel.unary_unary("/test.Echo/Unary")(b"sleep", timeout=0.5)
            raise AssertionError("it did not fail")
        except grpc.RpcError as e:
            assert e.code() == grpc.StatusCode.DEADLINE_EXCEEDED, e
        assert time.monotonic() - started < 2

    def cancel(self):
        call = self.channel.unary_unary("/test.Echo/Hang").future(b"", timeout=20)
        call.initial_metadata()
        print("cancel", time.monotonic(), flush=True)
        call.cancel()

    def parallel(self):
        call = self.channel.unary_unary("/test.Echo/Unary")
        waiting = [call.future(b"%03d" % i, timeout=20) for i in range(200)]
        assert [f.result() for f in waiting] == [(b"%03d" % i)[::-1] for i in range(200)]


def main():
    if sys.argv[1] == "server":
        serve(*sys.argv[2:])
    _, _, port, ca, case = sys.argv
    options = [*LIMITS, ("grpc.http_proxy", f"http://127.0.0.1:{port}"), ("grpc.enable_http_proxy", 1)]
    credentials = grpc.ssl_channel_credentials(open(ca, "rb").read())
    with grpc.secure_channel(TARGET, credentials, options) as channel:
        getattr(Cases(channel), case)()


if __name__ == "__main__":
    main()
