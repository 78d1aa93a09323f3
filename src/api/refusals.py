"""What the API itself refuses. The docstring is the message; status and code stand in api/errors.py."""


class ApiError(Exception):
    """The request is refused."""

    def __str__(self) -> str:
        return super().__str__() or type(self).__doc__ or type(self).__name__


class NotAuthenticatedError(ApiError):
    """Sign in first: this needs the session cookie or a token in `Authorization: Bearer`."""


class ScopeRequiredError(ApiError):
    """The token's scope does not include what the route needs."""

    def __init__(self, scope: str) -> None:
        super().__init__(
            f"This token's scope does not include '{scope}'. Nothing was changed; use another token."
        )
        self.scope = scope


class CrossSiteError(ApiError):
    """Cross-site request: a page of another site sent this with the session cookie. Nothing was changed."""


class NotSignedInHereError(ApiError):
    """The browser is not signed in with that account. Sign in with it first."""


class LeavingError(ApiError):
    """The account is leaving: its records are being removed. Nothing was changed; GET /me shows the progress."""


class TokenNotFoundError(ApiError):
    """There is no such token, or it has ended. Nothing was changed."""


class TokenShownOnceError(ApiError):
    """The token was made, and is not shown again."""

    def __init__(self, token_id: str) -> None:
        super().__init__(
            f"This Idempotency-Key has made token {token_id} already, and a token is shown once. "
            "Nothing was changed; if you have lost it, end it and make another with a new key."
        )
        self.token_id = token_id


class SignInUnavailableError(ApiError):
    """OAuth needs BASE_URL to be https, or http at 127.0.0.1. Nobody was signed in; use an app password."""


class NotAConfidentialClientError(ApiError):
    """A development service on loopback has no client metadata: authorization servers do not need it."""


class TrackNotFoundError(ApiError):
    """There is no such track, or it is deleted."""


class VersionNotFoundError(ApiError):
    """The track has no such version; its history lists the existing ones."""


class NotOwnerError(ApiError):
    """The track belongs to somebody else. Nothing was changed."""


class NotYourAuditError(ApiError):
    """Only an admin may read the audit of other accounts. Omit `did`, or use your own."""


class RateLimitedError(ApiError):
    """Too many requests in a minute. Nothing was changed; wait as long as Retry-After says."""

    def __init__(self, retry_after: int) -> None:
        super().__init__()
        self.retry_after = retry_after


class TooManyUploadsError(RateLimitedError):
    """The account has reached its limit of concurrent uploads. Nothing was changed; wait until one is done."""


class MediaNotFoundError(ApiError):
    """No track names these bytes now, or they are gone."""


class DuplicateAudioError(ApiError):
    """The artist has a live track with exactly this audio."""

    def __init__(self, track_id: int) -> None:
        super().__init__(
            f"Track {track_id} of this artist has exactly this audio. Nothing was changed; edit or delete that track."
        )
        self.track_id = track_id


class AlreadyHasRecordError(ApiError):
    """The record is on the PDS."""

    def __init__(self, uri: str) -> None:
        super().__init__(
            f"The record is on the PDS, at {uri}: there is nothing to restore. Nothing was changed."
        )
        self.uri = uri


class MigrationNeededError(ApiError):
    """The record lives in the old collection."""

    def __init__(self, old_collection: str) -> None:
        super().__init__(
            f"The record lives in {old_collection}. Nothing was changed; migrate the namespace instead."
        )
        self.old_collection = old_collection


class CannotMoveError(ApiError):
    """The record cannot move to another collection. Nothing was changed."""


class NothingToResolveError(ApiError):
    """Nobody else has changed this record: there is nothing to resolve. Nothing was changed."""


class BlobTooLargeError(ApiError):
    """The audio is larger than the PDS accepts."""

    def __init__(self, limit: int | None = None) -> None:
        takes = f"blobs of at most {limit} bytes" if limit is not None else "only smaller blobs"
        super().__init__(f"The PDS accepts {takes}, this audio is larger. It stays with the service.")
        if limit is not None:  # a PDS need not tell it
            self.limit = limit


class BlobRefusedError(ApiError):
    """The PDS refuses this audio permanently; `reason` is its name for the error."""

    def __init__(self, reason: str, said: str) -> None:
        super().__init__(
            f"The PDS does not accept this audio: {said}. It stays with the service; asking again tries once more."
        )
        self.reason = reason


class VersionMismatchError(ApiError):
    """The track has changed in the meantime."""

    def __init__(self, version: int) -> None:
        super().__init__(
            f"The track is now at version {version}. Nothing was changed; read it and decide again."
        )
        self.version = version


class UnparsableError(ApiError):
    """The request cannot be parsed. Nothing was changed."""


class MissingPartError(UnparsableError):
    """A required part is missing."""

    def __init__(self, field: str) -> None:
        super().__init__(f"The part {field!r} is required and missing. Nothing was changed.")
        self.field = field


class UnsupportedBodyError(ApiError):
    """Send the body as application/json, multipart/form-data or application/x-www-form-urlencoded."""


class BodyTooLargeError(ApiError):
    """The body is larger than allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The fields of a request may have at most {limit} bytes in total. Nothing was changed."
        )
        self.limit = limit


class TooSlowError(ApiError):
    """The body arrived too slowly, or stopped. Nothing was changed; send it again over a better connection."""


class UrlTooLongError(ApiError):
    """The URL is longer than allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"A URL may have at most {limit} bytes, with its query. Nothing was changed.")
        self.limit = limit


class HeadersTooLargeError(ApiError):
    """The headers are larger than allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The headers of a request may have at most {limit} bytes in total. Nothing was changed."
        )
        self.limit = limit


class IdempotencyMismatchError(ApiError):
    """The Idempotency-Key was used for another request within the last 24 hours. Nothing was changed."""


class InProgressError(ApiError):
    """The first request with this Idempotency-Key is still running. Send it again in a moment."""


class SupportRequiredError(ApiError):
    """Only the artist's supporters may play this track. Support the artist, or sign in with an account that does."""


class SupportersUnreachableError(ApiError):
    """The service that knows the artist's supporters does not answer. Try again in a moment."""


class NotReadyError(ApiError):
    """The service is not ready."""
