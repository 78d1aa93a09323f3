"""Maps exceptions to responses, in one table that names every error of ours that can reach HTTP."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from aggregates import errors as track
from api import errors as api
from api.errors import UnparsableError
from api.json_response import AsciiJsonResponse
from application import errors as application
from eventstore import errors as store
from identity import errors as identity
from outbox.operations import operators
from replay import errors as replay
from storage import errors as storage

logger = logging.getLogger("mastertape.api")


@dataclass(frozen=True)
class Reply:
    """The response to an error: `fields` are attributes of the error, `message` replaces its own, `kept` follows it."""

    status: int
    code: str
    fields: tuple[str, ...] = ()
    message: str | None = None
    retry_after: int | None = None
    kept: str = ""


INTERNAL: Final = Reply(
    500,
    "internal",
    message="Internal error. It has been logged; report it with the X-Request-Id of this response.",
)


def _unready(message: str, retry_after: int = 2) -> Reply:
    return Reply(503, "not_ready", message=message, retry_after=retry_after)


NOT_READY: Final = _unready(
    "The service cannot reach its database, or is busy. Nothing was changed; try again in a moment."
)
FULL: Final = _unready(
    "The disk of the service is full. Nothing was changed; try again when its operator has made room.", 60
)
_NOTHING: Final = "Nothing was changed."
_NOT_SURE: Final = (
    "The commit was not confirmed: the change may or may not have happened. "
    "Send it again with the same Idempotency-Key, or read first."
)
_LATER: Final = (
    "The account's PDS or identity server did not respond properly. Nothing was changed; try again later."
)

REPLIES: Final[dict[type[Exception], Reply]] = {
    # Values and states that a track refuses.
    track.InvalidFieldError: Reply(400, "invalid_field", ("field", "limit"), kept=_NOTHING),
    track.DeletedError: Reply(404, "track_not_found"),
    track.GatedTrackError: Reply(400, "gated_track", kept=_NOTHING),
    track.UndecidedForeignEditError: Reply(400, "bad_state", kept=_NOTHING),
    # Requests that the API refuses.
    application.NotAuthenticatedError: Reply(401, "not_authenticated"),
    api.ScopeRequiredError: Reply(403, "scope_required", ("scope",)),
    api.CrossSiteError: Reply(403, "cross_site"),
    api.NotSignedInHereError: Reply(404, "not_signed_in"),
    application.LeavingError: Reply(409, "leaving"),
    application.AdoptedDifferError: Reply(409, "adopted_differ", ("adopted",)),
    api.TokenNotFoundError: Reply(404, "not_found"),
    api.TokenShownOnceError: Reply(409, "token_shown_once", ("token_id",)),
    api.SignInUnavailableError: Reply(404, "sign_in_unavailable"),
    api.NotAConfidentialClientError: Reply(404, "not_found"),
    application.TrackNotFoundError: Reply(404, "track_not_found"),
    application.LikeNotFoundError: Reply(404, "not_found"),
    application.CommentNotFoundError: Reply(404, "comment_not_found"),
    application.ProfileNotFoundError: Reply(404, "not_found"),
    application.CommentsOffError: Reply(403, "comments_off"),
    application.TooManyCommentsError: Reply(409, "too_many_comments", ("limit",)),
    application.VersionNotFoundError: Reply(404, "version_not_found"),
    application.RevisionNotFoundError: Reply(404, "not_found"),
    application.AcrossGateError: Reply(409, "bad_state"),
    application.NotOwnerError: Reply(403, "not_owner"),
    api.NotYourAuditError: Reply(403, "not_owner"),
    application.MediaNotFoundError: Reply(404, "media_not_found"),
    application.ArtworkNotFoundError: Reply(404, "artwork_not_found"),
    application.WaveformNotReadyError: Reply(404, "waveform_not_ready", retry_after=60),
    application.NoWaveformError: Reply(404, "no_waveform"),
    application.DuplicateAudioError: Reply(409, "duplicate_audio", ("track_id",)),
    application.AlreadyHasRecordError: Reply(400, "already_has_record", ("uri",)),
    application.MigrationNeededError: Reply(409, "migration_needed", ("old_collection",)),
    application.CannotMoveError: Reply(400, "bad_state", kept=_NOTHING),
    application.NothingToResolveError: Reply(409, "nothing_to_resolve"),
    application.EditedAgainError: Reply(409, "edited_again", ("cid",)),
    application.BlobTooLargeError: Reply(413, "too_large", ("limit",)),
    application.BlobRefusedError: Reply(400, "invalid_media", ("reason",)),
    application.VersionMismatchError: Reply(412, "version_mismatch", ("version",)),
    application.VersionRequiredError: Reply(428, "version_required"),
    application.ListNotFoundError: Reply(404, "list_not_found"),
    application.ReleaseNotFoundError: Reply(404, "not_found"),
    track.NotADraftError: Reply(409, "bad_state"),
    application.NotReadyToPublishError: Reply(409, "not_ready_to_publish", ("files",)),
    application.LimitReachedError: Reply(409, "limit_reached", ("limit",)),
    application.UploadRefusedError: Reply(400, "invalid_media", ("reason",)),
    application.NotInAlbumsError: Reply(400, "not_in_albums"),
    application.RecordNotReadError: Reply(409, "record_not_read"),
    application.TitleTakenError: Reply(409, "title_taken", ("album_id",)),
    application.TracksRefusedError: Reply(409, "rows_refused", ("rows",)),
    application.TooManyTracksError: Reply(409, "too_many_tracks", ("number", "limit")),
    track.TooManyItemsError: Reply(400, "too_many_items", ("limit",)),
    track.AlreadyInListError: Reply(409, "already_in_list"),
    track.NotInListError: Reply(404, "not_in_list"),
    api.UnparsableError: Reply(422, "unparsable"),
    api.MissingPartError: Reply(422, "unparsable", ("field",)),
    api.UnknownFieldError: Reply(400, "unknown_field", ("field", "did_you_mean")),
    api.UnknownParameterError: Reply(422, "unknown_parameter", ("field", "did_you_mean")),
    api.UnsupportedBodyError: Reply(415, "unsupported_media"),
    api.BodyTooLargeError: Reply(413, "too_large", ("limit",)),
    api.BodyTooComplexError: Reply(413, "too_complex", ("limit",)),
    api.TooSlowError: Reply(408, "too_slow"),
    api.UrlTooLongError: Reply(414, "url_too_long", ("limit",)),
    api.HeadersTooLargeError: Reply(431, "headers_too_large", ("limit",)),
    store.IdempotencyMismatchError: Reply(422, "idempotency_mismatch"),
    store.InProgressError: Reply(409, "in_progress", retry_after=1),
    store.EventBudgetError: Reply(429, "rate_limited"),
    application.JobNotFoundError: Reply(404, "not_found"),
    replay.RepairNotFoundError: Reply(404, "not_found"),
    replay.ExportNotFoundError: Reply(404, "not_found"),
    replay.ExportUnderWayError: Reply(409, "export_under_way", retry_after=60),
    replay.ExportTakenDownError: Reply(409, "taken_down"),
    application.RepairChangedError: Reply(409, "bad_state"),
    application.SupportRequiredError: Reply(402, "support_required"),
    application.DownloadsOffError: Reply(403, "downloads_off"),
    application.SupportersUnreachableError: Reply(503, "supporters_unreachable", retry_after=2),
    api.ArtistNotFoundError: Reply(404, "not_found"),
    api.NoRecordError: Reply(422, "missing_atproto_record"),
    api.NotOfferedError: Reply(501, "not_offered"),
    api.NotReadyError: Reply(503, "not_ready", retry_after=2),
    api.RateLimitedError: Reply(429, "rate_limited"),
    # Media.
    storage.RefusedMediaError: Reply(400, "invalid_media", kept=_NOTHING),
    storage.InvalidMediaError: Reply(400, "invalid_media", kept=_NOTHING),
    storage.UnsupportedMediaError: Reply(415, "unsupported_media", kept=_NOTHING),
    storage.TooLargeError: Reply(413, "too_large", ("limit",), kept=_NOTHING),
    storage.ParserEndedError: Reply(503, "not_ready", retry_after=2),
    storage.UploadNotFoundError: Reply(404, "not_found"),
    storage.OffsetMismatchError: Reply(409, "mismatching_upload_offset", ("offset",)),
    storage.MediaGoneError: Reply(409, "bytes_expired"),
    storage.TakenDownError: Reply(409, "taken_down", kept=_NOTHING),
    storage.BytesMissingError: Reply(
        404, "media_not_found", message="These bytes are gone. Upload them again."
    ),
    storage.BytesDamagedError: INTERNAL,
    storage.RangeOutsideError: Reply(416, "range_not_satisfiable"),
    storage.StoreUnavailableError: _unready(
        "The media store does not answer. Nothing was changed; try again in a moment."
    ),
    storage.DiskFullError: FULL,
    # Identity and sessions.
    identity.UnknownIdentityError: Reply(401, "bad_credentials"),
    identity.BadCredentialsError: Reply(401, "bad_credentials"),
    identity.SignInStateError: Reply(400, "sign_in_state"),
    identity.SignInRefusedError: Reply(400, "sign_in_refused", kept="No account was signed in; start again."),
    identity.ConsentDeniedError: Reply(403, "access_denied"),
    identity.ScopeRefusedError: Reply(403, "scope_refused", kept="No account was signed in."),
    identity.NotPrivilegedError: Reply(403, "scope_required", ("scope",)),
    identity.AccountInactiveError: Reply(
        403,
        "account_inactive",
        kept="No account was signed in. Reactivate the account at its PDS first.",
    ),
    identity.IdentityUnreachableError: Reply(503, "identity_unreachable", message=_LATER, retry_after=5),
    identity.UnsafeAddressError: Reply(
        400,
        "unsafe_address",
        message="This account's addresses are not ones that the service connects to. Nothing was changed.",
    ),
    identity.FetchRefusedError: Reply(400, "invalid_media", kept=_NOTHING),
    identity.FeatureUnresolvedError: Reply(400, "invalid_field", ("identifier",)),
    track.SignInRequiredError: Reply(
        401, "session_expired", message="The session at the PDS has ended. Sign in again."
    ),
    track.SessionUnavailableError: Reply(503, "identity_unreachable", message=_LATER, retry_after=5),
    identity.CredentialExpiredError: Reply(401, "session_expired"),
    identity.DecryptionError: INTERNAL,
    # Operators.
    operators.UnknownTargetError: Reply(404, "not_found", kept=_NOTHING),
    operators.CountChangedError: Reply(409, "count_changed", ("current",)),
    operators.TooWideError: Reply(400, "invalid_field", ("field", "limit"), kept=_NOTHING),
    operators.NotOfHostError: Reply(400, "invalid_field", ("field", "limit"), kept=_NOTHING),
    # The log.
    store.ReadOnlyTransactionError: INTERNAL,
    store.NestedUnitError: INTERNAL,
    store.UnpreparedQueryError: INTERNAL,
    store.BrokenUnitError: INTERNAL,
    store.UnsafeConnectionError: NOT_READY,
    store.EncodingError: NOT_READY,
    store.PooledConnectionError: INTERNAL,
    store.CommitFailedError: _unready(_NOT_SURE),
    store.LogBusyError: NOT_READY,
    store.ThreadsBusyError: _unready(
        "The service has too much work of this kind under way. Nothing was changed; try again in a moment.", 5
    ),
    store.VersionConflictError: _unready(
        "The track changed meanwhile. Nothing of this was kept; send it again.", 1
    ),
    store.AggregateNotFoundError: Reply(404, "track_not_found", message="There is no such track."),
    store.NewerReleaseError: Reply(503, "not_ready", retry_after=30),
    store.OutdatedProjectionError: Reply(503, "not_ready", retry_after=30),
    # All connections to the database are taken.
    PoolTimeoutError: NOT_READY,
}
FRAMEWORK_CODES: Final = {
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media",
}


RULES: Final = frozenset({"string_pattern_mismatch", "string_too_long", "one_of"})
"""Pydantic's error types for a value that parses but breaks a rule of ours."""
SHOULD: Final = re.compile(r"^\w+ should")


