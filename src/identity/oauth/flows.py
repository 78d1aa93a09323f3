"""Runs one OAuth flow at a time on atproto-oauth: begin and finish a sign-in, refresh tokens, revoke them.

The library stores nothing: its state is returned to the caller, and its errors are mapped to ours.
"""

from collections.abc import Generator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Final

import httpx
from atproto_oauth.exceptions import OAuthError
from atproto_oauth.models import OAuthSession, OAuthState
from atproto_oauth.stores.memory import MemorySessionStore, MemoryStateStore

from identity.errors import (
    IdentityUnreachableError,
    ScopeRefusedError,
    SignInRefusedError,
    UnsafeAddressError,
)
from identity.oauth.library import TokenCallRefusedError, library
from identity.resolution.address_policy import AddressPolicy
from identity.resolution.resolver import Identity, Resolver
from identity.sessions.key_pairs import SigningKey

SERVER_ERROR: Final = 500
TOO_MANY_REQUESTS: Final = 429
MALFORMED_ERRORS: Final = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError)
"""What the library raises for malformed documents."""
SIGN_IN_SECONDS: Final = 30 * 60


class Flows:
    """Makes flows that share one copy of the library."""

    def __init__(self, http: httpx.AsyncClient, policy: AddressPolicy, resolver: Resolver) -> None:
        self._library = library(http, policy)
        self._resolver = resolver

    def flow(self, client_id: str, redirect_uri: str, scope: str, key: SigningKey | None) -> "Flow":
        """Return a flow of this client: a login keeps the ID, the scope and the key that it began with."""
        states = MemoryStateStore(SIGN_IN_SECONDS)
        client = self._library.OAuthClient(
            client_id,
            redirect_uri,
            scope,
            states,
            MemorySessionStore(),
            client_secret_key=key.private if key is not None else None,
            client_secret_kid=key.kid if key is not None else None,
        )
        return Flow(client, states, self._resolver)


class Flow:
    """One sign-in, refresh or revocation; what the library stores ends with it."""

    def __init__(self, client: Any, states: MemoryStateStore, resolver: Resolver) -> None:
        self.client: Final = client
        """The library's; what it raises is not mapped."""
        self._states = states
        self._resolver = _ResolverAdapter(resolver)
        client._id_resolver = self._resolver  # noqa: SLF001 (there is no argument for it)

    async def begin(self, identifier: str) -> tuple[str, OAuthState]:
        """Return the authorization URL, and the state that `finish` needs."""
        with _mapped_errors():
            url, name = await self.client.start_authorization(identifier)
        state: Any = await self._states.get_state(name)
        return url, state

    async def finish(self, state: OAuthState, code: str, issuer: str) -> tuple[OAuthSession, Identity]:
        """Exchange the code; the identity is resolved anew afterwards."""
        await self._states.save_state(state)
        with _mapped_errors():
            session = await self.client.handle_callback(code, state.state, issuer)
        assert self._resolver.last is not None  # noqa: S101 - the library resolves it at the end
        return session, self._resolver.last


class _ResolverAdapter:
    """Our resolver, which verifies handles in both directions, behind the library's interface."""

    def __init__(self, resolver: Resolver) -> None:
        self.handle = self.did = self
        self.last: Identity | None = None
        self._resolver = resolver

    async def resolve(self, handle: str) -> str:
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
