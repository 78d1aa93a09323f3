"""Derives from the journal how each event of a subject reached its record on the PDS, or why it did not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from aggregates.states import State
from eventstore.streams.buckets import bucket_param, for_account
from outbox.mirror.states import MirrorState, UnsentOutcome
from outbox.mirror.tables import IS_ATTEMPT_OF_TARGET, attempt, delivery_attempt, mirror_target, target
from outbox.pds.verdict import Kind
from outbox.relay.journal import ACKNOWLEDGING
from outbox.views.status import Mirror


class EventStatus(State):
    """How an event reached the PDS, where that differs from its subject's mirror."""

    SUPERSEDED = "superseded", "the delivery of a newer event brought it along"
    CANCELLED = "cancelled", "a newer event deleted the record before anything was sent"
    NONE = "none", "it changes nothing in the record"


OF_SUBJECT: Final = delivery_attempt.join(
    mirror_target,
    sa.and_(
        IS_ATTEMPT_OF_TARGET,
        target.bucket == bucket_param("did"),
        target.subject_id == sa.bindparam("subject_id"),
        target.kind == sa.bindparam("kind"),
    ),
)
"""The attempts on the subject's current and former records."""
IS_ACK: Final = attempt.outcome.in_(ACKNOWLEDGING)
NEXT_ACK: Final = (
    sa.select(sa.func.min(attempt.gen))
    .select_from(OF_SUBJECT)
    .where(IS_ACK, attempt.gen >= sa.bindparam("last"))
).scalar_subquery()
ACKS: Final = (
    sa.select(delivery_attempt)
    .select_from(OF_SUBJECT)
    .where(
        IS_ACK,
        attempt.gen >= sa.bindparam("first"),
        attempt.gen <= sa.func.coalesce(NEXT_ACK, sa.bindparam("last")),
    )
    .order_by(attempt.outcome == Kind.DONE.value, target.former.desc(), attempt.rev.is_not(None), attempt.id)
)
"""The last row of a generation counts: an attempt on the current record comes after those on former ones."""
ATTEMPTS: Final = (
    sa.select(delivery_attempt)
    .select_from(OF_SUBJECT)
    .order_by(attempt.gen.desc(), attempt.id.desc())
    .limit(sa.bindparam("limit"))
)


@dataclass(frozen=True)
class EventDelivery:
    """How an event reached the PDS: when, in which commit and as which CID, or why it waits.

    `by_generation` is the position whose record carries it.
    """

    status: MirrorState | EventStatus
    at: datetime | None = None
    rev: str | None = None
    cid: str | None = None
    by_generation: int | None = None
    reason: str | None = None


def deliveries(
    connection: sa.Connection,
    did: str,
    kind: str,
    subject_id: int,
    events: Sequence[tuple[int, bool]],
    *,
    mirror: Mirror,
) -> Mapping[int, EventDelivery]:
    """Return the delivery of each event, named by its position and whether it touches the record.

    Events that the PDS has not confirmed have the state of the mirror.
    """
    acked = [position for position, touches in events if touches and position <= mirror.acked_generation]
    acks: dict[int, Any] = {}  # by generation, with the next one after these
    if acked:
        of = {**for_account(did), "kind": kind, "subject_id": subject_id}
        between = {"first": min(acked), "last": max(acked)}
        acks = {row.gen: row for row in connection.execute(ACKS, of | between)}
    return {
        position: _delivery(position, acks, mirror) if touches else EventDelivery(EventStatus.NONE)
        for position, touches in events
    }


def _delivery(position: int, acks: Mapping[int, Any], mirror: Mirror) -> EventDelivery:
    if position > mirror.acked_generation:
        return EventDelivery(mirror.state, reason=mirror.reason)
    own = acks.get(position)
    if own is not None and own.outcome == Kind.DONE.value:
        return EventDelivery(MirrorState.DELIVERED, own.ended_at, own.rev, own.request_cid, position)
    carrier = next((acks[gen] for gen in sorted(acks) if gen >= position), None)
    if carrier is None:
        return EventDelivery(EventStatus.SUPERSEDED, by_generation=mirror.acked_generation)
    if carrier.outcome == UnsentOutcome.CANCELLED:
        return EventDelivery(EventStatus.CANCELLED, carrier.ended_at, by_generation=carrier.gen)
    return EventDelivery(
        EventStatus.SUPERSEDED, carrier.ended_at, carrier.rev, carrier.request_cid, carrier.gen
    )


def attempts_of(
    connection: sa.Connection, did: str, kind: str, subject_id: int, *, limit: int = 50
) -> Sequence[Any]:
    """Return the newest attempts for a subject's record, as rows of delivery_attempt."""
    of = {**for_account(did), "kind": kind, "subject_id": subject_id}
    return connection.execute(ATTEMPTS, {**of, "limit": limit}).all()
