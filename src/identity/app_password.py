"""Sign-in with an app password: for people who run their own PDS, and for development."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import httpx
from pydantic import SecretStr
from sqlalchemy import Connection

from eventstore.database import Database
from identity.accounts import Account, Accounts
from identity.credentials import CredentialKind, Credentials, Scope
from identity.pds_sessions import PdsSessions
from identity.replies import send_whole
from identity.resolution import Identity, Resolver
from identity.session_calls import MAX_REPLY_BYTES, NewSession, create_session
from identity.session_rows import SessionKind

PROFILE_SECONDS: Final = 3.0
DISPLAY_NAME_LENGTH: Final = 256
BROWSER_SESSION: Final = timedelta(days=30)


@dataclass(frozen=True)
class SignedIn:
    """Who came in, and the token that proves it from now on."""

    account: Account
    token: SecretStr
    expires_in: timedelta | None


class AppPasswordSignIn:
    """Proves to the PDS who somebody is, and keeps what is needed to write for them."""

    def __init__(
        self,
        database: Database,
        http: httpx.AsyncClient,
        *,
        resolver: Resolver,
        sessions: PdsSessions,
        accounts: Accounts,
        credentials: Credentials,
    ) -> None:
        self._database = database
        self._http = http
        self._resolver = resolver
        self._sessions = sessions
        self._accounts = accounts
        self._credentials = credentials

    async def sign_in(
        self,
        identifier: str,
        password: SecretStr,
        *,
        kind: CredentialKind = CredentialKind.BROWSER,
        name: str = "app password",
        scope: Scope = Scope.WRITE,
        expires_in: timedelta | None = BROWSER_SESSION,
    ) -> SignedIn:
        """Sign in with a handle or DID. All that it changes, it changes in one transaction."""
        identity = await self._resolver.resolve(identifier)
        session = await create_session(self._http, identity.pds_url, identity.did, password)
        display_name = await self._display_name(identity)

        def keep() -> SignedIn:
            with self._database.write() as connection:
                account = self._keep(connection, identity, session, display_name)
                token = self._credentials.issue(
                    connection, did=identity.did, kind=kind, name=name, scope=scope, expires_in=expires_in
                )
            return SignedIn(account, token, expires_in)

        return await asyncio.to_thread(keep)

    def _keep(
        self, connection: Connection, identity: Identity, session: NewSession, display_name: str
    ) -> Account:
        did, pds_url = identity.did, identity.pds_url
        self._sessions.signed_in(
            connection, did=did, kind=SessionKind.APP_PASSWORD, pds_url=pds_url, tokens=session.tokens
        )
        return self._accounts.upsert(
            connection, did=did, handle=identity.handle, pds_url=pds_url, display_name=display_name
        )

    async def _display_name(self, identity: Identity) -> str:
        """From the person's own repository, so that no AppView is needed; the handle when there is none."""
        which = {"repo": identity.did, "collection": "app.bsky.actor.profile", "rkey": "self"}
        request = self._http.build_request(
            "GET",
            f"{identity.pds_url}/xrpc/com.atproto.repo.getRecord",
            params=which,
            timeout=PROFILE_SECONDS,
        )
        try:
            async with asyncio.timeout(PROFILE_SECONDS):
                reply = await send_whole(self._http, request, limit=MAX_REPLY_BYTES)
            name = reply.json()["value"]["displayName"]
        except (httpx.HTTPError, TimeoutError, ValueError, KeyError, TypeError):
            return identity.handle
        name = name.replace("\0", "").strip() if isinstance(name, str) else ""
        return name[:DISPLAY_NAME_LENGTH].strip() or identity.handle
