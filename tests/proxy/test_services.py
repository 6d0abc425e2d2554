# SPDX-License-Identifier: Apache-2.0
"""The services that sbx knows, as `sbx secret set` stores them: which header each of their hosts gets, and no other host."""
import base64
import json
import subprocess

import pytest

from proxyrun import BUILD, allow
from test_secrets import Admin
from testrange import OK4
from ways import H2_PLAIN, TLS_CONNECT, TLS_PLAIN

GITHUB, COPILOT, PLAIN = "gho_sbxproxymanaged000000000000000000000", "gho_sbxproxymanagedcopilot00000000000000", "proxy-managed"
BEARER = ("authorization", "Bearer {}")
GIT = ("authorization", "Basic {basic}")
MODELS = ["api.githubcopilot.com", "api.individual.githubcopilot.com", "api.business.githubcopilot.com", "api.enterprise.githubcopilot.com"]

# Service: what the guest has, and by host what arrives there.
SERVICES = {
    "anthropic": (PLAIN, {"api.anthropic.com": ("x-api-key", "{}")}),
    "copilot": (COPILOT, {"api.github.com": BEARER, **{h: BEARER for h in MODELS}}),
    "github": (GITHUB, {"api.github.com": BEARER, "raw.githubusercontent.com": BEARER, "github.com": GIT, **{h: BEARER for h in MODELS}}),
    "google": (PLAIN, {"generativelanguage.googleapis.com": ("x-goog-api-key", "{}")}),
    "openai": (PLAIN, {"api.openai.com": BEARER}),
    "openrouter": (PLAIN, {"openrouter.ai": BEARER}),
}
HOSTS = sorted({h for _, hosts in SERVICES.values() for h in hosts} | {"evil.test", "copilot-proxy.githubusercontent.com", "uploads.github.com"})


@pytest.fixture
def services(world, keeper, proxy):
    """set(NAME): its value; by the command itself, for all sandboxes."""
    for host in HOSTS:
        world.zone[host] = [OK4]
    proxy.policy([allow(h) for h in HOSTS])
    admin = Admin(keeper, proxy)
    env = {"XDG_STATE_HOME": str(keeper.place / "state"), "XDG_RUNTIME_DIR": str(keeper.place / "run"), "HOME": str(keeper.place), "PATH": "/usr/bin:/bin"}

    def set(name):
        value = f"real-{name}-0123456789abcdefghij"
        subprocess.run([BUILD / "bin/sbx", "secret", "set", "-g", name], input=value, text=True, env=env, check=True, timeout=30, capture_output=True)
        admin.set_names.append((name, None))
        admin.settle()
        return value

    yield set
    admin.done()


def arrives(world, way, proxy, host, fields=()):
    response = way.ask(proxy, path="/v1/x", host=host, fields=fields)
    return response, world.requests()[-1] if response.status == 200 else None


@pytest.mark.parametrize("name", SERVICES)
def test_its_hosts_get_it(world, proxy, services, name):
    value = services(name)
    placeholder, hosts = SERVICES[name]
    for host, (header, form) in hosts.items():
        def wanted(v):
            return form.format(v, basic=base64.b64encode(f"x-access-token:{v}".encode()).decode())
        for way, fields in ((TLS_PLAIN, ()), (TLS_PLAIN, (f"{header}: {wanted(placeholder)}",)), (H2_PLAIN, ())):
            response, request = arrives(world, way, proxy, host, fields)
            assert response.status == 200, (host, fields, response.body)
            assert request.get(header) == [wanted(value)] and placeholder not in request.head.decode()
        response, _ = arrives(world, TLS_CONNECT, proxy, host, (f"{header}: {wanted('somebody-elses-token-0123456789')}",))
        assert response.status == 403 and b"foreign_credential" in response.body, host


@pytest.mark.parametrize("host", [h for h in HOSTS if h not in SERVICES["github"][1]])
def test_no_other_host_gets_it(world, proxy, services, host):
    value = services("github")
    proxy.policy([allow(host)], tls="intercept")
    response, request = arrives(world, TLS_PLAIN, proxy, host)
    assert response.status == 200 and value not in request.head.decode() and not request.get("authorization")
    response, _ = arrives(world, TLS_PLAIN, proxy, host, (f"Authorization: Bearer {GITHUB}",))
    assert response.status == 403 and b"placeholder_wrong_host" in response.body


@pytest.mark.parametrize("fields, name", [
    (("Authorization: Bearer " + COPILOT,), "copilot"),
    (("Authorization: bearer " + GITHUB,), "github"),
    (("Authorization: token " + GITHUB,), "github"),
    ((), "github"),
], ids=lambda v: str(v)[-24:])
@pytest.mark.parametrize("host", ["api.github.com", MODELS[1]])
def test_of_two_tokens_for_a_host_the_placeholder_chooses(world, proxy, services, host, fields, name):
    value = {n: services(n) for n in ("github", "copilot")}
    response, request = arrives(world, TLS_PLAIN, proxy, host, fields)
    assert response.status == 200 and request.get("authorization") == [f"Bearer {value[name]}"]
    assert proxy.record(event="decision", method="GET")["injected"] == name


@pytest.mark.parametrize("path, status", [("/copilot_internal/v2/token", 403), ("/copilot_internal/user", 200), ("/copilot_internal/v2/token/", 403)])
@pytest.mark.parametrize("host", ["api.github.com"])
def test_a_token_is_not_exchanged_for_one_that_the_guest_would_have(world, keeper, make_proxy, host, path, status):
    """The same as what the daemon has built in: the unit test of daemon/signins compares them."""
    world.zone[host] = [OK4]
    proxy = make_proxy(signins=[json.loads(EXCHANGE)])
    proxy.policy([allow(host)])
    admin = Admin(keeper, proxy)
    admin.set(name="github", host=host, placeholder=GITHUB)
    response = TLS_PLAIN.ask(proxy, path=path, host=host, fields=(f"Authorization: Bearer {GITHUB}",))
    admin.done()
    assert response.status == status, response.body
    assert len(world.requests()) == (status == 200)


EXCHANGE = """{"service": "github-exchange", "token": [], "refuse": ["https://api.github.com/copilot_internal/v2/token"],
    "access": {"placeholder": "sbx-proxy-managed-exchange", "form": "opaque", "hosts": ["api.github.com"], "header": "authorization", "format": "Bearer %s"},
    "refresh": {"placeholder": "sbx-proxy-managed-no-refresh"}}"""
