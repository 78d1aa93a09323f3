"""Refreshes and revokes the tokens of OAuth logins at the authorization server that issued them."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import httpx
from atproto_oauth.exceptions import OAuthError
from atproto_oauth.models import OAuthSession
from pydantic import SecretStr

from identity.errors import SessionUnavailableError, SignInRequiredError
from identity.oauth.flows import MALFORMED_ERRORS, Flows, is_about_scope
from identity.oauth.library import TokenCallRefusedError
from identity.sessions.key_pairs import SigningKey, key_of, scalar_of
from identity.sessions.session_store import Session
from identity.sessions.tokens import TokenBinding, Tokens

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
        with _mapped_errors(session.did, "refresh"):
            refreshed = await client.refresh_session(_library_session(session, tokens, binding))
        return tokens_of(refreshed, client_id=binding.client_id, kid=binding.kid)

    async def revoke(self, session: Session, tokens: Tokens) -> None:
        """End the login at the PDS: both tokens become invalid at once."""
        binding, client = self._client_of(session, tokens)
        with _mapped_errors(session.did, "revocation"):
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
    """Convert the library's session to the tokens that we store."""
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
def _mapped_errors(did: str, call: str) -> Generator[None]:
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
