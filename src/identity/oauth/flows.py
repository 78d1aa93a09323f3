"""Runs one OAuth flow at a time on atproto-oauth: begin and finish a sign-in, refresh the tokens of a login, revoke them.

The library stores nothing: its state is returned to the caller, and its errors are mapped to ours. It is a private copy of version
0.1.0 with our HTTP client, address policy and timeouts, which it has no arguments for: only names in the copy are replaced, and a
missing name is an ImportError (docs/adr/0009-wrapping-atproto-oauth.md).
"""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec, module_from_spec
from types import ModuleType, SimpleNamespace
from typing import Any, Final

import httpx
from atproto_oauth.exceptions import OAuthError
from atproto_oauth.models import OAuthSession, OAuthState
from atproto_oauth.stores.memory import MemorySessionStore, MemoryStateStore
from pydantic import SecretStr

from aggregates.errors import SessionUnavailableError, SignInRequiredError
from identity.errors import (
    IdentityUnreachableError,
    ScopeRefusedError,
    SignInRefusedError,
    UnsafeAddressError,
)
from identity.resolution.address_policy import MAX_URL_CHARACTERS, AddressPolicy, origin_of
from identity.resolution.http_responses import error_name, send_whole, without_secrets
from identity.resolution.resolver import Identity, Resolver
from identity.sessions.key_pairs import SigningKey, key_of, scalar_of
from identity.sessions.session_store import Session, TokenBinding, Tokens

MAX_REPLY_BYTES: Final = 64 * 1024
MAX_DESCRIPTION_LENGTH: Final = 300
METADATA_TIMEOUT_SECONDS: Final = 10.0
TOKEN_TIMEOUT_SECONDS: Final = 30.0
"""Long, since a refresh that times out may have rotated the tokens nevertheless."""

METADATA: Final = "atproto_oauth.metadata"
CLIENT: Final = "atproto_oauth.client"


class TokenCallRefusedError(Exception):
    """An error response of an authorization server. It contains nothing of the request."""

    def __init__(self, reply: httpx.Response) -> None:
        self.status = reply.status_code
        self.error = error_name(reply)
        self.retry_after = reply.headers.get("retry-after")
        try:
            said = reply.json().get("error_description")
        except (ValueError, AttributeError):
            said = None
        description = said[:MAX_DESCRIPTION_LENGTH] if isinstance(said, str) else ""
        super().__init__(f"{self.status} {self.error or ''}: {description}")


class LibraryHttpClient:
    """Replaces the library's httpx client: follows no redirects, and keeps no secrets in errors."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def get(self, url: str) -> httpx.Response:
        return await self._send(self._http.build_request("GET", url), METADATA_TIMEOUT_SECONDS)

    async def post(self, url: str, *, data: dict[str, str], headers: dict[str, str]) -> httpx.Response:
        """Send a form; raises TokenCallRefusedError for every error but the wanted nonce, which the library handles."""
        request = self._http.build_request("POST", url, data=data, headers=headers)
        reply = await self._send(request, TOKEN_TIMEOUT_SECONDS)
        if not reply.is_success and error_name(reply) != "use_dpop_nonce":
            raise TokenCallRefusedError(reply)
        return reply

    async def _send(self, request: httpx.Request, seconds: float) -> httpx.Response:
        request.extensions["timeout"] = httpx.Timeout(seconds, connect=METADATA_TIMEOUT_SECONDS).as_dict()
        try:
            async with asyncio.timeout(seconds):
                return await send_whole(self._http, request, limit=MAX_REPLY_BYTES)
        except httpx.HTTPError as error:
            without_secrets(error)
            raise
        except TimeoutError:
            raise httpx.ReadTimeout(f"{request.url.host} took too long") from None


def library(http: httpx.AsyncClient, policy: AddressPolicy) -> ModuleType:
    """Return a copy of atproto_oauth.client that contacts only addresses allowed by `policy`, through `http`."""

    def is_safe_url(url: str, *_: object) -> bool:
        policy.check(url)  # raises an error with the reason
        return True

    def connection(**_: object) -> nullcontext[LibraryHttpClient]:
        return nullcontext(LibraryHttpClient(http))

    metadata = private_copy(METADATA, is_safe_url=is_safe_url, get_hardened_async_client=connection)
    strict = metadata.validate_authserver_metadata

    def validate(document: dict[str, Any], url: str) -> None:
        if any(isinstance(value, str) and len(value) > MAX_URL_CHARACTERS for value in document.values()):
            raise ValueError("an address is too long")
        if policy.allows_origin(url):
            # a development server's issuer has to pass the check for https without a port; its origin must match exactly
            if origin_of(document["issuer"]) != origin_of(url):
                raise ValueError("the issuer is not the origin that was asked")
            document = {**document, "issuer": f"https://{httpx.URL(url).host}"}
        strict(document, url)

    replace(metadata, validate_authserver_metadata=validate)
    return private_copy(
        CLIENT,
        is_safe_url=is_safe_url,
        get_hardened_async_client=connection,
        discover_authserver_from_pds_async=metadata.discover_authserver_from_pds_async,
        fetch_authserver_metadata_async=metadata.fetch_authserver_metadata_async,
    )


def private_copy(name: str, **ours: object) -> ModuleType:
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return replace(module, **ours)


def replace(module: ModuleType, **ours: object) -> ModuleType:
    """Replace names of a module; raises ImportError for one that it does not have."""
    missing = ours.keys() - vars(module).keys()
    if missing:
        raise ImportError(f"{module.__name__} has no {', '.join(sorted(missing))} any more")
    vars(module).update(ours)
    return module


MALFORMED_ERRORS: Final = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError)
"""What the library raises for malformed documents."""
SIGN_IN_SECONDS: Final = 30 * 60


class Flows:
    def __init__(self, http: httpx.AsyncClient, policy: AddressPolicy, resolver: Resolver) -> None:
        self._library = library(http, policy)
        self._resolver = resolver

    def flow(self, client_id: str, redirect_uri: str, scope: str, key: SigningKey | None) -> "Flow":
        """Return a flow of this client: a login keeps the ID, the scope and the key that it began with."""
        states = MemoryStateStore(SIGN_IN_SECONDS)
        secret = {} if key is None else {"client_secret_key": key.private, "client_secret_kid": key.kid}
        client = self._library.OAuthClient(
            client_id, redirect_uri, scope, states, MemorySessionStore(), **secret
        )
        return Flow(client, states, self._resolver)


class Flow:
    """One sign-in, refresh or revocation; what the library stores ends with it.

    It also is our resolver, which verifies handles in both directions, behind the library's interface.
    """

    def __init__(self, client: Any, states: MemoryStateStore, resolver: Resolver) -> None:
        self.client: Final = client
        """The library's; what it raises is not mapped."""
        self._states = states
        self._resolver = resolver
        self.handle = self.did = client._id_resolver = self  # noqa: SLF001 (there is no argument for it)
        self.last: Identity | None = None

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
        assert self.last is not None  # noqa: S101 - the library resolves it at the end
        return session, self.last

    async def resolve(self, handle: str) -> str:
        return await self._resolver.did_of(handle)

    async def resolve_atproto_data(self, did: str, **_: object) -> SimpleNamespace:
        self.last = await self._resolver.resolve(did)
        return SimpleNamespace(handle=self.last.handle, pds=self.last.pds_url)


