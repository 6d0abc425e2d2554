# SPDX-License-Identifier: Apache-2.0
"""Signing in inside a sandbox, with the agent's own command, at doubles of the pages and of the endpoint that hands out tokens (oauth.py). The browser is
a script that notes the URL; the test goes the page's way back, as a browser would."""
import json
import types

import pytest

import boxes
import double
import oauth
from terminal import Terminal
from test_agents import DRAWN, LIMIT, PROMPT, nowhere_inside

MESSAGES = "/v1/messages"


class Browser:
    """path: a program; what it was told to open."""

    def __init__(self, place, world):
        self.path, self.world, self.opened = place / "browser", world, place / "opened"
        self.path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" >>{self.opened}\n')
        self.path.chmod(0o755)

    def url(self, screen):
        """The next one that is opened, while the program's screen is read."""
        screen.until(lambda: self.opened.exists() and self.opened.read_text().endswith("\n"), LIMIT)
        url = self.opened.read_text().split()[-1]
        self.opened.unlink()
        return url

    def go(self, url):
        """In the network of the test's host, where sbx listens for it; the answer's head."""
        return self.world.run("curl", "-sS", "-m", "60", "-D", "-", "-o", "/dev/null", url, capture_output=True, text=True).stdout


@pytest.fixture
def browser(tmp_path, world):
    return Browser(tmp_path, world)


@pytest.fixture
def without(sbx, keys):
    """without(SERVICE, HOST): no key of it is stored, until the end."""
    gone = []

    def without(service, host):
        sbx.run("secret", "rm", "-g", service)
        gone.append((service, host))

    yield without
    for service, host in gone:
        sbx.secret("-g", service, value=keys[host])


@pytest.fixture
def signed_in(world):
    """signed_in(HOST, ISSUER): what is right there from now on is that issuer's token."""
    world.doubles.reset()
    world.doubles.release()
    yield world.doubles.signed_in.__setitem__
    world.doubles.signed_in.clear()


def all_right(world, issuer):
    assert not world.doubles.faults, world.doubles.faults
    assert not issuer.faults, issuer.faults


def nowhere(sbx, task, issuer, but=(), **least):
    """Of all that was handed out nothing is in the sandbox, nor on the host but in the keeper's directory. but: what a search inside has held before."""
    values = {str(n): token for n, token in enumerate(issuer.given) if token not in but}
    nowhere_inside(sbx, task, {**values, task.host: issuer.access}, **least)
    for value in values.values():
        assert not boxes.files_hold(value.encode(), sbx.place, task.folder, but=[sbx.state / "keeper"])


def test_claude(sbx, world, tmp_path, browser, without, signed_in):
    """/login with a subscription; a task; a token that ends while the program runs; the same sign-in for all sandboxes."""
    issuer = world.doubles.issuers[oauth.CLAUDE]
    without("anthropic", double.ANTHROPIC)
    signed_in(double.ANTHROPIC, issuer)
    folder = tmp_path / "work"
    folder.mkdir()
    env = dict(sbx.env, TERM="xterm-256color", BROWSER=str(browser.path))
    screen = Terminal(sbx.argv("run", "--name", "login", "-m", "3g", "claude", folder), env=env)
    try:
        screen.wait(DRAWN, LIMIT)
        screen.type(b"/login")
        screen.wait(b"/login", LIMIT)
        screen.type(b"\r")
        screen.wait(b"subscription", LIMIT)
        screen.type(b"\r")
        url = browser.url(screen)
        assert url.startswith("https://claude.com/cai/oauth/authorize?"), url
        assert " 302 " in browser.go(issuer.follow(url)).splitlines()[0]
        screen.wait(b"successful", LIMIT)
        held = json.loads(sbx.run("exec", "login", "cat", "/home/agent/.claude/.credentials.json").stdout)["claudeAiOauth"]
        assert (held["accessToken"], held["refreshToken"]) == ("sk-ant-oat01-proxy-managed", "sk-ant-ort01-proxy-managed")
        assert held["subscriptionType"] == "max"

        screen.type_new(b"\r")
        screen.wait(DRAWN, LIMIT)
        task(screen, world, issuer, PROMPT)
        assert (folder / "made-by-agent").read_text() == "by the agent\n"
        all_right(world, issuer)
        first = issuer.access
        nowhere(sbx, types.SimpleNamespace(name="login", host=double.ANTHROPIC, process=screen.process, folder=folder), issuer)

        # The provider's word is that the token is good no longer, so the program refreshes it; the refused request is the one fault.
        issuer.expire()
        task(screen, world, issuer, "Once more.")
        assert issuer.refreshed == 1 and issuer.access != first
        held = json.loads(sbx.run("exec", "login", "cat", "/home/agent/.claude/.credentials.json").stdout)["claudeAiOauth"]
        assert (held["accessToken"], held["refreshToken"]) == ("sk-ant-oat01-proxy-managed", "sk-ant-ort01-proxy-managed")
        nowhere(sbx, types.SimpleNamespace(name="login", host=double.ANTHROPIC, process=screen.process, folder=folder), issuer, but=[first])
    finally:
        screen.close()
        sbx.run("rm", "--force", "login", check=False)
    log = (sbx.state / "sandboxd.log").read_text(errors="replace")
    assert not [t for t in issuer.given if t in log]


