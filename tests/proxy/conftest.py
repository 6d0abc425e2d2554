# SPDX-License-Identifier: Apache-2.0
"""One range for all tests, one proxy per test. After each test the log is compared with what arrived: an origin has seen only what a decision
allows, and every request once."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from proxyrun import BUILD, Keeper, Proxy  # noqa: E402
from testrange import World  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "odd_log: the log and the origins differ on purpose; the test says how")
    missing = [p for p in ("bin/sbx-proxy", "bin/sbx-keeper") if not (BUILD / p).exists()]
    if missing:
        raise pytest.UsageError(f"not built in {BUILD}: {missing}")
    if os.geteuid() != 0:
        raise pytest.UsageError("the range needs a user namespace or root: tests/proxy/run")


@pytest.fixture(scope="session")
def whole_world():
    world = World()
    yield world
    world.close()


@pytest.fixture(scope="session")
def keeper(tmp_path_factory):
    keeper = Keeper(tmp_path_factory.mktemp("keeper"))
    yield keeper
    keeper.stop()


@pytest.fixture
def world(whole_world):
    whole_world.reset()
    yield whole_world
    assert not whole_world.faults, whole_world.faults


@pytest.fixture
def make_proxy(world, keeper, tmp_path, request):
    """New proxies, to begin at the beginning or to be treated badly."""
    made = []

    def make(**how):
        proxy = Proxy(world, keeper, tmp_path / f"proxy{len(made)}", **how)
        made.append(proxy)
        return proxy

    yield make
    codes = [(p.stop(), p.said()) for p in made]
    for code, said in codes:
        # A proxy whose control socket ends, ends by itself and in order.
        assert code == 0, (code, said)
    finish(request, world, made)


@pytest.fixture
def new_proxy(make_proxy):
    return make_proxy()


@pytest.fixture(scope="session")
def shared(whole_world, keeper, tmp_path_factory):
    """One proxy that lives as long as it is well; what a test leaves behind in it, it leaves to the next: like a real one."""
    box = []

    def get():
        if not box or box[0].process.poll() is not None:
            box[:] = [Proxy(whole_world, keeper, tmp_path_factory.mktemp("proxy"))]
        return box[0]

    yield get
    for proxy in box:
        assert proxy.stop() == 0, proxy.said()


@pytest.fixture
def proxy(shared, world, tmp_path, request):
    proxy = shared()
    proxy.events.clear()
    proxy.policy([])
    proxy.set_log(tmp_path / "network.jsonl")
    yield proxy
    proxy.door.reset_all()
    assert proxy.process.poll() is None, proxy.said()
    finish(request, world, [proxy])


def finish(request, world, proxies):
    if request.node.get_closest_marker("odd_log") is None:
        agree(world, proxies)
    assert not world.canaries, world.canaries


def agree(world, proxies):
    """Log and origins tell the same story: nobody heard of what is not allowed, and each request that arrived was allowed once."""
    allowed = [r for p in proxies for r in p.decisions(verdict="allow")]
    seen_inside = [r for r in allowed if r["inspect"] != "splice" and r["protocol"] != "tcp"]
    requests = sum(1 for r in seen_inside if r["method"])
    spliced = {r["host"] for r in allowed if r not in seen_inside}
    arrived = [r for r in world.requests() if name_of(r.host) not in spliced]
    assert len(arrived) <= requests or spliced, (arrived, allowed)
    hosts = {r["host"] for r in allowed}
    for arrival in world.arrivals:
        assert {name_of(r.host) for r in arrival.requests} <= hosts, (arrival, allowed)
    for proxy in proxies:
        records = proxy.records()
        numbers = [r["seq"] for r in records]
        assert numbers == sorted(set(numbers)), "records out of order"
        for r in records:
            assert r["v"] == 1 and r["event"] in ("decision", "end"), r


def name_of(host):
    """The host of a Host field, without its port and brackets."""
    return host.rsplit("]", 1)[0].lstrip("[") if host.startswith("[") else host.rsplit(":", 1)[0]
