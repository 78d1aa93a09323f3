"""Logins of a PDS: an app password's refresh token may be repeated."""

import base64
import json
import math
from collections.abc import Callable
from dataclasses import dataclass

from tests.fake_pds.account import OWNER
from tests.fake_pds.xrpc import Call, RefusedError

ACCESS_SECONDS, REFRESH_SECONDS, GRACE_SECONDS = 7200, 90 * 86400, 7200


@dataclass
class Token:
    did: str
    scope: str
    expires_at: float
    client: str
    next_id: str | None = None
    spent_at: float = math.inf
    """From when on the host takes a refresh token no more, whatever it says itself."""


class Tokens:
    def __init__(self, origin: str, clock: Callable[[], float]) -> None:
        self._origin, self._clock = origin, clock
        self._number = 0
        self._tokens: dict[str, Token] = {}
        self._refreshes: dict[str, Token] = {}

    def session(self, did: str, client: str, *, refresh_id: str | None = None) -> dict[str, str]:
        scope = "com.atproto.access" if client == OWNER else "com.atproto.appPass"
        refresh_id = refresh_id or self._next("refresh")
        refresh = self._make(did, "com.atproto.refresh", REFRESH_SECONDS, client, refresh_id)
        return {"accessJwt": self._make(did, scope, ACCESS_SECONDS, client), "refreshJwt": refresh}

    def look_at_refresh(self, call: Call) -> Token:
        return self._known(self._bearer(call), refresh=True)

    def refresh(self, token: Token) -> dict[str, str]:
        """Spend a refresh token: it works for a while yet, and gives the same successor every time."""
        if self._clock() >= token.spent_at:
            raise RefusedError(400, "ExpiredToken", "Token has been revoked")
        token.next_id = token.next_id or self._next("refresh")
        token.spent_at = min(token.spent_at, self._clock() + GRACE_SECONDS)
        return self.session(token.did, token.client, refresh_id=token.next_id)

    def check(self, call: Call) -> Token:
        return self._known(self._bearer(call), refresh=False)

    def revoke(self, did: str, client: str | None = None) -> None:
        """End the refresh tokens of an account, or of one of its clients; access tokens live on."""
        for token in self._refreshes.values():
            if token.did == did and client in {None, token.client}:
                token.spent_at = 0

    def expire(self, did: str) -> None:
        """Let time pass for the access tokens of an account."""
        for token in self._tokens.values():
            if token.did == did and token.scope != "com.atproto.refresh":
                token.expires_at = min(token.expires_at, self._clock())

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
