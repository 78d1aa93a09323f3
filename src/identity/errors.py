"""Errors of identities and sign-in. No message contains a token, a password or a key."""

from typing import Final

import httpx

INVALID_HANDLE: Final = "handle.invalid"
"""The placeholder for a handle that the DID document does not confirm (atproto.com/specs/handle)."""


class IdentityError(Exception):
    """An identity cannot be used."""


class UnknownIdentityError(IdentityError):
    """There is no account with this handle or DID."""


class IdentityUnreachableError(IdentityError):
    """The identity could not be resolved: no response, or a malformed one. Try again later."""


class UnsafeAddressError(IdentityError, httpx.ConnectError):
    """The address is not one that this service connects to. Nothing was sent."""


class FetchRefusedError(IdentityError):
    """What is at this URL cannot be used. `status` is the HTTP status, if that was the reason."""

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


class FeatureUnresolvedError(IdentityError):
    """A featured artist could not be resolved."""

    def __init__(self, identifier: str, reason: str) -> None:
        super().__init__(f"{identifier}: {reason}")
        self.identifier = identifier
        self.reason = reason


class BadCredentialsError(IdentityError):
    """The PDS refused this identifier and password."""


class SignInStateError(IdentityError):
    """The sign-in was started in another browser, or too long ago, or is already finished. Start it again."""


class SignInRefusedError(IdentityError):
    """The account's authorization server refused this sign-in."""


class ConsentDeniedError(IdentityError):
    """No account was signed in: the request was declined."""


class ScopeRefusedError(IdentityError):
    """The account's PDS does not grant every scope that this service needs."""


class NotAnAdminError(IdentityError):
    """The account is not one of the service's admins. No account was signed in; leave the scope out."""

    def __init__(self) -> None:
        super().__init__()
        self.scope = "admin"


class NotAnOperatorError(IdentityError):
    """The account is not one of the service's operators. No account was signed in; leave the scope out."""

    def __init__(self) -> None:
        super().__init__()
        self.scope = "operator"


class AccountInactiveError(IdentityError):
    """The account is deactivated or taken down at its PDS."""


class SignInRequiredError(IdentityError):
    """The account has to sign in again: it has no session at its PDS, or the session has ended."""

    def __init__(self, did: str, reason: str = "no_session") -> None:
        super().__init__(f"{did} has to sign in again: {reason}")
        self.did = did
        self.reason = reason


class SessionUnavailableError(IdentityError):
    """The session could not be used for now: try again later.

    `cause` is the transport's error; `status`, `error` and `retry_after` are what the PDS answered instead.
    """

    def __init__(
        self,
        did: str,
        reason: str,
        *,
        cause: httpx.HTTPError | None = None,
        status: int | None = None,
        error: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        super().__init__(f"{did}: {reason}")
        self.did = did
        self.cause = cause
        self.status = status
        self.error = error
        self.retry_after = retry_after


class CredentialExpiredError(IdentityError):
    """A session or API token that has expired."""


class DecryptionError(IdentityError):
    """These bytes were encrypted with another key, for another account, or were altered."""
