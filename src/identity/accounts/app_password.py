"""Sign-in with an app password: for accounts on a self-hosted PDS, and for development."""

from typing import Any, Final

import httpx
from pydantic import SecretStr

from identity.accounts.credentials import Scope
from identity.accounts.sign_in import SignInResult, SignIns
from identity.resolution.resolver import Resolver
from identity.sessions.app_password_grants import create_session
from identity.sessions.session_store import SessionKind

USUAL_NAME: Final = "app password"
"""Of a sign-in that was given no name: its person uses it, and no program that was named."""


class AppPasswordSignIn:
    """Signs accounts in with their handle or DID and an app password, which the PDS verifies."""

    def __init__(self, http: httpx.AsyncClient, *, resolver: Resolver, sign_ins: SignIns) -> None:
        self._http = http
        self._resolver = resolver
        self._sign_ins = sign_ins

    async def sign_in(
        self,
        identifier: str,
        password: SecretStr,
        *,
        name: str = USUAL_NAME,
        scope: Scope = Scope.WRITE,
        **credential: Any,
    ) -> SignInResult:
        """Sign in with a handle or DID; `credential` are further arguments of `SignIns.complete`."""
        identity = await self._resolver.resolve(identifier)
        self._sign_ins.require_allowed(identity.did, scope)
        session = await create_session(self._http, identity.pds_url, identity.did, password)
        return await self._sign_ins.complete(
            identity, SessionKind.APP_PASSWORD, session.tokens, name=name, scope=scope, **credential
        )
