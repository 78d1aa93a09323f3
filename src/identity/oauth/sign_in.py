"""Sign-in with OAuth: to the account's own authorization server and back.

What is needed at the return travels in the browser's cookie, sealed: so nobody else can return, nothing is stored for
people who never do, and neither the cookie nor the database alone is worth anything.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from atproto_oauth.models import OAuthState
from pydantic import SecretStr

from identity.accounts.api_tokens import By
from identity.accounts.credentials import Scope
from identity.accounts.sign_in import SignInResult, SignIns
from identity.errors import (
    ConsentDeniedError,
    SealBrokenError,
    SignInRefusedError,
    SignInStateError,
)
from identity.oauth.client import OAuthApp
from identity.oauth.flows import Flows, client_of
from identity.oauth.grants import tokens_of
from identity.resolution.identifiers import is_did
from identity.resolution.resolver import plain
from identity.sessions.encryption import Seal
from identity.sessions.key_pairs import SigningKey, key_of, scalar_of
from identity.sessions.session_store import SessionKind

PURPOSE: Final = "oauth_sign_in"
LASTS: Final = timedelta(minutes=30)
STATE: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
DENIED: Final = "access_denied"
LONGEST_REASON: Final = 300


@dataclass(frozen=True)
class Started:
    """Where the browser goes, and the cookie that it has to bring back; `state` is the cookie's name."""

    url: str
    state: str
    cookie: SecretStr


@dataclass(frozen=True)
class Returned:
    """What the authorization server sends the browser back with."""

    state: str | None
    issuer: str | None
    code: str | None = None
    error: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class _Attempt:
    """What the cookie holds."""

    state: OAuthState
    kid: str | None
    return_to: str
    scope: Scope


class OAuthSignIn:
    """Begins sign-ins and finishes them, in any process."""

    def __init__(self, app: OAuthApp, flows: Flows, seal: Seal, sign_ins: SignIns) -> None:
        self.app: Final = app
        self._flows = flows
        self._seal = seal
        self._sign_ins = sign_ins

    async def start(self, identifier: str, *, return_to: str, scope: Scope = Scope.WRITE) -> Started:
        """Prepare the consent of whoever has this handle or DID, at the authorization server of their PDS."""
        key, who = self.app.signs_with, plain(identifier)
        url, state = await self._flows.flow(client_of(self.app, key)).begin(
            who if is_did(who) else who.lower()
        )
        self._sign_ins.require_may(state.did or "", scope)
        attempt = _Attempt(state, key.kid if key is not None else None, return_to, scope)
        sealed = self._seal.seal(_written(attempt), purpose=PURPOSE, did=state.state)
        return Started(url, state.state, SecretStr(sealed.decode().rstrip("=")))

    async def finish(
        self, returned: Returned, cookie: SecretStr | None, *, by: By
    ) -> tuple[SignInResult, str]:
        """Let the person in who started in this browser, and say where they wanted to return to."""
        attempt = self._opened(returned.state, cookie)
        if returned.error is not None:
            raise _refusal(returned)
        if not returned.code or not returned.issuer:
            raise SignInRefusedError("The authorization server's answer has no code or no issuer")
        client = client_of(self.app, self._key(attempt.kid))
        session, identity = await self._flows.flow(client).finish(
            attempt.state, returned.code, returned.issuer
        )
        tokens = tokens_of(session, client_id=client.client_id, kid=attempt.kid)
        signed_in = await self._sign_ins.keep(
            identity, SessionKind.OAUTH, tokens, name="browser", scope=attempt.scope, by=by
        )
        return signed_in, attempt.return_to

    def _opened(self, state: str | None, cookie: SecretStr | None) -> _Attempt:
        if cookie is None or not state or not STATE.fullmatch(state):
            raise SignInStateError
        text = cookie.get_secret_value()
        try:
            sealed = (text + "=" * (-len(text) % 4)).encode()
            attempt = _read(self._seal.open(sealed, purpose=PURPOSE, did=state), state)
        except SealBrokenError:
            raise SignInStateError from None
        if attempt.state.created_at + LASTS < datetime.now(UTC):
            raise SignInStateError
        return attempt

    def _key(self, kid: str | None) -> SigningKey | None:
        """Return the key that the sign-in began with: a server accepts no other until its end."""
        found = next((key for key in self.app.keys if key.kid == kid), None)
        if found is None and kid is not None:
            raise SignInStateError
        return found


def _refusal(returned: Returned) -> Exception:
    if returned.error == DENIED:
        return ConsentDeniedError()
    said = f"{returned.error}: {returned.description or ''}"[:LONGEST_REASON]
    return SignInRefusedError(f"The account's authorization server says {said}")


def _written(attempt: _Attempt) -> bytes:
    state = attempt.state
    held: dict[str, Any] = {
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
        "return_to": attempt.return_to,
        "may": attempt.scope.value,
    }
    return json.dumps(held).encode()


def _read(opened: bytes, state: str) -> _Attempt:
    held = json.loads(opened)
    library_state = OAuthState(
        state=state,
        pkce_verifier=held["verifier"],
        redirect_uri=held["redirect_uri"],
        scope=held["scope"],
        authserver_iss=held["issuer"],
        dpop_private_key=key_of(SecretStr(held["dpop_key"])),
        dpop_authserver_nonce=held["nonce"],
        did=held["did"],
        pds_url=held["pds_url"],
        created_at=datetime.fromtimestamp(held["at"], UTC),
    )
    return _Attempt(library_state, held["kid"], held["return_to"], Scope(held["may"]))
