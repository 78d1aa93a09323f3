"""Resolves a foreign edit: the owner keeps our record, or adopts the other client's fields."""

from dataclasses import dataclass
from enum import StrEnum

from application.authorization import OnTrack, load_owned
from application.errors import NothingToResolveError
from eventstore.unit_of_work import UnitOfWork
from outbox.conflicts.conflicts import conflict_of
from outbox.conflicts.foreign_edits import keep_ours, keep_theirs
from outbox.record.record import RecordUrls


class Resolution(StrEnum):
    """The side whose fields stay."""

    OURS = "ours"
    THEIRS = "theirs"


@dataclass(frozen=True, kw_only=True)
class Resolve(OnTrack):
    """The owner's decision."""

    keep: Resolution


def resolve(unit: UnitOfWork, command: Resolve, urls: RecordUrls) -> int:
    """Overwrite their record with ours, or adopt those of their fields that a track has; raises NothingToResolveError."""
    track = load_owned(unit, command)
    conflict = conflict_of(unit.connection, track.track_id)
    if conflict is None:
        raise NothingToResolveError
    if command.keep is Resolution.OURS:
        keep_ours(unit, track, conflict)
    else:
        keep_theirs(unit, track, conflict, urls)
    return track.track_id