def rule_of(message: str) -> str:
    """Word pydantic's message like our own limits."""
    return SHOULD.sub("must", message)


def codes_by_status() -> dict[int, list[str]]:
    ours = [(reply.status, reply.code) for reply in REPLIES.values()]
    found: dict[int, set[str]] = {}
    for status, code in (*ours, *FRAMEWORK_CODES.items()):
        found.setdefault(status, set()).add(code)
    return {status: sorted(codes) for status, codes in sorted(found.items())}


def reply_for(error: BaseException) -> Reply:
    """Return the entry of the error's class, else of the nearest base class; a full database has its own, and so has one that is away."""
    if isinstance(error, DBAPIError) and store.is_full(error):
        return FULL
    if isinstance(error, DBAPIError) and store.is_busy_or_away(error):
        return NOT_READY
    kinds = [kind for kind in type(error).__mro__ if issubclass(kind, Exception)]
    return next((REPLIES[kind] for kind in kinds if kind in REPLIES), INTERNAL)


def response_to(error: Exception) -> Response:
    """Return the response. That to an internal error reveals nothing of the cause."""
    reply = reply_for(error)
    retry_after = getattr(error, "retry_after", reply.retry_after)
    headers = dict(getattr(error, "headers", {}))
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if reply.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="mastertape"'
    return AsciiJsonResponse(body_of(error), status_code=reply.status, headers=headers)


