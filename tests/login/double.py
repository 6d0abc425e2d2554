# SPDX-License-Identifier: Apache-2.0
"""double: an OpenID issuer that does whatever a test wants of it, where a real one cannot be made to misbehave."""
import base64
import json
import time
import urllib.parse

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

import world

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def b64(data):
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(n):
    return b64(n.to_bytes((n.bit_length() + 7) // 8, "big"))


def jwks():
    r, e = RSA.public_key().public_numbers(), EC.public_key().public_numbers()
    return {"keys": [{"kty": "RSA", "kid": "rsa", "use": "sig", "n": number(r.n), "e": number(r.e)},
                     {"kty": "EC", "kid": "ec", "crv": "P-256", "x": b64(e.x.to_bytes(32, "big")), "y": b64(e.y.to_bytes(32, "big"))},
                     {"kty": "RSA", "kid": "enc", "use": "enc", "n": number(r.n), "e": number(r.e)}]}


def sign(claims, alg="RS256", kid="rsa", key=RSA, **header):
    text = b64({"alg": alg, "kid": kid, **header}) + "." + b64(claims)
    if alg == "RS256":
        signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    elif alg == "ES256":
        signature = b"".join(n.to_bytes(32, "big") for n in decode_dss_signature(EC.sign(text.encode(), ec.ECDSA(hashes.SHA256()))))
    elif alg == "HS256":
        # By the public key, which a careless reader takes for the secret.
        mac = hmac.HMAC(json.dumps(jwks()["keys"][0]).encode(), hashes.SHA256())
        mac.update(text.encode())
        signature = mac.finalize()
    else:
        signature = b""
    return text + "." + b64(signature)


class Issuer:
    """polls: what the token endpoint says, one after the other: an error's name, a status, or "tokens"."""

    def __init__(self, serve, polls=("tokens",), **claims):
        self.polls, self.claims, self.signing = list(polls), claims, {}
        self.discovery, self.device, self.tokens = {}, {}, {}
        self.special = {}  # path: a whole answer
        self.asked, self.forms = [], []
        self.server = serve(self.answer)
        self.url = self.server.url

    def id_token(self):
        now = int(time.time())
        return sign({"iss": self.url, "sub": "alice", "aud": "sbx", "exp": now + 300, "iat": now, **self.claims}, **self.signing)

    def token(self, form):
        self.asked.append(time.monotonic())
        self.forms.append(dict(urllib.parse.parse_qsl(form)))
        what = self.polls.pop(0) if len(self.polls) > 1 else self.polls[0]
        if isinstance(what, int):
            return what, {}, "not now"
        if what != "tokens":
            return world.reply(400, error=what, error_description="as the test wants it")
        return world.reply(200, **{"access_token": "access-0123456789", "token_type": "bearer", "expires_in": 3600,
                                   "refresh_token": "refresh-0123456789", "id_token": self.id_token(), **self.tokens})

    def answer(self, method, path, headers, body):
        u = self.url
        if path in self.special:
            return self.special[path]
        if path == "/.well-known/openid-configuration":
            return world.reply(200, **{"issuer": u, "device_authorization_endpoint": u + "/device", "token_endpoint": u + "/token",
                                       "jwks_uri": u + "/jwks", **self.discovery})
        if path == "/device":
            return world.reply(200, **{"device_code": "device-0123456789", "user_code": "WDJB-MJHT", "expires_in": 60, "interval": 1,
                                       "verification_uri": u + "/enter", **self.device})
        if path == "/token":
            return self.token(body)
        return world.reply(200, **jwks()) if path == "/jwks" else (404, {}, "")
