"""P-256 keys as JWKs: the keys that this service authenticates with, and the DPoP key of each login."""

import base64
import json
import secrets
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
    generate_private_key,
)
from pydantic import SecretStr

CURVE: Final = {"kty": "EC", "crv": "P-256"}
BYTES: Final = 32


@dataclass(frozen=True)
class SigningKey:
    """A private key and the `kid` under which its public key is published."""

    kid: str
    private: EllipticCurvePrivateKey = field(repr=False)

    def public_jwk(self) -> dict[str, str]:
        return {**_public(self.private), "kid": self.kid, "use": "sig", "alg": "ES256"}


def new_signing_key() -> dict[str, str]:
    key = generate_private_key(SECP256R1())
    return {**_public(key), "d": scalar_of(key).get_secret_value(), "kid": secrets.token_hex(8)}


def signing_keys(text: str) -> tuple[SigningKey, ...]:
    """Read a JSON list of private JWKs; raises ValueError, whose text repeats nothing of the input."""
    try:
        keys = json.loads(text)
    except ValueError:
        raise ValueError("not JSON") from None
    if not isinstance(keys, list) or not keys:
        raise ValueError("not a list of keys")
    read: dict[str, SigningKey] = {}
    for jwk in keys:
        kid, scalar = (jwk.get("kid"), jwk.get("d")) if isinstance(jwk, dict) else (None, None)
        if not (isinstance(kid, str) and kid and isinstance(scalar, str) and scalar):
            raise ValueError("a key without kid or d")
        try:
            key = key_of(SecretStr(scalar))
        except ValueError:
            raise ValueError("d is not a P-256 key") from None
        if {name: jwk.get(name) for name in ("kty", "crv", "x", "y")} != _public(key):
            raise ValueError("x and y do not match d")
        read[kid] = SigningKey(kid, key)
    if len(read) < len(keys):
        raise ValueError("two keys have the same kid")
    return tuple(read.values())


def scalar_of(key: EllipticCurvePrivateKey) -> SecretStr:
    """Serialize a private key: its scalar as base64url."""
    return SecretStr(_text(key.private_numbers().private_value))


def key_of(scalar: SecretStr) -> EllipticCurvePrivateKey:
    return derive_private_key(_number(scalar.get_secret_value()), SECP256R1())


def _public(key: EllipticCurvePrivateKey) -> dict[str, str]:
    point = key.public_key().public_numbers()
    return {**CURVE, "x": _text(point.x), "y": _text(point.y)}


def _text(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(BYTES, "big")).decode().rstrip("=")


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
