"""Sign-in with OAuth: to the account's own authorization server and back.

The state of a sign-in is encrypted in the browser's cookie: only that browser can finish it, and a sign-in that is
never finished leaves nothing in the database.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from atproto_oauth.models import OAuthState
from pydantic import SecretStr

from identity.accounts.api_tokens import EnvelopeFor
from identity.accounts.credentials import Scope
from identity.accounts.sign_in import SignInResult, SignIns
from identity.errors import (
    ConsentDeniedError,
    DecryptionError,
    SignInRefusedError,
    SignInStateError,
)
from identity.oauth.client import OAuthApp
from identity.oauth.flows import Flows, client_of
from identity.oauth.grants import tokens_of
from identity.resolution.resolver import is_did, normalized
from identity.sessions.encryption import Cipher
from identity.sessions.key_pairs import SigningKey, key_of, scalar_of
from identity.sessions.session_store import SessionKind

PURPOSE: Final = "oauth_sign_in"
SIGN_IN_TTL: Final = timedelta(minutes=30)
STATE: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
DENIED: Final = "access_denied"
MAX_REASON_LENGTH: Final = 300


@dataclass(frozen=True)
class StartedSignIn:
    """The authorization URL, and the cookie that the browser has to bring back; `state` is part of the cookie's name."""

    url: str
    state: str
    cookie: SecretStr


@dataclass(frozen=True)
class AuthorizationResponse:
    """The query of the redirect back from the authorization server (RFC 6749, 4.1.2; RFC 9207)."""

    state: str | None
    issuer: str | None
    code: str | None = None
    error: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class AskedSignIn:
    """What the person asked for: the account, and where to go afterwards with which scope."""

    identifier: str
    return_to: str
    scope: Scope


@dataclass(frozen=True)
class _Attempt:
    """The content of the cookie."""

    state: OAuthState
    kid: str | None
    asked: AskedSignIn


class OAuthSignIn:
    """Begins and finishes sign-ins; each may happen in another process."""

    def __init__(self, app: OAuthApp, flows: Flows, cipher: Cipher, sign_ins: SignIns) -> None:
        self.app: Final = app
        self._flows = flows
        self._cipher = cipher
        self._sign_ins = sign_ins

    async def start(self, identifier: str, *, return_to: str, scope: Scope = Scope.WRITE) -> StartedSignIn:
        """Prepare the consent of the account with this handle or DID, at the authorization server of its PDS."""
        key, identifier = self.app.newest_key, normalized(identifier)
        url, state = await self._flows.flow(client_of(self.app, key)).begin(
            identifier if is_did(identifier) else identifier.lower()
        )
        self._sign_ins.require_allowed(state.did or "", scope)
        asked = AskedSignIn(identifier, return_to, scope)
        attempt = _Attempt(state, key.kid if key is not None else None, asked)
        cookie = self._cipher.encrypt(_to_json(attempt), purpose=PURPOSE, did=state.state)
        return StartedSignIn(url, state.state, SecretStr(cookie.decode().rstrip("=")))

    async def finish(
        self, response: AuthorizationResponse, cookie: SecretStr | None, *, by: EnvelopeFor
    ) -> tuple[SignInResult, str]:
        """Sign the account in; returns also the `return_to` of `start`."""
        attempt = self._attempt(response.state, cookie)
        if response.error is not None:
            raise _refusal(response)
        if not response.code or not response.issuer:
            raise SignInRefusedError("The authorization server's answer has no code or no issuer")
        client = client_of(self.app, self._key(attempt.kid))
        session, identity = await self._flows.flow(client).finish(
            attempt.state, response.code, response.issuer
        )
        tokens = tokens_of(session, client_id=client.client_id, kid=attempt.kid)
        signed_in = await self._sign_ins.complete(
            identity, SessionKind.OAUTH, tokens, name="browser", scope=attempt.asked.scope, by=by
        )
        return signed_in, attempt.asked.return_to

    def attempted(self, state: str | None, cookie: SecretStr | None) -> AskedSignIn | None:
        """Return what an attempt of this browser asked for, so that it can be started again; None without one."""
        try:
            return self._attempt(state, cookie).asked
        except SignInStateError:
            return None

    def _attempt(self, state: str | None, cookie: SecretStr | None) -> _Attempt:
        if cookie is None or not state or not STATE.fullmatch(state):
            raise SignInStateError
        text = cookie.get_secret_value()
        try:
            ciphertext = (text + "=" * (-len(text) % 4)).encode()
            attempt = _from_json(self._cipher.decrypt(ciphertext, purpose=PURPOSE, did=state), state)
        except DecryptionError:
            raise SignInStateError from None
        if attempt.state.created_at + SIGN_IN_TTL < datetime.now(UTC):
            raise SignInStateError
        return attempt

    def _key(self, kid: str | None) -> SigningKey | None:
        """Return the key that the sign-in began with: the server accepts no other one for it."""
        found = next((key for key in self.app.keys if key.kid == kid), None)
        if found is None and kid is not None:
            raise SignInStateError
        return found


def _refusal(response: AuthorizationResponse) -> Exception:
    if response.error == DENIED:
        return ConsentDeniedError()
    said = f"{response.error}: {response.description or ''}"[:MAX_REASON_LENGTH]
    return SignInRefusedError(f"The account's authorization server says {said}")


def _to_json(attempt: _Attempt) -> bytes:
    state = attempt.state
    content: dict[str, Any] = {
        "verifier": state.pkce_verifier,
        "dpop_key": scalar_of(state.dpop_private_key).get_secret_value(),
        "nonce": state.dpop_authserver_nonce,
        "issuer": state.authserver_iss,
        "redirect_uri": state.redirect_uri,
        "scope": state.scope,
        "did": state.did,
        "pds_url": state.pds_url,
        "at": state.created_at.timestamp(),
        "kid": attempt.kid,
        "return_to": attempt.asked.return_to,
        "may": attempt.asked.scope.value,
        "identifier": attempt.asked.identifier,
    }
    return json.dumps(content).encode()


def _from_json(plaintext: bytes, state: str) -> _Attempt:
    content = json.loads(plaintext)
    library_state = OAuthState(
        state=state,
        pkce_verifier=content["verifier"],
        redirect_uri=content["redirect_uri"],
        scope=content["scope"],
        authserver_iss=content["issuer"],
        dpop_private_key=key_of(SecretStr(content["dpop_key"])),
        dpop_authserver_nonce=content["nonce"],
        did=content["did"],
        pds_url=content["pds_url"],
        created_at=datetime.fromtimestamp(content["at"], UTC),
    )
    identifier = content.get("identifier", "")  # a cookie of the version before has none
    return _Attempt(
        library_state,
        content["kid"],
        AskedSignIn(identifier, content["return_to"], Scope(content["may"])),
    )
