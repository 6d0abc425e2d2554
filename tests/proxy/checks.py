# SPDX-License-Identifier: Apache-2.0
"""What every section asserts in the same words."""
import ssl

from door import Reset, read_response
from ways import Refused, connect


def refusal_of(answer):
    """Whether an answer is a refusal in one of the ways that clients understand."""
    return answer in ("reset", "alert", "end") or (not isinstance(answer, str) and answer.status in (400, 403, 421, 502))


def assert_blocked(world, proxy, answer, reason=None, looked_up=(), status=None):
    """BLOCK: the guest was told no, nobody was dialled, at most the names in looked_up were asked for, one record says why."""
    assert refusal_of(answer), answer
    if status is not None and not isinstance(answer, str):
        assert answer.status in ((status,) if isinstance(status, int) else status), answer
    assert world.arrivals == [], world.arrivals
    assert {n for n, _ in world.queries} <= set(looked_up), world.queries
    record = proxy.record(event="decision", verdict="deny")
    if reason is not None:
        assert record["reason"] in ((reason,) if isinstance(reason, str) else reason), record
    assert len(proxy.decisions()) == 1, proxy.decisions()


def by_connect(proxy, authority, tls=True, name=None, speak=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"):
    """What a program that asks for a tunnel sees: a Response of the proxy, or of what is in the tunnel."""
    try:
        stream = connect(proxy, authority)
        conn = proxy.tls(stream, name or authority.rsplit(":", 1)[0].strip("[]").rstrip(".").lower()) if tls else stream
        conn.send(speak)
        return read_response(conn)
    except Refused as e:
        return e.response
    except Reset:
        return "reset"
    except ssl.SSLError as e:
        return "end" if "EOF" in str(e) else "alert"
    except EOFError:
        return "end"


def by_door(proxy, authority, speak):
    """The same for a transparent connection."""
    try:
        stream = proxy.door.open(authority)
        stream.send(speak)
        return read_response(stream)
    except Reset:
        return "reset"
    except EOFError:
        return "end"


def by_absolute(proxy, target, host=None, method="GET"):
    """The same for an absolute-form request to the forward proxy; target and host are bytes."""
    try:
        stream = proxy.door.forward()
        stream.send(method.encode() + b" " + target + b" HTTP/1.1\r\nHost: " + (host or b"ok.test") + b"\r\n\r\n")
        return read_response(stream, method)
    except Reset:
        return "reset"
    except EOFError:
        return "end"
