# SPDX-License-Identifier: Apache-2.0
"""The places where agents sign in, as doubles: an authorization code is good once, with the verifier that its challenge was made of (PKCE, RFC 7636); a
refresh token is good once. What a user's browser does at the provider's page, follow() does: it says where the page sends the browser."""
import base64
import hashlib
import json
import secrets
import threading
import time
import urllib.parse

CLAUDE, CODEX, CHATGPT = "platform.claude.com", "auth.openai.com", "chatgpt.com"
LIFE = 28800  # seconds


def b64(raw):
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Issuer:
    """shape: "opaque" tokens of Anthropic's kind, or "jwt" as OpenAI's."""

    def __init__(self, prefix, jwt=False):
        self.prefix, self.jwt, self.lock = prefix, jwt, threading.Lock()
        self.codes, self.good = {}, set()
        self.access, self.given, self.refreshed, self.faults = None, [], 0, []

    def token(self, kind):
        name = f"{self.prefix}{kind}-{secrets.token_hex(20)}"
        if self.jwt and kind != "rt":
            auth = {"chatgpt_account_id": "acc-1", "chatgpt_plan_type": "pro", "chatgpt_user_id": "user-1", "user_id": "user-1"}
            claims = {"exp": int(time.time()) + LIFE, "iat": int(time.time()), "iss": "https://auth.openai.com", "sub": "user-1", "email": "me@example.com",
                      "email_verified": True, "https://api.openai.com/auth": auth, "https://api.openai.com/profile": {"email": "me@example.com"}}
            name = ".".join([b64(b'{"alg":"RS256","typ":"JWT"}'), b64(json.dumps(claims).encode()), b64(name.encode())])
        self.given.append(name)
        return name

    def follow(self, url):
        """The page's way back, with a code."""
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        code = secrets.token_urlsafe(24)
        with self.lock:
            self.codes[code] = query["code_challenge"], query["redirect_uri"]
        return query["redirect_uri"] + "?" + urllib.parse.urlencode({"code": code, "state": query["state"]})

    def answer(self, body, kind):
        """To a request to the token endpoint: status, object."""
        asked = json.loads(body) if "json" in kind else dict(urllib.parse.parse_qsl(body))
        with self.lock:
            grant = asked.get("grant_type")
            if grant == "authorization_code":
                challenge, where = self.codes.pop(asked.get("code"), (None, None))
                good = challenge == b64(hashlib.sha256(asked.get("code_verifier", "").encode()).digest()) and where == asked.get("redirect_uri")
            else:
                good = grant == "refresh_token" and asked.get("refresh_token") in self.good
                self.good.discard(asked.get("refresh_token"))
                self.refreshed += good
            if not good:
                self.faults.append(f"{grant}: {sorted(asked)}")
                return 400, {"error": "invalid_grant"}
            return 200, self.hand_out()

    def hand_out(self):
        self.access, refresh = self.token("at"), self.token("rt")
        self.good.add(refresh)
        said = {"token_type": "Bearer", "access_token": self.access, "refresh_token": refresh, "expires_in": LIFE}
        if self.jwt:
            return dict(said, id_token=self.token("id"))
        return dict(said, scope="user:inference user:profile user:sessions:claude_code user:mcp_servers",
                    account={"uuid": "11111111-2222-4333-8444-555555555555", "email_address": "me@example.com"},
                    organization={"uuid": "66666666-7777-4888-8999-000000000000", "name": "Mine"})

    def expire(self):
        """The access token is good no longer."""
        with self.lock:
            self.access = "none"


PROFILE = {"account": {"uuid": "11111111-2222-4333-8444-555555555555", "full_name": "Me", "display_name": "Me", "email": "me@example.com", "has_claude_max": True,
                       "has_claude_pro": False, "created_at": "2025-01-01T00:00:00Z"},
           "organization": {"uuid": "66666666-7777-4888-8999-000000000000", "name": "Mine", "organization_type": "claude_max",
                            "rate_limit_tier": "default_claude_max_5x", "billing_type": "stripe_subscription", "has_extra_usage_enabled": False}}
ROLES = {"organization_role": "admin", "workspace_role": None, "organization_name": "Mine"}
WORKSPACES = {"accounts": [{"id": "acc-1", "account_id": "acc-1", "name": "Mine", "can_access_with_session": True, "sso_connection_name": None,
                           "is_deactivated": False, "is_fedramp_compliant_workspace": False, "plan_type": "pro", "profile_picture_url": None,
                           "workspace_backend_origin": "https://chatgpt.com", "account_routing_override": "us", "structure": "personal"}],
              "account_ordering": ["acc-1"], "default_account_id": "acc-1"}
