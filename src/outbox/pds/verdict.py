"""What a PDS's answer means: one function from answer and phase to a value with a kind, which says what to do, and a scope.

Errors are told by their name, never by status or text: an expired token is a 400, an absent record is a 400.
A name that we do not know condemns a record only as a 400, where a PDS refuses what it was sent. An answer that names
no error as XRPC does, in one word, is not the PDS's own but of something before it, and never condemns a record.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Any, Final

import httpx

from outbox.pds.pacing import Budget, RetryAfter, budget_of, lane_budget, retry_after_of


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


class Phase(Enum):
    """What was asked, on which it depends what an answer means."""

    WRITE = "putRecord or deleteRecord, in the account's name"
    UPLOAD = "uploadBlob, in the account's name"
    READ = "a question that shows no login and changes nothing"


class Scope(Enum):
    """What is to wait, or to be put right."""

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
OF_A_RECORD: Final = frozenset({OK, BAD_REQUEST, TOO_LARGE, SERVER_ERROR})
"""The answers that, with a name, speak of what was asked; all others, and none at all, speak of the host."""
UNREADABLE: Final = "unreadable"
LOGIN_UNUSABLE: Final = "login_unusable"
NO_TIME: Final = "no_time_left"
OURS: Final = frozenset({httpx.PoolTimeout.__name__, LOGIN_UNUSABLE, NO_TIME})
"""What kept us from sending, and has nothing to do with the host: no connection, no time, or no login that opens, or in time."""
UNNAMED: Final = "http_"
NAME_LENGTH, MESSAGE_LENGTH = 100, 300
SAID_BY_A_READ: Final = frozenset({Kind.DONE, Kind.PACED, Kind.NOT_SENT, Kind.INACTIVE})
"""What else a read meets condemns neither login nor record."""
DEFAULT_PAUSE: Final = timedelta(seconds=60)
"""For who is over a limit that does not say when it ends."""


@dataclass(frozen=True)
class Verdict:
    """The meaning of one answer. `error` is the PDS's name for it, `budget` what it told of its limits.

    `size` is that of what was read, in bytes.
    """

    kind: Kind
    error: str | None = None
    status: int | None = None
    message: str = ""
    retry_after: RetryAfter | None = None
    body: Any = None
    phase: Phase = Phase.WRITE
    budget: Budget | None = None
    size: int = 0

    @property
    def cid(self) -> str | None:
        """The CID that the PDS says a put made."""
        return _text_at(self.body, "cid")

    @property
    def rev(self) -> str | None:
        """The revision of the commit; none when nothing had to be changed."""
        return _text_at(self.body.get("commit"), "rev") if isinstance(self.body, dict) else None

    @property
    def scope(self) -> Scope:
        """Say what it concerns."""
        match self.kind:
            case Kind.NOT_SENT:
                return Scope.HOST
            case Kind.SIGN_IN | Kind.INACTIVE | Kind.MOVED:
                return Scope.LANE
            case Kind.PACED:
                return self._scope_of_limit()
            case Kind.AMBIGUOUS if self._is_unnamed or not self._is_of_record:
                return Scope.HOST
        return Scope.RECORD

    def _scope_of_limit(self) -> Scope:
        if self.phase is Phase.READ or (self.budget is not None and self.budget.is_of_host):
            return Scope.HOST
        return Scope.BLOBS if self.phase is Phase.UPLOAD else Scope.LANE

    @property
    def _is_unnamed(self) -> bool:
        return self.error is not None and (self.error == UNREADABLE or self.error.startswith(UNNAMED))

    @property
    def _is_of_record(self) -> bool:
        return self.status in OF_A_RECORD or (self.status is not None and self.error in LANE_ERRORS)

    @property
    def concerns_host(self) -> bool:
        """Whether other records would fare no better now."""
        return self.scope is Scope.HOST

    @property
    def host_is_well(self) -> bool | None:
        """Whether the PDS itself has answered, and is not at fault; None when it was not asked."""
        if self.error in OURS:
            return None
        at_fault = self.status is not None and self.status >= SERVER_ERROR
        if self.kind is Kind.NOT_SENT or (self.kind is Kind.AMBIGUOUS and (self.concerns_host or at_fault)):
            return False
        return True if self.status is not None else None

    @property
    def is_fault_of_record(self) -> bool:
        """Whether the PDS breaks down over this request, for all that is known: a 500 with a name."""
        return self.kind is Kind.AMBIGUOUS and self.status == SERVER_ERROR and not self.concerns_host

    def requested_pause(self, now: datetime) -> timedelta:
        """Give for how long the PDS asked to be left alone, if it did."""
        pause = self.retry_after.pause(now) if self.retry_after is not None else timedelta()
        if self.kind is not Kind.PACED:
            return pause
        if self.budget is not None:
            pause = max(pause, self.budget.reset_at(now) - now)
        return pause or DEFAULT_PAUSE

    def lane_limits(self, now: datetime) -> dict[str, Any]:
        """Give the columns of the account's lane that say what its PDS told of its limits."""
        found: dict[str, Any] = {}
        if self.budget is not None and self.phase is Phase.WRITE:
            found = lane_budget(self.budget, now)
        if self.kind is Kind.PACED:
            found["paced_until"] = max(now + self.requested_pause(now), found.get("paced_until", now))
        return found


