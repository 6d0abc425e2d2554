# SPDX-License-Identifier: Apache-2.0
"""GitHub's hosts, as doubles: its API as far as gh and Copilot's program ask it, and repositories over HTTPS by git's own server. The requests have been
checked (double.py) when they come here."""
import os
import subprocess

API, COPILOT, GIT = "api.github.com", "api.individual.githubcopilot.com", "github.com"
HOSTS = (API, COPILOT, GIT)
LOGIN = "the-octocat"
REPOSITORIES = None  # a directory; git's requests are for what it holds

USER = {
    "login": LOGIN, "access_type_sku": "free_limited_copilot", "copilot_plan": "individual", "chat_enabled": True, "cli_enabled": True,
    "assigned_date": "2026-01-01T00:00:00Z", "can_signup_for_limited": False, "organization_login_list": [], "organization_list": [],
    "analytics_tracking_id": "0", "restricted_telemetry": True, "is_mcp_enabled": True,
    "endpoints": {"api": f"https://{COPILOT}", "proxy": "https://proxy.individual.githubcopilot.com",
                  "telemetry": "https://telemetry.individual.githubcopilot.com", "origin-tracker": "https://origin-tracker.individual.githubcopilot.com"},
}


def model(name, vendor, endpoints):
    return {"id": name, "name": name, "object": "model", "vendor": vendor, "version": name, "preview": False, "model_picker_enabled": True,
            "is_chat_default": True, "is_chat_fallback": True, "supported_endpoints": endpoints, "policy": {"state": "enabled", "terms": ""},
            "billing": {"is_premium": False, "multiplier": 1},
            "capabilities": {"family": name, "object": "model_capabilities", "tokenizer": "o200k_base", "type": "chat",
                             "limits": {"max_context_window_tokens": 200000, "max_output_tokens": 16000, "max_prompt_tokens": 128000},
                             "supports": {"streaming": True, "tool_calls": True, "parallel_tool_calls": True}}}


MODELS = {"object": "list", "data": [model("claude-sonnet-4.5", "Anthropic", ["/chat/completions"]), model("gpt-5-mini", "OpenAI", ["/chat/completions"]),
                                     model("gpt-4.1", "OpenAI", ["/chat/completions"])]}


def api(h, path, asked):
    if path == "/copilot_internal/user":
        return h.whole(200, USER)
    if path == "/":  # by this gh tells whether its token is good
        return h.whole(200, {"current_user_url": f"https://{API}/user"})
    if path == "/user":
        return h.whole(200, {"login": LOGIN, "id": 1, "type": "User", "name": "The Octocat"})
    if path == "/graphql":
        return h.whole(200, {"data": {"viewer": {"login": LOGIN}}})
    return False


def git(h, path, asked):
    """git's smart HTTP, by git itself."""
    if not REPOSITORIES:
        return False
    fields = h.headers
    env = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(REPOSITORIES), "GIT_HTTP_EXPORT_ALL": "1", "REQUEST_METHOD": h.command, "PATH_INFO": path,
           "QUERY_STRING": h.path.partition("?")[2], "CONTENT_TYPE": fields.get("content-type", ""), "CONTENT_LENGTH": str(len(h.taken)),
           "REMOTE_USER": "tester", "HTTP_CONTENT_ENCODING": fields.get("content-encoding", ""), "GIT_PROTOCOL": fields.get("git-protocol", "")}
    head, _, out = subprocess.run(["git", "http-backend"], input=h.taken, env=env, capture_output=True).stdout.partition(b"\r\n\r\n")
    said = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
    h.send_response(int(said.pop("Status", "200").split()[0]))
    for name, value in said.items():
        h.send_header(name, value)
    h.send_header("Content-Length", str(len(out)))
    h.end_headers()
    h.wfile.write(out)
    return True
