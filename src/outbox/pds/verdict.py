"""Judges the responses of a PDS: a verdict's kind says what the relay does next, its scope for which records; and reads its rate limits.

Errors are recognized by their XRPC name, never by status or text. An unknown name rejects a record only as a 400; a
response without a name is not the PDS's own but a proxy's, and never rejects a record.
"""

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum, StrEnum
from typing import Any, Final

import httpx

from eventstore.untrusted import TooComplexError, clean, parsed

WINDOW: Final = re.compile(r"\bw=(\d{1,9})\b")
"""In RateLimit-Policy, in seconds: headers name the tightest budget alone, an account's or an address's."""
MAX_HOST_WINDOW_SECONDS: Final = 600
"""A PDS counts an address over minutes, an account over hours."""
HOUR_SECONDS, DAY_SECONDS = 3600, 86400
LONGEST_PAUSE_SECONDS: Final = float(DAY_SECONDS)
"""A PDS counts over a day at most; longer pauses are cut to that."""
MAX_POINTS: Final = 1e9
MIN_EPOCH_SECONDS: Final = 1e9
"""A smaller Reset is not a time but seconds to wait, as in the draft of the headers."""
ROUNDED_SECONDS: Final = 1.0
"""Hosts cut fractions of seconds off."""
LIVE_RESERVE: Final = 0.2
"""The share of a budget that is never used: an account's is for its other apps, a host's for reads and sign-ins."""
BACKFILL_RESERVE: Final = 0.5
"""Backfill leaves this share, so that a live edit never waits for it."""
CREATE_POINTS, PUT_POINTS, DELETE_POINTS = 3, 2, 1