def body_of(error: Exception) -> dict[str, Any]:
    reply = reply_for(error)
    fields = {name: getattr(error, name) for name in reply.fields if hasattr(error, name)}
    for name, value in fields.items():
        if isinstance(value, Mapping):  # errors by the id of their subject
            fields[name] = [{"id": each, **body_of(of_it)["detail"]} for each, of_it in value.items()]
    return {"detail": {"error": reply.code, "message": message_of(error, reply), **fields}}


def message_of(error: Exception, reply: Reply) -> str:
    return worded(reply.message or str(error) or reply.code, reply)


def worded(message: str, reply: Reply) -> str:
    return f"{message.rstrip('.')}. {reply.kept}" if reply.kept else message


def error_response(
    status: int, code: str, message: str, headers: dict[str, str] | None = None, **fields: Any
) -> Response:
    """Return an error response in the shape that all errors have."""
    detail = {"error": code, "message": message, **fields}
    return AsciiJsonResponse({"detail": detail}, status_code=status, headers=headers)


def add_error_handlers(app: FastAPI) -> None:
    """Handle every error of the table, and the framework's own, in that shape."""
    framework = (HTTPException, RequestValidationError, ClientDisconnect)
    for kind in (track.ServiceError, DBAPIError, PoolTimeoutError, *framework):
        app.add_exception_handler(kind, _refused)


async def _refused(_request: Request, error: Exception) -> Response:
    match error:
        case ClientDisconnect():
            return error_response(
                422, "unparsable", "The request ended before its body did. Nothing was changed."
            )
        case RequestValidationError():
            first = error.errors()[0]
            field = str(first["loc"][-1])
            if first["type"] in RULES:
                return response_to(track.InvalidFieldError(field, rule_of(first["msg"])))
            message = f"{field}: {first['msg']}. Nothing was changed."
            return error_response(422, "unparsable", message, field=field)
        case HTTPException(status_code=HTTPStatus.BAD_REQUEST):
            # a body that the framework reads itself, and cannot
            return response_to(UnparsableError(f"{error.detail}. Nothing was changed."))
        case HTTPException():
            code = FRAMEWORK_CODES.get(error.status_code, "bad_request")
            return error_response(error.status_code, code, str(error.detail), dict(error.headers or {}))
    status = reply_for(error).status
    is_ours = status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED
    if is_ours:  # what is not offered is the caller's own doing
        logger.error("request_failed", exc_info=error)
    return response_to(error)
