"""What is recorded of a run: each request with its answer, and each look at a record on the PDS."""

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    EDIT = "edit"
    DELETE = "delete"
    UNDELETE = "undelete"
    READ = "read"
    HISTORY = "history"


WRITES = frozenset({Kind.EDIT, Kind.DELETE, Kind.UNDELETE})


@dataclass(frozen=True)
class Entry:
    """One event, as the history shows it."""

    version: int
    position: int
    request: str
    type: str
    title: str | None = None
    """The new one; None where the title stays."""


@dataclass(frozen=True)
class Call:
    """One request, repeated under its key until it was answered. Times are of one monotonic clock."""

    request: str
    """Its X-Request-Id, by which the history names it."""
    kind: Kind
    track: int
    sent_at: float
    over_at: float
    status: int | None = None
    """None: no answer came, so that it may have been done or not."""
    version: int | None = None
    """That of the answer."""
    title: str | None = None
    """What an edit asks for, and what a read shows; None of a deleted track."""
    if_match: int | None = None
    entries: tuple[Entry, ...] = ()
    """Of a history, oldest first."""

    @property
    def is_acknowledged(self) -> bool:
        return self.status is not None and self.status < 300

    @property
    def is_refused(self) -> bool:
        return self.status is not None and 400 <= self.status < 500


@dataclass(frozen=True)
class Look:
    """A record at the PDS, read from the PDS itself."""

    track: int
    at: float
    title: str | None
    """None: there is no record."""


@dataclass
class Recording:
    calls: list[Call] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    end: list[Look] = field(default_factory=list)
    """Each record once the service says that all is delivered."""
