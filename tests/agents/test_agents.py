# SPDX-License-Identifier: Apache-2.0
"""Real agents in sandboxes, each at one task, with a key that never enters the machine. The providers are doubles (double.py), under their real names."""
import base64
import json
import os
import pathlib
import subprocess
import threading

import pytest

import boxes
import double
import github
from terminal import Terminal

PROMPT = "Write a file named made-by-agent."
LIMIT = 420  # seconds for one task, emulated, on a machine that others use, too
WEBSOCKET = ("websocket", "GET")
# What Claude Code writes first of all to a terminal, and the line below its prompt. Between words stand movements of the cursor.
FIRST, DRAWN = b"\x1b[?2004h", b"bypass"
COMMANDS = {"claude": ["claude", "--dangerously-skip-permissions"]}
SEARCH = (pathlib.Path(__file__).parent / "search.py").read_text()

# By agent: the provider, the secret's name, and the arguments for one task without a terminal.
AGENTS = {
    "claude": (double.ANTHROPIC, "anthropic", ["-p", PROMPT]),
    "codex": (double.OPENAI, "openai", ["codex", "exec", "--dangerously-bypass-approvals-and-sandbox", "--skip-git-repo-check", PROMPT]),
    "copilot": (github.COPILOT, "github", ["-p", PROMPT]),
    "gemini": (double.GOOGLE, "google", ["-p", PROMPT]),
    "opencode": (double.ANTHROPIC, "anthropic", ["opencode", "run", "-m", "anthropic/claude-sonnet-4-5", PROMPT]),
}


class Task:
    """An agent at work in a sandbox of its own; `gate` is the point at which the double keeps it waiting with the tool's result."""

    def __init__(self, sbx, world, agent, folder):
        self.sbx, self.world, self.agent, self.folder = sbx, world, agent, folder
        self.host, self.secret, args = AGENTS[agent]
        self.name = f"e2e-{agent}"
        world.doubles.reset()
        world.doubles.hold()
        self.said = open(folder.parent / f"{agent}.out", "w+")
        self.process = subprocess.Popen(sbx.argv("run", "--name", self.name, "-m", "3g", agent, folder, "--", *args), env=sbx.env, stdin=subprocess.DEVNULL,
                                        stdout=self.said, stderr=subprocess.STDOUT)
        threading.Thread(target=self.tell_of_its_end, daemon=True).start()

    def tell_of_its_end(self):
        self.process.wait()
        with self.world.doubles.changed:
            self.world.doubles.changed.notify_all()

    def output(self):
        self.said.seek(0)
        return self.said.read()

    def reach_gate(self):
        end = lambda: self.world.doubles.held or self.process.poll() is not None  # noqa: E731
        self.world.doubles.wait(end, LIMIT)
        assert self.process.poll() is None, self.output()[-4000:]

    def finish(self):
        self.world.doubles.release()
        try:
            code = self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not done in {LIMIT} s: {self.output()[-4000:]}") from None
        assert code == 0, self.output()[-4000:]

    def close(self):
        self.world.doubles.release()
        self.process.kill()
        self.process.wait()
        self.said.close()
        self.sbx.run("rm", "--force", self.name, check=False)


@pytest.fixture
def start(sbx, world, tmp_path):
    tasks = []

    def start(agent):
        folder = tmp_path / "work"
        folder.mkdir()
        tasks.append(Task(sbx, world, agent, folder))
        return tasks[-1]

    yield start
    for task in tasks:
        task.close()


def forms(value):
    """How a value may be written: itself, in base64 wherever it begins, in hexadecimal, and reversed."""
    raw = value.encode()
    # The first and last characters depend on what stands beside it.
    return [raw] + [base64.b64encode(b"\0" * n + raw)[4 if n else 0:-4] for n in range(3)] + [raw.hex().encode(), raw[::-1]]


@pytest.mark.parametrize("agent", AGENTS)
def test_task(agent, start, sbx, world, keys):
    task = start(agent)
    task.reach_gate()
    # The agent has used its tool and waits for its provider's word.
    made = task.folder / "made-by-agent"
    assert made.read_text() == "by the agent\n"
    assert (made.stat().st_uid, made.stat().st_gid) == (os.getuid(), os.getgid())
    nowhere_inside(sbx, task, keys)
    task.finish()
    assert double.CLOSING in task.output()
    the_double_saw(world, task, keys)
    the_log_says(sbx, task)
    nowhere_on_the_host(sbx, keys, task)
    others_are_refused(sbx, world, task, keys)


