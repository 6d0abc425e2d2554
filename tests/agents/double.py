# SPDX-License-Identifier: Apache-2.0
"""Test doubles of the model providers' APIs, as far as the agents speak them: Anthropic's Messages, OpenAI's Responses and Chat
Completions, Google's Gemini, GitHub's API with Copilot's (github.py); HTTP/1.1 over TLS, any number of requests per connection, streamed (SSE) where that is asked for.

Each plays one scene: to the first request that brings tools, a call of the agent's own shell tool with COMMAND; to one that
brings a tool's result, a closing sentence, CLOSING. What brings no tools (titles, routing, counting) gets something short. At MIRROR stands what the
request's credential header was, in the answer's head and body.

A request is right where the service's header holds the real key, whole and once, and no other field, and neither path nor body,
holds it or a placeholder where a credential belongs. What is not right is answered with 401, as a provider would, and noted: `faults`.
`requests` and a file with one JSON object a line have every request as it arrived: host, method, path, headers, body, fault.
"""
import base64
import http.server
import json
import subprocess
import threading
import time
import urllib.parse

import github
import oauth

COMMAND = "printf 'by the agent\\n' >made-by-agent"
CLOSING = "The file is there, as asked."
MIRROR = "/mirror"
IDLE = 120  # seconds a connection may be idle
PULSE = 5   # seconds between signs of life of an answer that is held back

ANTHROPIC, OPENAI, GOOGLE = "api.anthropic.com", "api.openai.com", "generativelanguage.googleapis.com"
# By host: the header that carries the key, and what stands before the key in it.
SERVICES = {ANTHROPIC: ("x-api-key", ""), OPENAI: ("authorization", "Bearer "), GOOGLE: ("x-goog-api-key", ""),
            github.API: ("authorization", "Bearer "), github.COPILOT: ("authorization", "Bearer "), github.GIT: ("authorization", "Basic ")}
CREDENTIALS = ("authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie", "proxy-authorization")
SENTINEL = "proxy-managed"


class Doubles:
    """What all connections share. keys: by host, the real key. log: a path. handler() is for http.server."""

    def __init__(self, keys, log):
        self.keys, self.log = dict(keys), log
        self.changed = threading.Condition()
        self.requests = []
        self.holding, self.held = False, False
        self.issuers = {oauth.CLAUDE: oauth.Issuer("sk-ant-"), oauth.CODEX: oauth.Issuer("", jwt=True)}
        self.signed_in = {}  # by host: the issuer whose access token is right there, in place of the key

    def note(self, record):
        with self.changed:
            self.requests.append(record)
            with open(self.log, "a") as f:
                f.write(json.dumps(record) + "\n")
            self.changed.notify_all()

    def reset(self):
        with self.changed:
            self.requests.clear()

    def hold(self):
        """From now on closing sentences wait for release(); `held` says that one does."""
        with self.changed:
            self.holding, self.held = True, False

    def release(self):
        with self.changed:
            self.holding = False
            self.changed.notify_all()

    def is_held(self):
        """Waits a little; whether it has to go on."""
        with self.changed:
            self.held = self.held or self.holding
            self.changed.notify_all()
            return not self.changed.wait_for(lambda: not self.holding, PULSE)

    @property
    def faults(self):
        with self.changed:
            return [r for r in self.requests if r["fault"]]

    def seen(self, host, path=""):
        with self.changed:
            return [r for r in self.requests if r["host"] == host and path in r["path"]]

    def wait(self, what, timeout):
        """Until what() is true; its value."""
        end = time.monotonic() + timeout
        with self.changed:
            while not (value := what()):
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"did not happen in {timeout} s; arrived: {[(r['host'], r['path']) for r in self.requests]}")
                self.changed.wait(left)
            return value

    def fault_of(self, record):
        """Why a request is not one that may arrive; None: it is right."""
        host = record["host"]
        if host in self.signed_in:
            return self.fault_of_token(record, self.signed_in[host])
        if host not in SERVICES:
            return None if not any(k in json.dumps(record) for k in self.keys.values()) else "a key at a host that it is not for"
        header = SERVICES[host][0]
        held = [v for n, v in record["headers"] if n == header]
        if held != [credential(host, self.keys[host])]:
            return f"{header} is not the key, once"
        others = [(n, v) for n, v in record["headers"] if n != header]
        if bad := [n for n, v in others if n in CREDENTIALS]:
            return f"another credential: {bad}"
        rest = json.dumps([others, record["path"], record["body"]])
        for k in self.keys.values():
            if k in rest or base64.b64encode(k.encode()).decode() in rest:
                return "the key in another place"
        if any(v == SENTINEL for _, v in others) or SENTINEL in record["path"]:
            return "a placeholder arrived"
        return None


    @staticmethod
    def fault_of_token(record, issuer):
        held = [v for n, v in record["headers"] if n in CREDENTIALS]
        if held not in ([], [f"Bearer {issuer.access}"]):
            return "authorization is not the access token, once, alone"
        rest = json.dumps([[f for f in record["headers"] if f[0] != "authorization"], record["path"], record["body"]])
        return "a token in another place" if any(t in rest for t in issuer.given) else None