def task(screen, world, issuer, prompt):
    """A task at the prompt, until the provider has answered a request with the token that is good now."""
    world.doubles.reset()
    screen.type_new(prompt.encode())
    # Between its words stand movements of the cursor.
    screen.wait(prompt.split()[-1].encode(), LIMIT)
    screen.type(b"\r")

    def good():
        return [r for r in world.doubles.seen(double.ANTHROPIC, MESSAGES) if ("authorization", f"Bearer {issuer.access}") in r["headers"] and
                "tool_result" in r["body"]]
    screen.until(good, LIMIT)



AUTH = "/home/agent/.codex/auth.json"
ACCESS, REFRESH = ".sbx-proxy-managed-openai", "rt_sbx-proxy-managed-refresh"
EXEC = ["codex", "exec", "--dangerously-bypass-approvals-and-sandbox", "--skip-git-repo-check", PROMPT]


def test_codex(sbx, world, tmp_path, browser, without, signed_in):
    """`codex login`, whose last page it serves itself; then a sandbox that starts signed in, because the sign-in was made one for all."""
    issuer = world.doubles.issuers[oauth.CODEX]
    without("openai", double.OPENAI)
    signed_in(oauth.CHATGPT, issuer)
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    env = dict(sbx.env, TERM="xterm-256color", BROWSER=str(browser.path))
    screen = Terminal(sbx.argv("run", "--name", "one", "-m", "2g", "codex", folders[0], "--", "codex", "login"), env=env)
    try:
        url = browser.url(screen)
        assert url.startswith("https://auth.openai.com/oauth/authorize?"), url
        head = browser.go(issuer.follow(url))
        assert " 302 " in head.splitlines()[0], head
        last = next(line.split(": ", 1)[1] for line in head.splitlines() if line.lower().startswith("location: "))
        assert not [t for t in issuer.given if t in head] and last.startswith("http://127.0.0.1:1455/success")
        assert " 200 " in browser.go(last).splitlines()[0]
        assert screen.process.wait(LIMIT) == 0
    finally:
        screen.close()
    try:
        is_signed_in(sbx, "one")
        works(sbx, world, "one", folders[0], issuer)
        nowhere(sbx, types.SimpleNamespace(name="one", host=oauth.CHATGPT, process=None, folder=folders[0]), issuer, memory=1 << 18, processes=1)
        sbx.run("secret", "set", "-g", "--from", "one", "openai-oauth")
        sbx.run("create", "--name", "two", "-m", "2g", "codex", folders[1], timeout=LIMIT)
        is_signed_in(sbx, "two")
        works(sbx, world, "two", folders[1], issuer)
    finally:
        sbx.run("rm", "--force", "one", "two", check=False)
        sbx.run("secret", "rm", "-g", "openai-oauth", check=False)
    assert not [f for f in issuer.faults if "token-exchange" not in f]


def is_signed_in(sbx, name):
    held = json.loads(sbx.run("exec", name, "cat", AUTH, timeout=LIMIT).stdout)["tokens"]
    assert held["access_token"].endswith(ACCESS) and held["refresh_token"] == REFRESH and held["id_token"].endswith(ACCESS), held
    assert held["account_id"] == "acc-1"


def works(sbx, world, name, folder, issuer):
    world.doubles.reset()
    said = sbx.run("exec", name, *EXEC, timeout=LIMIT).stdout
    assert double.CLOSING in said, said[-3000:]
    assert (folder / "made-by-agent").read_text() == "by the agent\n"
    assert not world.doubles.faults, world.doubles.faults
    requests = world.doubles.seen(oauth.CHATGPT, "/backend-api/codex/responses")
    assert requests and all(("authorization", f"Bearer {issuer.access}") in r["headers"] and ("chatgpt-account-id", "acc-1") in r["headers"] for r in requests)
