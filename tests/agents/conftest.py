# SPDX-License-Identifier: Apache-2.0
"""One network, one daemon and one set of keys for all agents."""
import os
import pathlib
import secrets
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import boxes  # noqa: E402
import double  # noqa: E402
import github  # noqa: E402
from world import World  # noqa: E402

LAYER = int(os.environ.get("SBX_LAYER_SECONDS", "1500"))  # to install one agent from the registry


def pytest_configure(config):
    if os.geteuid() != 0:
        raise pytest.UsageError("the network needs root: tests/agents/run")
    if not (boxes.BUILD / "bin" / "sbx").exists():
        raise pytest.UsageError(f"not built in {boxes.BUILD}")


@pytest.fixture(scope="session")
def keys():
    """Of a length and shape that nothing else has."""
    return double.new_keys(lambda: f"sk-{secrets.token_hex(24)}-{secrets.token_hex(8)}")


@pytest.fixture(scope="session")
def world(keys):
    place = tempfile.mkdtemp(prefix="sbx-agents-world.")
    world = World(place, keys)
    yield world
    world.close()
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def sbx(world, keys, request):
    """The daemon in the test's network; before, in this host's, the layers."""
    sbx = boxes.Sbx(tempfile.mkdtemp(prefix="sbx-agents."))
    try:
        layers(sbx, {i.name.removeprefix("test_") for i in request.session.items if i.path.name == "test_sign_in.py"} | {i.callspec.params["agent"] for i in request.session.items if "agent" in getattr(i, "callspec", EMPTY).params})
        for service, host in (("anthropic", double.ANTHROPIC), ("openai", double.OPENAI), ("google", double.GOOGLE), ("github", github.API)):
            sbx.secret("-g", service, value=keys[host])
        sbx.in_world(world)
        yield sbx
    finally:
        sbx.close()


class EMPTY:
    params = {}


def layers(sbx, agents):
    """Those that the cache has not: from the real registry, in sandboxes."""
    sbx.at_home()
    folder = sbx.place / "for-layers"
    folder.mkdir()
    for agent in sorted(agents):
        sbx.run("create", "--name", f"layer-{agent}", agent, folder, timeout=LAYER)
        sbx.run("rm", "--force", f"layer-{agent}")
