"""The base of all errors of ours, and what a track or the login of its account refuses.

What HTTP makes of them stands in api/error_responses.py.
"""

import re
from dataclasses import dataclass, is_dataclass
from typing import Final


class ServiceError(Exception):
    """The docstring of a class is its message; in braces it names fields."""

    def __str__(self) -> str:
        return ("" if is_dataclass(self) else super().__str__()) or wording(type(self), self)


_FIELD: Final = re.compile(r"\{(\w+)\}")


def wording(kind: type[Exception], error: Exception | None = None) -> str:
    """Return the message with the fields of the error; without one, with their defaults or names."""
    fields = getattr(kind, "__dataclass_fields__", {})

    def said(name: re.Match[str]) -> str:
        return str(getattr(error or kind, name[1], f"`{name[1]}`")) if name[1] in fields else name[0]

    return _FIELD.sub(said, " ".join((kind.__doc__ or kind.__name__).split()))


class TrackError(ServiceError):
    """The track refuses this command."""


@dataclass(eq=False)
class InvalidFieldError(TrackError):
    """A value that the record on the PDS could not hold. `limit` says what it could."""

    field: str
    limit: str

    def __str__(self) -> str:
        return f"{self.field}: {self.limit}"


class DeletedError(TrackError):
    """It is deleted; undelete it first."""


class GatedTrackError(TrackError):
    """The track is for supporters only, so its audio stays off the public PDS; remove the gate first."""


@dataclass(eq=False)
class UndecidedForeignEditError(TrackError):
    """Another client has changed the record. Decide first which version stays: POST /{kind}s/{id}/mirror/resolve."""

    kind: str = "track"


@dataclass(eq=False)
class TooManyItemsError(TrackError):
    """A list has at most {limit} tracks. Nothing was changed; remove some first."""

    limit: int


class AlreadyInListError(TrackError):
    """The list has this track already. Nothing was changed; move it instead."""


class NotInListError(TrackError):
    """The list has no such track. Nothing was changed."""


@dataclass(eq=False)
class NotADraftError(ServiceError):
    """The release is {state}, and changes no more. Nothing was changed; take one that is scheduled back first."""

    state: str


class LoginError(ServiceError):
    """The login of an account at its PDS cannot be used."""


@dataclass(eq=False)
class SignInRequiredError(LoginError):
    """{did} has to sign in again: {reason}."""

    did: str
    reason: str = "no_session"


@dataclass(eq=False)
class SessionUnavailableError(LoginError):
    """{did}: {reason}."""

    did: str
    reason: str
    cause: Exception | None = None
    """The transport's error."""
    status: int | None = None
    """What the PDS answered instead, with `error` and `retry_after`."""
    error: str | None = None
    retry_after: str | None = None

    @property
    def was_sent(self) -> bool:
        """Whether a request was sent to the host, which may be the cause then."""
        return self.cause is not None or self.status is not None
