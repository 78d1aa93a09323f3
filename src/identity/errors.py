"""Errors of identities and sign-in. No message contains a token, a password or a key."""

from dataclasses import dataclass
from typing import Final

import httpx

from aggregates.errors import ServiceError

INVALID_HANDLE: Final = "handle.invalid"
"""The placeholder for a handle that the DID document does not confirm (atproto.com/specs/handle)."""


class IdentityError(ServiceError):
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


@dataclass(eq=False)
class FeatureUnresolvedError(IdentityError):
    """The featured artist {identifier} could not be resolved: {reason}."""

    identifier: str
    reason: str


class BadCredentialsError(IdentityError):
    """The PDS knows no such account with this app password. Check both, or make a new app password."""


class SignInStateError(IdentityError):
    """The sign-in was started in another browser, or too long ago, or is already finished. Start it again."""


class SignInRefusedError(IdentityError):
    """The account's authorization server refused this sign-in."""


class ConsentDeniedError(IdentityError):
    """No account was signed in: the request was declined."""


class ScopeRefusedError(IdentityError):
    """The account's PDS does not grant every scope that this service needs."""


@dataclass(eq=False)
class NotPrivilegedError(IdentityError):
    """The account may not have the scope {scope} here. No account was signed in; leave the scope out."""

    scope: str


class AccountInactiveError(IdentityError):
    """The account is deactivated or taken down at its PDS."""


class CredentialExpiredError(IdentityError):
    """The session or token has ended. Sign in again."""


class DecryptionError(IdentityError):
    """These bytes were encrypted with another key, for another account, or were altered."""
