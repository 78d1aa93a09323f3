"""What a PDS's answer means: one function from the answer to a value with a scope and an action.

Errors are told by their name, never by status or text: an expired token is a 400, an absent record is a 400.
An answer that names no error is not the PDS's own but of something before it, and never condemns a record.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import httpx


class Kind(StrEnum):
    """What the relay does next."""

    DONE = "done"  # the PDS has it
    READ_BACK = "read_back"  # somebody wrote before us: read what is there
    AMBIGUOUS = "ambiguous"  # it may have been applied: try again under the same swap
    NOT_SENT = "not_sent"  # nothing reached the PDS: the whole host is to wait
    BLOB_MISSING = "blob_missing"  # upload the blob first
    REJECTED = "rejected"  # this record will never be taken as it is
    PACED = "paced"  # the account or host is over its limit
    SIGN_IN = "sign_in"  # the lane waits for its owner
    INACTIVE = "inactive"  # the lane waits for its account
    MOVED = "moved"  # the lane waits for the account to be found
    BROKEN = "broken"  # a fault of ours: this record waits, its siblings go on


LANE_ERRORS: Final = {
    "AuthMissing": Kind.SIGN_IN,
    "AuthenticationRequired": Kind.SIGN_IN,
    "ExpiredToken": Kind.SIGN_IN,
    "InvalidToken": Kind.SIGN_IN,
    "invalid_token": Kind.SIGN_IN,
    "ScopeMissingError": Kind.SIGN_IN,
    "AccountDeactivated": Kind.INACTIVE,
    "AccountSuspended": Kind.INACTIVE,
    "AccountTakedown": Kind.INACTIVE,
    "RepoDeactivated": Kind.INACTIVE,
    "RepoSuspended": Kind.INACTIVE,
    "RepoTakendown": Kind.INACTIVE,
    "AccountNotFound": Kind.MOVED,
    "RateLimitExceeded": Kind.PACED,
    "use_dpop_nonce": Kind.AMBIGUOUS,
}
RECORD_ERRORS: Final = {
    "InvalidSwap": Kind.READ_BACK,
    "BlobNotFound": Kind.BLOB_MISSING,
}
NOTHING_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
OK: Final = 200
UNAUTHORIZED: Final = 401
TOO_LARGE: Final = 413
TOO_MANY: Final = 429
SERVER_ERROR: Final = 500
OF_THE_HOST: Final = frozenset({None, 502, 503, 504})
"""Answers, or none at all, that speak of the host and not of the record."""
UNREADABLE: Final = "unreadable"
UNNAMED: Final = "http_"
NAME_LENGTH, MESSAGE_LENGTH = 100, 300
LONGEST_PAUSE: Final = 86400.0
"""A PDS counts over a day at most; one that asks for more is not believed."""


@dataclass(frozen=True)
class Verdict:
    """The meaning of one answer. `error` is the PDS's name for it, `retry_after` seconds."""

    kind: Kind
    error: str | None = None
    status: int | None = None
    message: str = ""
    retry_after: float | None = None
    body: Any = None

    @property
    def cid(self) -> str | None:
        """Give the CID that the PDS says a put made."""
        return _text_at(self.body, "cid")

    @property
    def rev(self) -> str | None:
        """Give the revision of the commit; none when nothing had to be changed."""
        return _text_at(self.body.get("commit"), "rev") if isinstance(self.body, dict) else None

    @property
    def concerns_host(self) -> bool:
        """Whether other records would fare no better now."""
        if self.kind is Kind.NOT_SENT:
            return True
        unnamed = self.error is not None and (self.error == UNREADABLE or self.error.startswith(UNNAMED))
        return self.kind is Kind.AMBIGUOUS and (self.status in OF_THE_HOST or unnamed)


def verdict_of_reply(reply: httpx.Response) -> Verdict:
    """Judge an answer that came."""
    status, body = reply.status_code, _json(reply)
    if status == OK and isinstance(body, dict):
        return Verdict(Kind.DONE, status=OK, body=body)
    if reply.is_success:
        return Verdict(Kind.AMBIGUOUS, UNREADABLE, status)
    name = _text_at(body, "error")
    error = clean(name, NAME_LENGTH) if name else f"{UNNAMED}{status}"
    message = clean(body.get("message", ""), MESSAGE_LENGTH) if isinstance(body, dict) else ""
    return Verdict(_kind(status, name), error, status, message, _retry_after(reply), body)


def verdict_of_exception(error: Exception) -> Verdict:
    """Judge an answer that did not come."""
    kind = Kind.NOT_SENT if isinstance(error, NOTHING_SENT) else Kind.AMBIGUOUS
    return Verdict(kind, error=type(error).__name__, message=clean(error, MESSAGE_LENGTH))


def verdict_of_fault(error: Exception) -> Verdict:
    """Judge an exception that nobody foresaw."""
    return Verdict(Kind.BROKEN, error=type(error).__name__, message=clean(error, MESSAGE_LENGTH))


def clean(text: object, length: int) -> str:
    """Give text that every database takes: what others send may hold NUL or half a character."""
    return str(text)[:length].encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _kind(status: int, name: str | None) -> Kind:
    known = LANE_ERRORS.get(name or "") or RECORD_ERRORS.get(name or "")
    if status == TOO_MANY:
        return Kind.PACED
    if known is not None:
        return known
    if status == TOO_LARGE:
        return Kind.REJECTED
    if status >= SERVER_ERROR or not name:
        return Kind.AMBIGUOUS
    return Kind.SIGN_IN if status == UNAUTHORIZED else Kind.REJECTED


def _text_at(body: Any, name: str) -> str | None:
    value = body.get(name) if isinstance(body, dict) else None
    return clean(value, MESSAGE_LENGTH) if isinstance(value, str) else None


def _json(reply: httpx.Response) -> Any:
    try:
        return reply.json()
    except (ValueError, RecursionError):
        return None


def _retry_after(reply: httpx.Response) -> float | None:
    try:
        seconds = float(reply.headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return min(max(seconds, 1.0), LONGEST_PAUSE) if math.isfinite(seconds) else None
