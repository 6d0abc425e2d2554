# SPDX-License-Identifier: Apache-2.0
"""git and gh in a sandbox, with a token that never enters it: the hosts are doubles (github.py), the repository is git's own server behind TLS."""
import shutil
import subprocess
import types

import pytest

import boxes
import double
import github
from test_agents import PROMPT, nowhere_inside

PLACEHOLDER = "gho_sbxproxymanaged000000000000000000000"
URL = "https://github.com/octo/private.git"
GH = shutil.which("gh")
PUSH = "cd private && git commit -q --allow-empty -m '{0}' && git {1} push -q origin HEAD:{0}"
HELPER = "-c credential.helper='!f() { echo username=x-access-token; echo password=$GH_TOKEN; }; f'"


@pytest.fixture
def repository(tmp_path):
    place = tmp_path / "served" / "octo" / "private.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", place], check=True)
    work = tmp_path / "first"
    subprocess.run(["git", "clone", "-q", place, work], check=True, capture_output=True)
    (work / "README").write_text("private\n")
    git = ["git", "-C", work, "-c", "user.name=x", "-c", "user.email=x"]
    for args in (["add", "."], ["commit", "-qm", "first"], ["push", "-q", "origin", "HEAD:main"]):
        subprocess.run(git + args, check=True)
    github.REPOSITORIES = tmp_path / "served"
    yield place
    github.REPOSITORIES = None


@pytest.fixture(scope="module")
def sandbox(sbx, tmp_path_factory):
    """With a shell; a process in it holds PROMPT, by which a search is known to work."""
    work = tmp_path_factory.mktemp("work")
    sbx.run("create", "--name", "gh", "-m", "1g", "shell", work, timeout=300)
    said = sbx.argv("exec", "gh", "env", f"HERE={PROMPT}", "sh", "-c", "echo ready; exec sleep 3600")
    held = subprocess.Popen(said, env=sbx.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        assert held.stdout.readline() == "ready\n"
        yield types.SimpleNamespace(name="gh", process=None, folder=work)
    finally:
        held.kill()
        held.wait()
        held.stdout.close()
        sbx.run("rm", "--force", "gh", check=False)


@pytest.fixture
def box(sandbox, world):
    world.doubles.reset()
    sandbox.host = github.GIT
    return sandbox


def test_clone_and_push(sbx, world, box, repository, keys):
    """Without anything that git was told, and with a helper that hands it the placeholder, as gh does."""
    def run(script, **how):
        return sbx.run("exec", box.name, "sh", "-c", script, **how)
    assert run("echo $GH_TOKEN $GITHUB_TOKEN").stdout.split() == [PLACEHOLDER] * 2
    run(f"git clone -q {URL} && cat private/README")
    run("git config --global user.name x && git config --global user.email x@example.com")
    run(PUSH.format("plain", ""))
    run(PUSH.format("helper", HELPER))
    refs = subprocess.run(["git", "-C", repository, "for-each-ref", "--format=%(refname:short)"], capture_output=True, text=True, check=True).stdout.split()
    assert refs == ["helper", "main", "plain"]
    assert not world.doubles.faults, world.doubles.faults
    requests = world.doubles.seen(github.GIT)
    assert [r["path"] for r in requests if "git-receive-pack" in r["path"] and r["method"] == "POST"]
    key = double.credential(github.GIT, keys[github.GIT])
    assert all([v for n, v in r["headers"] if n == "authorization"] == [key] for r in requests)
    # The key's other form, which git's own request never had.
    assert not [r for r in requests if keys[github.GIT] in str(r)]

    foreign = run(f"git -c http.extraHeader='Authorization: Basic eDp5' ls-remote {URL}", check=False)
    assert foreign.returncode != 0 and "403" in foreign.stdout, foreign.stdout
    nowhere_inside(sbx, box, keys, memory=1 << 18)
    nowhere_on_the_host_but_keeper(sbx, keys, box)

    sbx.run("secret", "rm", "-g", "github")
    try:
        gone = run(f"GIT_TERMINAL_PROMPT=0 git ls-remote {URL}", check=False)
        assert gone.returncode != 0, gone.stdout
        assert "authorization" not in dict(world.doubles.requests[-1]["headers"])
    finally:
        sbx.secret("-g", "github", value=keys[github.API])


def nowhere_on_the_host_but_keeper(sbx, keys, box):
    for value in keys.values():
        assert not boxes.files_hold(value.encode(), sbx.place, box.folder, but=[sbx.state / "keeper"])


@pytest.mark.skipif(not GH, reason="the host has no gh to give to the sandbox")
def test_gh(sbx, world, box, keys):
    """The real program."""
    with open(GH, "rb") as program:
        subprocess.run(sbx.argv("exec", "-i", box.name, "sh", "-c", "cat >~/gh && chmod +x ~/gh"), env=sbx.env, stdin=program, check=True, timeout=300)
    box.host = github.API

    def gh(args, **how):
        return sbx.run("exec", box.name, "sh", "-c", f"~/gh {args}", timeout=300, **how)

    assert gh("api user --jq .login").stdout.strip() == github.LOGIN
    assert github.LOGIN in gh("auth status").stdout
    assert PLACEHOLDER in gh("auth token").stdout
    assert f"password={PLACEHOLDER}" in sbx.run("exec", box.name, "sh", "-c", "printf 'protocol=https\\nhost=github.com\\n\\n' | ~/gh auth git-credential get").stdout
    assert not world.doubles.faults, world.doubles.faults
    requests = world.doubles.seen(github.API)
    assert requests and all([v for n, v in r["headers"] if n == "authorization"] == [f"Bearer {keys[github.API]}"] for r in requests)
    refused = sbx.run("exec", "-e", "GH_TOKEN=gho_somebodyelses0123456789abcdefghijklm", box.name, "sh", "-c", "~/gh api user", check=False)
    assert refused.returncode != 0 and "403" in refused.stdout, refused.stdout
    nowhere_inside(sbx, box, keys, memory=1 << 18)
