"""What a PDS gave us for an account, and how it is written down before it is sealed."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pydantic import SecretStr


@dataclass(frozen=True)
class Grant:
    """What the tokens of an OAuth login are bound to: they are worth nothing without it."""

    issuer: str
    client_id: str
    dpop_key: SecretStr
    kid: str | None
    """Which of OAUTH_KEYS the login began with; a public client has none."""

    @classmethod
    def from_json(cls, held: dict[str, Any]) -> Self:
        """Read what `Tokens.to_bytes` wrote."""
        return cls(held["issuer"], held["client_id"], SecretStr(held["dpop_key"]), held["kid"])


@dataclass(frozen=True)
class Tokens:
    """An access token whose end the PDS does not tell is used until the PDS refuses it."""

    access: SecretStr
    refresh: SecretStr
    scope: str
    access_expires_at: datetime | None
    grant: Grant | None = None

    def to_bytes(self) -> bytes:
        """Write down what has to be sealed."""
        held: dict[str, Any] = {
            "access": self.access.get_secret_value(),
            "refresh": self.refresh.get_secret_value(),
        }
        if self.grant is not None:
            held["grant"] = {**vars(self.grant), "dpop_key": self.grant.dpop_key.get_secret_value()}
        return json.dumps(held).encode()

    @classmethod
    def from_bytes(cls, opened: bytes, scope: str, access_expires_at: datetime | None) -> Self:
        """Read what `to_bytes` wrote."""
        held = json.loads(opened)
        grant = Grant.from_json(held["grant"]) if "grant" in held else None
        return cls(SecretStr(held["access"]), SecretStr(held["refresh"]), scope, access_expires_at, grant)
