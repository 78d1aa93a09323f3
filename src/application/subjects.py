"""Finds what a request is about, a track or another subject: as it is or was, for its owner or a reader."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Generic, TypeVar

import sqlalchemy as sa

from aggregates.accounts.profile import Profile
from aggregates.errors import InvalidFieldError
from aggregates.lists.track_list import TrackList
from aggregates.published import Owned, Published, Subject
from aggregates.reactions.comment import Comment
from aggregates.reactions.like import Like
from aggregates.releases.release import Release
from aggregates.tracks.track import Track
from aggregates.values import tid_of
from application.errors import (
    ApplicationError,
    CommentNotFoundError,
    LeavingError,
    LikeNotFoundError,
    ListNotFoundError,
    NotOwnerError,
    ProfileNotFoundError,
    ReleaseNotFoundError,
    TrackNotFoundError,
    VersionMismatchError,
    VersionNotFoundError,
)
from eventstore.change import of_class
from eventstore.errors import AggregateNotFoundError
from eventstore.event_log import MAX_VERSION, EventLog
from eventstore.sql.schema import stored_event
from eventstore.streams.buckets import bucket_of
from eventstore.streams.ids import found_by_id
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.accounts import ACTIVE
from identity.accounts.credentials import Principal
from outbox.mirror.namespace_moves import is_taken
from outbox.pds.client import RecordKey
from projections.history import changes_between

S = TypeVar("S", bound=Owned)
A = TypeVar("A", bound=Published)
"""For what is about subjects with a record alone."""

SUBJECTS_IN_A_UNIT: Final = 25
"""The account's other commands, and the relay's settlements, wait for such a unit."""
NOT_FOUND: Final[dict[str, type[ApplicationError]]] = {
    Track.TOPIC: TrackNotFoundError,
    Like.TOPIC: LikeNotFoundError,
    Comment.TOPIC: CommentNotFoundError,
    Profile.TOPIC: ProfileNotFoundError,
    TrackList.TOPIC: ListNotFoundError,
    Release.TOPIC: ReleaseNotFoundError,
}


@dataclass(frozen=True)
class On(Generic[S]):
    """Which subject, and the versions of it that the caller decided on; None where any will do."""

    aggregate: type[S]
    id: int
    versions: frozenset[int] | None = None

    @property
    def kind(self) -> str:
        return self.aggregate.TOPIC

    @property
    def word(self) -> str:
        """What people call it."""
        return self.kind

    @property
    def subject(self) -> Subject:
        return Subject(self.kind, self.id)

    def names(self, state: S) -> bool:  # noqa: ARG002
        """Whether a subject with this id is what the request is about."""
        return True

    def refused(self, found: S | None) -> ApplicationError:
        """Return why an account gets nothing of what was found: it may not know of another's that is deleted or taken down."""
        is_shown = found is not None and found.is_public
        return NotOwnerError(kind=self.word) if is_shown else NOT_FOUND[self.kind]()

    def accepts(self, state: object, did: str) -> bool:
        """Whether this is a state that a command of the account's would be accepted in."""
        return (
            isinstance(state, self.aggregate)
            and state.did == did
            and state.deleted_at is None
            and self.names(state)
            and self.is_of(state)
        )

    def is_of(self, state: Owned) -> bool:
        """Whether the command was decided on this state."""
        return self.versions is None or state.visible_version in self.versions

    def require_version(self, state: S) -> None:
        """Raise VersionMismatchError if the command was decided on another version."""
        if not self.is_of(state):
            raise VersionMismatchError(state.visible_version, kind=self.word)


class ChangeOn(On[S]):
    """A change of a subject, as its owner or an operator decided it."""

    @abstractmethod
    def make(self, subject: S, at: datetime) -> None:
        """Have the subject changed; what is so already makes no event."""


def find(log: EventLog, connection: sa.Connection, on: On[S]) -> S | None:
    """Return the subject as it is, whichever account has it, a deleted one too."""

    def read(bucket: int) -> list[S]:
        latest = log.latest(bucket, on.subject.stream_id, lambda query: query.start(connection).all())
        found = None if latest is None else of_class(on.aggregate, latest.state)
        return [found] if found is not None and on.names(found) else []

    return next(iter(found_by_id(connection, on.id, read)), None)


