"""What the API itself refuses. The docstring is the message; api/error_responses.py has the status and the code."""

from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from aggregates.errors import ServiceError
from eventstore.untrusted import MAX_VALUES

SIMILARITY: Final = 0.7
"""Below this, difflib suggests `cursor` for `sort`."""
MAX_NAME_LENGTH: Final = 100
"""How much of a name that another program chose an error repeats."""


class ApiError(ServiceError):
    """The request is refused."""


@dataclass(eq=False)
class ScopeRequiredError(ApiError):
    """The token's scope does not include '{scope}'. Nothing was changed; use another token."""

    scope: str


class CrossSiteError(ApiError):
    """Cross-site request: a page of another site sent this with the session cookie. Nothing was changed."""


class NotSignedInHereError(ApiError):
    """The browser is not signed in with that account. Sign in with it first."""


class TokenNotFoundError(ApiError):
    """There is no such token, or it has ended. Nothing was changed."""


@dataclass(eq=False)
class TokenShownOnceError(ApiError):
    """The Idempotency-Key has made token {token_id} already, and a token is shown once. Nothing was changed; if you have lost it, end it and make another with a new key."""

    token_id: str


class SignInUnavailableError(ApiError):
    """OAuth needs BASE_URL to be https, or http at 127.0.0.1. No account was signed in; use an app password."""


class NotAConfidentialClientError(ApiError):
    """A development service on loopback has no client metadata: authorization servers do not need it."""


class NotYourAuditError(ApiError):
    """Only an admin may read the audit of other accounts. Omit `did`, or use your own."""


class RateLimitedError(ApiError):
    """Too many requests in a minute, or uploads, downloads, exports, streams, sign-ins or comparisons under way. Nothing was changed; wait as long as Retry-After says."""

    def __init__(self, retry_after: int, message: str = "") -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnparsableError(ApiError):
    """The request cannot be parsed. Nothing was changed."""


@dataclass(eq=False)
class MissingPartError(UnparsableError):
    """The part '{field}' is required and missing. Nothing was changed."""

    field: str


class UnknownFieldError(ApiError):
    """The body has a field that the route does not know."""

    what = "field"

    def __init__(self, name: str, known: Collection[str], inside: str = "") -> None:
        name = name[:MAX_NAME_LENGTH]
        close = get_close_matches(name.lower(), known, n=1, cutoff=SIMILARITY)
        hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(known) or 'none'}."
        super().__init__(f"There is no {self.what} {name!r} here; {hint} Nothing was changed.")
        self.field = inside + name
        self.did_you_mean = inside + close[0] if close else None


class UnknownParameterError(UnknownFieldError):
    """The URL has a query parameter that the route does not know."""

    what = "parameter"


class UnsupportedBodyError(ApiError):
    """Send the body as application/json, multipart/form-data or application/x-www-form-urlencoded."""


@dataclass(eq=False)
class BodyTooLargeError(ApiError):
    """The fields of a request may have at most {limit} bytes in total. Nothing was changed."""

    limit: int


@dataclass(eq=False)
class BodyTooComplexError(ApiError):
    """A JSON text may have at most {limit} commas and opening brackets, a form as many escapes. Nothing was changed."""

    limit: int = MAX_VALUES


class TooSlowError(ApiError):
    """The body arrived too slowly, or stopped. Nothing was changed; send it again over a better connection."""


@dataclass(eq=False)
class UrlTooLongError(ApiError):
    """A URL may have at most {limit} bytes, with its query. Nothing was changed."""

    limit: int


@dataclass(eq=False)
class HeadersTooLargeError(ApiError):
    """The headers of a request may have at most {limit} bytes in total. Nothing was changed."""

    limit: int


class ArtistNotFoundError(ApiError):
    """No artist with this handle or DID has signed in here."""


class NoRecordError(ApiError):
    """The track has no record yet, so that no record can name it. Nothing was changed; try again once it has one."""


@dataclass(eq=False)
class NotOfferedError(ApiError):
    """The service has no {what}. Nothing was changed; /plyr offers what docs/plyr.md lists."""

    what: str


class NotReadyError(ApiError):
    """The service is not ready."""
