"""What an account that leaves still has on its PDS: the relay removes it, and what was never written by us stays."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, literal, select, update

from outbox.mirror.lanes import GONE
from outbox.mirror.parking import probe_now
from outbox.mirror.tables import NEVER, PAST, delivery_attempt, mirror_lane, mirror_target
from outbox.mirror.targets import AUTH_REQUIRED, DELETE, HELD, PUT, READY, wake_lane
from outbox.pds.verdict import Kind
from outbox.relay.delivery import LATE_CREATE_WINDOW
from outbox.relay.journal import UnsentOutcome
from outbox.relay.observations import CLEAN
from outbox.views.overview import lane_of
from outbox.views.status import IS_ACKED, PENDING, REASON, STATE, TARGETS_AT_WORK

target: Final = mirror_target.c
lane: Final = mirror_lane.c
attempt: Final = delivery_attempt.c

VERIFYING: Final = "verifying"
IS_REMOVED: Final = and_(target.desired_op == DELETE, IS_ACKED)
WAS_WRITTEN: Final = exists().where(
    attempt.did == target.did,
    attempt.collection == target.collection,
    attempt.rkey == target.rkey,
    attempt.op == PUT,
    attempt.outcome.is_distinct_from(UnsentOutcome.ADOPTED),
    attempt.outcome.is_distinct_from(Kind.NOT_SENT.value),
)
"""Whether a record may be of our writing; one that was only taken over is not ours to remove."""


@dataclass(frozen=True)
class PendingRemovals:
    """So many records that are still to go, and what they wait for."""

    state: str
    reason: str | None
    records: int


@dataclass(frozen=True)
class Remains:
    """What is left of an account's records. `untouched` are those where nothing of ours was; `waits_for` stops the lane."""

    removed: int
    untouched: int
    waiting: tuple[PendingRemovals, ...]
    waits_for: str | None
    is_gone: bool

    @property
    def to_remove(self) -> int:
        """Return how many records are still to be deleted."""
        return sum(each.records for each in self.waiting)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be done there: all is removed, or nobody knows the account any more."""
        return not self.waiting or self.is_gone


def remains(connection: Connection, did: str, since: datetime, now: datetime) -> Remains:
    """Count the records of an account that asked to leave at `since`."""
    row = lane_of(connection, did)
    works = row is not None and row.mirror_state == READY
    done = _is_done(now, looks=works)
    state = case((IS_REMOVED, PENDING), else_=STATE)
    reason = case((IS_REMOVED, literal(VERIFYING)), else_=REASON)
    query = select(state.label("at"), reason.label("because"), func.count().label("records"))
    of_account = query.select_from(TARGETS_AT_WORK).where(target.did == did)
    waiting = connection.execute(of_account.where(~done).group_by("at", "because").order_by("at", "because"))
    removed = and_(target.did == did, done, target.acked_at >= since)
    return Remains(
        removed=_count(connection, removed, target.ever_sent),
        untouched=_count(connection, removed, ~target.ever_sent),
        waiting=tuple(PendingRemovals(each.at, each.because, each.records) for each in waiting),
        waits_for=None if row is None or works else str(row.mirror_state),
        is_gone=row is not None and row.state == GONE,
    )


def _is_done(now: datetime, *, looks: bool) -> ColumnElement[bool]:
    """Say whether a record is gone; one that a late write may bring back is looked at first, if anybody can."""
    return and_(IS_REMOVED, target.look_at > now + LATE_CREATE_WINDOW) if looks else IS_REMOVED


def _count(connection: Connection, *conditions: ColumnElement[bool]) -> int:
    return connection.scalar(select(func.count()).select_from(mirror_target).where(*conditions)) or 0


def leave_alone(connection: Connection, did: str, track_ids: Sequence[int]) -> None:
    """Have the relay keep its hands off the records of these deleted tracks that we have never written."""
    unknown: dict[str, Any] = {"ever_sent": False, "observed_cid": None, "observed_body": None}
    not_ours = (target.did == did, target.track_id.in_(track_ids), target.desired_op == DELETE, ~WAS_WRITTEN)
    connection.execute(update(mirror_target).where(*not_ours).values(**CLEAN, **unknown, look_at=NEVER))


def try_again(connection: Connection, did: str, now: datetime) -> None:
    """Make all that is still to go due at once, what was refused or changed by others too.

    An account that is waited for is looked at.
    """
    wake_lane(connection, did, now)
    connection.execute(update(mirror_lane).where(lane.did == did).values(not_before=PAST))
    probe_now(connection, did, now)
    open_ = (target.did == did, ~IS_ACKED, target.state.in_(("rejected", "backoff", HELD)))
    connection.execute(update(mirror_target).where(*open_).values(not_before=PAST, failed_gen=0))


def close_lane(connection: Connection, did: str) -> None:
    """Forget where the account is: nothing is sent or read for it until it signs in anew."""
    nowhere = {"host": "", "state": AUTH_REQUIRED, "probe_at": NEVER, "due_at": NEVER, "backfill_at": NEVER}
    connection.execute(update(mirror_lane).where(lane.did == did).values(nowhere))
