"""Where each record stands, and how each event of it reached the PDS or did not: derived, never stored."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select

from outbox.journal import CANCELLED
from outbox.lanes import later
from outbox.pds import RecordKey
from outbox.tables import blob_job, delivery_attempt, mirror_lane, mirror_target
from outbox.targets import DELETE, HELD, READY
from outbox.verdict import Kind

target = mirror_target.c
lane = mirror_lane.c

DELIVERED: Final = "delivered"
PENDING: Final = "pending"
PARKED: Final = "parked"
DETACHED: Final = "detached"
REJECTED: Final = "rejected"
DATED: Final = frozenset({"backoff", "paced", "verifying"})
"""Reasons to wait that end at a known time."""


@dataclass(frozen=True)
class Mirror:
    """How far the record of a track is from its log (design: mirror.state)."""

    track_id: int
    state: str
    reason: str | None
    generation: int
    acked_generation: int
    next_attempt_at: datetime | None
    desired_op: str
    record_uri: str
    record_cid: str | None
    last_error: str | None
    attempts: int
    blob_error: str | None

    @property
    def waits_for_somebody(self) -> bool:
        """Whether no time alone will bring it further."""
        return self.state in {HELD, DETACHED, REJECTED, PARKED}


@dataclass(frozen=True)
class Delivery:
    """How an event reached the PDS: status, and for a delivered one when, in which commit and as which CID."""

    status: str
    at: datetime | None = None
    rev: str | None = None
    cid: str | None = None
    by_generation: int | None = None


MIRRORS: Final = (
    select(
        mirror_target,
        lane.state.label("lane_state"),
        lane.paused.label("lane_paused"),
        later(lane.not_before, lane.paced_until).label("lane_not_before"),
        lane.due_at.label("lane_due_at"),
        lane.lease_until.label("lane_lease_until"),
        lane.lease_owner.label("lane_owner"),
        blob_job.c.last_error.label("blob_error"),
        (blob_job.c.requested | blob_job.c.again).label("blob_wanted"),
    )
    .join(mirror_lane, lane.did == target.did)
    .outerjoin(blob_job, blob_job.c.track_id == target.track_id)
    .where(target.track_id.in_(bindparam("track_ids", expanding=True)))
)
"""Made once: making it takes longer than running it, and every request does."""


def mirrors(connection: Connection, track_ids: Iterable[int]) -> dict[int, Mirror]:
    """Give the mirror of each of these tracks."""
    rows = connection.execute(MIRRORS, {"track_ids": list(track_ids)})
    return {row.track_id: _mirror(row) for row in rows}


def _mirror(row: Any) -> Mirror:
    state, reason = _state(row)
    waiting = state == PENDING
    return Mirror(
        track_id=row.track_id,
        state=state,
        reason=reason,
        generation=row.desired_gen,
        acked_generation=row.acked_gen,
        next_attempt_at=max(row.not_before, row.lane_not_before) if waiting and reason in DATED else None,
        desired_op=row.desired_op,
        record_uri=RecordKey(row.did, row.collection, row.rkey).uri,
        record_cid=row.observed_cid,
        last_error=row.last_error,
        attempts=row.attempts,
        blob_error=row.blob_error,
    )


def _state(row: Any) -> tuple[str, str | None]:
    """The waiting states go before `delivered`: what was seen elsewhere counts, acknowledged or not."""
    is_current = row.failed_gen >= row.desired_gen  # what last went wrong is of the newest generation
    rules = (
        (row.state == HELD and row.desired_op != DELETE, HELD, row.reason),
        (row.detached, DETACHED, "record_missing"),
        (row.desired_gen <= row.acked_gen and not row.blob_wanted, DELIVERED, None),
        (row.state == REJECTED and is_current, REJECTED, row.reason),
        (row.lane_state != READY, PARKED, row.lane_state),
        (row.lane_paused, PARKED, "paused"),
        (row.desired_gen <= row.acked_gen, PENDING, "blob"),
        (is_current and row.reason is not None, PENDING, row.reason),
        (True, PENDING, "sending"),
    )
    return next((state, reason) for holds, state, reason in rules if holds)


def deliveries(
    connection: Connection, track_id: int, events: Sequence[tuple[int, bool]], mirror: Mirror
) -> Mapping[int, Delivery]:
    """Give the delivery of each event, named by its position and whether it touches the record.

    Each is exactly one of delivered, superseded, cancelled, waiting (pending, parked, held, detached, rejected) or none.
    """
    acks = _acks(connection, track_id)
    return {
        position: _delivery(position, acks, mirror) if touches else Delivery("none")
        for position, touches in events
    }


def _acks(connection: Connection, track_id: int) -> dict[int, Any]:
    attempt = delivery_attempt.c
    rows = connection.execute(
        select(delivery_attempt)
        .join(
            mirror_target,
            (target.did == attempt.did)
            & (target.collection == attempt.collection)
            & (target.rkey == attempt.rkey),
        )
        .where(target.track_id == track_id, attempt.outcome.in_((Kind.DONE.value, CANCELLED)))
        .order_by(attempt.rev.is_not(None), attempt.id)
    )
    return {row.gen: row for row in rows}  # of several the last one, but rather one that knows its commit


def _delivery(position: int, acks: Mapping[int, Any], mirror: Mirror) -> Delivery:
    if position > mirror.acked_generation:
        return Delivery(mirror.state)
    own = acks.get(position)
    if own is not None and own.outcome == Kind.DONE.value:
        return Delivery(DELIVERED, own.ended_at, own.rev, own.request_cid, position)
    later = next((acks[gen] for gen in sorted(acks) if gen >= position), None)
    if later is not None and later.outcome == CANCELLED:
        return Delivery(CANCELLED, later.ended_at, by_generation=later.gen)
    by = later.gen if later is not None else mirror.acked_generation
    return Delivery(
        "superseded",
        later.ended_at if later is not None else None,
        later.rev if later is not None else None,
        later.request_cid if later is not None else None,
        by,
    )


def attempts_of(connection: Connection, track_id: int, *, limit: int = 50) -> Sequence[Any]:
    """Give the newest attempts for a track's record, as rows of delivery_attempt."""
    attempt = delivery_attempt.c
    return connection.execute(
        select(delivery_attempt)
        .join(
            mirror_target,
            (target.did == attempt.did)
            & (target.collection == attempt.collection)
            & (target.rkey == attempt.rkey),
        )
        .where(target.track_id == track_id)
        .order_by(attempt.id.desc())
        .limit(limit)
    ).all()


def lane_of(connection: Connection, did: str) -> Any | None:
    """Give the account's lane, as a row of mirror_lane."""
    return connection.execute(select(mirror_lane).where(lane.did == did)).one_or_none()


def is_signed_in(connection: Connection, did: str) -> bool:
    """Whether the account's lane can work."""
    row = lane_of(connection, did)
    return row is not None and row.state == READY and not row.paused
