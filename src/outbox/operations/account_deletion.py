"""Removes the records of a deleted account from its PDS; records that this service never wrote stay there."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from aggregates.published import Subject
from outbox.mirror.lanes import change_lane
from outbox.mirror.parking import PARKED, request_probe
from outbox.mirror.states import LaneState, MirrorReason, MirrorState, TargetState, UnsentOutcome
from outbox.mirror.tables import (
    CONFIRMED,
    IF_OURS,
    IS_ATTEMPT_OF_TARGET,
    NEVER,
    NO_FAILURES,
    PAST,
    attempt,
    delivery_attempt,
    mirror_target,
    target,
)
from outbox.mirror.targets import DELETE, PUT, change_rows, wake_lane
from outbox.pds.verdict import Kind
from outbox.relay.delivery import LATE_CREATE_WINDOW
from outbox.relay.result import CLEAN
from outbox.views.overview import AT_WORK, lane_of
from outbox.views.status import IS_ACKED, REASON, STATE, TARGETS_AT_WORK

IS_REMOVED: Final = sa.and_(target.desired_op == DELETE, IS_ACKED)
_found: Final = delivery_attempt.alias("found")
_IS_ADOPTED_CID: Final = sa.exists().where(
    *(_found.c[name] == attempt[name] for name in ("did", "collection", "rkey", "request_cid")),
    _found.c.outcome == UnsentOutcome.ADOPTED,
)
_IS_PUT: Final = sa.and_(
    IS_ATTEMPT_OF_TARGET,
    attempt.op == PUT,
    sa.or_(attempt.swap_cid.is_(None), attempt.request_cid.is_distinct_from(attempt.swap_cid)),
)
"""An attempt to change the record: not one that asks whether it is there."""
WAS_WRITTEN: Final = sa.exists().where(
    _IS_PUT,
    attempt.outcome == Kind.DONE.value,
    # one without a commit has found the record as it was adopted
    sa.or_(attempt.rev.is_not(None), ~_IS_ADOPTED_CID),
)
"""Whether the PDS has acknowledged a write of this service."""
MAY_BE_WRITTEN: Final = sa.exists().where(
    _IS_PUT, sa.or_(attempt.outcome.is_(None), attempt.outcome == Kind.AMBIGUOUS.value)
)
"""Whether it never answered one."""
WAS_ADOPTED: Final = sa.exists().where(IS_ATTEMPT_OF_TARGET, attempt.outcome == UnsentOutcome.ADOPTED)
_IS_LEFT: Final = sa.case(
    (target.desired_op == PUT, target.observed_cid.is_not(None) & ~target.detached),
    else_=~target.ever_sent | ((target.removal == IF_OURS) & ~IS_ACKED),
)
STAYS: Final = sa.and_(WAS_ADOPTED, ~WAS_WRITTEN, target.removal.is_distinct_from(CONFIRMED), _IS_LEFT)
"""Whether the record, which another client made, stays on the PDS unless its owner confirms that it goes too."""


@dataclass(frozen=True)
class PendingRemovals:
    """A number of records that are still to be removed, and why: they are pending, parked, held or rejected."""

    state: str
    reason: str | None
    records: int


@dataclass(frozen=True)
class Remains:
    """What is left of an account's records.

    `untouched` counts those that were never written by us; `waits_for` is why the lane is not ready.
    """

    removed: int
    untouched: int
    waiting: tuple[PendingRemovals, ...]
    waits_for: str | None
    is_gone: bool

    @property
    def to_remove(self) -> int:
        return sum(each.records for each in self.waiting)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do: all is removed, or no directory knows the account any more."""
        return not self.waiting or self.is_gone


