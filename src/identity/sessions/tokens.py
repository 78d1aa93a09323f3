"""The tokens of one PDS session, and their serialized form, which is stored encrypted."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pydantic import SecretStr


@dataclass(frozen=True)
class TokenBinding:
    """What the tokens of an OAuth login are bound to; the tokens cannot be used without it."""

    issuer: str
    client_id: str
    dpop_key: SecretStr
    kid: str | None
    """Which of OAUTH_KEYS the login began with; None for a public client."""


@dataclass(frozen=True)
class Tokens:
    """An access and a refresh token. Without `access_expires_at` the access token is used until the PDS refuses it."""

    access: SecretStr
    refresh: SecretStr
    scope: str
    access_expires_at: datetime | None
    binding: TokenBinding | None = None
    """None for an app password, whose tokens are bearer tokens."""

    def to_bytes(self) -> bytes:
        """Serialize the secrets; the scope and the expiry have columns of their own."""
        stored: dict[str, Any] = {
            "access": self.access.get_secret_value(),
            "refresh": self.refresh.get_secret_value(),
        }
        if self.binding is not None:
            stored["grant"] = {**vars(self.binding), "dpop_key": self.binding.dpop_key.get_secret_value()}
        return json.dumps(stored).encode()

    @classmethod
    def from_bytes(cls, serialized: bytes, scope: str, access_expires_at: datetime | None) -> Self:
        """Read what `to_bytes` wrote."""
        stored, binding = json.loads(serialized), None
        if grant := stored.get("grant"):
            dpop_key = SecretStr(grant["dpop_key"])
            binding = TokenBinding(grant["issuer"], grant["client_id"], dpop_key, grant["kid"])
        access, refresh = SecretStr(stored["access"]), SecretStr(stored["refresh"])
        return cls(access, refresh, scope, access_expires_at, binding)
