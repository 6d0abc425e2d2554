# SPDX-License-Identifier: Apache-2.0
"""The ways out of a sandbox: whatever way a request goes, it meets the same decision."""
import contextlib
import ssl

import h2.config
import h2.connection
import h2.events

from door import GATEWAY, Reset, Response, read_response


class Refused(Exception):
    """CONNECT was answered with something else than 200."""

    def __init__(self, response):
        super().__init__(str(response))
        self.response = response


def connect(proxy, authority, extra=b""):
    """A tunnel by CONNECT; extra: bytes right behind the head."""
    stream = proxy.door.open(GATEWAY)
    stream.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode() + extra)
    response = read_response(stream, "CONNECT")
    if response.status != 200:
        raise Refused(response)
    if response.rest:
        stream.data = response.rest + stream.data
    return stream


class Way:
    def __init__(self, name, tls=False, forward=False, tunnel=False):
        self.name, self.tls, self.forward, self.tunnel = name, tls, forward, tunnel
        self.entry = "forward" if forward or tunnel else "transparent"
        self.port = 443 if tls else 80

    def __repr__(self):
        return self.name

    def open(self, proxy, host="ok.test", port=None, sni=None, alpn=("http/1.1",)):
        """A connection on which HTTP/1.1 can be spoken."""
        port = port or self.port
        if self.forward:
            return proxy.door.open(GATEWAY)
        if self.tunnel:
            stream = connect(proxy, f"{host}:{port}")
        else:
            stream = proxy.door.open(f"{host}:{port}")
        return proxy.tls(stream, sni or host, alpn) if self.tls else stream

    def line(self, method="GET", path="/", host="ok.test", port=None, version="HTTP/1.1"):
        """The request line, with its CRLF."""
        port = f":{port}" if port and port != 80 else ""
        target = f"http://{host}{port}{path}" if self.forward else path
        return f"{method} {target} {version}\r\n".encode()

    def request(self, method="GET", path="/", host="ok.test", port=None, fields=(), body=b""):
        """A whole request."""
        name = host if port in (None, self.port) else f"{host}:{port}"
        head = self.line(method, path, host, port) + f"Host: {name}\r\n".encode()
        for field in fields:
            head += field.encode() + b"\r\n"
        if body:
            head += f"Content-Length: {len(body)}\r\n".encode()
        return head + b"\r\n" + body

    def ask(self, proxy, method="GET", path="/", host="ok.test", port=None, fields=(), body=b""):
        """One request on a connection of its own; a Response, or how it failed as a word: "reset", "alert", "end"."""
        try:
            conn = self.open(proxy, host, port)
            conn.send(self.request(method, path, host, port, fields, body))
            response = read_response(conn, method)
            conn.close()
            return response
        except Refused as e:
            return e.response
        except Reset:
            return "reset"
        except ssl.SSLError as e:
            return "end" if "EOF" in str(e) else "alert"
        except EOFError:
            return "end"


class H2Way(Way):
    """HTTP/2 inside TLS. One request per connection."""

    def ask(self, proxy, method="GET", path="/", host="ok.test", port=None, fields=(), body=b""):
        try:
            return self._ask(self.open(proxy, host, port, alpn=("h2",)), method, path, host, port, fields, body)
        except Refused as e:
            return e.response
        except Reset:
            return "reset"
        except ssl.SSLError as e:
            return "end" if "EOF" in str(e) else "alert"
        except EOFError:
            return "end"

    def _ask(self, conn, method, path, host, port, fields, body):
        assert conn.alpn == "h2"
        client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False))
        client.initiate_connection()
        number = client.get_next_available_stream_id()
        authority = host if port in (None, 443) else f"{host}:{port}"
        head = [(":method", method), (":scheme", "https"), (":authority", authority), (":path", path)]
        head += [tuple(p.strip() for p in f.lower().split(":", 1)) for f in fields]
        client.send_headers(number, head, end_stream=not body)
        if body:
            client.send_data(number, body, end_stream=True)
        status, names, got = None, [], b""
        while True:
            conn.send(client.data_to_send())
            data = conn.recv()
            if not data:
                raise EOFError("the connection ended")
            for event in client.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    names = [(n, v) for n, v in event.headers if n[0] != ":"]
                    status = int(dict(event.headers)[":status"])
                elif isinstance(event, h2.events.DataReceived):
                    got += event.data
                elif isinstance(event, h2.events.StreamEnded):
                    conn.close()
                    return Response(status, names, got)
                elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    return Response(status, names, got) if status else "reset"


FORWARD = Way("forward", forward=True)
CONNECT = Way("connect", tunnel=True)
PLAIN = Way("transparent")
TLS_CONNECT = Way("tls-connect", tls=True, tunnel=True)
TLS_PLAIN = Way("tls-transparent", tls=True)
IN_CLEAR = [FORWARD, CONNECT, PLAIN]
IN_TLS = [TLS_CONNECT, TLS_PLAIN]
ALL = IN_CLEAR + IN_TLS
H2_CONNECT = H2Way("h2-connect", tls=True, tunnel=True)
H2_PLAIN = H2Way("h2-transparent", tls=True)
# Those of which only ask() is used may speak HTTP/2, too. Where TLS is spliced, the origin would have to: then HTTP/1.1 only.
EVERY = ALL + [H2_CONNECT, H2_PLAIN]


def send_raw(way, proxy, head, host="ok.test", timeout=8):
    """Bytes on a connection; what came back and how it ended ("open" where it did not)."""
    conn = way.open(proxy, host)
    with contextlib.suppress(Reset):
        conn.send(head)
    out, how = b"", "open"
    try:
        response = read_response(conn, "POST")
        out = response.head + b"\r\n\r\n" + response.body
        status = response.status
        rest, how = (b"", "open") if status == 421 else conn.outcome(2)
        out += response.rest + rest
    except (Reset, ssl.SSLError):
        return None, out, "reset"
    except EOFError:
        return None, out, "end"
    except TimeoutError:
        if not out:
            return None, out, "open"
    return status, out, how