@dataclass(frozen=True)
class Budget:
    """One of a PDS's budgets: `limit` points per `window` seconds, which is None if the PDS does not name it.

    It is full again `reset_seconds` after the response.
    """

    limit: int
    left: int
    window: int | None
    reset_seconds: float

    @property
    def is_of_host(self) -> bool:
        """Whether it counts all requests from our address, rather than an account's."""
        return self.window is not None and self.window <= MAX_HOST_WINDOW_SECONDS

    def reset_at(self, now: datetime) -> datetime:
        """Return when the budget is full again, by our clock: never in the past, nor later than its window."""
        longest = min(self.window or LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        seconds = max(self.reset_seconds, 0.0) + ROUNDED_SECONDS
        return now + timedelta(seconds=min(seconds, longest + ROUNDED_SECONDS))

    def is_used_up(self, reserve: float, points: int) -> bool:
        """Whether so many more points would draw on the reserve, a share of the limit."""
        return self.left - points < reserve * self.limit


def lane_budget(budget: Budget, now: datetime) -> dict[str, Any]:
    """Return the lane columns with its account's budget, and the pause if it is used up."""
    if budget.is_of_host:
        return {}
    reset = budget.reset_at(now)
    name = "hour" if (budget.window or 0) <= HOUR_SECONDS else "day"
    columns: dict[str, Any] = {
        f"{name}_limit": budget.limit,
        f"{name}_left": budget.left,
        f"{name}_reset": reset,
    }
    if budget.is_used_up(LIVE_RESERVE, CREATE_POINTS):
        columns["paced_until"] = reset
    elif budget.is_used_up(BACKFILL_RESERVE, CREATE_POINTS):
        columns["backfill_after"] = reset
    return columns


def budget_of(headers: Mapping[str, str]) -> Budget | None:
    """Read the RateLimit headers; None where they are missing or invalid."""
    limit, left, reset = (
        _number(headers.get(f"ratelimit-{name}")) for name in ("limit", "remaining", "reset")
    )
    if limit is None or left is None or reset is None or limit < 1:
        return None
    policy = WINDOW.search(headers.get("ratelimit-policy", ""))
    window = int(policy[1]) if policy is not None and int(policy[1]) > 0 else None
    seconds = reset if reset < MIN_EPOCH_SECONDS else reset - _clock(headers)
    most = min(limit, MAX_POINTS)
    return Budget(int(most), int(min(max(left, 0), most)), window, seconds)


def retry_after_of(headers: Mapping[str, str]) -> timedelta | None:
    """Read the pause of Retry-After, which is seconds or a date: between a second and a day."""
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is None and (at := _date(value)) is not None:
        seconds = at - _clock(headers)
    return timedelta(seconds=min(max(seconds, 1.0), LONGEST_PAUSE_SECONDS)) if seconds is not None else None


def _clock(headers: Mapping[str, str]) -> float:
    """Return what the host's clock showed at the response; ours, if it sent no `Date`."""
    at = _date(headers.get("date"))
    return at if at is not None else time.time()


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _date(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text or "").timestamp()
    except (ValueError, OverflowError):
        return None


class Kind(StrEnum):
    """What the relay does next."""

    DONE = "done"  # the PDS has it
    READ_BACK = "read_back"  # the PDS holds another record than expected: read it
    AMBIGUOUS = "ambiguous"  # it may have been applied: try again under the same swap
    NOT_SENT = "not_sent"  # nothing reached the PDS: the whole host is to wait
    BLOB_MISSING = "blob_missing"  # upload the blob first
    REJECTED = "rejected"  # this record will never be taken as it is
    PACED = "paced"  # the account or host is over its limit
    SIGN_IN = "sign_in"  # the lane waits for a sign-in
    INACTIVE = "inactive"  # the account is not active: the lane waits for it
    FULL = "full"  # the account's storage is full: the lane waits for room
    MOVED = "moved"  # the host does not know the account: the lane waits until a probe finds it
    BROKEN = "broken"  # our own fault: this record waits, its siblings are delivered


PARKS: Final = (Kind.SIGN_IN, Kind.INACTIVE, Kind.FULL, Kind.MOVED)
"""Kinds that park the lane of the account: what its owner does, or a probe finds, ends that. How each waits is in mirror/parking.py."""


class Phase(Enum):
    """The kind of request, on which the meaning of a response depends."""

    WRITE = "putRecord or deleteRecord, in the account's name"
    UPLOAD = "uploadBlob, in the account's name"
    READ = "a read without a login"


class Scope(Enum):
    """What the verdict concerns."""

    RECORD = "this record or blob alone"
    LANE = "all records of the account"
    HOST = "all accounts of the host"
    BLOBS = "all uploads to the host"


LANE_ERRORS: Final = {
    "AuthMissing": Kind.SIGN_IN,
    "AuthenticationRequired": Kind.SIGN_IN,
    "ExpiredToken": Kind.SIGN_IN,
    "InvalidToken": Kind.SIGN_IN,
    "invalid_token": Kind.SIGN_IN,
    "ScopeMissingError": Kind.SIGN_IN,
    "insufficient_scope": Kind.SIGN_IN,
    "AccountDeactivated": Kind.INACTIVE,
    "AccountSuspended": Kind.INACTIVE,
    "AccountTakedown": Kind.INACTIVE,
    "RepoDeactivated": Kind.INACTIVE,
    "RepoSuspended": Kind.INACTIVE,
    "RepoTakendown": Kind.INACTIVE,
    "AccountNotFound": Kind.MOVED,
    "RepoNotFound": Kind.MOVED,
    "RateLimitExceeded": Kind.PACED,
    "use_dpop_nonce": Kind.AMBIGUOUS,
}
RECORD_ERRORS: Final = {
    "InvalidSwap": Kind.READ_BACK,
    "BlobNotFound": Kind.BLOB_MISSING,
}
NOTHING_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
OK: Final = 200
BAD_REQUEST: Final = 400
UNAUTHORIZED: Final = 401
TOO_LARGE: Final = 413
TOO_MANY: Final = 429
SERVER_ERROR: Final = 500
INSUFFICIENT_STORAGE: Final = 507
NAMES_OF_FULL: Final = frozenset(
    {"accountfull", "storagefull", "storagelimitexceeded", "insufficientstorage"}
)
"""In lower case. The protocol names no error for a full account; most names that PDSes give it have `quota` in them."""
RECORD_STATUSES: Final = frozenset({OK, BAD_REQUEST, TOO_LARGE, SERVER_ERROR})
"""A named error with one of these statuses concerns the request; all other failures concern the host."""
UNREADABLE: Final = "unreadable"
REPLY_TOO_LARGE: Final = "reply_too_large"
"""A read whose answer is left unread: it concerns its record or repo, since that of another one may be smaller."""
LOGIN_UNUSABLE: Final = "login_unusable"
NO_TIME: Final = "no_time_left"
SESSION_UNAVAILABLE: Final = "session_unavailable"
SIGN_IN_REQUIRED: Final = "sign_in_required"
NO_CONNECTION: Final = httpx.PoolTimeout.__name__
"""All connections of our client were taken."""
OUR_ERRORS: Final = frozenset({NO_CONNECTION, LOGIN_UNUSABLE, NO_TIME})
"""Errors that kept us from sending and say nothing of the host: no free connection, no time, or no usable login."""
NAMES_OF_NOTHING_SENT: Final = OUR_ERRORS | {SESSION_UNAVAILABLE, *(each.__name__ for each in NOTHING_SENT)}
UNNAMED_PREFIX: Final = "http_"
NOT_OF_PDS: Final = "the host answered, but not as a PDS does"
MAX_NAME_LENGTH, MAX_MESSAGE_LENGTH = 100, 300
KINDS_OF_READS: Final = frozenset({Kind.DONE, Kind.PACED, Kind.NOT_SENT, Kind.INACTIVE})
"""Kinds that a read may have: other errors of a read concern neither login nor record."""
DEFAULT_PAUSE: Final = timedelta(seconds=60)
"""For a rate limit whose end the PDS does not name."""
NO_CONNECTION_PAUSE: Final = timedelta(seconds=1)


@dataclass(frozen=True)
class Verdict:
    """The meaning of one response: `error` is its XRPC name, `budget` its rate limit, `size` its length in bytes."""

    kind: Kind
    error: str | None = None
    status: int | None = None
    message: str = ""
    retry_after: timedelta | None = None
    body: Any = None
    phase: Phase = Phase.WRITE
    budget: Budget | None = None
    size: int = 0

    @property
    def cid(self) -> str | None:
        """The CID of the record that a put made, as the PDS says."""
        return _text_at(self.body, "cid")

    @property
    def rev(self) -> str | None:
        """The revision of the commit; None when the PDS changed nothing."""
        return _text_at(self.body.get("commit"), "rev") if isinstance(self.body, dict) else None

    @property
    def scope(self) -> Scope:
        if self.kind in PARKS:
            return Scope.LANE
        match self.kind:
            case Kind.NOT_SENT:
                return Scope.HOST
            case Kind.PACED:
                if self.phase is Phase.READ or (self.budget is not None and self.budget.is_of_host):
                    return Scope.HOST
                return Scope.BLOBS if self.phase is Phase.UPLOAD else Scope.LANE
            case Kind.AMBIGUOUS:
                is_of_record = self.status in RECORD_STATUSES or (
                    self.status is not None and self.error in LANE_ERRORS
                )
                return Scope.RECORD if is_of_record and not is_unnamed(self.error or "") else Scope.HOST
        return Scope.RECORD

    @property
    def concerns_host(self) -> bool:
        """Whether other records would fare no better now."""
        return self.scope is Scope.HOST

    @property
    def host_is_well(self) -> bool | None:
        """Whether the PDS itself responded, and is not at fault; None when nothing was sent."""
        if self.error in OUR_ERRORS:
            return None
        at_fault = self.status is not None and self.status >= SERVER_ERROR
        if self.kind is Kind.NOT_SENT or (self.kind is Kind.AMBIGUOUS and (self.concerns_host or at_fault)):
            return False
        return True if self.status is not None else None

    @property
    def is_fault_of_record(self) -> bool:
        """Whether the PDS seems to fail on this request alone: a 500 with a name."""
        return self.kind is Kind.AMBIGUOUS and self.status == SERVER_ERROR and not self.concerns_host

    def requested_pause(self, now: datetime) -> timedelta:
        """Return the pause that the PDS asked for; zero if it did not."""
        pause = self.retry_after or timedelta()
        if self.kind is not Kind.PACED:
            return pause
        if self.budget is not None:
            pause = max(pause, self.budget.reset_at(now) - now)
        return pause or DEFAULT_PAUSE

    def lane_limits(self, now: datetime) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.budget is not None and self.phase is Phase.WRITE:
            found = lane_budget(self.budget, now)
        if self.kind is Kind.PACED:
            found["paced_until"] = max(now + self.requested_pause(now), found.get("paced_until", now))
        return found


def verdict_of_reply(reply: httpx.Response, phase: Phase = Phase.WRITE) -> Verdict:
    return verdict_of(reply.status_code, reply.headers, reply.content, phase)


def verdict_of(status: int, headers: Mapping[str, str], content: bytes, phase: Phase) -> Verdict:
    """Judge a response by its parts; where its body was not read, by the others."""
    size, budget = len(content), budget_of(headers)
    try:
        body, problem = parsed(content), UNREADABLE
    except TooComplexError:
        body, problem = None, REPLY_TOO_LARGE if phase is Phase.READ else UNREADABLE
    except ValueError:
        body, problem = None, UNREADABLE
    if status == OK and isinstance(body, dict):
        return Verdict(Kind.DONE, status=OK, body=body, phase=phase, budget=budget, size=size)
    if httpx.codes.is_success(status):
        return Verdict(Kind.AMBIGUOUS, problem, status, phase=phase, budget=budget, size=size)
    text = _text_at(body, "error") or ""
    name = text if not any(map(str.isspace, text)) else ""
    error = clean(name, MAX_NAME_LENGTH) if name else f"{UNNAMED_PREFIX}{status}"
    message = clean(body.get("message", text), MAX_MESSAGE_LENGTH) if isinstance(body, dict) else NOT_OF_PDS
    kind, retry_after = _kind(status, name, phase), retry_after_of(headers)
    return Verdict(kind, error, status, message, retry_after, body, phase, budget, size)


def verdict_of_exception(error: Exception, phase: Phase = Phase.WRITE) -> Verdict:
    """Judge a request that got no response; one that HTTP does not allow is our own fault."""
    if isinstance(error, httpx.LocalProtocolError):
        return replace(verdict_of_fault(error), phase=phase)
    kind = Kind.NOT_SENT if isinstance(error, NOTHING_SENT) else Kind.AMBIGUOUS
    return Verdict(kind, error=type(error).__name__, message=clean(error, MAX_MESSAGE_LENGTH), phase=phase)


def kind_of_failure(phase: Phase, status: int | None, error: str) -> Kind:
    """Return the kind of a failure of which only phase, status and name of the error are known."""
    if status is not None:
        name = "" if is_unnamed(error) else error
        return Kind.AMBIGUOUS if status < BAD_REQUEST else _kind(status, name, phase)
    if error in NAMES_OF_NOTHING_SENT:
        return Kind.NOT_SENT
    if error == SIGN_IN_REQUIRED:
        return Kind.SIGN_IN
    if error in set(Kind):
        return Kind(error)
    if error == httpx.LocalProtocolError.__name__:
        return Kind.BROKEN
    is_of_transport = error == TimeoutError.__name__ or hasattr(httpx, error)
    return Kind.AMBIGUOUS if is_of_transport else Kind.BROKEN


def is_unnamed(error: str) -> bool:
    return error == UNREADABLE or error.startswith(UNNAMED_PREFIX)


def out_of_time(phase: Phase) -> Verdict:
    """Judge a request that was not sent, since no time was left."""
    return Verdict(Kind.NOT_SENT, NO_TIME, message="the lease was nearly over: nothing was sent", phase=phase)


def verdict_of_fault(error: BaseException) -> Verdict:
    """Judge an unexpected exception of our own code."""
    return Verdict(Kind.BROKEN, error=type(error).__name__, message=clean(error, MAX_MESSAGE_LENGTH))


def _kind(status: int, name: str, phase: Phase) -> Kind:
    of_records = RECORD_ERRORS if phase is Phase.WRITE else {}
    known = LANE_ERRORS.get(name) or of_records.get(name)
    if status == TOO_MANY:
        kind = Kind.PACED
    elif known is not None:
        kind = known
    elif status == INSUFFICIENT_STORAGE or "quota" in name.lower() or name.lower() in NAMES_OF_FULL:
        kind = Kind.FULL
    elif status == TOO_LARGE or (status == BAD_REQUEST and name):
        kind = Kind.REJECTED
    else:
        kind = Kind.SIGN_IN if status == UNAUTHORIZED and name else Kind.AMBIGUOUS
    return Kind.AMBIGUOUS if phase is Phase.READ and kind not in KINDS_OF_READS else kind


def _text_at(body: Any, name: str) -> str | None:
    value = body.get(name) if isinstance(body, dict) else None
    return clean(value, MAX_MESSAGE_LENGTH) if isinstance(value, str) else None