@contextmanager
def _mapped_errors() -> Generator[None]:
    try:
        yield
    except UnsafeAddressError:
        raise
    except TokenCallRefusedError as refused:
        if (
            refused.status >= httpx.codes.INTERNAL_SERVER_ERROR
            or refused.status == httpx.codes.TOO_MANY_REQUESTS
        ):
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


SESSION_OVER: Final = "invalid_grant"
SCOPE_REDUCED: Final = "scope_reduced"


class OAuthGrants:
    """Refreshes and revokes OAuth logins, each as the client that it began with."""

    def __init__(self, flows: Flows, keys: Sequence[SigningKey]) -> None:
        self._flows = flows
        self._keys = {key.kid: key for key in keys}

    async def refresh(self, session: Session, tokens: Tokens) -> Tokens:
        """Exchange the tokens, which are spent then; `SignInRequiredError` if the server no longer accepts them."""
        binding, client = self._client_of(session, tokens)
        with _errors_of_session(session.did, "refresh"):
            refreshed = await client.refresh_session(_library_session(session, tokens, binding))
        return tokens_of(refreshed, client_id=binding.client_id, kid=binding.kid)

    async def revoke(self, session: Session, tokens: Tokens) -> None:
        """End the login at the PDS: both tokens become invalid at once."""
        binding, client = self._client_of(session, tokens)
        with _errors_of_session(session.did, "revocation"):
            await client.revoke_session(_library_session(session, tokens, binding))

    def _client_of(self, session: Session, tokens: Tokens) -> tuple[TokenBinding, Any]:
        binding = tokens.binding
        if binding is None:
            raise SessionUnavailableError(session.did, "its tokens lack what they are bound to")
        if binding.kid is not None and binding.kid not in self._keys:
            # the login may be valid: the operator can restore the key, or the account signs in again
            raise SessionUnavailableError(session.did, f"OAUTH_KEYS lacks the key {binding.kid}")
        key = self._keys[binding.kid] if binding.kid is not None else None
        return binding, self._flows.flow(binding.client_id, "", session.scope, key).client


def tokens_of(session: OAuthSession, *, client_id: str, kid: str | None) -> Tokens:
    binding = TokenBinding(session.authserver_iss, client_id, scalar_of(session.dpop_private_key), kid)
    return Tokens(
        SecretStr(session.access_token),
        SecretStr(session.refresh_token),
        session.scope,
        session.expires_at,
        binding,
    )


def _library_session(session: Session, tokens: Tokens, binding: TokenBinding) -> OAuthSession:
    return OAuthSession(
        did=session.did,
        handle="",
        pds_url=session.pds_url,
        authserver_iss=binding.issuer,
        access_token=tokens.access.get_secret_value(),
        refresh_token=tokens.refresh.get_secret_value(),
        dpop_private_key=key_of(binding.dpop_key),
        dpop_authserver_nonce="",
        scope=session.scope,
    )


@contextmanager
def _errors_of_session(did: str, call: str) -> Generator[None]:
    try:
        yield
    except TokenCallRefusedError as refused:
        if refused.error == SESSION_OVER:
            raise SignInRequiredError(did, SESSION_OVER) from None
        raise SessionUnavailableError(
            did,
            f"{call} answered {refused}",
            status=refused.status,
            error=refused.error,
            retry_after=refused.retry_after,
        ) from None
    except OAuthError as error:
        if is_about_scope(error):
            # the server has rotated the tokens, and the library has dropped the new ones
            raise SignInRequiredError(did, SCOPE_REDUCED) from None
        raise SessionUnavailableError(did, f"{call} failed: {type(error).__name__}") from None
    except httpx.HTTPError as error:
        raise SessionUnavailableError(did, f"{call} failed: {type(error).__name__}", cause=error) from error
    except MALFORMED_ERRORS as error:
        raise SessionUnavailableError(did, f"{call}: malformed response ({type(error).__name__})") from None
