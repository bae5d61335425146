"""Shared by the identity tests: a manual clock, a file of API keys, signing keys, key sets and tokens."""

import base64
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

AUDIENCE, ISSUER = "rag", "https://issuer.example"


class HandClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def entry(name: str, key: str, tenants: str = "[demo]", more: str = "") -> str:
    return f'  - id: {name}\n    key_sha256: "{digest(key)}"\n    tenants: {tenants}\n{more}'


def write(path: Path, *entries: str) -> Path:
    path.write_text("principals:\n" + "".join(entries))
    return path


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
P256, P384, P521 = (ec.generate_private_key(curve) for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()))
ED25519 = ed25519.Ed25519PrivateKey.generate()
SECRET = b"a secret of at least thirty-two bytes"

SIGNERS: dict[str, tuple[Any, str]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), (RSA, "rsa")),
    "ES256": (P256, "p256"),
    "ES384": (P384, "p384"),
    "ES512": (P521, "p521"),
    "EdDSA": (ED25519, "ed"),
    "HS256": (SECRET, "secret"),
}


def public_jwk(key: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    if isinstance(key, bytes):
        return {"kty": "oct", "k": base64.urlsafe_b64encode(key).decode().rstrip("="), "kid": kid, **more}
    algorithm = {rsa.RSAPrivateKey: "RS256", ed25519.Ed25519PrivateKey: "EdDSA"}
    name = next((value for kind, value in algorithm.items() if isinstance(key, kind)), "ES256")
    described = dict(jwt.get_algorithm_by_name(name).to_jwk(key.public_key(), as_dict=True))
    described.pop("key_ops", None)
    return {**described, **({"kid": kid} if kid else {}), **more}


def key_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


ALL_KEYS = key_set(*(public_jwk(key, kid) for key, kid in {kid: (key, kid) for key, kid in SIGNERS.values()}.values()))


def sign(key: Any = RSA, algorithm: str = "RS256", kid: str | None = "rsa", **changes: Any) -> str:
    """A good token, but for the claims that are changed; None takes a claim away."""
    now = int(time.time())
    claims = {"exp": now + 600, "aud": AUDIENCE, "iss": ISSUER, "sub": "user-1", "tenants": ["demo"], **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid} if kid else None)