def remains(connection: sa.Connection, did: str, since: datetime, now: datetime) -> Remains:
    """Count the records of an account whose deletion was requested at `since`."""
    row = lane_of(connection, did)
    works = row is not None and row.mirror_state in AT_WORK
    # if the lane works, a record that a late create may bring back is verified first
    done = sa.and_(IS_REMOVED, target.look_at > now + LATE_CREATE_WINDOW) if works else IS_REMOVED
    state = sa.case((IS_REMOVED, MirrorState.PENDING.value), else_=STATE)
    reason = sa.case((IS_REMOVED, sa.literal(MirrorReason.VERIFYING.value)), else_=REASON)
    query = sa.select(state.label("at"), reason.label("because"), sa.func.count().label("records"))
    of_account = query.select_from(TARGETS_AT_WORK).where(target.did == did)
    waiting = connection.execute(of_account.where(~done).group_by("at", "because").order_by("at", "because"))
    written, others = (
        sa.func.count(sa.case((target.ever_sent, 1))),
        sa.func.count(sa.case((~target.ever_sent, 1))),
    )
    those = sa.select(written, others).where(target.did == did, done, target.acked_at >= since)
    removed, untouched = connection.execute(those).one()
    return Remains(
        removed=removed,
        untouched=untouched,
        waiting=tuple(PendingRemovals(each.at, each.because, each.records) for each in waiting),
        waits_for=None if row is None or row.mirror_state == LaneState.READY else str(row.mirror_state),
        is_gone=row is not None and row.state == LaneState.GONE,
    )


def live_subjects(connection: sa.Connection, did: str, *, at_most: int) -> list[Subject]:
    """Return some of an account's subjects, of any kind, that are not deleted."""
    live = sa.select(target.kind, target.subject_id).where(target.did == did, target.desired_op == PUT)
    rows = connection.execute(live.order_by(target.collection, target.rkey).limit(at_most))
    return [Subject(*row) for row in rows]


def exclude_unwritten(connection: sa.Connection, did: str, subjects: Sequence[Subject]) -> None:
    """Exclude the records of these deleted subjects that this service never wrote: the relay leaves them as they are.

    It leaves those too whose only writes were never answered, unless it reads there what was written.
    """
    unknown: dict[str, Any] = {"ever_sent": False, "observed_cid": None, "observed_body": None}
    not_ours = (target.desired_op == DELETE, ~WAS_WRITTEN, target.removal.is_distinct_from(CONFIRMED))
    change_rows(connection, mirror_target, did, subjects, *not_ours, MAY_BE_WRITTEN, removal=IF_OURS)
    never = (*not_ours, ~MAY_BE_WRITTEN)
    change_rows(connection, mirror_target, did, subjects, *never, **CLEAN, **unknown, look_at=NEVER)


def adopted_alone(connection: sa.Connection, did: str) -> int:
    """Count the records of the account that stay since other clients made them."""
    return connection.scalar(sa.select(sa.func.count()).where(target.did == did, STAYS)) or 0


def confirm_adopted(connection: sa.Connection, did: str) -> None:
    """Have the records go too that other clients made; under the lane's lock."""
    these = sa.update(mirror_target).where(target.did == did, STAYS)
    confirmed = {"removal": CONFIRMED, "ever_sent": True}
    # what was left already is deleted after all
    left = {**confirmed, "acked_gen": 0, "not_before": PAST, "failed_gen": 0}
    connection.execute(these.where(target.desired_op == DELETE).values(left))
    connection.execute(these.values(confirmed))


def retry_removals(connection: sa.Connection, did: str, now: datetime) -> None:
    """Make all remaining deletes due at once, also rejected and held ones; a parked account is probed first."""
    wake_lane(connection, did, now)
    change_lane(connection, did, not_before=PAST)
    request_probe(connection, did, now, PARKED)
    open_ = (
        target.did == did,
        ~IS_ACKED,
        target.state.in_((TargetState.REJECTED, TargetState.BACKOFF, TargetState.HELD)),
    )
    connection.execute(sa.update(mirror_target).where(*open_).values(not_before=PAST, failed_gen=0))


def close_lane(connection: sa.Connection, did: str) -> None:
    """Forget the account's host: nothing is sent or read for it until it signs in again."""
    decided = (target.did == did, target.removal.is_not(None))
    connection.execute(sa.update(mirror_target).where(*decided).values(removal=None))
    never = dict.fromkeys(("probe_at", "due_at", "backfill_at"), NEVER)
    change_lane(connection, did, host="", state=LaneState.AUTH_REQUIRED, **never, **NO_FAILURES)