def nowhere_inside(sbx, task, keys, memory=1 << 24, processes=2):
    """memory, processes: so much must have been looked at. Searched from outside, all of the machine's memory, and from inside, as root. In this order: the search inside holds the value while it looks."""
    own = keys[task.host]
    here = PROMPT.encode()  # what a search must find
    values = forms(own) + [k.encode() for k in keys.values() if k != own]
    pids = sbx.inspect(task.name)["pids"]
    found = boxes.memory_holds(pids["qemu"], [here] + values)
    assert found == {here}, found
    others = {"sandboxd": sbx.pid_of("sandboxd"), "sbx-vm": pids["vm"], "sbx-fs": pids["fs"], **({"sbx": task.process.pid} if task.process else {})}
    found = {program: boxes.memory_holds(pid, values) for program, pid in others.items()}
    assert not any(found.values()), found

    masked = [bytes(b ^ 0xAA for b in v).hex() for v in (own.encode(), here)]
    done = sbx.run("exec", "-i", "-u", "root", task.name, "python3", "-", *masked, input=SEARCH, timeout=LIMIT)
    said = json.loads(done.stdout.splitlines()[-1])
    assert {n for n, _ in said["found"]} == {1}, said
    assert said["processes"] >= processes and said["memory"] >= memory and said["files"] > 5, said


def the_double_saw(world, task, keys):
    header, before = double.SERVICES[task.host]
    requests = world.doubles.seen(task.host)
    assert not world.doubles.faults, world.doubles.faults
    assert {r["host"] for r in world.doubles.requests} <= {task.host, *github.HOSTS}
    assert all([v for n, v in r["headers"] if n == header] == [before + keys[task.host]] for r in requests)
    assert any(PROMPT in r["body"] for r in requests)


def the_log_says(sbx, task):
    records = [r for r in sbx.network_log(task.name) if r["event"] == "decision" and r["host"] == task.host and r["method"]]
    allowed = [r for r in records if r["verdict"] == "allow"]
    assert allowed
    assert not [r for r in allowed if r["injected"] != task.secret]
    # Only a WebSocket is refused at the provider's own host.
    assert not [r for r in records if r["verdict"] == "deny" and (r["reason"], r["method"]) != WEBSOCKET]


def nowhere_on_the_host(sbx, keys, task):
    """Neither in logs nor in any state but the keeper's own; nor in the folder."""
    keeper = sbx.state / "keeper"
    for value in keys.values():
        assert not boxes.files_hold(value.encode(), sbx.place, task.folder, but=[keeper])
    assert boxes.files_hold(b"by the agent", task.folder) == [str(task.folder / "made-by-agent")]


CURL = 'curl -sS -m 60 -o /tmp/answer -w "%{{http_code}}" {args} https://{host}{path}; echo; cat /tmp/answer'


def others_are_refused(sbx, world, task, keys):
    """A key of somebody else's, at the same host; and an origin that says what it was sent."""
    header, before = double.SERVICES[task.host]
    world.doubles.reset()
    for args, path in ((f'-H "{header}: {before}sk-somebody-else-0123456789"', "/v1/messages"), ("", "/v1/messages?key=sk-somebody-else-0123456789"),
                       ('-H "api-key: sk-somebody-else-0123456789"', "/v1/messages")):
        said = sbx.run("exec", task.name, "sh", "-c", CURL.format(args=args, host=task.host, path=path)).stdout
        assert said.startswith("403\n") and "foreign_credential" in said, said
    assert not world.doubles.requests
    said = sbx.run("exec", task.name, "sh", "-c", CURL.format(args="-i", host=task.host, path=double.MIRROR)).stdout
    assert said.startswith("200\n") and "mirror:" in said, said
    assert not [f for k in keys.values() for f in forms(k)[:4] if f.decode() in said], said
    assert len(world.doubles.requests) == 1 and not world.doubles.faults


@pytest.mark.parametrize("agent", ["claude"])
def test_terminal(agent, sbx, world, tmp_path, capsys):
    """Its prompt is drawn, without a question before it; it takes a task; and starting it takes little longer than the program itself takes."""
    world.doubles.reset()
    screen = Terminal(sbx.argv("run", "--name", "tty", "-m", "3g", agent, tmp_path), env=dict(sbx.env, TERM="xterm-256color"))
    try:
        screen.wait(FIRST, LIMIT)
        whole = screen.wait(DRAWN, LIMIT)
        screen.type(PROMPT.encode())
        screen.wait(b"made-by-agent", LIMIT)
        screen.type(b"\r")
        world.doubles.wait(lambda: [r for r in world.doubles.seen(double.ANTHROPIC, "/v1/messages") if "tool_result" in r["body"]], LIMIT)
        assert (tmp_path / "made-by-agent").read_text() == "by the agent\n"
        assert not world.doubles.faults, world.doubles.faults
    finally:
        screen.close()
    again = Terminal(sbx.argv("exec", "-t", "tty", *COMMANDS[agent]), env=dict(sbx.env, TERM="xterm-256color"))
    try:
        own = again.wait(DRAWN, LIMIT)
    finally:
        again.close()
        sbx.run("rm", "--force", "tty", check=False)
    with capsys.disabled():
        print(f"\n{agent}: prompt after {whole:.1f} s in a new sandbox, {own:.1f} s in one that ran")
    # A machine's start: 3 to 4 s where nothing else runs, emulated.
    assert whole < 2 * own + 20
