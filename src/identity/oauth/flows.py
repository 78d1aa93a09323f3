"""Runs one OAuth flow at a time on atproto-oauth: begin and finish a sign-in, refresh tokens, revoke them.

The library stores nothing: its state is returned to the caller, and its errors are mapped to ours.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any, Final

import httpx
from atproto_oauth.exceptions import OAuthError
from atproto_oauth.models import OAuthSession, OAuthState
from atproto_oauth.stores.base import SessionStore, StateStore

from identity.errors import (
    IdentityUnreachableError,
    ScopeRefusedError,
    SignInRefusedError,
    UnsafeAddressError,
)
from identity.oauth.client import OAuthApp
from identity.oauth.library import TokenCallRefusedError, library
from identity.resolution.address_policy import AddressPolicy
from identity.resolution.resolver import Identity, Resolver
from identity.sessions.key_pairs import SigningKey

SERVER_ERROR: Final = 500
TOO_MANY_REQUESTS: Final = 429
MALFORMED_ERRORS: Final = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError)
"""What the library raises for malformed documents."""


@dataclass(frozen=True)
class Client:
    """The client of one flow. A login keeps the ID, the scope and the key that it began with."""

    client_id: str
    redirect_uri: str
    scope: str
    key: SigningKey | None


class Flows:
    """Makes flows that share one copy of the library."""

    def __init__(self, http: httpx.AsyncClient, policy: AddressPolicy, resolver: Resolver) -> None:
        self._library = library(http, policy)
        self._resolver = resolver

    def flow(self, client: Client) -> "Flow":
        return Flow(self._library, self._resolver, client)


def client_of(app: OAuthApp, key: SigningKey | None) -> Client:
    """Return the client of a new login."""
    return Client(app.client_id, app.redirect_uri, app.scope, key)


class Flow:
    """One sign-in, refresh or revocation."""

    def __init__(self, module: ModuleType, resolver: Resolver, client: Client) -> None:
        key = client.key
        self._states = _OneState()
        self._resolver = _ResolverAdapter(resolver)
        self._client: Any = module.OAuthClient(
            client.client_id,
            client.redirect_uri,
            client.scope,
            self._states,
            _NoSessions(),
            client_secret_key=key.private if key is not None else None,
            client_secret_kid=key.kid if key is not None else None,
        )
        self._client._id_resolver = self._resolver  # noqa: SLF001 (there is no argument for it)

    async def begin(self, identifier: str) -> tuple[str, OAuthState]:
        """Return the authorization URL, and the state that `finish` needs."""
        with _mapped_errors():
            url, _ = await self._client.start_authorization(identifier)
        assert self._states.state is not None  # noqa: S101 - the library has just saved it
        return url, self._states.state

    async def finish(self, state: OAuthState, code: str, issuer: str) -> tuple[OAuthSession, Identity]:
        """Exchange the code; the identity is resolved anew afterwards."""
        self._states.state = state
        with _mapped_errors():
            session = await self._client.handle_callback(code, state.state, issuer)
        assert self._resolver.last is not None  # noqa: S101 - the library resolves it at the end
        return session, self._resolver.last

    async def refresh(self, session: OAuthSession) -> OAuthSession:
        """Rotate the tokens; raises the library's errors."""
        refreshed: OAuthSession = await self._client.refresh_session(session)
        return refreshed

    async def revoke(self, session: OAuthSession) -> None:
        """Revoke both tokens at the authorization server; raises the library's errors."""
        await self._client.revoke_session(session)


class _OneState(StateStore):  # type: ignore[misc] # the library is not typed
    """The state of one flow."""

    def __init__(self) -> None:
        self.state: OAuthState | None = None

    async def save_state(self, state: OAuthState) -> None:
        self.state = state

    async def get_state(self, state_key: str) -> OAuthState | None:
        return self.state if self.state is not None and self.state.state == state_key else None

    async def delete_state(self, state_key: str) -> None:
        if await self.get_state(state_key) is not None:
            self.state = None


class _NoSessions(SessionStore):  # type: ignore[misc] # the library is not typed
    """Only `SessionRows` stores tokens."""

    async def save_session(self, session: OAuthSession) -> None:
        pass

    async def get_session(self, did: str) -> None:
        pass

    async def delete_session(self, did: str) -> None:
        pass


class _ResolverAdapter:
    """Our resolver, which verifies handles in both directions, behind the library's interface."""

    def __init__(self, resolver: Resolver) -> None:
        self.handle = self.did = self
        self.last: Identity | None = None
        self._resolver = resolver

    async def resolve(self, handle: str) -> str:
        """Return the DID of a handle."""
        return await self._resolver.did_of(handle)

    async def resolve_atproto_data(self, did: str, **_: object) -> SimpleNamespace:
        """Return handle and PDS of a DID, without a cache."""
        self.last = await self._resolver.resolve(did)
        return SimpleNamespace(handle=self.last.handle, pds=self.last.pds_url)


@contextmanager
def _mapped_errors() -> Generator[None]:
    try:
        yield
    except UnsafeAddressError:
        raise
    except TokenCallRefusedError as refused:
        if refused.status >= SERVER_ERROR or refused.status == TOO_MANY_REQUESTS:
            raise IdentityUnreachableError(f"the authorization server answered {refused}") from None
        raise SignInRefusedError(f"The account's authorization server says {refused}") from None
    except httpx.HTTPError as error:
        raise IdentityUnreachableError(f"no response: {type(error).__name__}") from None
    except OAuthError as error:
        if is_about_scope(error):
            raise ScopeRefusedError(
                f"{error}. The account's PDS does not grant all that this service needs"
            ) from None
        raise SignInRefusedError(str(error)) from None
    except MALFORMED_ERRORS as error:
        raise IdentityUnreachableError(f"malformed response: {type(error).__name__}") from None


def is_about_scope(error: OAuthError) -> bool:
    """Whether the server granted less than the scope that the client asked for."""
    return str(error).startswith("Scope ")
