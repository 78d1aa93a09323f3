"""The journal of attempts: written before the first byte is sent, closed when the answer is known.

An attempt that a crash left open still says what may have landed.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, insert, or_, select, update

from eventstore.database import Database
from outbox.mirror.lanes import Lane, LeaseLostError, lock_lane_and_read_time
from outbox.mirror.tables import delivery_attempt, mirror_lane
from outbox.mirror.targets import CHANGE_TARGET, PUT, of_target
from outbox.pds.client import RecordKey
from outbox.pds.verdict import OK, Kind, Verdict
from outbox.relay.delivery_task import Work

attempt = delivery_attempt.c
CANCELLED: Final = "cancelled"
"""The outcome of a record that came and went before the PDS heard of it."""
ADOPTED: Final = "adopted"
"""The outcome of a generation that says what somebody else had written: nothing was sent."""
ACKING: Final = (Kind.DONE.value, CANCELLED, ADOPTED)
"""The outcomes that say what became of events, for ever."""

SAME_ANSWERS: Final = 3
"""So often in a row a PDS breaks down over a record before it is the record's fault."""

# Built once (CONTRIBUTING.md).
_INTENT: Final = insert(delivery_attempt).returning(attempt.id)
_OF_TARGET: Final = and_(
    attempt.did == bindparam("of_did"),
    attempt.collection == bindparam("of_collection"),
    attempt.rkey == bindparam("of_rkey"),
)
_NEWEST: Final = (
    select(attempt.id, attempt.gen, attempt.status, attempt.error)
    .where(_OF_TARGET)
    .order_by(attempt.id.desc())
    .limit(SAME_ANSWERS)
)
_OTHERS_TAKEN: Final = (
    select(attempt.id)
    .join(mirror_lane, mirror_lane.c.did == attempt.did)
    .where(
        mirror_lane.c.host == bindparam("host"),
        attempt.id > bindparam("since"),
        attempt.outcome == Kind.DONE.value,
        attempt.status == OK,
        ~_OF_TARGET,
    )
    .limit(1)
)
_OUR_CIDS: Final = select(attempt.request_cid).where(
    _OF_TARGET, attempt.request_cid.is_not(None), attempt.outcome.is_distinct_from(ADOPTED)
)
_CREATES: Final = select(attempt.started_at, attempt.outcome).where(
    _OF_TARGET,
    attempt.op == PUT,
    attempt.swap_cid.is_(None),
    attempt.started_at > bindparam("since"),
    attempt.outcome.is_distinct_from(Kind.NOT_SENT.value),
)
_UNANSWERED_CREATE: Final = (
    select(attempt.request_cid)
    .where(
        _OF_TARGET,
        attempt.op == PUT,
        attempt.swap_cid.is_(None),
        attempt.request_cid.is_not(None),
        or_(attempt.outcome.is_(None), attempt.outcome == Kind.AMBIGUOUS.value),
    )
    .order_by(attempt.id.desc())
    .limit(1)
)
_END: Final = update(delivery_attempt).where(attempt.id == bindparam("attempt_id"))


def intend(database: Database, lane: Lane, work: Work) -> int:
    """Note what is about to be sent and give the attempt's id; raises LeaseLostError when it must not be sent."""
    with database.write() as connection:
        now = lock_lane_and_read_time(database, connection, lane)
        if lane.lease_until <= now:  # nobody has come yet, but may while the request is on its way
            raise LeaseLostError
        connection.execute(CHANGE_TARGET, {**of_target(work.key), "ever_sent": True})
        attempt_id: int = connection.execute(_INTENT, _row(lane, work, now)).scalar_one()
        return attempt_id


def note_unsent(connection: Connection, lane: Lane, work: Work, now: datetime, outcome: str) -> None:
    """Note that nothing had to be sent, so that the generation is accounted for."""
    row = {**_row(lane, work, now), "ended_at": now, "outcome": outcome}
    connection.execute(insert(delivery_attempt), row)


def note_adopted(connection: Connection, key: RecordKey, gen: int, cid: str, now: datetime) -> None:
    """Note that a generation is what somebody else had written, so that what it superseded is accounted for."""
    ended = {"epoch": 0, "started_at": now, "ended_at": now, "outcome": ADOPTED}
    row = {**vars(key), "gen": gen, "op": PUT, "request_cid": cid, **ended}
    connection.execute(insert(delivery_attempt), row)


def conclude(connection: Connection, attempt_id: int, verdict: Verdict, now: datetime) -> None:
    """Note how the attempt ended."""
    rev = verdict.rev if verdict.kind is Kind.DONE else None
    end = {"ended_at": now, "outcome": verdict.kind.value, "status": verdict.status, "error": verdict.error}
    connection.execute(_END, {"attempt_id": attempt_id, **end, "rev": rev})


def breaks_down_again(connection: Connection, work: Work, verdict: Verdict) -> bool:
    """Whether the PDS broke down over this record each of the last times, with the same answer."""
    return _first_of_same(connection, work, verdict) is not None


def breaks_down(connection: Connection, host: str, work: Work, verdict: Verdict) -> bool:
    """Whether the PDS breaks down over this record alone: the same answer time and again, while it took others."""
    if (first := _first_of_same(connection, work, verdict)) is None:
        return False
    since = {"host": host, "since": first}
    return connection.scalar(_OTHERS_TAKEN, {**of_target(work.key), **since}) is not None


def _first_of_same(connection: Connection, work: Work, verdict: Verdict) -> int | None:
    """The first of the last attempts, if the PDS broke down over the record with this answer each time."""
    if not verdict.is_fault_of_record:
        return None
    attempts = connection.execute(_NEWEST, of_target(work.key)).all()
    same = (work.gen, verdict.status, verdict.error)
    if len(attempts) < SAME_ANSWERS or any((row.gen, row.status, row.error) != same for row in attempts):
        return None
    first: int = attempts[-1].id
    return first


def our_cids(connection: Connection, key: RecordKey) -> set[str]:
    """Return the CIDs that this service ever attempted to write under the key."""
    return set(connection.scalars(_OUR_CIDS, of_target(key)))


@dataclass(frozen=True)
class LatePuts:
    """Creates that may still land after a delete, because it makes their swap match again. An edit can only follow such a create."""

    unanswered: datetime | None
    """When the newest create with an unknown result was sent."""
    answered: bool
    """Whether there are others, which were answered: a duplicate of one may still be in transit."""

    def __bool__(self) -> bool:
        return self.unanswered is not None or self.answered


def unanswered_create(connection: Connection, key: RecordKey) -> str | None:
    """Return the CID of the newest create whose result is unknown."""
    return connection.scalar(_UNANSWERED_CREATE, of_target(key))


def puts_since(connection: Connection, key: RecordKey, since: datetime) -> LatePuts:
    """Return the puts of a record that were sent since then and may still land."""
    rows = connection.execute(_CREATES, {**of_target(key), "since": since}).all()
    open_ends = (None, Kind.AMBIGUOUS.value)
    unanswered = [row.started_at for row in rows if row.outcome in open_ends]
    return LatePuts(max(unanswered, default=None), answered=len(unanswered) < len(rows))


def _row(lane: Lane, work: Work, now: datetime) -> dict[str, Any]:
    return {
        "did": work.key.did,
        "collection": work.key.collection,
        "rkey": work.key.rkey,
        "gen": work.gen,
        "op": work.op,
        "request_cid": work.request_cid,
        "swap_cid": work.base,
        "epoch": lane.epoch,
        "started_at": now,
    }
