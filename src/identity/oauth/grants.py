"""The tokens of OAuth logins, renewed and given back at the authorization server that gave them."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final

import httpx
from atproto_oauth.exceptions import OAuthError
from atproto_oauth.models import OAuthSession
from pydantic import SecretStr

from identity.errors import SessionUnavailableError, SignInRequiredError
from identity.oauth.flows import SAYS_NO_SENSE, Client, Flow, Flows, is_about_scope
from identity.oauth.library import TokenCallRefusedError
from identity.sessions.key_pairs import SigningKey, key_of, scalar_of
from identity.sessions.session_store import Session
from identity.sessions.tokens import Grant, Tokens

SESSION_OVER: Final = "invalid_grant"
SCOPE_REDUCED: Final = "scope_reduced"


class OAuthGrants:
    """Renews and ends OAuth logins, each as the client that it began with."""

    def __init__(self, flows: Flows, keys: Sequence[SigningKey]) -> None:
        self._flows = flows
        self._keys = {key.kid: key for key in keys}

    async def renew(self, session: Session, tokens: Tokens) -> Tokens:
        """New tokens for old ones, which are spent then; `SignInRequiredError` when only a person can help."""
        grant, flow = self._opened(session, tokens)
        with _our_names(session.did, "refresh"):
            renewed = await flow.renew(_library_session(session, tokens, grant))
        return tokens_of(renewed, client_id=grant.client_id, kid=grant.kid)

    async def revoke(self, session: Session, tokens: Tokens) -> None:
        """End the login at the PDS: both tokens are dead at once."""
        grant, flow = self._opened(session, tokens)
        with _our_names(session.did, "revocation"):
            await flow.revoke(_library_session(session, tokens, grant))

    def _opened(self, session: Session, tokens: Tokens) -> tuple[Grant, Flow]:
        grant = tokens.grant
        if grant is None:
            raise SessionUnavailableError(session.did, "its tokens lack what they are bound to")
        if grant.kid is not None and grant.kid not in self._keys:
            # the login may be good: an operator can put the key back, or the person signs in again
            raise SessionUnavailableError(session.did, f"OAUTH_KEYS lacks the key {grant.kid}")
        key = self._keys[grant.kid] if grant.kid is not None else None
        return grant, self._flows.flow(Client(grant.client_id, "", session.scope, key))


def tokens_of(session: OAuthSession, *, client_id: str, kid: str | None) -> Tokens:
    """Convert the library's session to the form that we store."""
    grant = Grant(session.authserver_iss, client_id, scalar_of(session.dpop_private_key), kid)
    return Tokens(
        SecretStr(session.access_token),
        SecretStr(session.refresh_token),
        session.scope,
        session.expires_at,
        grant,
    )


def _library_session(session: Session, tokens: Tokens, grant: Grant) -> OAuthSession:
    return OAuthSession(
        did=session.did,
        handle="",
        pds_url=session.pds_url,
        authserver_iss=grant.issuer,
        access_token=tokens.access.get_secret_value(),
        refresh_token=tokens.refresh.get_secret_value(),
        dpop_private_key=key_of(grant.dpop_key),
        dpop_authserver_nonce="",
        scope=session.scope,
    )


@contextmanager
def _our_names(did: str, call: str) -> Generator[None]:
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
            # the tokens are rotated already, and the library has dropped the new ones
            raise SignInRequiredError(did, SCOPE_REDUCED) from None
        raise SessionUnavailableError(did, f"{call} failed: {type(error).__name__}") from None
    except httpx.HTTPError as error:
        raise SessionUnavailableError(did, f"{call} failed: {type(error).__name__}", cause=error) from error
    except SAYS_NO_SENSE as error:
        raise SessionUnavailableError(did, f"{call}: malformed response ({type(error).__name__})") from None
