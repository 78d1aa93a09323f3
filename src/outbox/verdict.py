"""What a PDS's answer means: one function from the answer to a value with a scope and an action.

Errors are told by their name, never by status or text: an expired token is a 400, an absent record is a 400.
"""

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


LANE_ERRORS: Final = {
    "AuthMissing": Kind.SIGN_IN,
    "AuthenticationRequired": Kind.SIGN_IN,
    "ExpiredToken": Kind.SIGN_IN,
    "InvalidToken": Kind.SIGN_IN,
    "invalid_token": Kind.SIGN_IN,
    "ScopeMissingError": Kind.SIGN_IN,
    "AccountDeactivated": Kind.INACTIVE,
    "AccountTakedown": Kind.INACTIVE,
    "AccountNotFound": Kind.MOVED,
    "RateLimitExceeded": Kind.PACED,
}
RECORD_ERRORS: Final = {
    "InvalidSwap": Kind.READ_BACK,
    "BlobNotFound": Kind.BLOB_MISSING,
}
NOTHING_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
SERVER_ERROR: Final = 500
TOO_MANY: Final = 429
OK: Final = 200


@dataclass(frozen=True)
class Verdict:
    """The meaning of one answer. `error` is the PDS's name for it, `retry_after` seconds, `cid` and `rev` of a write."""

    kind: Kind
    error: str | None = None
    status: int | None = None
    message: str = ""
    retry_after: float | None = None
    body: Any = None


def verdict_of_reply(reply: httpx.Response) -> Verdict:
    """Judge an answer that came."""
    body = _json(reply)
    if reply.status_code == OK:
        return Verdict(Kind.DONE, status=OK, body=body)
    error = str(body.get("error") or f"http_{reply.status_code}") if isinstance(body, dict) else "unreadable"
    message = str(body.get("message", ""))[:300] if isinstance(body, dict) else ""
    kind = LANE_ERRORS.get(error) or RECORD_ERRORS.get(error)
    if reply.status_code == TOO_MANY:
        kind = Kind.PACED
    elif kind is None:
        kind = Kind.AMBIGUOUS if reply.status_code >= SERVER_ERROR else Kind.REJECTED
    return Verdict(kind, error, reply.status_code, message, _retry_after(reply), body)


def verdict_of_exception(error: httpx.HTTPError) -> Verdict:
    """Judge an answer that did not come."""
    kind = Kind.NOT_SENT if isinstance(error, NOTHING_SENT) else Kind.AMBIGUOUS
    return Verdict(kind, error=type(error).__name__, message=str(error)[:300])


def _json(reply: httpx.Response) -> Any:
    try:
        return reply.json()
    except ValueError:
        return None


def _retry_after(reply: httpx.Response) -> float | None:
    try:
        return float(reply.headers["retry-after"])
    except (KeyError, ValueError):
        return None
