"""Decide between our record and what somebody else made of it."""

from dataclasses import dataclass
from enum import StrEnum

from api.commands.owned import OnTrack, load_owned
from api.refusals import NothingToResolveError
from eventstore.unit import Unit
from outbox.adoption import adoptable, says_the_same
from outbox.conflicts import acknowledge, build_on, conflict_of
from outbox.record import RecordUrls


class Keep(StrEnum):
    """Whose value stays."""

    OURS = "ours"
    THEIRS = "theirs"


@dataclass(frozen=True, kw_only=True)
class Resolve(OnTrack):
    """The owner's decision."""

    keep: Keep


def resolve(unit: Unit, command: Resolve, urls: RecordUrls) -> int:
    """Have our record written over theirs, or take over what they changed and a track can say.

    Of theirs a write follows too, unless the track then says what they wrote: what only changed here stays.
    """
    track = load_owned(unit, command)
    conflict = conflict_of(unit.connection, track.track_id)
    if conflict is None:
        raise NothingToResolveError
    if command.keep is Keep.THEIRS:
        track.adopt_foreign_edit(conflict.cid, adoptable(conflict), at=unit.now)
    is_written = command.keep is Keep.THEIRS and says_the_same(track, conflict, urls)
    if not is_written:
        track.restore_record(at=unit.now)
    unit.save(track)
    if is_written:
        acknowledge(unit.connection, conflict, unit.now)
    else:
        build_on(unit.connection, conflict)
    return track.track_id
