"""What is known of a kind of job: its handler, its limits, and when it is tried again."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, Final

import sqlalchemy as sa

from eventstore.change import Envelope, Via
from eventstore.sql.database import Database
from eventstore.streams.buckets import Part

PERIODIC: Final = "periodic"
"""The kind of periodic jobs; a subject is a job's name."""
BY_ITSELF: Final = Envelope("", Via.JOB, "")
"""Of what no person has requested."""


class Outcome(Enum):
    """How an attempt ended that did not fail."""

    DONE = auto()
    AGAIN = auto()
    """Its turn is used up: other accounts go first."""
    LATER = auto()
    """It is due again `again_after` from when this attempt began."""


@dataclass(frozen=True)
class Failure:
    """What an error of a handler means; `problem` is shown."""

    problem: str
    final: bool = False
    """Whether another attempt cannot help."""
    counted: bool = True
    """False where the fault is not the job's: such an attempt is never the last one."""


@dataclass(frozen=True)
class Wanted:
    """A job, in the bucket of its account; that is its subject if none is named."""

    kind: str
    subject: str
    account: str = ""
    host: str = ""
    envelope: Envelope = BY_ITSELF


@dataclass(eq=False)
class Job:
    """A claimed job; each claim raises the epoch. `attempts` counts this one too, `problem` is that of the attempt before."""

    id: int
    kind: str
    subject: str
    account: str
    host: str
    attempts: int
    epoch: int
    problem: str | None
    envelope: Envelope
    progress: dict[str, Any] | None
    """What earlier turns have stored; another value is stored as the lease is extended, and at the end."""
    began_at: datetime
    due: datetime
    """As the claim has set it: another time in the row is that of a request to hurry since."""
    again_after: timedelta = timedelta()

    @property
    def log_fields(self) -> dict[str, object]:
        return {"job": self.kind, "subject": self.subject, "did": self.account}


@dataclass(frozen=True)
class Kind:
    """One kind of job; those are equal whose jobs are found and selected alike.

    Limits to hosts and of `max_concurrent` are those of a process, the limit to an account is one of all.
    """

    name: str
    work: Callable[[Job], Awaitable[Outcome]] = field(compare=False)
    max_concurrent: int
    first_pause_seconds: float
    max_pause_seconds: float
    judge: Callable[[Exception], Failure | None] = field(default=lambda _error: None, compare=False)
    """Says what an error means; None for one that is not expected."""
    max_attempts: int | None = None
    max_per_account: int | None = 1
    max_per_host: int | None = None
    keeps_done: bool = False
    """Whether a finished job stays, as done."""
    condition: Callable[[sa.FromClause, Part], sa.ColumnElement[bool]] | None = None
    """Whether a row of `job`, under the alias that is given, may be claimed now."""
    rank: Callable[[sa.ColumnElement[str]], sa.ColumnElement[int]] | None = None
    """Of an account: the lower ones go first, before it counts when each was served."""
    ends_when_cancelled: bool = True
    """False for work in a thread, which goes on when its task is cancelled: its lease is left to expire."""
    drains: bool = False
    """Whether a worker that stops gives it STOP_TIMEOUT_SECONDS to end: it is expensive to begin again."""
    find: Callable[[Part], sa.Select[Any]] | None = None
    """Selects the `subject`, `account` and `host` of what is due in the part by `:now` and has no job: each look for due jobs requests it."""
    on_found: Callable[[sa.Connection, list[Wanted], datetime], list[Wanted]] = field(
        default=lambda _connection, found, _now: found, compare=False
    )
    """Says which of the jobs that were found to request, in their transaction: it keeps the same from being found by each look."""
    new_first: bool = False
    """Whether accounts of which something is found go before the others that were served before."""
    find_everywhere: Callable[[Database], object] | None = field(default=None, compare=False)
    """Requests what is due in all parts, after a wake: a process without work asks about one part at a time. A periodic job makes up for a lost wake."""
    leaves_work: bool = True
    """Whether other work may be due as one ends; False where it wakes for that itself."""
    on_failed: Callable[[sa.Connection, Job, str, datetime], None] = field(
        default=lambda *_: None, compare=False
    )
    """Called in the transaction in which the job fails for good, with the problem."""
