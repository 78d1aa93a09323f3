"""Sign-in with OAuth: to the account's own authorization server and back.

The state of a sign-in is encrypted in the browser's cookie: only that browser can finish it, and a sign-in that is
never finished leaves nothing in the database.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from atproto_oauth.models import OAuthState
from pydantic import BaseModel, Field, SecretStr, ValidationError

from identity.accounts.credentials import EnvelopeFor, Scope
from identity.accounts.sign_in import SignInResult, SignIns
from identity.errors import (
    ConsentDeniedError,
    DecryptionError,
    IdentityUnreachableError,
    SignInRefusedError,
    SignInStateError,
)
from identity.oauth.flows import SIGN_IN_SECONDS, Flow, Flows, tokens_of
from identity.resolution.resolver import is_did, normalized
from identity.sessions.encryption import Cipher
from identity.sessions.key_pairs import SigningKey, key_of, scalar_of
from identity.sessions.session_store import SessionKind

NAME: Final = "mastertape"
CALLBACK_PATH: Final = "/auth/callback"
METADATA_PATH: Final = "/oauth-client-metadata.json"
JWKS_PATH: Final = "/jwks.json"
LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
"""Not localhost: authorization servers refuse it as a redirect URI (RFC 8252, 8.3)."""


@dataclass(frozen=True)
class OAuthApp:
    """A confidential client if it has keys, otherwise the public client of a development machine."""

    base_url: str
    client_id: str
    redirect_uri: str
    scope: str
    keys: tuple[SigningKey, ...] = ()

    @property
    def newest_key(self) -> SigningKey | None:
        """The key of new logins; an existing login keeps the key that it began with."""
        return self.keys[0] if self.keys else None

    def metadata(self) -> dict[str, Any]:
        """Return the client metadata document; the client ID is its URL."""
        return {
            "client_id": self.client_id,
            "client_name": NAME,
            "client_uri": self.base_url,
            "redirect_uris": [self.redirect_uri],
            "scope": self.scope,
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "application_type": "web",
            "dpop_bound_access_tokens": True,
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": "ES256",
            "jwks_uri": self.base_url + JWKS_PATH,
        }

    def jwks(self) -> dict[str, Any]:
        return {"keys": [key.public_jwk() for key in self.keys]}


def oauth_app(base_url: str, scope: str, keys: Sequence[SigningKey]) -> OAuthApp | None:
    """Return the OAuth client for this origin; None if OAuth allows no client there."""
    parts = urlsplit(base_url)
    if parts.scheme == "https":
        return OAuthApp(base_url, base_url + METADATA_PATH, base_url + CALLBACK_PATH, scope, tuple(keys))
    if parts.hostname not in LOOPBACK:
        return None
    # without the port, which authorization servers ignore: the developer's consent survives a change of port
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    declared = {"redirect_uri": f"http://{host}{CALLBACK_PATH}", "scope": scope}
    return OAuthApp(base_url, f"http://localhost?{urlencode(declared)}", base_url + CALLBACK_PATH, scope)


PURPOSE: Final = "oauth_sign_in"
SIGN_IN_TTL: Final = timedelta(seconds=SIGN_IN_SECONDS)
STATE: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
DENIED: Final = "access_denied"
MAX_REASON_LENGTH: Final = 300


@dataclass(frozen=True)
class StartedSignIn:
    """The authorization URL, and the cookie that the browser has to bring back; `state` is part of the cookie's name."""

    url: str
    state: str
    cookie: SecretStr


class AuthorizationResponse(BaseModel):
    """The query of the redirect back from the authorization server (RFC 6749, 4.1.2; RFC 9207)."""

    state: str | None = Field(None, description="the attempt")
    iss: str | None = Field(None, description="the authorization server")
    code: str | None = Field(None, description="what the service gets the tokens for")
    error: str | None = Field(None, description="why there is no code")
    error_description: str | None = Field(None, description="the same for people")


class AskedSignIn(BaseModel):
    """What the person asked for: the account, and where to go afterwards with which scope."""

    identifier: str
    return_to: str
    scope: Scope


class _Attempt(BaseModel):
    """What the cookie holds. `kept` is what the library keeps of a sign-in."""

    asked: AskedSignIn
    kid: str | None
    at: datetime
    dpop_key: str
    kept: dict[str, Any]


