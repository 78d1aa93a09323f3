"""Take a track down, and lift that: an operator's decision over what the service serves, not over what its owner keeps."""

from dataclasses import dataclass
from typing import Final

from aggregates.track import Track
from application.authorization import OnTrack
from eventstore.unit_of_work import UnitOfWork
from outbox.operations.operators import Operator, record_operation

TAKEDOWN: Final = "takedown"
LIFT: Final = "lift_takedown"


@dataclass(frozen=True, kw_only=True)
class Takedown(OnTrack):
    """Which track, why, and whether it ends."""

    reason: str
    lift: bool = False


def take_down(unit: UnitOfWork, command: Takedown) -> bool:
    """Hide the track, or show it again; whether that changed anything."""
    track = unit.load(Track, Track.create_id(command.track_id))
    decide = track.lift_takedown if command.lift else track.take_down
    decide(command.reason, at=unit.now)
    return bool(unit.save(track))


def note_takedown(
    unit: UnitOfWork, command: Takedown, operator: Operator, *, owner: str, changed: bool
) -> None:
    """Have the operator's own stream say it too; the owner's has the event of the track."""
    which = {"did": owner, "track_id": command.track_id}
    record_operation(unit, LIFT if command.lift else TAKEDOWN, which, operator, affected=int(changed))
