"""Tokens made with PyPI `joserfc` for the real-Envoy tests: one good token for each algorithm, and some that are not.

Reads {"issuer", "audience", "algorithms"} as JSON from stdin; writes {"jwks", "tokens": [{"name", "token", "code"}]}.
"""

import json
import sys
import time

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

question = json.load(sys.stdin)
algorithms = question["algorithms"]
now = int(time.time())
honest = {
    "iss": question["issuer"],
    "aud": question["audience"],
    "sub": "alice",
    "roles": ["clerk"],
    "iat": now,
    "exp": now + 300,
}


def generate(alg):
    """A fresh private key for an algorithm."""
    parameters = {"kid": alg, "alg": alg, "use": "sig"}
    if alg == "EdDSA":
        return OKPKey.generate_key("Ed25519", parameters)
    if alg.startswith("ES"):
        return ECKey.generate_key({"ES256": "P-256", "ES384": "P-384"}[alg], parameters)
    return RSAKey.generate_key(2048, parameters)


def sign(alg, key, claims, **header):
    """A compact token; every algorithm is allowed here, the receiver decides."""
    return jwt.encode({"alg": alg, "kid": key.kid, "typ": "at+jwt", **header}, claims, key, algorithms=[alg])


keys = {alg: generate(alg) for alg in algorithms}
tokens = [{"name": f"joserfc {alg}", "token": sign(alg, key, honest), "code": ""} for alg, key in keys.items()]

first = algorithms[0]
good = sign(first, keys[first], honest)
head, payload, signature = good.split(".")
tokens += [
    {
        "name": "joserfc expired",
        "token": sign(first, keys[first], {**honest, "exp": now - 600}),
        "code": "token_expired",
    },
    {
        "name": "joserfc without exp",
        "token": sign(first, keys[first], {k: v for k, v in honest.items() if k != "exp"}),
        "code": "claim_missing",
    },
    {
        "name": "joserfc of another issuer",
        "token": sign(first, keys[first], {**honest, "iss": "https://other.example"}),
        "code": "issuer_untrusted",
    },
    {
        "name": "joserfc HS256",
        "token": sign("HS256", OctKey.generate_key(256, {"kid": first}), honest),
        "code": "algorithm_not_allowed",
    },
    {"name": "joserfc tampered", "token": f"{head}.{payload}.{signature[:-12]}{'A' * 12}", "code": "signature_invalid"},
]

jwks = {"keys": [key.as_dict(private=False) for key in keys.values()]}
json.dump({"jwks": jwks, "tokens": tokens}, sys.stdout)