def require_owned(
    log: EventLog, connection: sa.Connection, did: str, on: On[S], *, deleted_too: bool = False
) -> S:
    """Return the account's subject; raises that there is none before NotOwnerError, also for another's deleted or taken-down one."""
    found = find(log, connection, on)
    if found is not None and found.did == did and (deleted_too or found.deleted_at is None):
        return found
    raise on.refused(found)


def load_owned(unit: UnitOfWork, on: On[S], *, deleted_too: bool = False) -> S:
    """Load the subject for a command of its owner; raises as `require_owned`, and VersionMismatchError."""
    try:
        found = unit.load(on.aggregate, on.subject.stream_id)
    except AggregateNotFoundError as error:
        raise on.refused(find(unit.log, unit.connection, on)) from error
    if not on.names(found):
        raise on.refused(None)
    if found.deleted_at is not None and not deleted_too:
        raise on.refused(found)
    on.require_version(found)
    return found


def change_owned(unit: UnitOfWork, on: On[S], change: Callable[[S], None], *, deleted_too: bool = False) -> S:
    """Change and save the subject for a command of its owner; raises as `load_owned`."""
    found = load_owned(unit, on, deleted_too=deleted_too)
    change(found)
    unit.save(found)
    return found


def delete_owned(unit: UnitOfWork, on: On[S]) -> S:
    """Hide the subject; the relay removes its record, and bytes stay for the grace period."""
    return change_owned(unit, on, lambda found: found.delete(at=unit.now))


def require_reader(log: EventLog, connection: sa.Connection, principal: Principal, on: On[S]) -> S:
    """Return the subject, even a deleted one, for its owner or an operator; raises as `require_owned` for others."""
    found = find(log, connection, on)
    if found is not None and (found.did == principal.did or principal.operator):
        return found
    raise on.refused(found)


def require_staying(unit: UnitOfWork) -> None:
    """Raise LeavingError if the account's deletion was requested, even since the caller was authenticated."""
    if not unit.finds(ACTIVE.query(did=unit.account), expected=True):
        raise LeavingError


ONE_MICROSECOND: Final = timedelta(microseconds=1)


def new_record(
    unit: UnitOfWork,
    collection: str,
    is_promised: Callable[[RecordKey], bool] = lambda _key: False,
) -> dict[str, str]:
    """Return where a new record of the account is, and its time: the first from now on whose TID is no key of a record.

    `is_promised` tells of the keys of what may have a record later.
    """
    did, at = unit.account, unit.next_record_at.get(collection, unit.now)
    while is_taken(unit.connection, key := RecordKey(did, collection, tid_of(at))) or is_promised(key):
        at += ONE_MICROSECOND
    unit.next_record_at[collection] = at + ONE_MICROSECOND
    return {"did": did, "collection": collection, "rkey": tid_of(at), "created_at": utc_text(at)}


def utc_text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def past_of(log: EventLog, connection: sa.Connection, did: str, on: On[S], when: int | datetime) -> S:
    """Return the account's subject after the event of this version, or as it was at a time; raises VersionNotFoundError."""
    event, stream = stored_event.c, on.subject.stream_id
    version: int | None = when if isinstance(when, int) else None
    if isinstance(when, datetime):
        until = (
            event.bucket == bucket_of(did),
            event.originator_id == str(stream),
            event.recorded_at <= when,
        )
        version = connection.scalar(sa.select(sa.func.max(event.originator_version)).where(*until))
    version = version or 0
    found = log.state_at(connection, did, stream, version) if 0 < version <= MAX_VERSION else None
    if found is None or found.state.version != version:
        raise VersionNotFoundError(kind=on.word)
    return of_class(on.aggregate, found.state)


def require_revertible(
    names: Iterable[str], fields: Collection[str], kept_because: Mapping[str, str]
) -> None:
    """Raise InvalidFieldError for the first of these that is not one of the fields that can be reverted, and say why."""
    for name in names:
        if name in kept_because:
            raise InvalidFieldError("fields", f"{name} cannot be reverted: {kept_because[name]}")
        if name not in fields:
            raise InvalidFieldError("fields", f"must be some of: {', '.join(fields)}")


def changes_between_versions(
    log: EventLog, connection: sa.Connection, did: str, on: On[S], versions: tuple[int, int]
) -> list[dict[str, Any]]:
    """List the fields that differ between two versions; version 0 is before the subject was there."""
    before, after = (
        past_of(log, connection, did, on, version) if version != 0 else None for version in versions
    )
    return changes_between(before, after)
