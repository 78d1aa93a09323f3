"""Sessions of app passwords: com.atproto.server.createSession, refreshSession and deleteSession.

Errors are distinguished by their name, never by their status: an expired token is a 400 (docs of com.atproto.server).
"""

import asyncio
import base64
from typing import Annotated, Any, Final

import httpx
from pydantic import AwareDatetime, BaseModel, Field, SecretStr

from aggregates.errors import SessionUnavailableError, SignInRequiredError
from eventstore.untrusted import parsed
from identity.errors import (
    AccountInactiveError,
    BadCredentialsError,
    IdentityUnreachableError,
    UnsafeAddressError,
)
from identity.resolution.http_responses import error_name, send_whole, without_secrets
from identity.sessions.session_store import Session, Tokens

CALL_TIMEOUT_SECONDS: Final = 30.0
"""Long, since a refresh that times out may have rotated the tokens nevertheless."""

MAX_REPLY_BYTES: Final = 64 * 1024
WRONG_PASSWORD: Final = frozenset({"AuthenticationRequired", "AuthFactorTokenRequired", "InvalidRequest"})
INACTIVE: Final = frozenset({"AccountTakedown", "AccountDeactivated", "AccountSuspended"})
# a refresh has no input that could be invalid: InvalidRequest means that the account is gone
SESSION_OVER: Final = frozenset(
    {"ExpiredToken", "InvalidToken", "AuthenticationRequired", "InvalidRequest", "AccountTakedown"}
)


async def create_session(http: httpx.AsyncClient, pds_url: str, did: str, password: SecretStr) -> Tokens:
    """Sign in with an app password, and return the tokens of the session.

    The SDK's `Client.login` also requests an app.bsky profile, which a PDS without AppView answers with 502.
    """
    said = {"identifier": did, "password": password.get_secret_value()}
    try:
        reply = await _post(http, pds_url, "createSession", json=said)
    except UnsafeAddressError:
        raise
    except (httpx.HTTPError, TimeoutError) as error:
        raise IdentityUnreachableError(
            f"{pds_url} did not answer: {type(error).__name__}"
        ) from without_secrets(error)
    name = error_name(reply)
    if name in INACTIVE:
        raise AccountInactiveError(f"{pds_url} says {name}")
    if name in WRONG_PASSWORD:
        raise BadCredentialsError
    if not reply.is_success:
        raise IdentityUnreachableError(f"{pds_url} answered {reply.status_code} {name or ''}".rstrip())
    answer = _answered(reply)
    if answer is not None and answer.active is False:
        raise AccountInactiveError(f"{pds_url} says that the account is {answer.status or 'inactive'}")
    if answer is None or answer.did != did:
        raise IdentityUnreachableError(f"{pds_url} answered with no session for {did}")
    return answer.tokens


class AppPasswordGrants:
    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def refresh(self, session: Session, tokens: Tokens) -> Tokens:
        """Exchange the tokens, which are spent then; `SignInRequiredError` if the PDS no longer accepts them."""
        did = session.did
        reply = await self._call("refreshSession", session, tokens)
        name = error_name(reply)
        if name in SESSION_OVER:
            raise SignInRequiredError(did, name)
        renewed = _answered(reply) if reply.is_success else None
        if renewed is None:
            raise _unavailable(did, "refresh", reply)
        return renewed.tokens

    async def revoke(self, session: Session, tokens: Tokens) -> None:
        """End the session at the PDS, which honours the access token until it expires (two hours)."""
        reply = await self._call("deleteSession", session, tokens)
        if not reply.is_success and error_name(reply) not in SESSION_OVER:
            raise _unavailable(session.did, "deleteSession", reply)

    async def _call(self, name: str, session: Session, tokens: Tokens) -> httpx.Response:
        headers = {"authorization": f"Bearer {tokens.refresh.get_secret_value()}"}
        try:
            return await _post(self._http, session.pds_url, name, headers=headers)
        except httpx.HTTPError as error:
            without_secrets(error)
            reason = f"{name} failed: {type(error).__name__}"
            raise SessionUnavailableError(session.did, reason, cause=error) from error
        except TimeoutError:
            cause = httpx.ReadTimeout(f"{name} took too long")
            raise SessionUnavailableError(session.did, f"{name} failed: too slow", cause=cause) from None


async def _post(http: httpx.AsyncClient, pds_url: str, name: str, **given: Any) -> httpx.Response:
    url = f"{pds_url}/xrpc/com.atproto.server.{name}"
    request = http.build_request("POST", url, timeout=CALL_TIMEOUT_SECONDS, **given)
    async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
        return await send_whole(http, request, limit=MAX_REPLY_BYTES)


def _unavailable(did: str, call: str, reply: httpx.Response) -> SessionUnavailableError:
    name = error_name(reply)
    return SessionUnavailableError(
        did,
        f"{call} answered {reply.status_code} {name or ''}".rstrip(),
        status=reply.status_code,
        error=name,
        retry_after=reply.headers.get("retry-after"),
    )


class _Answer(BaseModel):
    access: SecretStr = Field(alias="accessJwt", min_length=1)
    refresh: SecretStr = Field(alias="refreshJwt", min_length=1)
    did: object = None
    active: object = None
    status: object = None

    @property
    def tokens(self) -> Tokens:
        try:  # its claims only tell when the token expires, so that they are not verified
            payload = self.access.get_secret_value().split(".")[1]
            claims = _Claims.model_validate(
                parsed(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            )
        except (IndexError, ValueError):
            claims = _Claims()
        return Tokens(self.access, self.refresh, claims.scope, claims.exp)


class _Claims(BaseModel):
    scope: Annotated[str, Field(strict=True)] = ""
    exp: AwareDatetime | None = None


def _answered(reply: httpx.Response) -> _Answer | None:
    try:
        return _Answer.model_validate(reply.json())
    except ValueError:
        return None
