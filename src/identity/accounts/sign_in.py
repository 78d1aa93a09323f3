"""Completes every sign-in in one unit of work: PDS tokens, account row, a token of ours, and the event."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import httpx
from pydantic import SecretStr

from aggregates.values import is_visible
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork, account_of
from eventstore.untrusted import clean
from identity.accounts.accounts import Account, Accounts
from identity.accounts.credentials import CredentialKind, Credentials, EnvelopeFor, Scope
from identity.errors import NotPrivilegedError
from identity.resolution.http_responses import send_whole
from identity.resolution.resolver import Identity, Resolver
from identity.sessions.app_password_grants import create_session
from identity.sessions.pds_sessions import PdsSessions
from identity.sessions.session_store import SessionKind, Tokens

PROFILE_TIMEOUT_SECONDS: Final = 3.0
MAX_PROFILE_BYTES: Final = 256 * 1024
MAX_DISPLAY_NAME_LENGTH: Final = 256
BROWSER_SESSION_TTL: Final = timedelta(days=30)
OPERATOR_SESSION_TTL: Final = timedelta(hours=12)
"""Shorter, since such a session may read of every account, and an admin's act on it."""


@dataclass(frozen=True)
class SignInResult:
    account: Account
    token: SecretStr
    expires_in: timedelta | None


@dataclass(frozen=True)
class SignIns:
    log: EventLog
    http: httpx.AsyncClient
    sessions: PdsSessions
    accounts: Accounts
    credentials: Credentials

    def require_allowed(self, did: str, scope: Scope) -> None:
        """Raise NotPrivilegedError for a sign-in as an admin or operator by another account. Call it before any request to the PDS."""
        may_have = {Scope.ADMIN: self.credentials.is_admin, Scope.OPERATOR: self.credentials.is_operator}
        if scope in may_have and not may_have[scope](did):
            raise NotPrivilegedError(scope)

    async def complete(
        self,
        identity: Identity,
        session_kind: SessionKind,
        tokens: Tokens,
        *,
        name: str,
        by: EnvelopeFor,
        scope: Scope = Scope.WRITE,
        expires_in: timedelta | None = BROWSER_SESSION_TTL,
    ) -> SignInResult:
        """Sign the account in; everything changes in one unit of work, even if the caller is cancelled."""
        self.require_allowed(identity.did, scope)
        if scope in {Scope.ADMIN, Scope.OPERATOR}:
            expires_in = min(expires_in or OPERATOR_SESSION_TTL, OPERATOR_SESSION_TTL)
        display_name = await self._display_name(identity)
        did, pds_url = identity.did, identity.pds_url

        def work(unit: UnitOfWork) -> SignInResult:
            connection = unit.connection
            self.sessions.signed_in(connection, did=did, kind=session_kind, pds_url=pds_url, tokens=tokens)
            stream = account_of(unit)
            account = self.accounts.upsert(
                connection,
                did=did,
                handle=identity.handle,
                pds_url=pds_url,
                display_name=display_name,
                chosen_name=stream.display_name,
                bio=stream.bio,
                support_url=stream.support_url,
                comments=stream.comments,
            )
            issued = self.credentials.issue(
                connection,
                did=did,
                kind=CredentialKind.BROWSER,
                name=name,
                scope=scope,
                expires_in=expires_in,
            )
            stream.sign_in(
                issued.id,
                method=session_kind.value,
                handle=account.handle,
                pds_url=pds_url,
                name=name,
                scope=scope.value,
                expires_at=issued.expires_at,
                at=unit.now,
            )
            unit.save(stream)
            return SignInResult(account, issued.token, expires_in)

        return await asyncio.to_thread(lambda: self.log.transact(did, by(did), work))

    async def _display_name(self, identity: Identity) -> str:
        """Read it from the account's own repo, so that no AppView is needed; the handle if there is none."""
        which = {"repo": identity.did, "collection": "app.bsky.actor.profile", "rkey": "self"}
        url = f"{identity.pds_url}/xrpc/com.atproto.repo.getRecord"
        request = self.http.build_request("GET", url, params=which, timeout=PROFILE_TIMEOUT_SECONDS)
        try:
            async with asyncio.timeout(PROFILE_TIMEOUT_SECONDS):
                reply = await send_whole(self.http, request, limit=MAX_PROFILE_BYTES)
            name = reply.json()["value"]["displayName"]
        except (httpx.HTTPError, TimeoutError, ValueError, KeyError, TypeError):
            return identity.handle
        name = name.replace("\0", "").strip() if isinstance(name, str) else ""
        name = clean(name, MAX_DISPLAY_NAME_LENGTH).strip()
        return name if is_visible(name) else identity.handle


USUAL_NAME: Final = "app password"
"""Of a sign-in that was given no name: its person uses it, and no program that was named."""


async def sign_in_by_password(
    sign_ins: SignIns,
    resolver: Resolver,
    http: httpx.AsyncClient,
    identifier: str,
    password: SecretStr,
    *,
    name: str = USUAL_NAME,
    scope: Scope = Scope.WRITE,
    **credential: Any,
) -> SignInResult:
    """Sign in with a handle or DID and an app password, which the PDS verifies; `credential` is for `SignIns.complete`."""
    identity = await resolver.resolve(identifier)
    sign_ins.require_allowed(identity.did, scope)
    tokens = await create_session(http, identity.pds_url, identity.did, password)
    return await sign_ins.complete(
        identity, SessionKind.APP_PASSWORD, tokens, name=name, scope=scope, **credential
    )
