"""Take a track down, or lift that: an operator's decision about what the service serves, not about what its owner keeps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aggregates.track import Track
from application.authorization import OnTrack
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork
from outbox.operations.operators import Operator, record_operation
from storage.media import lock_live

TAKEDOWN: Final = "takedown"
LIFT: Final = "lift_takedown"


@dataclass(frozen=True, kw_only=True)
class Takedown(OnTrack):
    """The track, its owner, the reason, and whether the takedown ends, or refuses the bytes of the track to all accounts."""

    owner: str
    reason: str
    lift: bool = False
    with_bytes: bool = False


def decide_takedown(
    log: EventLog,
    command: Takedown,
    operator: Operator,
    *,
    also: Callable[[UnitOfWork], None] = lambda _unit: None,
) -> bool:
    """Hide the track, or show it again; return whether that changed anything. `also` runs in the track's unit.

    The track's event in its owner's stream says who and why. The operator's own stream follows in a second unit, which a
    crash may leave out.
    """

    def take_down(unit: UnitOfWork) -> bool:
        track = unit.load(Track, Track.create_id(command.track_id))
        if command.lift:
            track.lift_takedown(command.reason, at=unit.now)
        else:
            track.take_down(command.reason, at=unit.now, with_bytes=command.with_bytes)
            lock_live(unit.connection, track.taken_down_cids)
        changed = bool(unit.save(track))
        also(unit)
        return changed

    changed = log.transact(command.owner, operator.envelope, take_down)

    def record(unit: UnitOfWork) -> None:
        which = {"did": command.owner, "track_id": command.track_id}
        record_operation(unit, LIFT if command.lift else TAKEDOWN, which, operator, affected=int(changed))

    log.transact(operator.envelope.actor, operator.envelope, record)
    return changed