def verdict_of_reply(reply: httpx.Response, phase: Phase = Phase.WRITE) -> Verdict:
    """Judge an answer that came."""
    status, body, budget = reply.status_code, _json(reply), budget_of(reply.headers)
    if status == OK and isinstance(body, dict):
        return Verdict(Kind.DONE, status=OK, body=body, phase=phase, budget=budget)
    if reply.is_success:
        return Verdict(Kind.AMBIGUOUS, UNREADABLE, status, phase=phase, budget=budget)
    said = _text_at(body, "error") or ""
    name = said if not any(map(str.isspace, said)) else ""
    error = clean(name, NAME_LENGTH) if name else f"{UNNAMED}{status}"
    message = clean(body.get("message", said), MESSAGE_LENGTH) if isinstance(body, dict) else ""
    retry_after = retry_after_of(reply.headers)
    return Verdict(_kind(status, name, phase), error, status, message, retry_after, body, phase, budget)


def verdict_of_exception(error: Exception, phase: Phase = Phase.WRITE) -> Verdict:
    """Judge an answer that did not come; what HTTP does not let us say is our own fault."""
    if isinstance(error, httpx.LocalProtocolError):
        return replace(verdict_of_fault(error), phase=phase)
    kind = Kind.NOT_SENT if isinstance(error, NOTHING_SENT) else Kind.AMBIGUOUS
    return Verdict(kind, error=type(error).__name__, message=clean(error, MESSAGE_LENGTH), phase=phase)


def out_of_time(phase: Phase) -> Verdict:
    """Judge a request that was not begun, because we came to it too late."""
    return Verdict(Kind.NOT_SENT, NO_TIME, message="the lease was nearly over: nothing was sent", phase=phase)


def verdict_of_fault(error: Exception) -> Verdict:
    """Judge an exception that nobody foresaw."""
    return Verdict(Kind.BROKEN, error=type(error).__name__, message=clean(error, MESSAGE_LENGTH))


def clean(text: object, length: int) -> str:
    """Return text that every database takes: what others send may hold NUL or half a character."""
    return str(text)[:length].encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _kind(status: int, name: str, phase: Phase) -> Kind:
    kind = _kind_of_write(status, name, phase)
    if phase is Phase.READ and kind not in SAID_BY_A_READ:
        return Kind.AMBIGUOUS
    return kind


def _kind_of_write(status: int, name: str, phase: Phase) -> Kind:
    of_records = RECORD_ERRORS if phase is Phase.WRITE else {}
    known = LANE_ERRORS.get(name) or of_records.get(name)
    if status == TOO_MANY:
        return Kind.PACED
    if known is not None:
        return known
    if status == TOO_LARGE or (status == BAD_REQUEST and name):
        return Kind.REJECTED
    return Kind.SIGN_IN if status == UNAUTHORIZED and name else Kind.AMBIGUOUS


def _text_at(body: Any, name: str) -> str | None:
    value = body.get(name) if isinstance(body, dict) else None
    return clean(value, MESSAGE_LENGTH) if isinstance(value, str) else None


def _json(reply: httpx.Response) -> Any:
    try:
        return reply.json()
    except (ValueError, RecursionError):
        return None
