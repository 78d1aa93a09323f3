"""Logins of a PDS: an app password's refresh token may be repeated, OAuth ends the session for it."""

import base64
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.fake_pds.account import OWNER
from tests.fake_pds.xrpc import Call, RefusedError

ACCESS_SECONDS, REFRESH_SECONDS, GRACE_SECONDS = 7200, 90 * 86400, 7200
OAUTH_ACCESS_SECONDS = 3600


@dataclass
class Token:
    did: str
    scope: str
    expires_at: float
    client: str
    next_id: str | None = None
    spent_at: float = math.inf
    """From when on the host takes a refresh token no more, whatever it says itself."""


@dataclass
class Grant:
    """An OAuth session: one good access token and one good refresh token."""

    did: str
    client: str
    access: str = ""
    refresh: str = ""
    access_until: float = 0.0
    spent: set[str] = field(default_factory=set)


class Tokens:
    def __init__(self, origin: str, clock: Callable[[], float]) -> None:
        self._origin, self._clock = origin, clock
        self._number = 0
        self._tokens: dict[str, Token] = {}
        self._refreshes: dict[str, Token] = {}
        self._grants: dict[str, Grant] = {}
        self.nonce: str | None = None
        """When set, OAuth requests must prove that they know it."""

    def session(self, did: str, client: str, *, refresh_id: str | None = None) -> dict[str, str]:
        scope = "com.atproto.access" if client == OWNER else "com.atproto.appPass"
        refresh_id = refresh_id or self._next("refresh")
        refresh = self._make(did, "com.atproto.refresh", REFRESH_SECONDS, client, refresh_id)
        return {"accessJwt": self._make(did, scope, ACCESS_SECONDS, client), "refreshJwt": refresh}

    def look_at_refresh(self, call: Call) -> Token:
        """The refresh token of a request, not spent yet."""
        return self._known(self._bearer(call), refresh=True)

    def refresh(self, token: Token) -> dict[str, str]:
        """Spend a refresh token: it works for a while yet, and gives the same successor every time."""
        if self._clock() >= token.spent_at:
            raise RefusedError(400, "ExpiredToken", "Token has been revoked")
        token.next_id = token.next_id or self._next("refresh")
        token.spent_at = min(token.spent_at, self._clock() + GRACE_SECONDS)
        return self.session(token.did, token.client, refresh_id=token.next_id)

    def check(self, call: Call) -> Token:
        if call.headers.get("authorization", "").lower().startswith("dpop "):
            return self._check_grant(call)
        return self._known(self._bearer(call), refresh=False)

    def revoke(self, did: str, client: str | None = None) -> None:
        """End the refresh tokens and OAuth sessions of an account, or of one of its clients; access tokens live on."""
        for token in self._refreshes.values():
            if token.did == did and client in {None, token.client}:
                token.spent_at = 0
        for text, grant in list(self._grants.items()):
            if grant.did == did and client in {None, grant.client}:
                del self._grants[text]

    def expire(self, did: str) -> None:
        """Let time pass for the access tokens of an account."""
        for token in self._tokens.values():
            if token.did == did and token.scope != "com.atproto.refresh":
                token.expires_at = min(token.expires_at, self._clock())

    def has_session(self, did: str, client: str) -> bool:
        return any(
            token.did == did
            and token.client == client
            and self._clock() < min(token.spent_at, token.expires_at)
            for token in self._refreshes.values()
        )

    def grant(self, did: str, client: str) -> Grant:
        """An OAuth session, as after consent."""
        grant = Grant(did, client)
        self._rotate(grant)
        return grant

    def refresh_grant(self, refresh: str) -> dict[str, Any]:
        """The token endpoint: rotates both tokens; a spent one ends the session."""
        grant = self._grants.get(refresh)
        if grant is None:
            raise RefusedError(400, "invalid_grant", "Invalid refresh token")
        if refresh in grant.spent:
            self._grants = {text: each for text, each in self._grants.items() if each is not grant}
            raise RefusedError(400, "invalid_grant", "Refresh token replayed")
        self._rotate(grant)
        tokens = {"access_token": grant.access, "refresh_token": grant.refresh}
        return {**tokens, "token_type": "DPoP", "sub": grant.did, "expires_in": OAUTH_ACCESS_SECONDS}

    def _rotate(self, grant: Grant) -> None:
        grant.spent |= {grant.refresh}
        grant.access, grant.refresh = self._next("oauth-access"), self._next("oauth-refresh")
        grant.access_until = self._clock() + OAUTH_ACCESS_SECONDS
        self._grants |= {grant.access: grant, grant.refresh: grant}

    def _check_grant(self, call: Call) -> Token:
        text = call.headers["authorization"].split(" ", 1)[1]
        fresh = {"DPoP-Nonce": self.nonce} if self.nonce is not None else {}
        if self.nonce is not None and _claims(call.headers.get("dpop", "")).get("nonce") != self.nonce:
            raise RefusedError(401, "use_dpop_nonce", headers=fresh)
        grant = self._grants.get(text)
        if grant is None or text != grant.access or self._clock() >= grant.access_until:
            raise RefusedError(401, "invalid_token", "Invalid token", fresh)
        return Token(grant.did, "atproto", grant.access_until, grant.client)

    def _make(self, did: str, scope: str, seconds: float, client: str, name: str | None = None) -> str:
        expires_at = self._clock() + seconds
        claims = {"scope": scope, "sub": did, "exp": int(expires_at), "jti": name or self._next("access")}
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        text = f"e30.{payload}.fake"
        token = Token(did, scope, expires_at, client)
        # two texts may be one refresh token: that of a refresh that was repeated
        self._tokens[text] = self._refreshes.setdefault(name, token) if name is not None else token
        return text

    def _known(self, text: str, *, refresh: bool) -> Token:
        token = self._tokens.get(text)
        if token is None:
            raise RefusedError(400, "InvalidToken", "Token could not be verified")
        if refresh != (token.scope == "com.atproto.refresh"):
            raise RefusedError(400, "InvalidToken", "Token could not be verified")
        if self._clock() >= token.expires_at:
            raise RefusedError(400, "ExpiredToken", "Token has expired")
        return token

    @staticmethod
    def _bearer(call: Call) -> str:
        kind, _, text = call.headers.get("authorization", "").partition(" ")
        if not kind:
            raise RefusedError(401, "AuthMissing", "Authentication Required")
        if kind.lower() != "bearer" or not text or " " in text:
            raise RefusedError(400, "InvalidToken", "Unexpected authorization type")
        return text

    def _next(self, kind: str) -> str:
        self._number += 1
        return f"{kind}-{self._number}-{self._origin}"


def _claims(token: str) -> dict[str, Any]:
    try:
        payload = token.split(".")[1]
        return dict(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))
    except (IndexError, ValueError):
        return {}