_KEPT: Final = [
    "pkce_verifier",
    "dpop_authserver_nonce",
    "authserver_iss",
    "redirect_uri",
    "scope",
    "did",
    "pds_url",
]


PATIENCE_SECONDS: Final = 10.0
"""A person waits; each of the requests may take as long by itself."""


@asynccontextmanager
async def _patience() -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield
    except TimeoutError:
        raise IdentityUnreachableError(f"no answer within {PATIENCE_SECONDS:.0f} seconds") from None


@dataclass(frozen=True)
class OAuthSignIn:
    """Begins and finishes sign-ins; each may happen in another process."""

    app: OAuthApp
    flows: Flows
    cipher: Cipher
    sign_ins: SignIns

    async def start(self, identifier: str, *, return_to: str, scope: Scope = Scope.WRITE) -> StartedSignIn:
        """Prepare the consent of the account with this handle or DID, at the authorization server of its PDS."""
        key, identifier = self.app.newest_key, normalized(identifier)
        flow = self._flow(key)
        async with _patience():
            url, state = await flow.begin(identifier if is_did(identifier) else identifier.lower())
        self.sign_ins.require_allowed(state.did or "", scope)
        attempt = _Attempt(
            asked=AskedSignIn(identifier=identifier, return_to=return_to, scope=scope),
            kid=key.kid if key is not None else None,
            at=state.created_at,
            dpop_key=scalar_of(state.dpop_private_key).get_secret_value(),
            kept={name: getattr(state, name) for name in _KEPT},
        )
        content = attempt.model_dump_json().encode()
        cookie = self.cipher.encrypt(content, purpose=PURPOSE, did=state.state)
        return StartedSignIn(url, state.state, SecretStr(cookie.decode().rstrip("=")))

    async def finish(
        self, response: AuthorizationResponse, cookie: SecretStr | None, *, by: EnvelopeFor
    ) -> tuple[SignInResult, str]:
        """Sign the account in; returns also the `return_to` of `start`."""
        name, attempt = self._attempt(response.state, cookie)
        if response.error is not None:
            if response.error == DENIED:
                raise ConsentDeniedError
            said = f"{response.error}: {response.error_description or ''}"[:MAX_REASON_LENGTH]
            raise SignInRefusedError(f"The account's authorization server says {said}")
        if not response.code or not response.iss:
            raise SignInRefusedError("The authorization server's answer has no code or no issuer")
        # the server accepts no other key than that which the sign-in began with
        key = next((key for key in self.app.keys if key.kid == attempt.kid), None)
        if key is None and attempt.kid is not None:
            raise SignInStateError
        dpop_key = key_of(SecretStr(attempt.dpop_key))
        state = OAuthState(state=name, dpop_private_key=dpop_key, created_at=attempt.at, **attempt.kept)
        async with _patience():
            session, identity = await self._flow(key).finish(state, response.code, response.iss)
        tokens = tokens_of(session, client_id=self.app.client_id, kid=attempt.kid)
        signed_in = await self.sign_ins.complete(
            identity, SessionKind.OAUTH, tokens, name="browser", scope=attempt.asked.scope, by=by
        )
        return signed_in, attempt.asked.return_to

    def attempted(self, state: str | None, cookie: SecretStr | None) -> AskedSignIn | None:
        """Return what an attempt of this browser asked for, so that it can be started again; None without one."""
        try:
            return self._attempt(state, cookie)[1].asked
        except SignInStateError:
            return None

    def _attempt(self, state: str | None, cookie: SecretStr | None) -> tuple[str, _Attempt]:
        if cookie is None or not state or not STATE.fullmatch(state):
            raise SignInStateError
        text = cookie.get_secret_value()
        try:
            ciphertext = (text + "=" * (-len(text) % 4)).encode()
            attempt = _Attempt.model_validate_json(
                self.cipher.decrypt(ciphertext, purpose=PURPOSE, did=state)
            )
        except (DecryptionError, ValidationError):  # a key, or a version, that is no longer in use
            raise SignInStateError from None
        if attempt.at + SIGN_IN_TTL < datetime.now(UTC):
            raise SignInStateError
        return state, attempt

    def _flow(self, key: SigningKey | None) -> Flow:
        return self.flows.flow(self.app.client_id, self.app.redirect_uri, self.app.scope, key)
