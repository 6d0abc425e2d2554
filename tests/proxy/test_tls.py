# SPDX-License-Identifier: Apache-2.0
"""TLS (E): spliced bytes arrive as they were sent, and a name that differs from the destination's arrives nowhere."""
import ssl

import pytest

from proxyrun import allow
from testrange import OK4
from ways import TLS_CONNECT, TLS_PLAIN


@pytest.mark.parametrize("way", [TLS_CONNECT, TLS_PLAIN], ids=str)
def test_splice(world, proxy, way):
    proxy.policy([allow("ok.test:443")])
    response = way.ask(proxy)
    assert response.status == 200 and response.body == b"ok\n"
    arrival = world.arrivals[0]
    assert (arrival.address, arrival.sni) == (OK4, "ok.test")
    record = proxy.record(event="decision")
    assert (record["verdict"], record["inspect"], record["protocol"], record["entry"]) == ("allow", "splice", "tls", way.entry)