def new_keys(make):
    """By host; GitHub's have one."""
    keys = {host: make() for host in SERVICES}
    return {host: keys[github.API] if host in github.HOSTS else key for host, key in keys.items()}


def credential(host, key):
    """What the service's header must be."""
    if host == github.GIT:
        return "Basic " + base64.b64encode(f"x-access-token:{key}".encode()).decode()
    return SERVICES[host][1] + key


def handler(doubles):
    return type("Handler", (Handler,), {"doubles": doubles})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE
    doubles = None

    def log_message(self, *args):
        pass

    def body(self):
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            body = b""
            while n := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(n)
                self.rfile.readline()
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            return body
        return self.rfile.read(int(self.headers.get("content-length", "0")))

    def serve(self):
        self.taken = body = self.body()
        if self.headers.get("content-encoding") == "zstd":
            body = subprocess.run(["zstd", "-dcq"], input=body, stdout=subprocess.PIPE, check=True).stdout
        record = {
            "host": self.headers.get("host", "").removesuffix(":443").lower(), "method": self.command, "path": self.path,
            "headers": [(n.lower(), v) for n, v in self.headers.items()], "body": body.decode("utf-8", "surrogateescape"),
        }
        record["fault"] = self.doubles.fault_of(record)
        self.doubles.note(record)
        if record["fault"]:
            self.whole(401, {"type": "error", "error": {"type": "authentication_error", "message": "invalid key"}})
            return
        try:
            asked = json.loads(body) if body else {}
        except ValueError:
            asked = {}
        path = urllib.parse.urlsplit(self.path)
        if path.path == MIRROR:
            self.mirror(record)
            return
        answer = ROUTES.get(record["host"])
        if self.headers.get("upgrade"):
            self.whole(426, {"error": {"type": "invalid_request_error", "message": "no WebSocket here"}})
            return
        if not answer or not answer(self, path.path, asked if isinstance(asked, dict) else {}):
            self.whole(404, {"error": {"type": "not_found_error", "message": "no such thing"}})

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_OPTIONS = serve

    def whole(self, status, value):
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)
        return True

    def mirror(self, record):
        held = " ".join(v for n, v in record["headers"] if n == SERVICES[record["host"]][0])
        text = f"mirror: {held}\n{urllib.parse.quote(held, safe='')}\n{base64.b64encode(held.encode()).decode()}\n".encode()
        self.send_response(200)
        self.send_header("X-Mirror", held)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def stream(self, events, named=True, end=None, pulse=None):
        """events: dicts, an SSE event each; named: their type is the event's name; pulse: the event that is repeated after the first one for as long as
        the test holds the answer back."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for n, event in enumerate(events):
            self.event(event, named)
            while n == 0 and pulse and self.doubles.is_held():
                self.event(pulse, named)
        if end:
            self.chunk(end)
        self.wfile.write(b"0\r\n\r\n")
        return True

    def event(self, event, named):
        self.chunk((f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\n\n")

    def chunk(self, text):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(text.encode()), text.encode()))
        self.wfile.flush()


def is_closing(said):
    """Whether an answer, or a part of it, is the last one."""
    return CLOSING in json.dumps(said)


# Anthropic: POST /v1/messages, /v1/messages/count_tokens.

def anthropic(h, path, asked):
    if path == "/v1/messages/count_tokens":
        return h.whole(200, {"input_tokens": 42})
    if path in ("/api/oauth/profile", "/api/oauth/claude_cli/roles"):
        return h.whole(200, oauth.PROFILE if path.endswith("profile") else oauth.ROLES)
    if path != "/v1/messages":
        return False
    block = anthropic_block(asked)
    stop = "tool_use" if block["type"] == "tool_use" else "end_turn"
    message = {"id": "msg_double", "type": "message", "role": "assistant", "model": asked.get("model", ""), "content": [block],
               "stop_reason": stop, "stop_sequence": None, "usage": {"input_tokens": 10, "output_tokens": 10}}
    if not asked.get("stream"):
        return h.whole(200, message)
    if stop == "tool_use":
        begin = dict(block, input={})
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    else:
        begin, delta = dict(block, text=""), {"type": "text_delta", "text": block["text"]}
    return h.stream([
        {"type": "message_start", "message": dict(message, content=[], stop_reason=None)},
        {"type": "content_block_start", "index": 0, "content_block": begin},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": 10}},
        {"type": "message_stop"},
    ], pulse={"type": "ping"} if is_closing(block) else None)


def anthropic_block(asked):
    tools = {t.get("name") for t in asked.get("tools") or []}
    results = [b for m in asked.get("messages", []) if isinstance(m.get("content"), list) for b in m["content"]
               if b.get("type") == "tool_result"]
    shell = next((t for t in ("Bash", "bash") if t in tools), None)
    if not shell or results:
        return {"type": "text", "text": CLOSING if results else "A short title"}
    return {"type": "tool_use", "id": "toolu_double_1", "name": shell,
            "input": {"command": COMMAND, "description": "Writes the file"}}


# OpenAI: POST /v1/responses, /v1/chat/completions; GET /v1/models.

def openai(h, path, asked):
    if path == "/v1/models":
        return h.whole(200, {"object": "list", "data": []})
    if path == "/v1/chat/completions":
        return chat(h, asked)
    if path != "/v1/responses":
        return False
    item = responses_item(asked)
    response = {"id": "resp_double", "object": "response", "created_at": 0, "model": asked.get("model", ""), "status": "completed",
                "error": None, "output": [item], "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 10,
                                    "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 20}}
    if not asked.get("stream"):
        return h.whole(200, response)
    events = [{"type": "response.created", "response": dict(response, status="in_progress", output=[])},
              {"type": "response.output_item.added", "output_index": 0, "item": dict(item, status="in_progress")}]
    if item["type"] == "message":
        events.append({"type": "response.output_text.delta", "item_id": item["id"], "output_index": 0, "content_index": 0,
                       "delta": item["content"][0]["text"]})
    events += [{"type": "response.output_item.done", "output_index": 0, "item": item},
               {"type": "response.completed", "response": response}]
    return h.stream([dict(e, sequence_number=n) for n, e in enumerate(events)],
                    pulse=dict(events[0], type="response.in_progress", sequence_number=0) if is_closing(item) else None)


# The shell tools of Codex's models, and OpenCode's, each with its arguments; and the one that runs JavaScript, in which the shell is a function.
SHELLS = {
    "exec_command": {"cmd": COMMAND},
    "shell_command": {"command": COMMAND},
    "shell": {"command": ["bash", "-c", COMMAND]},
    "bash": {"command": COMMAND, "description": "Writes the file"},
}
SCRIPT = f"const r = await tools.exec_command({json.dumps({'cmd': COMMAND})});\ntext(r.output);\n"


def responses_tools(asked):
    """Name, kind and namespace of each; newer models get them as an item of the input."""
    lists = [asked.get("tools")] + [i.get("tools") for i in asked.get("input", []) if isinstance(i, dict)]
    for tool in [t for given in lists for t in given or []]:
        for inner in tool.get("tools") or [tool]:
            yield inner.get("name"), inner.get("type"), tool["name"] if inner is not tool else None


def responses_item(asked):
    tools = {name: (kind, space) for name, kind, space in responses_tools(asked)}
    results = [i for i in asked.get("input", []) if isinstance(i, dict) and str(i.get("type", "")).endswith("_call_output")]
    call = {"call_id": "call_double_1", "status": "completed"}
    if not results and tools.get("exec", ("",))[0] == "custom":
        if tools["exec"][1]:
            call["namespace"] = tools["exec"][1]
        return dict(call, type="custom_tool_call", id="ctc_double", name="exec", input=SCRIPT)
    shell = next((t for t in SHELLS if t in tools), None)
    if not results and shell:
        return dict(call, type="function_call", id="fc_double", name=shell, arguments=json.dumps(SHELLS[shell]))
    return {"type": "message", "id": "msg_double", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": CLOSING if results else "A short title", "annotations": []}]}


def chat(h, asked):
    tools = {t.get("function", {}).get("name") for t in asked.get("tools") or []}
    results = [m for m in asked.get("messages", []) if m.get("role") == "tool"]
    shell = next((t for t in SHELLS if t in tools), None)
    call = bool(shell) and not results
    said = {"role": "assistant", "content": None if call else CLOSING if results else "A short title"}
    if call:
        said["tool_calls"] = [{"index": 0, "id": "call_double_1", "type": "function",
                               "function": {"name": shell, "arguments": json.dumps(SHELLS[shell])}}]
    base = {"id": "chatcmpl-double", "created": 0, "model": asked.get("model", "")}
    usage = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
    reason = "tool_calls" if call else "stop"
    if not asked.get("stream"):
        return h.whole(200, dict(base, object="chat.completion", usage=usage,
                                 choices=[{"index": 0, "message": said, "finish_reason": reason}]))
    chunk = dict(base, object="chat.completion.chunk")
    return h.stream([dict(chunk, choices=[{"index": 0, "delta": said, "finish_reason": None}]),
                     dict(chunk, choices=[{"index": 0, "delta": {}, "finish_reason": reason}], usage=usage)],
                    named=False, end="data: [DONE]\n\n")


# Google: POST /v1beta/models/MODEL:generateContent, :streamGenerateContent, :countTokens.

def google(h, path, asked):
    verb = path.rsplit(":", 1)[-1]
    if verb == "countTokens":
        return h.whole(200, {"totalTokens": 42})
    if verb not in ("generateContent", "streamGenerateContent"):
        return False
    answer = {"candidates": [{"content": {"role": "model", "parts": [google_part(asked)]}, "finishReason": "STOP", "index": 0}],
              "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 10, "totalTokenCount": 20},
              "modelVersion": path.rsplit("/", 1)[-1].split(":")[0], "responseId": "double"}
    if verb == "generateContent":
        return h.whole(200, answer)
    # A piece of text first, then the rest.
    piece = dict(answer, candidates=[{"content": {"role": "model", "parts": [{"text": "."}]}, "index": 0}])
    return h.stream([piece, answer] if is_closing(answer) else [answer], named=False, pulse=piece if is_closing(answer) else None)


def google_part(asked):
    tools = {f.get("name") for t in asked.get("tools") or [] for f in t.get("functionDeclarations") or []}
    results = [p for c in asked.get("contents", []) for p in c.get("parts", []) if "functionResponse" in p]
    if results:
        return {"text": CLOSING}
    if "run_shell_command" in tools:
        return {"functionCall": {"name": "run_shell_command", "args": {"command": COMMAND, "description": "Writes the file"}}}
    if (asked.get("generationConfig") or {}).get("responseMimeType") == "application/json":
        return {"text": json.dumps({"reasoning": "short", "model_choice": "flash", "complexity_reasoning": "short", "complexity_score": 1})}
    return {"text": "A short title"}


def copilot(h, path, asked):
    """Copilot's API is those of the others, without a version."""
    if path == "/models":
        return h.whole(200, github.MODELS)
    if path in ("/v1/messages", "/v1/messages/count_tokens"):
        return anthropic(h, path, asked)
    return openai(h, "/v1" + path, asked)


def sign_in(h, path, asked):
    if path not in ("/v1/oauth/token", "/oauth/token"):
        return False
    issuer = h.doubles.issuers[h.headers.get("host").removesuffix(":443").lower()]
    status, said = issuer.answer(h.taken.decode(), h.headers.get("content-type", ""))
    return h.whole(status, said)


def chatgpt(h, path, asked):
    """What Codex asks with a subscription: the Responses API, at another place."""
    base = "/backend-api/codex"
    if path == "/backend-api/wham/accounts/check":
        return h.whole(200, oauth.WORKSPACES)
    return path.startswith(base) and openai(h, "/v1" + path.removeprefix(base), asked)


ROUTES = {oauth.CHATGPT: chatgpt, oauth.CLAUDE: sign_in, oauth.CODEX: sign_in, ANTHROPIC: anthropic, OPENAI: openai, GOOGLE: google, github.API: github.api, github.COPILOT: copilot, github.GIT: github.git}
